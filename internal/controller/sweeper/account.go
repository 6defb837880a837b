package sweeper

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"regionpool.io/provider-regionpool/apis/v1alpha1"
)

const (
	// minSweeps in which a thing must have had no owner before it is a leak.
	minSweeps = 2
	// maxLeaks in the status.
	maxLeaks = 100
	// remembered is how long an owner is, after it is gone and nothing of it is
	// left.
	remembered = 24 * time.Hour
)

// A place is where a list is of.
type place struct{ region, kind string }

// A suspect is a thing without an owner.
type suspect struct {
	Thing
	region string
	since  time.Time
	sweeps int
	// reported by an event.
	reported bool
	deleting bool
	// failed is the message of the last deletion that failed.
	failed string
}

func (s *suspect) id() string { return s.region + "/" + s.Kind + "/" + s.ID }

// owner for a person: the UID, or the cluster.
func (s *suspect) owner() string { return cmp.Or(s.Owner, s.Cluster) }

// An account is what is remembered of one between sweeps.
type account struct {
	name     string
	suspects map[string]*suspect
	gauges   map[place]bool
}

// newAccount resumes what the status of the configuration says.
func newAccount(c config) *account {
	a := &account{name: c.name(), suspects: map[string]*suspect{}, gauges: map[place]bool{}}
	for _, l := range c.status.Leaks {
		// It was seen often enough by an earlier process.
		s := &suspect{Thing: Thing{Kind: l.Kind, ID: l.ID, Owner: l.Owner}, region: l.Region, since: l.Since.Time, sweeps: minSweeps, reported: true, deleting: l.Deleting}
		a.suspects[s.id()] = s
	}
	return a
}

func (a *account) forget() {
	for p := range a.gauges {
		leaksGauge.DeleteLabelValues(a.name, p.region, p.kind)
	}
}

// A judge knows who lives, and who lived.
type judge struct {
	living
	known, byCluster map[string]v1alpha1.Owner
}

// ours reports whether a thing without a living owner was made by us, or for a
// cluster of ours, and was not meant to outlive it. Clusters of others are none
// of our business.
func (j judge) ours(t Thing) bool {
	if t.Owner != "" {
		return j.known[t.Owner].Leaks != v1alpha1.LeaksKeep
	}
	_, ok := j.byCluster[t.Cluster]
	return ok
}

// mayDelete reports whether the claim of a thing wants leaks to be deleted, as
// its tag says or, if it carries none of ours, that of its cluster. What belongs
// to nobody that this control plane has known may belong to another one that
// shares the account.
func (j judge) mayDelete(t Thing) bool {
	if t.Owner != "" {
		return t.Leaks == v1alpha1.LeaksDelete && j.known[t.Owner].Leaks == v1alpha1.LeaksDelete
	}
	return j.byCluster[t.Cluster].Leaks == v1alpha1.LeaksDelete
}

// compare what was found with who lives. Places that were not listed keep their
// suspects as they are.
func (a *account) compare(found map[place][]Thing, j judge, now time.Time) {
	for p, things := range found {
		seen := map[string]bool{}
		for _, t := range things {
			if t.Ends || j.owns(t) || !j.ours(t) {
				continue
			}
			s := &suspect{Thing: t, region: p.region, since: now}
			if was := a.suspects[s.id()]; was != nil {
				was.Thing = t
				s = was
			}
			s.sweeps++
			seen[s.id()] = true
			a.suspects[s.id()] = s
		}
		maps.DeleteFunc(a.suspects, func(id string, s *suspect) bool {
			return s.region == p.region && s.Kind == p.kind && !seen[id]
		})
	}
}

// leaks are the suspects that are believed, the oldest first.
func (a *account) leaks(now time.Time, grace time.Duration) []*suspect {
	var out []*suspect
	for _, s := range a.suspects {
		if s.sweeps >= minSweeps && now.Sub(s.since) >= grace {
			out = append(out, s)
		}
	}
	slices.SortFunc(out, func(a, b *suspect) int { return cmp.Or(a.since.Compare(b.since), strings.Compare(a.id(), b.id())) })
	return out
}

// count the leaks in the metric.
func (a *account) count(leaks []*suspect) {
	n := map[place]int{}
	for _, s := range leaks {
		n[place{s.region, s.Kind}]++
	}
	for p := range a.gauges {
		if n[p] == 0 {
			leaksGauge.WithLabelValues(a.name, p.region, p.kind).Set(0)
		}
	}
	for p, k := range n {
		a.gauges[p] = true
		leaksGauge.WithLabelValues(a.name, p.region, p.kind).Set(float64(k))
	}
}

// status of the leaks.
func status(leaks []*suspect) []v1alpha1.Leak {
	var out []v1alpha1.Leak
	for _, s := range leaks[:min(len(leaks), maxLeaks)] {
		out = append(out, v1alpha1.Leak{
			Kind: s.Kind, ID: s.ID, Region: s.region, Owner: s.owner(), Since: metav1.NewTime(s.since.Truncate(time.Second)), Deleting: s.deleting,
		})
	}
	return out
}

// owners to remember: who is gone is marked, and forgotten when nothing of it
// has been found for a day.
func ownersOf(was []v1alpha1.Owner, alive living, found map[place][]Thing, complete bool, now time.Time) []v1alpha1.Owner {
	left := map[string]bool{}
	for _, things := range found {
		for _, t := range things {
			left[t.Owner], left[t.Cluster] = true, true
			if t.Kind == KindCluster {
				left[t.ID] = true
			}
		}
	}
	var out []v1alpha1.Owner
	for _, o := range was {
		switch {
		case alive.uids[o.UID]:
			o.Gone = nil
		case o.Gone == nil:
			at := metav1.NewTime(now.Truncate(time.Second))
			o.Gone = &at
		case complete && now.Sub(o.Gone.Time) > remembered && !left[o.UID] && (o.ClusterID == "" || !left[o.ClusterID]):
			continue
		}
		out = append(out, o)
	}
	return out
}
