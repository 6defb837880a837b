package member

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	clusterv1alpha1 "github.com/karmada-io/karmada/pkg/apis/cluster/v1alpha1"
	workv1alpha1 "github.com/karmada-io/karmada/pkg/apis/work/v1alpha1"
	karmadautil "github.com/karmada-io/karmada/pkg/util"
	"github.com/karmada-io/karmada/pkg/util/names"
	corev1 "k8s.io/api/core/v1"
	kerrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/retry"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/crossplane/crossplane-runtime/v2/pkg/errors"
	xpmeta "github.com/crossplane/crossplane-runtime/v2/pkg/meta"
	"github.com/crossplane/crossplane-runtime/v2/pkg/reconciler/managed"
	xpv2 "github.com/crossplane/crossplane/apis/v2/core/v2"

	"regionpool.io/provider-regionpool/apis/federation/v1alpha1"
	fleetv1alpha1 "regionpool.io/provider-regionpool/apis/fleet/v1alpha1"
	"regionpool.io/provider-regionpool/internal/clients/karmada"
	"regionpool.io/provider-regionpool/internal/controller/federation/reconcile"
)

// Reasons why a Member has not left yet.
const (
	reasonDraining xpv2.ConditionReason = "Draining"
	reasonMembers  xpv2.ConditionReason = "WaitsForMembers"
	reasonPolicy   xpv2.ConditionReason = "WaitsForPlacementPolicy"
	reasonLeaving  xpv2.ConditionReason = "WaitsForKarmada"
)

const (
	// policyGrace is how long a Member with Retain waits for its pool's policy
	// to go or to leave it out. In a teardown the two are deleted at the same
	// time, and while the policy is there its replicas would be placed elsewhere.
	policyGrace = 30 * time.Second

	// releaseGrace is how long Karmada may take to notice that a member is dead
	// (40 s by default) and to let go of it by itself.
	releaseGrace = time.Minute

	// nudgeInterval between two attempts to make Karmada look at a Cluster.
	nudgeInterval = 2 * time.Second

	// annotationNudged on a Karmada Cluster is when that was done last.
	annotationNudged = "regionpool.io/nudged"

	// annotationRetain on a binding: which members it is being kept on, and
	// what spec.preserveResourcesOnDeletion was before.
	annotationRetain = "regionpool.io/retained-by"
	annotationBefore = "regionpool.io/preserve-before"
)

// Delete lets a member leave. It is called again and again until the Karmada
// Cluster is gone; each call looks at everything anew and does what can be done
// now, so it survives restarts at any point.
func (e *external) Delete(ctx context.Context, mg *v1alpha1.Member) (managed.ExternalDelete, error) {
	name := reconcile.ExternalName(mg)
	cl, err := e.cluster(ctx, e.conn.Live, name)
	if err != nil || cl == nil || owner(cl) != string(mg.GetUID()) {
		return managed.ExternalDelete{}, err
	}
	// What happens in the cloud or in a scheduler is not always seen by a watch.
	e.requeuer.After(reconcile.Key(mg), e.pollInProgress)
	e.conn.WatchBindings(ctx, reconcile.Key(mg))

	if mg.Status.AtProvider.Drain == nil {
		mg.Status.AtProvider.Drain = &v1alpha1.DrainStatus{StartedAt: ptr.To(metav1.NewTime(e.clock.Now()))}
	}
	d := mg.Status.AtProvider.Drain
	d.BlockedBy = ""

	var reason xpv2.ConditionReason
	switch {
	case cl.GetDeletionTimestamp() != nil:
		reason, err = reasonLeaving, e.letGo(ctx, mg, cl)
	case mg.Spec.ForProvider.OnLeave == v1alpha1.LeaveRetain:
		reason, err = e.retain(ctx, mg, cl)
	default:
		reason, err = reasonDraining, e.drain(ctx, mg, cl)
	}
	if err != nil {
		return managed.ExternalDelete{}, err
	}
	// One or the other: a condition that turns and turns back is new each time,
	// and would be written.
	c := reconcile.DeletionGoesOn()
	if d.BlockedBy != "" {
		c = reconcile.DeletionBlocked(reason, d.BlockedBy)
	}
	mg.SetConditions(c)
	return managed.ExternalDelete{}, nil
}

