package cluster

import (
	"context"
	"slices"
	"strings"

	kerrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/crossplane/crossplane-runtime/v2/pkg/errors"
	"github.com/crossplane/crossplane-runtime/v2/pkg/event"
	"github.com/crossplane/crossplane-runtime/v2/pkg/meta"
	"github.com/crossplane/crossplane-runtime/v2/pkg/reconciler/managed"

	"regionpool.io/provider-regionpool/internal/clients/cloud"
	"regionpool.io/provider-regionpool/internal/clients/kube"
	"regionpool.io/provider-regionpool/internal/controller/elastic"
	"regionpool.io/provider-regionpool/internal/controller/lifecycle"
)

// notYet begins the text of a deletion that the cloud refuses for now.
const notYet = "The cloud does not delete the cluster yet: "

// Delete the cluster, one step at each call, in this order: its Members leave
// the federation, load balancers and volumes are given back, its node pools go,
// deletion protection is off, the cluster goes. Observe finds out that it is
// gone. A step that has to wait is no error: the condition says what for.
func (e *external) Delete(ctx context.Context, cr elastic.Cluster) (managed.ExternalDelete, error) {
	s, unseen := e.observed, ""
	if s == nil && cr.GetCondition(lifecycle.TypeDeletionBlocked).Reason == lifecycle.ReasonRemains {
		// Observe has said what is left of it.
		return managed.ExternalDelete{}, nil
	}
	if s == nil {
		unseen = "Waiting for the cloud's list of clusters"
	}
	return managed.ExternalDelete{}, e.Base.Delete(cr, &e.deletion, unseen, func() error { return e.delete(ctx, cr, s) })
}

func (e *external) delete(ctx context.Context, cr elastic.Cluster, s *State) error {
	at := cr.GetObservation()
	if !elastic.Owned(cr, s.Tags) {
		// We created it, so to forget it would leave somebody with the bill.
		cr.SetConditions(lifecycle.DeletionBlocked(lifecycle.ReasonBlocked, elastic.NotOwned(cr, e.What, s.ID).Error()))
		return nil
	}
	if s.Phase == elastic.PhaseDeleting {
		cr.SetConditions(lifecycle.DeletionGoesOn("The cloud is deleting the cluster"))
		return nil
	}

	if wait, err := e.waitForOthers(ctx, cr, s); err != nil || wait {
		return err
	}
	// Deletion is tried on a cluster that is being built; one that failed waits
	// for no task. Nor is a task that does not end although the cluster is at
	// rest believed for ever.
	underWay := s.Phase != elastic.PhaseBuilding && !s.Phase.Broken()
	if op := at.Operation; op != nil && underWay && (s.Phase != elastic.PhaseRunning || e.Clock.Since(op.StartedAt.Time) < e.Patience) {
		cr.SetConditions(lifecycle.DeletionGoesOn("Waiting for the operation that is under way"))
		return nil
	}
	if s.DeletionProtection {
		return e.unprotect(ctx, cr, s)
	}
	wait, err := e.cloud.Dismantle(ctx, s)
	if err != nil && !cloud.Is(err, cloud.WrongState) {
		return errors.Wrap(err, "cannot dismantle the cluster")
	}
	if err != nil {
		wait = notYet + err.Error()
	}
	if wait != "" {
		cr.SetConditions(lifecycle.DeletionBlocked(lifecycle.ReasonWaiting, wait))
		return nil
	}
	if was := cr.GetCondition(lifecycle.TypeDeletionBlocked); !strings.HasPrefix(was.Message, notYet) {
		e.inventory(ctx, cr, s)
	}

	task, err := e.cloud.Delete(ctx, s.ID)
	ordered := err == nil
	if ordered {
		at.Operation = e.NewOperation("Delete", task)
	}
	// It may be in the wrong state because it is being built, or because load
	// balancers and network interfaces are still detaching.
	err = elastic.Deleting(cr, "cluster", err, func() error { return e.unprotect(ctx, cr, s) })
	if ordered && e.taskErr != nil {
		cr.SetConditions(lifecycle.DeletionGoesOn("The cloud is deleting the cluster once more: " + e.taskErr.Error()))
	}
	return err
}

