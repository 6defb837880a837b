package nodepool

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	kerrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/crossplane/crossplane-runtime/v2/pkg/errors"
	"github.com/crossplane/crossplane-runtime/v2/pkg/event"
	"github.com/crossplane/crossplane-runtime/v2/pkg/meta"
	"github.com/crossplane/crossplane-runtime/v2/pkg/reconciler/managed"
	xpv2 "github.com/crossplane/crossplane/apis/v2/core/v2"

	"regionpool.io/provider-regionpool/apis/ack/v1alpha1"
	fleetv1alpha1 "regionpool.io/provider-regionpool/apis/fleet/v1alpha1"
	"regionpool.io/provider-regionpool/internal/clients/ack"
	"regionpool.io/provider-regionpool/internal/clients/cloud"
	"regionpool.io/provider-regionpool/internal/clients/kube"
	ackcontroller "regionpool.io/provider-regionpool/internal/controller/ack"
	"regionpool.io/provider-regionpool/internal/controller/lifecycle"
)

// opRemoveNodes is the type of the operation that removes nodes.
const opRemoveNodes = "RemoveNodes"

// external is a NodePool at the cloud, for one reconcile.
type external struct {
	*ackcontroller.Options
	api      ack.API
	kube     client.Client
	creation *lifecycle.Creation
	poller   *lifecycle.Poller
	pace     *lifecycle.Pace
	holds    *lifecycle.Holds
	record   event.Recorder

	// cluster of the pool, or nil if it is gone.
	cluster *v1alpha1.Cluster

	// observed in this reconcile.
	observed *ack.NodePool
	wish     wish
	decision decision
	change   *ack.NodePoolChange
	nodes    []corev1.Node
	// answered says that nodes is what the cluster's API server said.
	answered bool
	taskErr  *cloud.Error
	// unasked says that the deletion goes on without the cluster's API server.
	unasked bool
}

// clusterID of the pool, also when the Cluster is gone.
func (e *external) clusterID(cr *v1alpha1.NodePool) string {
	if e.cluster != nil {
		if id := meta.GetExternalName(e.cluster); id != "" {
			return id
		}
	}
	return cr.Status.AtProvider.ClusterID
}