// timedOut says whether the drain has lasted longer than its owner allows.
func (e *external) timedOut(mg *v1alpha1.Member) bool {
	t := mg.Spec.ForProvider.DrainTimeout
	s := mg.Status.AtProvider.Drain.StartedAt
	return t != nil && s != nil && e.clock.Now().After(s.Add(t.Duration))
}

// provedGone says whether the cluster behind a Member exists no more: its
// managed resource is gone, or its kubeconfig leads to another cluster. An API
// server that does not answer proves nothing.
func (e *external) provedGone(ctx context.Context, mg *v1alpha1.Member, cl *clusterv1alpha1.Cluster) (gone, reachable bool, err error) {
	a, err := e.access.read(ctx, mg)
	if ae := (*accessError)(nil); errors.As(err, &ae) {
		// A cloud cluster can outlive its managed resource (orphaned): as long
		// as Karmada reaches it, it is there.
		return ae.gone && !meta.IsStatusConditionTrue(cl.Status.Conditions, clusterv1alpha1.ClusterConditionReady), false, nil
	}
	if err != nil {
		return false, false, err
	}
	c, err := e.dial(a.config)
	if err != nil {
		return false, false, nil
	}
	id, err := clusterID(ctx, c)
	if err != nil {
		return false, false, nil
	}
	return id != cl.Spec.ID, id == cl.Spec.ID, nil
}

// drain moves everything to other members and deletes the Karmada Cluster when
// no binding names it. It must never be deleted before: Karmada would delete
// the objects in the member at once and then wait for ever for the bindings of
// an overflow tier.
func (e *external) drain(ctx context.Context, mg *v1alpha1.Member, cl *clusterv1alpha1.Cluster) error {
	name, d := cl.GetName(), mg.Status.AtProvider.Drain
	if taint(cl, fleetv1alpha1.TaintDraining) {
		if err := e.conn.Client.Update(ctx, cl); err != nil {
			return errors.Wrap(err, "cannot taint the Karmada Cluster")
		}
	}
	bs, err := e.bindings(ctx, func(b binding) bool { return b.on(name) })
	if err != nil {
		return err
	}
	d.Bindings, d.Replicas = int32(len(bs)), 0
	for _, b := range bs {
		d.Replicas += b.replicas(name)
	}
	if len(bs) == 0 {
		return e.leave(ctx, mg, cl)
	}

	gone, _, err := e.provedGone(ctx, mg, cl)
	if err != nil {
		return err
	}
	if gone || e.timedOut(mg) {
		for _, b := range bs {
			if _, err := e.change(ctx, b, func() { b.forget(name) }); err != nil {
				return err
			}
		}
		d.BlockedBy = fmt.Sprintf("%d bindings are being released", len(bs))
		return nil
	}

	workloads := slices.DeleteFunc(slices.Clone(bs), func(b binding) bool { return !b.spec.IsWorkload() })
	for _, b := range workloads {
		switch {
		case b.replicas(name) == 0 && b.byFleet():
			// Nothing runs, so nothing has to run elsewhere first.
			_, err = e.change(ctx, b, func() { b.forget(name) })
		case !b.byFleet():
			err = e.evict(ctx, b, name)
		}
		if err != nil {
			return err
		}
	}
	if len(workloads) > 0 {
		d.BlockedBy = blockedBy(workloads, name)
		return nil
	}
	// Nothing runs here any more. What served it, such as Services, goes last.
	// The taint keeps the scheduler from bringing it back.
	for _, b := range bs {
		if _, err := e.change(ctx, b, func() { b.forget(name) }); err != nil {
			return err
		}
	}
	d.BlockedBy = blockedBy(bs, name)
	return nil
}