// waitForOthers reports whether something else has to go first.
func (e *external) waitForOthers(ctx context.Context, cr elastic.Cluster, s *State) (bool, error) {
	members, err := elastic.Members(ctx, e.Host, e.kind.GVK, cr.GetNamespace(), cr.GetName(), cr.GetDeletionTimestamp())
	if err != nil {
		return true, err
	}
	if len(members) > 0 {
		var all []string
		for _, m := range members {
			all = append(all, m.GetName())
		}
		cr.SetConditions(lifecycle.DeletionBlocked(lifecycle.ReasonWaiting, "Waiting until Member "+elastic.Names(all)+" has left the federation"))
		return true, nil
	}

	billed, err := e.releaseBilled(ctx, cr, s)
	if err != nil && e.NotAnswered(cr, &e.deletion,
		"The cluster cannot be asked for its load balancers and volumes: its API server does not answer",
		"the cluster is deleted although its API server could not be asked for load balancers and volumes", "LeftoversUnknown") {
		return true, nil
	}

	for _, p := range e.kind.Pools {
		pools, err := poolsOf(ctx, e.Host, p, cr)
		if err != nil {
			return true, err
		}
		if len(pools) > 0 {
			cr.SetConditions(lifecycle.DeletionBlocked(lifecycle.ReasonWaiting, "Waiting until "+p.GVK.Kind+" "+elastic.Names(pools)+" is gone"))
			return true, nil
		}
	}

	if left := billed.All(); len(left) > 0 {
		cr.GetObservation().Leftovers = left
		cr.SetConditions(lifecycle.DeletionBlocked(lifecycle.ReasonWaiting, "Waiting until the cloud has taken back "+elastic.Names(left)))
		return true, nil
	}
	return false, nil
}

// releaseBilled deletes what in the cluster is billed. Clusters that never
// worked, or work no more, have nothing.
func (e *external) releaseBilled(ctx context.Context, cr elastic.Cluster, s *State) (kube.Billed, error) {
	if s.Phase == elastic.PhaseBuilding || s.Phase.Broken() {
		return kube.Billed{}, nil
	}
	switch {
	case s.Unaddressed:
		// It never had an address, or has been dismantled already.
		return kube.Billed{}, nil
	case s.NoEndpoint != "":
		return kube.Billed{}, errors.New(s.NoEndpoint)
	}
	k, err := e.ClusterClient(ctx, e.Host, cr, e.fetch(s.ID))
	if err != nil {
		return kube.Billed{}, err
	}
	billed, err := kube.ReleaseBilled(ctx, k)
	if kerrors.IsUnauthorized(err) {
		// Revoked at the cloud. The next pass fetches another.
		e.Kubeconfigs.Forget(s.ID)
		cr.GetObservation().KubeconfigExpiresAt = nil
	}
	return billed, err
}

// unprotect switches deletion protection off. The next pass reads it back, and
// does this again if nothing has changed although the task succeeded.
func (e *external) unprotect(ctx context.Context, cr elastic.Cluster, s *State) error {
	task, err := e.cloud.Protect(ctx, s.ID, false)
	if err == nil {
		cr.GetObservation().Operation = e.NewOperation("Unprotect", task)
	}
	return elastic.Unprotecting(cr, err)
}

// inventory writes down what the cloud made for the cluster while it can still
// be asked. It is for people, so errors do not matter.
func (e *external) inventory(ctx context.Context, cr elastic.Cluster, s *State) {
	left, err := e.cloud.Inventory(ctx, s.ID)
	if err != nil {
		return
	}
	slices.Sort(left)
	cr.GetObservation().Leftovers = left
}

// remains reports whether something is left of a cluster that is gone, and has
// to be waited for: the cloud takes minutes to give everything back. What it
// keeps for longer is told in an event.
func (e *external) remains(ctx context.Context, cr elastic.Cluster, id string) (bool, error) {
	left, err := e.cloud.Remains(ctx, id)
	if err != nil {
		return true, errors.Wrap(err, "cannot ask what is left of the cluster")
	}
	slices.Sort(left)
	cr.GetObservation().Leftovers = left
	if len(left) == 0 {
		return false, nil
	}
	if e.BlockedFor(cr, lifecycle.ReasonRemains) > 6*e.Patience {
		e.Record.Event(cr, event.Warning("Leftovers", errors.Errorf("the cloud has deleted the cluster but not %s", elastic.Names(left))))
		return false, nil
	}
	cr.SetConditions(lifecycle.DeletionBlocked(lifecycle.ReasonRemains, "The cluster is gone: waiting until the cloud has taken back what it made for it (status.atProvider.leftovers)"))
	// It takes minutes, and many calls to find out.
	e.Pace.After(cr, 3*e.PollInProgress)
	return true, nil
}

// poolsOf a kind that refer to the cluster, by name.
func poolsOf(ctx context.Context, c client.Reader, p Pool, cr elastic.Cluster) ([]string, error) {
	l := p.List()
	if err := c.List(ctx, l, client.InNamespace(cr.GetNamespace())); err != nil {
		return nil, errors.Wrapf(err, "cannot list %ss", p.GVK.Kind)
	}
	var all []string
	for _, np := range l.GetItems() {
		// A pool that nothing was created for does not hold the cluster up. It
		// will not be created while the cluster is being deleted.
		untouched := lifecycle.Untouched(np) && !meta.WasDeleted(np)
		if p.ClusterName(np) == cr.GetName() && !untouched {
			all = append(all, np.GetName())
		}
	}
	return all, nil
}
