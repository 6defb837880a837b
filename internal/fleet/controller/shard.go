package controller

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	fleetv1alpha1 "regionpool.io/provider-regionpool/apis/fleet/v1alpha1"
)

// AnnotationServedBy is where a CapacityPlan keeps the name of the fleets that
// decide about its pool: that of the Lease under which they elect their leader.
const AnnotationServedBy = "fleet.regionpool.io/served-by"

// LeaseNamespace is where fleets elect their leaders.
const LeaseNamespace = "karmada-system"

// claimAgain is when a claim that failed is tried again.
const claimAgain = 5 * time.Second

var refusedPools = prometheus.NewGaugeVec(prometheus.GaugeOpts{
	Namespace: "regionpool", Subsystem: "fleet", Name: "pool_refused",
	Help: "1 for each pool that this fleet should serve, and does not because another does.",
}, []string{"pool"})

func init() { metrics.Registry.MustRegister(refusedPools) }

// A claim is what this fleet knows of who serves a pool.
type claim struct {
	// mine says that this fleet has had the pool.
	mine bool
	// refused says why it has not now; empty if it has. It is looked at again
	// after next.
	refused string
	next    time.Time
	// shares is a pool of others with a member of this one.
	shares string
}

// serves reports whether a pool is for this fleet to decide about. Of other pools
// nothing is kept, also not what their members hold.
func (f *Fleet) serves(pool string) bool {
	return (len(f.Pools) == 0 || slices.Contains(f.Pools, pool)) && (f.claims[pool] == nil || f.claims[pool].refused == "")
}

// claim a pool for this fleet, if no other has it that is alive. Who claimed it last
// has it: one from which it was taken leaves it alone, so that two never decide at
// the same time for long, whatever their clocks say. Nothing is written while it is
// held.
func (f *Fleet) claim(ctx context.Context, p *fleetv1alpha1.CapacityPlan) {
	if f.Name == "" || len(f.Pools) > 0 && !slices.Contains(f.Pools, p.Name) {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	c := f.claims[p.Name]
	if c == nil {
		c = &claim{}
		f.claims[p.Name] = c
	}
	by := p.Annotations[AnnotationServedBy]
	switch {
	case by == f.Name:
		f.refuse(p, c, "")
		c.mine = true
		return
	case c.refused != "" && c.next.After(f.Clock.Now()):
		return
	case by != "":
		known, alive, err := f.alive(ctx, by)
		if err != nil {
			f.postpone(p, c, err)
			return
		}
		if alive || c.mine && !known {
			c.next = f.Clock.Now().Add(slow)
			f.refuse(p, c, fmt.Sprintf("pool %s is served by the fleets %s: this fleet, %s, leaves it alone; give each pool to one of them, see --pool", p.Name, by, f.Name))
			return
		}
	}
	out := p.DeepCopy()
	withAnnotation(out, AnnotationServedBy, f.Name)
	if err := f.Client.Patch(ctx, out, client.MergeFromWithOptions(p, client.MergeFromWithOptimisticLock{}), client.FieldOwner(FieldOwner)); err != nil {
		if !apierrors.IsConflict(err) {
			f.postpone(p, c, fmt.Errorf("cannot claim pool %s: %w", p.Name, err))
			return
		}
		// Somebody has written the plan, perhaps only the provider. The next round
		// sees who has the pool.
		c.refused, c.next = fmt.Sprintf("pool %s is being claimed", p.Name), f.Clock.Now()
		f.Kick()
		return
	}
	f.plans.put(p.Name, out)
	f.refuse(p, c, "")
	c.mine = true
}

// postpone the claim of a pool of which it cannot be found out whether others serve
// it. Other pools do not wait for it.
func (f *Fleet) postpone(p *fleetv1alpha1.CapacityPlan, c *claim, why error) {
	c.next = f.Clock.Now().Add(claimAgain)
	f.Log.Error(why, "Pool waits", "pool", p.Name)
	f.refuse(p, c, fmt.Sprintf("pool %s waits: it is not known whether others serve it", p.Name))
}

// refuse a pool with a reason, or none, and say so when that changes.
func (f *Fleet) refuse(p *fleetv1alpha1.CapacityPlan, c *claim, why string) {
	if c.refused == why {
		return
	}
	c.refused = why
	refusedPools.DeleteLabelValues(p.Name)
	if why == "" {
		return
	}
	refusedPools.WithLabelValues(p.Name).Set(1)
	f.Log.Info(why)
	if f.Events != nil {
		f.Events.Eventf(p, nil, corev1.EventTypeWarning, "ServedElsewhere", "Claim", "%s", why)
	}
}

// warn says if a pool of this fleet shares a member with one that others serve: two
// fleets promise its room.
func (f *Fleet) warn(p *fleetv1alpha1.CapacityPlan, all []fleetv1alpha1.CapacityPlan) {
	c := f.claims[p.Name]
	if c == nil {
		return
	}
	other, member := "", ""
	for i := range all {
		if f.serves(all[i].Name) {
			continue
		}
		for _, m := range all[i].Spec.Members {
			if slices.ContainsFunc(p.Spec.Members, func(o fleetv1alpha1.PlanMember) bool { return o.Name == m.Name }) {
				other, member = all[i].Name, m.Name
			}
		}
	}
	if c.shares == other {
		return
	}
	if c.shares = other; other == "" {
		return
	}
	why := fmt.Sprintf("pool %s shares %s with pool %s, which this fleet does not serve: both may promise the same room; serve them with one fleet, see --pool", p.Name, member, other)
	f.Log.Info(why)
	if f.Events != nil {
		f.Events.Eventf(p, nil, corev1.EventTypeWarning, "SharesMembers", "Claim", "%s", why)
	}
}

// unclaim forgets pools that are gone.
func (f *Fleet) unclaim(plans []fleetv1alpha1.CapacityPlan) {
	for name := range f.claims {
		if !slices.ContainsFunc(plans, func(p fleetv1alpha1.CapacityPlan) bool { return p.Name == name }) {
			delete(f.claims, name)
			refusedPools.DeleteLabelValues(name)
		}
	}
}

// alive reports whether fleets that elect a leader are known by their Lease, and
// have one.
func (f *Fleet) alive(ctx context.Context, name string) (known, alive bool, err error) {
	l := &coordinationv1.Lease{}
	err = f.Live.Get(ctx, client.ObjectKey{Namespace: LeaseNamespace, Name: name}, l)
	switch {
	case apierrors.IsNotFound(err):
		return false, false, nil
	case err != nil:
		return false, false, fmt.Errorf("cannot find out whether the fleets %s are alive: %w", name, err)
	case ptr.Deref(l.Spec.HolderIdentity, "") == "" || l.Spec.RenewTime == nil:
		return true, false, nil
	}
	due := l.Spec.RenewTime.Add(time.Duration(ptr.Deref(l.Spec.LeaseDurationSeconds, 0)) * time.Second)
	return true, due.After(f.Clock.Now()), nil
}