// retain leaves everything where it is, no longer managed by Karmada.
func (e *external) retain(ctx context.Context, mg *v1alpha1.Member, cl *clusterv1alpha1.Cluster) (xpv2.ConditionReason, error) {
	name, d := cl.GetName(), mg.Status.AtProvider.Drain
	reason, message, err := e.mustWait(ctx, mg)
	if err != nil || message != "" {
		d.BlockedBy = message
		return reason, err
	}
	if taint(cl, taintRetaining) {
		if err := e.conn.Client.Update(ctx, cl); err != nil {
			return "", errors.Wrap(err, "cannot taint the Karmada Cluster")
		}
	}
	// The bindings are read before the Works: those that we saw preserve their
	// objects are changed only if they still do.
	bs, err := e.bindings(ctx, func(b binding) bool { return b.on(name) || requiredBy(b, name) })
	if err != nil {
		return "", err
	}
	d.Bindings, d.Replicas = 0, 0
	pending := 0
	for _, b := range bs {
		if b.on(name) {
			d.Bindings++
			d.Replicas += b.replicas(name)
		}
		if ptr.Deref(b.spec.PreserveResourcesOnDeletion, false) && retainedBy(b, name) {
			continue
		}
		pending++
		if _, err := e.change(ctx, b, func() { markRetained(b, name) }); err != nil {
			return "", err
		}
	}
	ws, err := e.works(ctx, name)
	if err != nil {
		return "", err
	}
	missing, err := e.preserve(ctx, ws, e.timedOut(mg))
	if err != nil {
		return "", err
	}
	if pending+missing > 0 {
		d.BlockedBy = fmt.Sprintf("Karmada has yet to mark %d objects as preserved", max(pending, missing))
		return reasonLeaving, nil
	}
	for _, b := range bs {
		if !b.on(name) {
			continue
		}
		if _, err := e.change(ctx, b, func() { b.forget(name) }); err != nil {
			return "", err
		}
	}
	if d.Bindings > 0 {
		d.BlockedBy = fmt.Sprintf("%d bindings are being released", d.Bindings)
		return reasonLeaving, nil
	}
	return reasonLeaving, e.leave(ctx, mg, cl)
}

// mustWait says for whom a Member with Retain waits: for those of its pool whose
// replicas need somewhere to go, and then for the policy, lest the replicas that
// stay be placed again elsewhere.
func (e *external) mustWait(ctx context.Context, mg *v1alpha1.Member) (xpv2.ConditionReason, string, error) {
	pool := mg.Spec.ForProvider.Pool
	if pool == "" {
		return "", "", nil
	}
	drain, err := reconcile.DrainMembers(ctx, e.kube, mg.GetNamespace(), pool)
	if err != nil {
		return "", "", err
	}
	if len(drain) > 0 {
		return reasonMembers, "Waits for Members that drain: " + strings.Join(drain, ", "), nil
	}
	l := &v1alpha1.PlacementPolicyList{}
	if err := e.kube.List(ctx, l, client.InNamespace(mg.GetNamespace())); err != nil {
		return "", "", errors.Wrap(err, "cannot list PlacementPolicies")
	}
	for i := range l.Items {
		p := &l.Items[i]
		if p.Spec.ForProvider.Pool != pool {
			continue
		}
		if xpmeta.WasDeleted(p) {
			return reasonPolicy, fmt.Sprintf("Waits for PlacementPolicy %q, which is being deleted", p.GetName()), nil
		}
		lists := slices.ContainsFunc(p.Spec.ForProvider.Tiers, func(t v1alpha1.PlacementTier) bool {
			return slices.Contains(t.Members, reconcile.ExternalName(mg))
		})
		if s := mg.Status.AtProvider.Drain.StartedAt; lists && s != nil && e.clock.Now().Before(s.Add(policyGrace)) {
			return reasonPolicy, fmt.Sprintf("Waits for PlacementPolicy %q to place nothing here any more", p.GetName()), nil
		}
	}
	return "", "", nil
}

func requiredBy(b binding, cluster string) bool {
	for _, r := range b.spec.RequiredBy {
		for _, t := range r.Clusters {
			if t.Name == cluster {
				return true
			}
		}
	}
	return false
}

func retainedBy(b binding, cluster string) bool {
	return slices.Contains(strings.Split(b.GetAnnotations()[annotationRetain], ","), cluster)
}

