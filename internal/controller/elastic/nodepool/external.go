package nodepool

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	kerrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/crossplane/crossplane-runtime/v2/pkg/errors"
	"github.com/crossplane/crossplane-runtime/v2/pkg/meta"
	"github.com/crossplane/crossplane-runtime/v2/pkg/reconciler/managed"
	xpv2 "github.com/crossplane/crossplane/apis/v2/core/v2"

	fleetv1alpha1 "regionpool.io/provider-regionpool/apis/fleet/v1alpha1"
	"regionpool.io/provider-regionpool/apis/v1alpha1"
	"regionpool.io/provider-regionpool/internal/clients/cloud"
	"regionpool.io/provider-regionpool/internal/clients/kube"
	"regionpool.io/provider-regionpool/internal/controller/elastic"
	"regionpool.io/provider-regionpool/internal/controller/lifecycle"
)

// OpRemoveNodes is the type of the operation that removes nodes.
const OpRemoveNodes = "RemoveNodes"

// external is a NodePool at the cloud, for one reconcile.
type external struct {
	*elastic.Base
	kind *Kind
	// cloud is nil if the region is not known because there never was a cluster.
	cloud Driver

	// cluster of the pool, or nil if it is gone.
	cluster elastic.Cluster

	// observed in this reconcile.
	observed *State
	wish     wish
	decision decision
	nodes    []corev1.Node
	// noticed nodes will be taken back by the cloud, by name.
	noticed map[string]v1alpha1.Shortage
	// answered says that nodes is what the cluster's API server said.
	answered bool
	taskErr  *cloud.Error
	// unheard is why the cloud could not be asked for shortages.
	unheard  error
	deletion elastic.Deletion
	// handover of what runs on the nodes.
	handover elastic.Handover
}

// clusterID of the pool, also when the Cluster is gone.
func (e *external) clusterID(cr elastic.NodePool) string {
	if e.cluster != nil {
		if id := meta.GetExternalName(e.cluster); id != "" {
			return id
		}
	}
	return cr.GetObservation().ClusterID
}

// find node pools with our name and tag.
func (e *external) find(cr elastic.NodePool) lifecycle.FindFn {
	return func(ctx context.Context) ([]lifecycle.Candidate, error) {
		if e.cloud == nil || e.clusterID(cr) == "" {
			return nil, errors.New(e.unbuildable(cr))
		}
		all, err := e.cloud.Find(ctx, e.clusterID(cr))
		return elastic.Ours(cr, all), err
	}
}

func (e *external) Observe(ctx context.Context, cr elastic.NodePool) (managed.ExternalObservation, error) {
	o, err := e.observe(ctx, cr)
	e.Mendable(cr, err)
	return o, err
}

func (e *external) observe(ctx context.Context, cr elastic.NodePool) (managed.ExternalObservation, error) {
	if meta.GetExternalName(cr) == "" && !meta.WasDeleted(cr) {
		if msg := e.unbuildable(cr); msg != "" {
			cr.SetConditions(xpv2.Creating().WithMessage(msg))
			return elastic.Waiting, nil
		}
	}
	if named, o, err := e.Named(ctx, cr, e.find(cr)); !named || err != nil {
		e.refused(cr, err)
		return o, err
	}

	if e.clusterID(cr) == "" {
		if meta.WasDeleted(cr) && meta.GetExternalCreatePending(cr).IsZero() {
			// It was to be imported and was never seen.
			return managed.ExternalObservation{}, nil
		}
		cr.SetConditions(lifecycle.NotReady(xpv2.ReasonUnavailable, e.unbuildable(cr)))
		return elastic.Waiting, nil
	}
	s, presence, err := e.cloud.Get(ctx, e.clusterID(cr), meta.GetExternalName(cr))
	if err != nil {
		return managed.ExternalObservation{}, errors.Wrap(err, "cannot describe the node pool")
	}
	if presence != Present {
		return e.gone(ctx, cr, presence == ClusterAbsent)
	}
	if meta.WasDeleted(cr) && !elastic.Owned(cr, s.Tags) && meta.GetExternalCreatePending(cr).IsZero() {
		// It was imported and never handed over: forget it.
		return managed.ExternalObservation{}, nil
	}
	e.observed = s

	e.wish = wish{}
	if !meta.WasDeleted(cr) {
		if e.wish, err = wanted(ctx, e.Host, cr, s.Desired); err != nil {
			return managed.ExternalObservation{}, err
		}
	}
	e.see(ctx, cr, s)
	if meta.WasDeleted(cr) {
		return elastic.Waiting, nil
	}
	e.ready(cr, s)

	in := situation{
		want: e.wish.nodes, noticed: int32(len(e.noticed)), most: cr.GetSizing().Max,
		busy: e.busy(cr), short: len(cr.GetObservation().Shortages) > 0,
	}
	if e.decision = decide(s, in); e.decision.step == stepConfigure {
		if err, _ := e.Holds.Held(cr.GetUID(), e.holdKey(cr)); err != nil {
			// A configuration that the cloud refuses must not keep nodes that
			// nobody needs, nor keep those away that somebody does.
			same := *s
			same.Differs = false
			if d := decide(&same, in); d.step != stepNone {
				e.decision = d
			}
		}
	}
	todo := string(e.decision.step)
	if todo == "" && e.rescuable(cr) {
		todo = "uncordon"
	}
	if todo != "" {
		if err, left := e.Holds.Held(cr.GetUID(), e.holdKey(cr)); err != nil {
			e.Pace.After(cr, left)
			return managed.ExternalObservation{}, err
		}
	}
	return managed.ExternalObservation{ResourceExists: true, ResourceUpToDate: todo == "", Diff: todo}, nil
}