// find node pools with our name and tag.
func (e *external) find(cr *v1alpha1.NodePool) lifecycle.FindFn {
	return func(ctx context.Context) ([]lifecycle.Candidate, error) {
		if e.api == nil || e.clusterID(cr) == "" {
			return nil, errors.New(e.unbuildable(cr))
		}
		list, err := e.api.ListNodePools(ctx, e.clusterID(cr), ackcontroller.Name(cr))
		if cloud.IsCode(err, ack.CodeClusterNotFound) {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		var all []lifecycle.Candidate
		for _, np := range list {
			if ackcontroller.Owned(cr, np.Tags) {
				all = append(all, lifecycle.Candidate{ID: np.ID})
			}
		}
		return all, nil
	}
}

func (e *external) Observe(ctx context.Context, cr *v1alpha1.NodePool) (managed.ExternalObservation, error) {
	o, err := e.observe(ctx, cr)
	if cloud.Is(err, cloud.Unauthorised, cloud.Unreachable) {
		// Mended by a person, sooner than the back-off would find out.
		e.pace.After(cr, 6*e.PollInProgress)
	}
	return o, err
}

func (e *external) observe(ctx context.Context, cr *v1alpha1.NodePool) (managed.ExternalObservation, error) {
	waiting := managed.ExternalObservation{ResourceExists: true, ResourceUpToDate: true}

	if meta.GetExternalName(cr) == "" {
		if !meta.WasDeleted(cr) {
			if msg := e.unbuildable(cr); msg != "" {
				cr.SetConditions(xpv2.Creating().WithMessage(msg))
				return waiting, nil
			}
			if err, left := e.holds.Held(cr.GetUID(), ackcontroller.HoldKey(cr, "create")); err != nil {
				cr.SetConditions(lifecycle.NotReady(reasonFailed, err.Error()))
				e.pace.After(cr, left)
				return managed.ExternalObservation{}, err
			}
		}
		verdict, err := e.creation.Look(ctx, cr, e.find(cr))
		if err != nil {
			return managed.ExternalObservation{}, err
		}
		switch verdict {
		case lifecycle.Absent:
			return managed.ExternalObservation{}, nil
		case lifecycle.Waiting:
			cr.SetConditions(xpv2.Creating().WithMessage("It is not known whether the cloud has carried out the creation: waiting until its list must show it"))
			e.pace.After(cr, e.PollInProgress)
			return waiting, nil
		case lifecycle.Adopted:
		}
	}

	id := meta.GetExternalName(cr)
	if e.clusterID(cr) == "" {
		if meta.WasDeleted(cr) && meta.GetExternalCreatePending(cr).IsZero() {
			// It was to be imported and was never seen.
			return managed.ExternalObservation{}, nil
		}
		cr.SetConditions(lifecycle.NotReady(xpv2.ReasonUnavailable, e.unbuildable(cr)))
		return waiting, nil
	}
	np, err := e.api.GetNodePool(ctx, e.clusterID(cr), id)
	if cloud.IsCode(err, ack.CodeNodePoolNotFound) || cloud.IsCode(err, ack.CodeClusterNotFound) {
		return e.gone(ctx, cr, id, cloud.IsCode(err, ack.CodeClusterNotFound))
	}
	if err != nil {
		return managed.ExternalObservation{}, errors.Wrap(err, "cannot describe the node pool")
	}
	if meta.WasDeleted(cr) && !ackcontroller.Owned(cr, np.Tags) && meta.GetExternalCreatePending(cr).IsZero() {
		// It was imported and never handed over: forget it.
		return managed.ExternalObservation{}, nil
	}
	e.observed = np

	e.wish = wish{}
	if !meta.WasDeleted(cr) {
		if e.wish, err = wanted(ctx, e.kube, cr, np.DesiredSize); err != nil {
			return managed.ExternalObservation{}, err
		}
	}
	e.see(ctx, cr, np)
	if meta.WasDeleted(cr) {
		return waiting, nil
	}
	e.ready(cr, np)

	e.change = difference(cr, np)
	e.decision = decide(np, e.wish.nodes, e.busy(cr), e.change != nil)
	todo := string(e.decision.step)
	if todo == "" && e.rescuable(cr) {
		todo = "uncordon"
	}
	if todo != "" {
		if err, left := e.holds.Held(cr.GetUID(), e.holdKey(cr)); err != nil {
			e.pace.After(cr, left)
			return managed.ExternalObservation{}, err
		}
	}
	return managed.ExternalObservation{ResourceExists: true, ResourceUpToDate: todo == "", Diff: todo}, nil
}

func (e *external) holdKey(cr *v1alpha1.NodePool) string {
	return ackcontroller.HoldKey(cr, fmt.Sprintf("%s-%d", e.decision.step, e.decision.size))
}

// unbuildable says why the pool cannot be created now, or nothing.
func (e *external) unbuildable(cr *v1alpha1.NodePool) string {
	name := cr.Spec.ForProvider.ClusterRef.Name
	switch {
	case e.cluster == nil:
		return fmt.Sprintf("spec.forProvider.clusterRef: there is no Cluster %q: create it or correct the name", name)
	case meta.WasDeleted(e.cluster):
		return fmt.Sprintf("Cluster %q is being deleted", name)
	case meta.GetExternalName(e.cluster) == "":
		return fmt.Sprintf("Waiting until Cluster %q is created", name)
	}
	switch e.cluster.Status.AtProvider.State {
	case ack.ClusterRunning, ack.ClusterScaling:
		return ""
	default:
		return fmt.Sprintf("Waiting until Cluster %q is running", name)
	}
}

// see writes down what the cloud and the cluster say.
func (e *external) see(ctx context.Context, cr *v1alpha1.NodePool, np *ack.NodePool) {
	at := &cr.Status.AtProvider
	op := at.Operation
	if at.ID != np.ID {
		// The first look after Create, whose changes to the status are lost.
		op = lifecycle.LoadOperation[v1alpha1.Operation](cr)
	}
	at.ID, at.ClusterID, at.State = np.ID, e.clusterID(cr), np.State
	if e.cluster != nil {
		at.Region = e.cluster.Spec.ForProvider.Region
	}
	at.Wanted, at.Desired, at.Nodes = e.wish.nodes, np.DesiredSize, np.Total
	at.Operation, e.taskErr = e.Operation(ctx, e.api, e.poller, client.ObjectKeyFromObject(cr), op)

	var failed error
	if e.taskErr != nil {
		failed = e.taskErr
	}
	if c := capacity(cr, np, failed, e.Clock.Now(), e.Patience); c != nil {
		cr.SetConditions(*c)
	}

	switch {
	case np.Total == 0:
		at.Ready, e.answered = 0, true
		at.Draining = nil
	default:
		e.look(ctx, cr, np)
	}
	if settled(cr) && cr.GetCondition(v1alpha1.TypeCapacityAvailable).Status == corev1.ConditionFalse {
		// ACK goes on trying, and tells nobody when it succeeds.
		e.pace.After(cr, 6*e.PollInProgress)
	}
}

// look into the cluster for the pool's nodes. If it does not answer the last
// known numbers stay.
func (e *external) look(ctx context.Context, cr *v1alpha1.NodePool, np *ack.NodePool) {
	if e.cluster == nil {
		return
	}
	k, err := e.ClusterClient(ctx, e.api, e.kube, e.cluster)
	if err != nil {
		return
	}
	nodes, err := kube.Nodes(ctx, k, ack.LabelNodePool+"="+np.ID)
	if kerrors.IsUnauthorized(errors.Cause(err)) {
		e.Kubeconfigs.Forget(e.clusterID(cr))
	}
	if err != nil {
		return
	}
	e.nodes, e.answered = nodes, true
	ready := int32(0)
	for i := range nodes {
		if kube.IsReady(&nodes[i]) {
			ready++
		}
	}
	cr.Status.AtProvider.Ready = ready
}

// ready if the pool follows what is wanted and has the nodes that it must always
// have. How many of the others are there is in the status: it changes all the
// time, and is no reason for the claim to be unready.
func (e *external) ready(cr *v1alpha1.NodePool, np *ack.NodePool) {
	at := cr.Status.AtProvider
	switch np.State {
	case ack.NodePoolInitial, ack.NodePoolCreating:
		cr.SetConditions(xpv2.Creating())
		return
	case ack.NodePoolDeleting, ack.NodePoolDeleteFailed:
		cr.SetConditions(lifecycle.NotReady(xpv2.ReasonUnavailable, fmt.Sprintf("The node pool is in state %q, not because of this resource", np.State)))
		return
	}
	switch {
	case np.AutoScaling:
		cr.SetConditions(lifecycle.NotReady(xpv2.ReasonUnavailable, "The cloud's own autoscaler is on: switch it off, the number of nodes has one owner"))
	case at.Ready >= min(cr.Spec.ForProvider.Min, at.Wanted):
		cr.SetConditions(xpv2.Available())
	case !e.answered:
		cr.SetConditions(lifecycle.NotReady(xpv2.ReasonUnavailable, "The API server of the cluster does not answer"))
	default:
		cr.SetConditions(lifecycle.NotReady(xpv2.ReasonUnavailable, "Fewer nodes are Ready than spec.forProvider.min"))
	}
}

// gone handles a pool that the cloud says is not there. That is believed when
// the list agrees, or when the cluster is not there either.
func (e *external) gone(ctx context.Context, cr *v1alpha1.NodePool, id string, clusterGone bool) (managed.ExternalObservation, error) {
	waiting := managed.ExternalObservation{ResourceExists: true, ResourceUpToDate: true}
	cr.Status.AtProvider.State = ""
	if clusterGone {
		// Asked once more, for the cluster itself.
		if _, err := e.api.GetCluster(ctx, e.clusterID(cr)); !cloud.IsCode(err, ack.CodeClusterNotFound) {
			return waiting, errors.Wrap(err, "cannot confirm that the cluster is gone")
		}
		if !meta.WasDeleted(cr) {
			cr.SetConditions(lifecycle.NotReady(xpv2.ReasonUnavailable, "The cluster is gone"))
			return waiting, nil
		}
		e.poller.Forget(client.ObjectKeyFromObject(cr))
		return managed.ExternalObservation{}, nil
	}
	list, err := e.find(cr)(ctx)
	if err != nil {
		return managed.ExternalObservation{}, errors.Wrap(err, "cannot confirm that the node pool is gone")
	}
	for _, c := range list {
		if c.ID == id {
			// The list lags behind.
			e.pace.After(cr, e.PollInProgress)
			return waiting, nil
		}
	}
	if len(list) > 0 {
		e.record.Event(cr, event.Warning("DuplicateFound", errors.Errorf("node pool %s is gone but %s carries the same tag", id, list[0].ID)))
		e.pace.After(cr, e.PollInProgress)
		return waiting, e.creation.Persist(ctx, cr, list[0].ID)
	}
	verdict, err := e.creation.Missing(ctx, cr, e.find(cr))
	if err != nil {
		return managed.ExternalObservation{}, errors.Wrap(err, "cannot confirm that the node pool is gone")
	}
	if verdict != lifecycle.Absent {
		// Not there yet.
		if !meta.WasDeleted(cr) {
			cr.SetConditions(xpv2.Creating())
		}
		e.pace.After(cr, e.PollInProgress)
		return waiting, nil
	}
	if msg := e.unbuildable(cr); msg != "" && !meta.WasDeleted(cr) {
		cr.SetConditions(lifecycle.NotReady(xpv2.ReasonUnavailable, msg))
		return waiting, nil
	}
	e.poller.Forget(client.ObjectKeyFromObject(cr))
	return managed.ExternalObservation{}, nil
}

func (e *external) Create(ctx context.Context, cr *v1alpha1.NodePool) (managed.ExternalCreation, error) {
	w, err := wanted(ctx, e.kube, cr, 0)
	if err != nil {
		return managed.ExternalCreation{}, err
	}
	p := cr.Spec.ForProvider
	in := ack.NodePoolInput{
		Name: ackcontroller.Name(cr), InstanceTypes: p.InstanceTypes, VSwitchIDs: p.VSwitchIDs, DesiredSize: w.nodes,
		MultiAZPolicy: p.MultiAZPolicy, Labels: p.Labels, Taints: p.Taints, Tags: ackcontroller.Tags(cr, p.Tags),
	}
	if len(in.VSwitchIDs) == 0 && e.cluster != nil {
		in.VSwitchIDs = e.cluster.Spec.ForProvider.VSwitchIDs
	}
	if d := p.SystemDisk; d != nil {
		in.DiskCategory, in.DiskSizeGiB = d.Category, d.SizeGiB
	}

	err = e.creation.Create(ctx, cr, e.find(cr), func(ctx context.Context) (string, error) {
		out, err := e.api.CreateNodePool(ctx, e.clusterID(cr), in)
		if err != nil {
			return "", err
		}
		lifecycle.SaveOperation(cr, e.NewOperation("Create", out.TaskID))
		return out.ID, nil
	})
	switch {
	case cloud.Is(err, cloud.WrongState):
		e.pace.After(cr, e.PollInProgress)
	case cloud.Is(err, cloud.Unauthorised, cloud.Unreachable):
		e.pace.After(cr, 6*e.PollInProgress)
	}
	return managed.ExternalCreation{}, e.holds.Note(cr.GetUID(), ackcontroller.HoldKey(cr, "create"), err)
}

func (e *external) Update(ctx context.Context, cr *v1alpha1.NodePool) (managed.ExternalUpdate, error) {
	np := e.observed
	if np == nil {
		return managed.ExternalUpdate{}, nil
	}
	if !ackcontroller.Owned(cr, np.Tags) {
		return managed.ExternalUpdate{}, ackcontroller.NotOwned(cr, "node pool", np.ID)
	}

	if e.rescuable(cr) {
		// Cheaper and faster than other nodes.
		if err := e.uncordon(ctx, cr, nil); err != nil {
			return managed.ExternalUpdate{}, err
		}
	}

	var task, kind string
	var err error
	switch e.decision.step {
	case stepConfigure:
		kind = "Configure"
		task, err = e.api.ConfigureNodePool(ctx, e.clusterID(cr), np.ID, *e.change)
	case stepGrow, stepLower:
		kind = "Scale"
		task, err = e.api.SetDesiredSize(ctx, e.clusterID(cr), np.ID, e.decision.size)
	case stepShrink:
		return managed.ExternalUpdate{}, e.shrink(ctx, cr, e.decision.excess)
	case stepNone:
		return managed.ExternalUpdate{}, nil
	}

	switch {
	case cloud.Is(err, cloud.WrongState):
		// Something else is under way. The next poll tries again.
		e.pace.After(cr, e.PollInProgress)
		return managed.ExternalUpdate{}, nil
	case cloud.Is(err, cloud.Quota, cloud.OutOfStock):
		cr.SetConditions(xpv2.Condition{
			Type: v1alpha1.TypeCapacityAvailable, Status: corev1.ConditionFalse, LastTransitionTime: metav1.NewTime(e.Clock.Now()),
			Reason: reasonOf(err), Message: where(cr, err.Error()),
		})
	case err == nil:
		if e.decision.step != stepConfigure {
			cr.Status.AtProvider.Desired = e.decision.size
		}
		cr.Status.AtProvider.Operation = e.NewOperation(kind, task)
	}
	return managed.ExternalUpdate{}, e.holds.Note(cr.GetUID(), e.holdKey(cr), errors.Wrap(err, "cannot change the node pool"))
}

// busy reports whether a task of ours is running. A task that does not end
// although the pool is at rest is not believed for ever.
func (e *external) busy(cr *v1alpha1.NodePool) bool {
	op := cr.Status.AtProvider.Operation
	return op != nil && (e.observed.State != ack.NodePoolActive || e.Clock.Since(op.StartedAt.Time) < e.Patience)
}

// rescuable reports whether nodes of the pool are marked to be given back, are
// wanted again, and are not being removed yet.
func (e *external) rescuable(cr *v1alpha1.NodePool) bool {
	if e.wish.nodes < e.observed.DesiredSize {
		return false
	}
	if s := e.observed.State; s != ack.NodePoolActive && s != ack.NodePoolScaling {
		return false
	}
	if op := cr.Status.AtProvider.Operation; op != nil && op.Type == opRemoveNodes {
		return false
	}
	for i := range e.nodes {
		if marked(&e.nodes[i]) {
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

// clusterOf a node pool, or nil if there is none.
func clusterOf(ctx context.Context, c client.Reader, cr *v1alpha1.NodePool) (*v1alpha1.Cluster, error) {
	cl := &v1alpha1.Cluster{}
	err := c.Get(ctx, types.NamespacedName{Namespace: cr.GetNamespace(), Name: cr.Spec.ForProvider.ClusterRef.Name}, cl)
	if kerrors.IsNotFound(err) {
		return nil, nil
	}
	return cl, errors.Wrap(err, "cannot get the Cluster")
}