// markRetained makes a binding preserve its objects, and remembers how it was.
func markRetained(b binding, cluster string) {
	if !retainedBy(b, cluster) {
		by := cluster
		if was := b.GetAnnotations()[annotationRetain]; was != "" {
			by = was + "," + cluster
		} else {
			before := "unset"
			if p := b.spec.PreserveResourcesOnDeletion; p != nil {
				before = fmt.Sprint(*p)
			}
			xpmeta.AddAnnotations(b, map[string]string{annotationBefore: before})
		}
		xpmeta.AddAnnotations(b, map[string]string{annotationRetain: by})
	}
	b.spec.PreserveResourcesOnDeletion = ptr.To(true)
}

// unmarkRetained undoes markRetained when the last member has left.
func unmarkRetained(b binding, cluster string) {
	by := slices.DeleteFunc(strings.Split(b.GetAnnotations()[annotationRetain], ","), func(s string) bool { return s == cluster })
	if len(by) > 0 {
		xpmeta.AddAnnotations(b, map[string]string{annotationRetain: strings.Join(by, ",")})
		return
	}
	switch b.GetAnnotations()[annotationBefore] {
	case "true":
	case "false":
		b.spec.PreserveResourcesOnDeletion = ptr.To(false)
	default:
		b.spec.PreserveResourcesOnDeletion = nil
	}
	xpmeta.RemoveAnnotations(b, annotationRetain, annotationBefore)
}

// leave deletes the Karmada Cluster, which no binding names any more.
func (e *external) leave(ctx context.Context, mg *v1alpha1.Member, cl *clusterv1alpha1.Cluster) error {
	// Karmada deletes the namespaces it has made in the member, with all that
	// is in them, whoever made it. In a cluster that lives on they stay.
	if keepsUnbound(mg) {
		ws, err := e.works(ctx, cl.GetName())
		if err != nil {
			return err
		}
		unbound := slices.DeleteFunc(ws, func(w workv1alpha1.Work) bool { return bound(&w) })
		missing, err := e.preserve(ctx, unbound, false)
		if err != nil {
			return err
		}
		if missing > 0 {
			mg.Status.AtProvider.Drain.BlockedBy = fmt.Sprintf("Karmada has yet to mark %d objects as preserved", missing)
			return nil
		}
	}
	err := e.conn.Client.Delete(ctx, cl, client.Preconditions{UID: &cl.UID})
	return errors.Wrap(ignoreNotFound(err), "cannot delete the Karmada Cluster")
}

// keepsUnbound says whether what Karmada made for no binding, such as
// namespaces, stays in a member that leaves.
func keepsUnbound(mg *v1alpha1.Member) bool {
	p := mg.Spec.ForProvider
	return p.OnLeave == v1alpha1.LeaveRetain || p.Tier != v1alpha1.TierElastic
}

// letGo helps a Karmada Cluster that is being deleted to go.
func (e *external) letGo(ctx context.Context, mg *v1alpha1.Member, cl *clusterv1alpha1.Cluster) error {
	name, d := cl.GetName(), mg.Status.AtProvider.Drain
	d.Bindings, d.Replicas = 0, 0
	d.BlockedBy = "Karmada removes the cluster"
	// Its objects are gone or kept by now, and Karmada waits for these bindings
	// for ever.
	bs, err := e.bindings(ctx, func(b binding) bool { return b.on(name) })
	if err != nil {
		return err
	}
	for _, b := range bs {
		if _, err := e.change(ctx, b, func() { b.forget(name) }); err != nil {
			return err
		}
	}
	space := &corev1.Namespace{}
	err = e.conn.Live.Get(ctx, types.NamespacedName{Name: names.GenerateExecutionSpaceName(name)}, space)
	if kerrors.IsNotFound(err) {
		return e.nudge(ctx, cl)
	}
	if err != nil {
		return errors.Wrap(err, "cannot get the execution space of the Karmada Cluster")
	}
	ws, err := e.works(ctx, name)
	if err != nil || len(ws) == 0 {
		return err
	}
	d.BlockedBy = fmt.Sprintf("Karmada removes the cluster: %d Works remain", len(ws))
	if space.GetDeletionTimestamp() != nil {
		if err := e.clear(ctx, mg, ws); err != nil {
			return err
		}
	}

	gone, reachable, err := e.provedGone(ctx, mg, cl)
	if err != nil || reachable {
		return err
	}
	// Karmada lets go of the Works of a dead cluster by itself, but not of those
	// whose objects it should keep.
	ready := meta.IsStatusConditionTrue(cl.Status.Conditions, clusterv1alpha1.ClusterConditionReady)
	late := e.clock.Now().After(cl.GetDeletionTimestamp().Add(releaseGrace))
	if gone || (!ready && late) {
		return e.release(ctx, ws)
	}
	return nil
}

