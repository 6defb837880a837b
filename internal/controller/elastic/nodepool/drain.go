package nodepool

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/crossplane/crossplane-runtime/v2/pkg/errors"
	"github.com/crossplane/crossplane-runtime/v2/pkg/meta"

	fleetv1alpha1 "regionpool.io/provider-regionpool/apis/fleet/v1alpha1"
	"regionpool.io/provider-regionpool/apis/v1alpha1"
	"regionpool.io/provider-regionpool/internal/clients/cloud"
	"regionpool.io/provider-regionpool/internal/clients/kube"
	"regionpool.io/provider-regionpool/internal/controller/elastic"
)

// gaveUp marks a drain that took too long. The node is in use again.
const gaveUp = "gave up after the drain time-out: "

// A machine of the pool, and the node that it became.
type machine struct {
	Machine
	// node in Kubernetes, or nil if it never registered.
	node *corev1.Node
	// noticed machines will be taken back by the cloud.
	noticed bool
}

func (m *machine) name() string {
	if m.node != nil {
		return m.node.Name
	}
	return m.Name
}

// rank of machines that cost least to lose: those that do no work come first.
func (m *machine) rank() int {
	switch {
	case m.node == nil:
		return 0
	case !kube.IsReady(m.node):
		return 1
	default:
		return 2
	}
}

// shrink the pool by a number of nodes: choose them, cordon them, evict their
// pods, and give back those that are empty. Each call makes one pass and does
// not wait.
func (e *external) shrink(ctx context.Context, cr elastic.NodePool, excess int32) error {
	at := cr.GetObservation()
	list, err := e.cloud.Machines(ctx, e.clusterID(cr), e.observed.ID)
	if err != nil {
		return errors.Wrap(err, "cannot list the machines of the node pool")
	}

	if e.deletion.Unasked || e.cluster != nil && e.phase().Broken() {
		// There is no Kubernetes left to ask, nor anything in it to protect.
		ids := make([]string, 0, len(list))
		for _, n := range list {
			ids = append(ids, n.ID)
		}
		return e.remove(ctx, cr, ids)
	}
	if e.cluster == nil {
		return errors.Errorf("cannot drain nodes: there is no Cluster %q, which spec.forProvider.clusterRef names and whose kubeconfig it takes", cr.GetClusterName())
	}
	if !e.answered {
		return errors.New("cannot drain nodes: the API server of the cluster does not answer")
	}
	k, err := e.client(ctx, cr)
	if err != nil {
		return err
	}

	machines, err := e.join(ctx, k, list)
	if err != nil {
		return err
	}
	if !meta.WasDeleted(cr) {
		// What is read of the pool may be older than its list of machines. A machine
		// that has gone meanwhile must not cost another one.
		stay := slices.DeleteFunc(slices.Clone(machines), func(m machine) bool { return m.Removing })
		excess = min(excess, max(int32(len(stay))-e.wish.nodes, int32(len(e.noticed))))
	}
	e.settle(cr, machines, excess)
	if err := e.uncordon(ctx, cr, k); err != nil {
		return err
	}
	if missing := int(excess) - len(active(at.Draining)); missing > 0 {
		chosen, err := e.choose(ctx, k, machines, at.Draining, missing)
		if err != nil {
			return err
		}
		for _, m := range chosen {
			at.Draining = append(at.Draining, v1alpha1.NodeDrain{Node: m.name(), InstanceID: m.ID, StartedAt: metav1.NewTime(e.Clock.Now())})
		}
		e.retry(cr, missing-len(chosen))
	}
	slices.SortFunc(at.Draining, func(a, b v1alpha1.NodeDrain) int { return strings.Compare(a.Node, b.Node) })

	ids, err := e.drain(ctx, cr, k, machines)
	if err != nil {
		return err
	}
	return e.remove(ctx, cr, ids)
}

// join machines with their nodes, by instance id or name. A machine without one is
// removed undrained, so the whole cluster is searched before that is believed: a
// node need not carry the label of its pool.
func (e *external) join(ctx context.Context, k kubernetes.Interface, list []Machine) ([]machine, error) {
	all := make([]machine, 0, len(list))
	unjoined := false
	for _, n := range list {
		m := machine{Machine: n}
		if m.node = nodeOf(n, e.nodes); m.node != nil {
			m.noticed = e.isNoticed(m.node.Name)
		}
		unjoined = unjoined || m.node == nil
		all = append(all, m)
	}
	if !unjoined {
		return all, nil
	}
	nodes, err := kube.Nodes(ctx, k, "")
	if err != nil {
		return nil, err
	}
	for i := range all {
		if all[i].node == nil {
			all[i].node = nodeOf(all[i].Machine, nodes)
		}
	}
	return all, nil
}

// nodeOf a machine, or nil.
func nodeOf(m Machine, nodes []corev1.Node) *corev1.Node {
	for i := range nodes {
		if node := &nodes[i]; kube.InstanceID(node) == m.ID || m.Name != "" && node.Name == m.Name {
			return node
		}
	}
	return nil
}