func (e *external) holdKey(cr elastic.NodePool) string {
	return elastic.HoldKey(cr, fmt.Sprintf("%s-%d", e.decision.step, e.decision.size))
}

// unbuildable says why the pool cannot be created now, or nothing.
func (e *external) unbuildable(cr elastic.NodePool) string {
	name := cr.GetClusterName()
	switch {
	case e.cluster == nil:
		return fmt.Sprintf("spec.forProvider.clusterRef: there is no Cluster %q: create it or correct the name", name)
	case meta.WasDeleted(e.cluster):
		return fmt.Sprintf("Cluster %q is being deleted", name)
	case meta.GetExternalName(e.cluster) == "":
		return fmt.Sprintf("Waiting until Cluster %q is created", name)
	}
	switch e.phase() {
	case elastic.PhaseRunning, elastic.PhaseScaling:
		return ""
	default:
		return fmt.Sprintf("Waiting until Cluster %q is running", name)
	}
}

// phase of the cluster, which has to be there.
func (e *external) phase() elastic.Phase {
	return e.kind.Phase(e.cluster.GetObservation().State)
}

// see writes down what the cloud and the cluster say.
func (e *external) see(ctx context.Context, cr elastic.NodePool, s *State) {
	at := cr.GetObservation()
	op := elastic.Operation(cr, at.ID, s.ID, at.Operation)
	at.ID, at.ClusterID, at.State = s.ID, e.clusterID(cr), s.Word
	if e.cluster != nil {
		at.Region = e.cluster.GetRegion()
	}
	at.Wanted, at.Desired, at.Nodes = e.wish.nodes, s.Desired, s.Total
	at.Operation, e.taskErr = e.Track(ctx, e.cloud, e.Poller, client.ObjectKeyFromObject(cr), op)

	if s.Total == 0 {
		at.Ready, e.answered = 0, true
		at.Draining = nil
	} else {
		e.look(ctx, cr, s)
	}
	e.account(ctx, cr, s)

	switch {
	case settled(cr) && cr.GetCondition(v1alpha1.TypeCapacityAvailable).Status == corev1.ConditionFalse:
		// The cloud goes on trying, and tells nobody when it succeeds.
		e.Pace.After(cr, 6*e.PollInProgress)
	case cr.GetCapacityType() == v1alpha1.CapacitySpot && s.Total > 0:
		// Notices that a machine will be taken back are minutes long.
		e.Pace.After(cr, 4*e.PollInProgress)
	}
}