// nudge makes Karmada look again at a Cluster whose execution space is gone. It
// does by itself only every ten seconds, but also when the Cluster changes. Its
// cache may not know yet, so the nudge is repeated.
func (e *external) nudge(ctx context.Context, cl *clusterv1alpha1.Cluster) error {
	if last, err := time.Parse(time.RFC3339, cl.GetAnnotations()[annotationNudged]); err == nil && e.clock.Since(last) < nudgeInterval {
		return nil
	}
	p := client.MergeFrom(cl.DeepCopy())
	xpmeta.AddAnnotations(cl, map[string]string{annotationNudged: e.clock.Now().UTC().Format(time.RFC3339)})
	return errors.Wrap(ignoreNotFound(e.conn.Client.Patch(ctx, cl, p)), "cannot annotate the Karmada Cluster")
}

// errChanged says that someone else changed a binding since it was read.
var errChanged = errors.New("it was just changed by someone else")

// unmark gives bindings back what markRetained changed. Others write to them at
// the same time, Karmada and Members that leave together, so it is tried again at
// once: to come back for it would take the reconciler's backoff, up to a minute.
func (e *external) unmark(ctx context.Context, name string) error {
	return retry.OnError(retry.DefaultBackoff, func(err error) bool { return errors.Is(err, errChanged) }, func() error {
		bs, err := e.bindings(ctx, func(b binding) bool { return retainedBy(b, name) })
		if err != nil {
			return err
		}
		for _, b := range bs {
			ok, err := e.change(ctx, b, func() { unmarkRetained(b, name) })
			if err != nil {
				return err
			}
			if !ok {
				return errors.Wrapf(errChanged, "cannot change the binding of %s back", b)
			}
		}
		return nil
	})
}

// left cleans up after the Karmada Cluster is gone, or has never been. A member
// that cannot be reached keeps the service accounts, which then serve nobody.
func (e *external) left(ctx context.Context, mg *v1alpha1.Member, absent bool) error {
	name, uid := reconcile.ExternalName(mg), string(mg.GetUID())
	e.conn.UnwatchBindings(ctx, reconcile.Key(mg))

	// While someone else's Cluster has the name, the marks are that one's.
	if absent {
		if err := e.unmark(ctx, name); err != nil {
			return err
		}
	}

	secrets := &corev1.SecretList{}
	if err := e.conn.Live.List(ctx, secrets, client.InNamespace(memberNamespace), client.MatchingLabels{karmada.AnnotationMemberUID: uid, karmadautil.KarmadaSystemLabel: karmadautil.KarmadaSystemLabelValue}); err != nil {
		return errors.Wrap(err, "cannot list the member's credentials in Karmada")
	}
	for i := range secrets.Items {
		if err := e.conn.Client.Delete(ctx, &secrets.Items[i]); ignoreNotFound(err) != nil {
			return errors.Wrap(err, "cannot delete the member's credentials in Karmada")
		}
	}

	a, err := e.access.read(ctx, mg)
	if err != nil {
		return nil
	}
	c, err := e.dial(a.config)
	if err != nil {
		return nil
	}
	// Errors are left alone: a member that leaves because it is dead, or whose
	// kubeconfig was withdrawn, must not hold the Member.
	_ = unmint(ctx, c, name, uid)
	return nil
}
