package demo

import (
	"math"
	"slices"
	"strings"
	"time"

	"regionpool.io/provider-regionpool/test/cloudsim/requestlog"
)

// A planned decision is one that fleet reports: for demand it saw at a time, the
// nodes wanted of an offering before and after.
type planned struct {
	UnmetSeen time.Time `json:"unmetSeen"`
	Offering  string    `json:"offering"`
	From      int       `json:"from"`
	To        int       `json:"to"`
}

// Calls that answer demand, in either cloud.
const (
	createCluster  = "CreateCluster"
	createNodePool = "CreateClusterNodePool"
	modifyNodePool = "ModifyClusterNodePool"
	setDesired     = "ModifyNodePoolDesiredCapacityAboutAsg"
)

// answers pairs decisions for more nodes with the first cloud call that carries
// them out. Without a cluster that is CreateCluster; with one, a call that sizes
// a node pool to at least as many nodes. What is decided while the cluster is
// being made is carried out by the first sizing of its pools, whenever the
// cluster is able to take it, and says nothing about latency.
func answers(decisions []planned, calls []requestlog.Entry, clouds []rental) []Decision {
	decisions = slices.Clone(decisions)
	slices.SortStableFunc(decisions, func(a, b planned) int { return a.UnmetSeen.Compare(b.UnmetSeen) })

	var out []Decision
	for _, d := range decisions {
		calls := of(d.Offering, calls, clouds)
		if d.To <= d.From || making(calls, d.UnmetSeen) {
			continue
		}
		for _, c := range calls {
			if c.Time.Before(d.UnmetSeen) || !c.Verified || !carriesOut(c, d) {
				continue
			}
			out = append(out, Decision{Offering: d.Offering, Nodes: d.To, Call: c.Action, Seconds: c.Time.Sub(d.UnmetSeen).Seconds()})
			break
		}
	}
	return out
}

// of returns the calls to the cloud that an offering is rented from.
func of(offering string, calls []requestlog.Entry, clouds []rental) []requestlog.Entry {
	for _, r := range clouds {
		if !strings.HasPrefix(offering, r.member+"-") {
			continue
		}
		return slices.DeleteFunc(slices.Clone(calls), func(c requestlog.Entry) bool { return c.AccessKeyID != r.account })
	}
	return nil
}

// making says whether a cluster had been ordered, and none of its pools sized,
// at a time.
func making(calls []requestlog.Entry, at time.Time) bool {
	ordered := false
	for _, c := range calls {
		switch {
		case !c.Time.Before(at):
			return ordered
		case c.Action == createCluster:
			ordered = true
		case sizes(c):
			ordered = false
		}
	}
	return ordered
}

func carriesOut(c requestlog.Entry, d planned) bool {
	return c.Action == createCluster || sizes(c) && *c.Desired >= d.To
}

func sizes(c requestlog.Entry) bool {
	return (c.Action == createNodePool || c.Action == modifyNodePool || c.Action == setDesired) && c.Desired != nil
}

// quantiles by nearest rank.
func quantiles(ds []Decision) Quantiles {
	if len(ds) == 0 {
		return Quantiles{}
	}
	s := make([]float64, 0, len(ds))
	for _, d := range ds {
		s = append(s, d.Seconds)
	}
	slices.Sort(s)
	rank := func(p float64) float64 { return s[max(0, int(math.Ceil(p*float64(len(s))))-1)] }
	return Quantiles{Count: len(s), P50: rank(0.5), P99: rank(0.99), Max: s[len(s)-1]}
}