// look into the cluster for the pool's nodes. If it does not answer the last
// known numbers stay.
func (e *external) look(ctx context.Context, cr elastic.NodePool, s *State) {
	if e.cluster == nil {
		return
	}
	k, err := e.client(ctx, cr)
	if err != nil {
		return
	}
	nodes, err := kube.Nodes(ctx, k, e.cloud.NodeSelector(s.ID))
	if kerrors.IsUnauthorized(errors.Cause(err)) {
		e.Kubeconfigs.Forget(e.clusterID(cr))
	}
	if err != nil {
		return
	}
	e.nodes, e.answered, e.noticed = nodes, true, map[string]v1alpha1.Shortage{}
	ready := int32(0)
	for i := range nodes {
		if kube.IsReady(&nodes[i]) {
			ready++
		}
		if sh := e.cloud.Noticed(&nodes[i]); sh != nil {
			e.noticed[nodes[i].Name] = *sh
		}
	}
	cr.GetObservation().Ready = ready
}

// client of the cluster.
func (e *external) client(ctx context.Context, cr elastic.NodePool) (kubernetes.Interface, error) {
	return e.ClusterClient(ctx, e.Host, e.cluster, func(ctx context.Context) (kube.Kubeconfig, error) {
		return e.cloud.Kubeconfig(ctx, e.clusterID(cr))
	})
}

// ready if the pool follows what is wanted and has the nodes that it must always
// have. How many of the others are there is in the status: it changes all the
// time, and is no reason for the claim to be unready.
func (e *external) ready(cr elastic.NodePool, s *State) {
	at := cr.GetObservation()
	switch s.Phase {
	case PhaseBuilding:
		cr.SetConditions(xpv2.Creating())
		return
	case PhaseDeleting, PhaseDeleteFailed:
		cr.SetConditions(lifecycle.NotReady(xpv2.ReasonUnavailable, fmt.Sprintf("The node pool is in state %q, not because of this resource", s.Word)))
		return
	}
	switch {
	case s.AutoScaling:
		cr.SetConditions(lifecycle.NotReady(xpv2.ReasonUnavailable, "The cloud's own autoscaler is on: switch it off, the number of nodes has one owner"))
	case at.Ready >= min(cr.GetSizing().Min, at.Wanted):
		cr.SetConditions(xpv2.Available())
	case !e.answered:
		cr.SetConditions(lifecycle.NotReady(xpv2.ReasonUnavailable, "The API server of the cluster does not answer"))
	default:
		cr.SetConditions(lifecycle.NotReady(xpv2.ReasonUnavailable, "Fewer nodes are Ready than spec.forProvider.min"))
	}
}

// gone handles a pool that the cloud says is not there. That is believed when
// the list agrees, or when the cluster is not there either.
func (e *external) gone(ctx context.Context, cr elastic.NodePool, clusterGone bool) (managed.ExternalObservation, error) {
	cr.GetObservation().State = ""
	if clusterGone {
		// Asked once more, for the cluster itself.
		gone, err := e.cloud.ClusterGone(ctx, e.clusterID(cr))
		if err != nil || !gone {
			return elastic.Waiting, errors.Wrap(err, "cannot confirm that the cluster is gone")
		}
		if !meta.WasDeleted(cr) {
			cr.SetConditions(lifecycle.NotReady(xpv2.ReasonUnavailable, "The cluster is gone"))
			return elastic.Waiting, nil
		}
		e.Poller.Forget(client.ObjectKeyFromObject(cr))
		return managed.ExternalObservation{}, nil
	}
	gone, err := e.Gone(ctx, cr, e.find(cr))
	if err != nil {
		return managed.ExternalObservation{}, err
	}
	if !gone {
		return elastic.Waiting, nil
	}
	if msg := e.unbuildable(cr); msg != "" && !meta.WasDeleted(cr) {
		cr.SetConditions(lifecycle.NotReady(xpv2.ReasonUnavailable, msg))
		return elastic.Waiting, nil
	}
	return managed.ExternalObservation{}, nil
}

func (e *external) Create(ctx context.Context, cr elastic.NodePool) (managed.ExternalCreation, error) {
	w, err := wanted(ctx, e.Host, cr, 0)
	if err != nil {
		return managed.ExternalCreation{}, err
	}
	err = e.Base.Create(ctx, cr, e.find(cr), func(ctx context.Context) (string, string, error) {
		return e.cloud.Create(ctx, e.clusterID(cr), w.nodes)
	})
	e.refused(cr, err)
	return managed.ExternalCreation{}, err
}