// settle the list of drains: machines that are gone leave it, nodes that are
// marked enter it (the status may have been lost), and those that are wanted
// again leave it, last started first.
func (e *external) settle(cr elastic.NodePool, machines []machine, excess int32) {
	at := cr.GetObservation()
	at.Draining = slices.DeleteFunc(at.Draining, func(d v1alpha1.NodeDrain) bool {
		return !slices.ContainsFunc(machines, func(m machine) bool { return m.ID == d.InstanceID && !m.Removing })
	})
	for i := range machines {
		m := &machines[i]
		known := slices.ContainsFunc(at.Draining, func(d v1alpha1.NodeDrain) bool { return d.InstanceID == m.ID })
		if m.node != nil && marked(m.node) && !m.Removing && !known {
			at.Draining = append(at.Draining, v1alpha1.NodeDrain{Node: m.name(), InstanceID: m.ID, StartedAt: metav1.NewTime(e.Clock.Now())})
		}
	}

	timeout := drainTimeout(cr)
	now := e.Clock.Now()
	for i := range at.Draining {
		d := &at.Draining[i]
		over := now.Sub(d.StartedAt.Time) > timeout
		switch {
		case meta.WasDeleted(cr), e.isNoticed(d.Node):
			// The node goes in any case, so there is no other to try instead.
			d.BlockedBy = strings.TrimPrefix(d.BlockedBy, gaveUp)
		case over && !strings.HasPrefix(d.BlockedBy, gaveUp):
			d.StartedAt, d.BlockedBy = metav1.NewTime(now), gaveUp+cmp.Or(d.BlockedBy, "pods do not end")
		}
	}

	surplus := len(active(at.Draining)) - int(excess)
	if surplus <= 0 {
		return
	}
	byStart := slices.Clone(active(at.Draining))
	slices.SortStableFunc(byStart, func(a, b v1alpha1.NodeDrain) int {
		if x, y := e.isNoticed(a.Node), e.isNoticed(b.Node); x != y {
			// Those that the cloud takes are the last to be kept.
			if x {
				return 1
			}
			return -1
		}
		return b.StartedAt.Compare(a.StartedAt.Time)
	})
	for _, drop := range byStart[:surplus] {
		at.Draining = slices.DeleteFunc(at.Draining, func(d v1alpha1.NodeDrain) bool { return d.InstanceID == drop.InstanceID })
	}
}

// retry drains that were given up and whose nodes have been in use for long
// enough, the oldest first: there are no others left to try.
func (e *external) retry(cr elastic.NodePool, n int) {
	at, now := cr.GetObservation(), e.Clock.Now()
	for ; n > 0; n-- {
		oldest := -1
		for i, d := range at.Draining {
			rested := strings.HasPrefix(d.BlockedBy, gaveUp) && now.Sub(d.StartedAt.Time) > drainTimeout(cr)
			if rested && (oldest < 0 || d.StartedAt.Time.Before(at.Draining[oldest].StartedAt.Time)) {
				oldest = i
			}
		}
		if oldest < 0 {
			return
		}
		at.Draining[oldest].StartedAt, at.Draining[oldest].BlockedBy = metav1.NewTime(now), ""
	}
}

func drainTimeout(cr elastic.NodePool) time.Duration {
	if t := cr.GetSizing().DrainTimeout; t != nil {
		return t.Duration
	}
	return elastic.DefaultDrainTimeout
}

func (e *external) isNoticed(node string) bool {
	_, ok := e.noticed[node]
	return ok
}

// active drains are those that were not given up.
func active(all []v1alpha1.NodeDrain) []v1alpha1.NodeDrain {
	var some []v1alpha1.NodeDrain
	for _, d := range all {
		if !strings.HasPrefix(d.BlockedBy, gaveUp) {
			some = append(some, d)
		}
	}
	return some
}

// uncordon nodes that are marked but not being drained. Without a client, all
// drains end but those of nodes that the cloud takes back.
func (e *external) uncordon(ctx context.Context, cr elastic.NodePool, k kubernetes.Interface) error {
	at := cr.GetObservation()
	if k == nil {
		var err error
		if k, err = e.client(ctx, cr); err != nil {
			return err
		}
		at.Draining = slices.DeleteFunc(at.Draining, func(d v1alpha1.NodeDrain) bool { return !e.isNoticed(d.Node) })
	}
	for i := range e.nodes {
		n := &e.nodes[i]
		draining := slices.ContainsFunc(active(at.Draining), func(d v1alpha1.NodeDrain) bool { return d.Node == n.Name })
		if !marked(n) || draining || e.isNoticed(n.Name) {
			continue
		}
		if err := kube.Uncordon(ctx, k, n, fleetv1alpha1.TaintReleasing); err != nil {
			return err
		}
	}
	return nil
}

