package sweeper

import (
	"context"
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/api/equality"
	kerrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/crossplane/crossplane-runtime/v2/pkg/errors"
	"github.com/crossplane/crossplane-runtime/v2/pkg/event"

	"regionpool.io/provider-regionpool/apis/v1alpha1"
	"regionpool.io/provider-regionpool/internal/clients/cloud"
)

// report new leaks by an event for each, and all of them by the metric.
func (s *Sweeper) report(ctx context.Context, a *account, c config, leaks []*suspect) {
	a.count(leaks)
	for _, l := range leaks {
		if l.reported {
			continue
		}
		l.reported = true
		s.event(ctx, c, event.Warning(reasonLeak, errors.Errorf(
			"%s %s in %s carries our tag, but %s is gone: delete it at the cloud, or set leaks: Delete in the claim next time", l.Kind, l.ID, l.region, ownerOf(l))))
	}
}

func ownerOf(l *suspect) string {
	if l.Owner != "" {
		return "the managed resource with UID " + l.Owner
	}
	return "cluster " + l.Cluster
}

func (s *Sweeper) event(ctx context.Context, c config, e event.Event) {
	o, _, err := s.object(ctx, c)
	if err != nil {
		return
	}
	s.recorder.Event(o, e)
}

// remove the leaks whose claim asked for it, once their time has passed again.
func (s *Sweeper) remove(ctx context.Context, c config, inventories map[string]Inventory, j judge, found map[place][]Thing, leaks []*suspect) {
	now := s.Clock.Now()
	for _, kind := range order(inventories) {
		for _, l := range leaks {
			inv := inventories[l.region]
			if _, listed := found[place{region: l.region, kind: kind}]; !listed {
				// What an earlier sweep saw may be in use by now.
				continue
			}
			if l.Kind != kind || l.Thing.remove == nil || inv == nil || now.Sub(l.since) < 2*s.Grace || !j.mayDelete(l.Thing) {
				continue
			}
			// The list is minutes old by now.
			alive, err := listLiving(ctx, s.live, c.kind)
			if err != nil {
				s.log.Info("Cannot delete leaks", "config", c.name(), "error", err.Error())
				return
			}
			if alive.owns(l.Thing) || !settled(l, alive, found) {
				continue
			}
			s.delete(ctx, c, inv, l)
		}
	}
}

// settled reports whether the cluster that a leak was made for lives, and has
// nothing to do with it, or is gone. A cluster that is itself a leak, or that is
// being deleted, takes most of what was made for it along. One that a resource
// with another UID has taken over may need everything in it. If it is not known
// which clusters there are, nothing is settled.
func settled(l *suspect, alive living, found map[place][]Thing) bool {
	if l.Cluster == "" {
		return true
	}
	clusters, known := found[place{l.region, KindCluster}]
	if !known {
		return false
	}
	i := slices.IndexFunc(clusters, func(t Thing) bool { return t.ID == l.Cluster })
	if i < 0 {
		// Without the tag of an owner it is not in the list.
		return !alive.clusters[l.Cluster]
	}
	return alive.clusters[l.Cluster] && alive.uids[clusters[i].Owner]
}

func (s *Sweeper) delete(ctx context.Context, c config, inv Inventory, l *suspect) {
	err := inv.Delete(ctx, l.Thing)
	if cloud.Is(err, cloud.WrongState, cloud.Throttled) {
		// Something that uses it goes first.
		s.log.Debug("Cannot delete a leak yet", "config", c.name(), "kind", l.Kind, "id", l.ID, "error", err.Error())
		return
	}
	if err != nil {
		if msg := err.Error(); msg != l.failed {
			l.failed = msg
			s.event(ctx, c, event.Warning(reasonFailed, errors.Wrapf(err, "cannot delete %s %s in %s", l.Kind, l.ID, l.region)))
		}
		return
	}
	l.failed = ""
	if !l.deleting {
		l.deleting = true
		s.event(ctx, c, event.Normal(reasonDeleted, fmt.Sprintf("Deleted %s %s in %s: %s is gone, and its claim wants leaks to be deleted", l.Kind, l.ID, l.region, ownerOf(l))))
	}
}

// order in which kinds can be deleted.
func order(inventories map[string]Inventory) []string {
	for _, inv := range inventories {
		return inv.Kinds()
	}
	return nil
}

// write the status of the configuration, if it has changed.
func (s *Sweeper) write(ctx context.Context, a *account, c config, alive living, found map[place][]Thing, complete bool) error {
	now := s.Clock.Now()
	leaks := status(a.leaks(now, s.Grace))
	o, st, err := s.object(ctx, c)
	if err != nil {
		return errors.Wrap(err, "cannot get the configuration")
	}
	was := o.DeepCopyObject().(client.Object)
	owners := ownersOf(st.Owners, alive, found, complete, now)
	// An owner that came while we swept is not in the list of the living.
	for _, n := range st.Owners {
		if i := slices.IndexFunc(owners, func(x v1alpha1.Owner) bool { return x.UID == n.UID }); i >= 0 && !slices.ContainsFunc(c.status.Owners, func(x v1alpha1.Owner) bool { return x.UID == n.UID }) {
			owners[i] = n
		}
	}
	if equality.Semantic.DeepEqual(st.Leaks, leaks) && equality.Semantic.DeepEqual(st.Owners, owners) {
		return nil
	}
	st.Leaks, st.Owners = leaks, owners
	err = s.kube.Status().Patch(ctx, o, client.MergeFromWithOptions(was, client.MergeFromWithOptimisticLock{}))
	if kerrors.IsConflict(err) {
		// The next sweep writes it.
		return nil
	}
	return errors.Wrap(err, "cannot write the leaks into the status of the configuration")
}