func (e *external) Update(ctx context.Context, cr elastic.NodePool) (managed.ExternalUpdate, error) {
	s := e.observed
	if s == nil {
		return managed.ExternalUpdate{}, nil
	}
	if !elastic.Owned(cr, s.Tags) {
		return managed.ExternalUpdate{}, elastic.NotOwned(cr, e.What, s.ID)
	}

	if e.rescuable(cr) {
		// Cheaper and faster than other nodes.
		if err := e.uncordon(ctx, cr, nil); err != nil {
			return managed.ExternalUpdate{}, err
		}
	}

	var task, kind string
	var err error
	ordered := e.Clock.Now()
	switch e.decision.step {
	case stepConfigure:
		kind = "Configure"
		task, err = e.cloud.Configure(ctx, e.clusterID(cr), s)
	case stepLower:
		kind = "Scale"
		e.decision.size, err = e.least(ctx, cr, e.decision.size)
		if err == nil && e.decision.size >= s.Desired {
			e.Pace.After(cr, e.PollInProgress)
			return managed.ExternalUpdate{}, nil
		}
		if err == nil {
			task, err = e.cloud.SetDesired(ctx, e.clusterID(cr), s.ID, e.decision.size)
		}
	case stepGrow:
		kind = "Scale"
		task, err = e.cloud.SetDesired(ctx, e.clusterID(cr), s.ID, e.decision.size)
	case stepShrink:
		return managed.ExternalUpdate{}, e.shrink(ctx, cr, e.decision.excess)
	case stepNone:
		return managed.ExternalUpdate{}, nil
	}

	switch {
	case cloud.Is(err, cloud.WrongState):
		// Something else is under way. The next poll tries again.
		e.Pace.After(cr, e.PollInProgress)
		return managed.ExternalUpdate{}, nil
	case err == nil:
		if e.decision.step != stepConfigure {
			cr.GetObservation().Desired = e.decision.size
		}
		if e.decision.step == stepGrow {
			onItsWay(cr, ordered)
		}
		cr.GetObservation().Operation = e.NewOperation(kind, task)
		// Without a task nothing tells when it is done, and there may be more to do.
		e.Pace.After(cr, e.PollInProgress)
	default:
		e.refused(cr, err)
	}
	return managed.ExternalUpdate{}, e.Holds.Note(cr.GetUID(), e.holdKey(cr), errors.Wrap(err, "cannot change the node pool"))
}

// least is to what an order may be lowered: not below what is there by now. A
// machine that has come since the pool was read would cost another one, which the
// cloud would choose, with its pods.
func (e *external) least(ctx context.Context, cr elastic.NodePool, n int32) (int32, error) {
	s, presence, err := e.cloud.Get(ctx, e.clusterID(cr), e.observed.ID)
	if err != nil || presence != Present {
		return e.observed.Desired, err
	}
	return max(n, s.there()), nil
}

// busy reports whether a task of ours is running. A task that does not end
// although the pool is at rest is not believed for ever.
func (e *external) busy(cr elastic.NodePool) bool {
	op := cr.GetObservation().Operation
	return op != nil && (e.observed.Phase != PhaseActive || e.Clock.Since(op.StartedAt.Time) < e.Patience)
}

// rescuable reports whether nodes of the pool are marked to be given back, are
// wanted again, and are not being removed yet.
func (e *external) rescuable(cr elastic.NodePool) bool {
	if e.wish.nodes+int32(len(e.noticed)) < e.observed.Desired {
		return false
	}
	if p := e.observed.Phase; p != PhaseActive && p != PhaseScaling {
		return false
	}
	if op := cr.GetObservation().Operation; op != nil && op.Type == OpRemoveNodes {
		return false
	}
	for i := range e.nodes {
		if n := &e.nodes[i]; marked(n) && !e.isNoticed(n.Name) {
			return true
		}
	}
	return false
}

func marked(n *corev1.Node) bool {
	for _, t := range n.Spec.Taints {
		if t.Key == fleetv1alpha1.TaintReleasing {
			return true
		}
	}
	return false
}

// Disconnect has nothing to do: clients are shared.
func (e *external) Disconnect(_ context.Context) error { return nil }