// choose machines to give back: those that the cloud takes anyway, those that
// the plan names and that are still empty, then those that do no work, then empty ones, then the newest.
func (e *external) choose(ctx context.Context, k kubernetes.Interface, machines []machine, draining []v1alpha1.NodeDrain, n int) ([]machine, error) {
	candidates := slices.DeleteFunc(slices.Clone(machines), func(m machine) bool {
		return m.Removing || slices.ContainsFunc(draining, func(d v1alpha1.NodeDrain) bool { return d.InstanceID == m.ID })
	})
	slices.SortFunc(candidates, func(a, b machine) int {
		return cmp.Or(
			cmp.Compare(a.rank(), b.rank()),
			b.Created.Compare(a.Created),
			strings.Compare(a.ID, b.ID),
		)
	})

	var chosen []machine
	take := func(want func(m *machine) (bool, error)) error {
		for i := 0; i < len(candidates) && len(chosen) < n; {
			ok, err := want(&candidates[i])
			if err != nil {
				return err
			}
			if !ok {
				i++
				continue
			}
			chosen = append(chosen, candidates[i])
			candidates = slices.Delete(candidates, i, i+1)
		}
		return nil
	}
	empty := func(m *machine) (bool, error) {
		if m.node == nil {
			return true, nil
		}
		pods, err := kube.Pods(ctx, k, m.node.Name)
		return !slices.ContainsFunc(pods, func(p corev1.Pod) bool { return p.Namespace != metav1.NamespaceSystem }), err
	}
	for _, want := range []func(m *machine) (bool, error){
		func(m *machine) (bool, error) { return m.noticed, nil },
		func(m *machine) (bool, error) {
			if m.node == nil || !slices.Contains(e.wish.release, m.node.Name) {
				return false, nil
			}
			return empty(m)
		},
		func(m *machine) (bool, error) { return m.rank() < 2, nil },
		empty,
		func(*machine) (bool, error) { return true, nil },
	} {
		if err := take(want); err != nil {
			return nil, err
		}
	}
	return chosen, nil
}

// drain makes one pass over the nodes that leave, and returns the machines that
// may be given back.
func (e *external) drain(ctx context.Context, cr elastic.NodePool, k kubernetes.Interface, machines []machine) ([]string, error) {
	at := cr.GetObservation()
	leaving := active(at.Draining)

	// All are cordoned first, so that the pods of one do not land on the next.
	byID := map[string]*machine{}
	for i := range machines {
		byID[machines[i].ID] = &machines[i]
	}
	for _, d := range leaving {
		if m := byID[d.InstanceID]; m != nil && m.node != nil {
			if err := kube.Cordon(ctx, k, m.node, fleetv1alpha1.TaintReleasing, e.handover.Taint()); err != nil {
				return nil, err
			}
		}
	}

	others := -1
	var ids []string
	for i := range at.Draining {
		d := &at.Draining[i]
		m := byID[d.InstanceID]
		if m == nil || strings.HasPrefix(d.BlockedBy, gaveUp) {
			continue
		}
		if m.node == nil {
			d.BlockedBy = ""
			ids = append(ids, d.InstanceID)
			continue
		}
		res, err := kube.Evict(ctx, k, m.node.Name, kube.IsReady(m.node), e.Clock.Now(), e.handover.Keep)
		if err != nil {
			return nil, err
		}
		if res.Kept > 0 {
			e.handover.Kept(m.node.Name)
		}
		d.BlockedBy = res.BlockedBy
		if res.Left == 0 && res.SystemLeft > 0 {
			if others < 0 {
				if others, err = schedulable(ctx, k, leaving); err != nil {
					return nil, err
				}
			}
			if others == 0 {
				// The budgets of the cluster's own pods (DNS has one) forbid to
				// evict them as there is no other node to run on. Nobody is left
				// to use them either.
				res.SystemLeft = 0
			}
		}
		if res.Left+res.SystemLeft == 0 {
			d.BlockedBy = ""
			ids = append(ids, d.InstanceID)
		}
	}
	return ids, nil
}

// schedulable nodes of the whole cluster, without those that leave. Virtual
// nodes do not count: the cluster's own pods do not run there.
func schedulable(ctx context.Context, k kubernetes.Interface, leaving []v1alpha1.NodeDrain) (int, error) {
	nodes, err := kube.Nodes(ctx, k, "")
	if err != nil {
		return 0, err
	}
	n := 0
	for i := range nodes {
		node := &nodes[i]
		gone := slices.ContainsFunc(leaving, func(d v1alpha1.NodeDrain) bool { return d.Node == node.Name })
		if !gone && !node.Spec.Unschedulable && !marked(node) && !kube.IsVirtual(node) {
			n++
		}
	}
	return n, nil
}

// remove machines and write down the task.
func (e *external) remove(ctx context.Context, cr elastic.NodePool, ids []string) error {
	if len(ids) == 0 {
		e.Pace.After(cr, e.PollInProgress)
		return nil
	}
	task, err := e.cloud.Remove(ctx, e.clusterID(cr), e.observed.ID, ids)
	if cloud.Is(err, cloud.WrongState, cloud.Gone) {
		// A machine that starts cannot be stopped, or another task is running.
		e.Pace.After(cr, e.PollInProgress)
		return nil
	}
	if err != nil {
		return errors.Wrap(err, "cannot remove nodes")
	}
	cr.GetObservation().Operation = e.NewOperation(OpRemoveNodes, task)
	return nil
}
