package demo

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"k8s.io/utils/ptr"

	"regionpool.io/provider-regionpool/test/cloudsim/requestlog"
)

var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func at(seconds float64) time.Time { return epoch.Add(time.Duration(seconds * float64(time.Second))) }

func TestAnswers(t *testing.T) {
	call := func(seconds float64, action string, desired *int) requestlog.Entry {
		return requestlog.Entry{Time: at(seconds), Action: action, Desired: desired, Verified: true, AccessKeyID: "akid"}
	}
	decided := func(seconds float64, from, to int) planned {
		return planned{UnmetSeen: at(seconds), Offering: "ack-general", From: from, To: to}
	}
	cases := map[string]struct {
		reason    string
		decisions []planned
		calls     []requestlog.Entry
		want      []Decision
	}{
		"FirstCluster": {
			reason:    "Without a cluster, demand is answered by ordering one.",
			decisions: []planned{decided(1, 0, 3)},
			calls:     []requestlog.Entry{call(0.5, "DescribeTaskInfo", nil), call(1.25, createCluster, nil)},
			want:      []Decision{{Offering: "ack-general", Nodes: 3, Call: createCluster, Seconds: 0.25}},
		},
		"WhileTheClusterIsMade": {
			reason:    "What is decided meanwhile waits for the cluster, which is not latency.",
			decisions: []planned{decided(1, 0, 3), decided(2, 3, 5)},
			calls:     []requestlog.Entry{call(1.25, createCluster, nil), call(9, createNodePool, ptr.To(5))},
			want:      []Decision{{Offering: "ack-general", Nodes: 3, Call: createCluster, Seconds: 0.25}},
		},
		"MoreNodes": {
			reason:    "With a cluster, the call that sizes the pool to enough nodes is the answer; fewer nodes need none.",
			decisions: []planned{decided(1, 0, 3), decided(12, 3, 2), decided(20, 2, 4)},
			calls: []requestlog.Entry{
				call(1.25, createCluster, nil), call(9, createNodePool, ptr.To(3)), call(12.5, "RemoveNodePoolNodes", nil),
				call(20.25, modifyNodePool, ptr.To(3)), call(20.5, modifyNodePool, ptr.To(4)),
			},
			want: []Decision{
				{Offering: "ack-general", Nodes: 3, Call: createCluster, Seconds: 0.25},
				{Offering: "ack-general", Nodes: 4, Call: modifyNodePool, Seconds: 0.5},
			},
		},
		"Refused": {
			reason:    "A call whose signature was wrong answers nothing.",
			decisions: []planned{decided(1, 0, 3)},
			calls:     []requestlog.Entry{{Time: at(1.1), Action: createCluster}},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, answers(tc.decisions, tc.calls, []rental{{member: "ack", account: "akid"}})); diff != "" {
				t.Errorf("\n%s\nanswers(...): -want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}

func TestQuantiles(t *testing.T) {
	cases := map[string]struct {
		reason  string
		seconds []float64
		want    Quantiles
	}{
		"None": {reason: "Nothing was decided."},
		"One":  {reason: "One value is every quantile.", seconds: []float64{2}, want: Quantiles{Count: 1, P50: 2, P99: 2, Max: 2}},
		"Few":  {reason: "Quantiles are values that were seen.", seconds: []float64{3, 1, 2, 4}, want: Quantiles{Count: 4, P50: 2, P99: 4, Max: 4}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			var ds []Decision
			for _, s := range tc.seconds {
				ds = append(ds, Decision{Seconds: s})
			}
			if diff := cmp.Diff(tc.want, quantiles(ds)); diff != "" {
				t.Errorf("\n%s\nquantiles(...): -want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}

func TestJudge(t *testing.T) {
	// good returns the report of a demo that kept all promises, with a change.
	good := func(change func(r *Report, f *facts)) (*Report, facts) {
		r := &Report{
			Phases:          []Phase{{Name: "stack", Reached: true}, {Name: "goodbye", Reached: true}},
			DecisionSeconds: Quantiles{Count: 2, P99: 0.4},
			Workloads: []Workload{
				{Name: surging, PeakReplicas: surgeDemand, PeakCloudReplicas: 30, NeededCloudReplicas: 30},
				{Name: ebbing, PeakReplicas: ebbingFrom},
			},
			Cloud: []Cloud{{Name: "ack", Created: map[string]int{"cluster": 1}, Leaked: []string{}, Duplicates: []string{}}},
		}
		f := facts{surging: surging, surge: surgeDemand, phases: 2, guaranteed: 2}
		if change != nil {
			change(r, &f)
		}
		return r, f
	}
	cases := map[string]struct {
		reason string
		change func(r *Report, f *facts)
		// broken are the promises that were not kept.
		broken []string
	}{
		"Kept":        {reason: "All is well."},
		"NotReached":  {reason: "A story that ended early is not ok.", change: func(r *Report, _ *facts) { r.Phases[1].Reached = false }, broken: []string{"the whole story is told"}},
		"OneCloud":    {reason: "The pool rents from both clouds.", change: func(r *Report, _ *facts) { r.Cloud[0].Created = nil }, broken: []string{"the pool rents from ack"}},
		"NoGuarantee": {reason: "Reserved replicas wait for no machine.", change: func(_ *Report, f *facts) { f.guaranteed = 60 }, broken: []string{"what was reserved is there when it is needed"}},
		"NotReady":    {reason: "All replicas must have been Ready.", change: func(r *Report, _ *facts) { r.Workloads[0].PeakReplicas-- }, broken: []string{surging + " gets all it asks for"}},
		"TooMuch":     {reason: "One replica too many in the cloud is too many.", change: func(r *Report, _ *facts) { r.Workloads[0].PeakCloudReplicas++ }, broken: []string{"only what does not fit goes to the cloud"}},
		"OtherLeft":   {reason: "A service that did not grow stays at home.", change: func(r *Report, _ *facts) { r.Workloads[1].PeakCloudReplicas = 1 }, broken: []string{ebbing + " stays at home"}},
		"ReplicaLost": {reason: "A lost replica counts.", change: func(r *Report, _ *facts) { r.Workloads[1].ReadyFloorViolations = 1 }, broken: []string{"no replica leaves before its substitute is Ready"}},
		"BudgetLost":  {reason: "So does a broken budget.", change: func(r *Report, _ *facts) { r.PDBViolations = 1 }, broken: []string{"disruption budgets hold"}},
		"Slow":        {reason: "A second is the bound.", change: func(r *Report, _ *facts) { r.DecisionSeconds.P99 = 1.1 }, broken: []string{"the cloud is called within a second"}},
		"Undecided":   {reason: "Without a decision nothing is known of latency.", change: func(r *Report, _ *facts) { r.DecisionSeconds = Quantiles{} }, broken: []string{"the cloud is called within a second"}},
		"Leaked":      {reason: "A leak costs money.", change: func(r *Report, _ *facts) { r.Cloud[0].Leaked = []string{"ecs i-1"} }, broken: []string{"nothing leaks in ack"}},
		"Twice":       {reason: "A duplicate does as well.", change: func(r *Report, _ *facts) { r.Cloud[0].Duplicates = []string{"cluster"} }, broken: []string{"nothing is made twice in ack"}},
		"CloudLeft":   {reason: "What lives in the end is paid for.", change: func(_ *Report, f *facts) { f.live = []string{"cluster c-1"} }, broken: []string{"both cloud accounts are empty in the end"}},
		"NoBooks":     {reason: "Not knowing the cloud's books is not the same as empty books.", change: func(r *Report, _ *facts) { r.Cloud = nil }, broken: []string{"both cloud accounts are empty in the end"}},
		"ManagedLeft": {reason: "The claim must go whole.", change: func(_ *Report, f *facts) { f.managed = []string{"Member/a"} }, broken: []string{"no managed resource is left"}},
		"HomeLost":    {reason: "Self-built clusters keep what they run.", change: func(_ *Report, f *facts) { f.missing = []string{"web: 0 of 4"} }, broken: []string{"the self-built clusters go on running what they ran"}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			r, f := good(tc.change)
			r.judge(f)
			var broken []string
			for _, p := range r.Promises {
				if !p.Kept {
					broken = append(broken, p.Promise)
				}
			}
			if diff := cmp.Diff(tc.broken, broken, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("\n%s\nbroken promises: -want, +got:\n%s", tc.reason, diff)
			}
			if want := len(tc.broken) == 0; r.OK != want {
				t.Errorf("\n%s\nOK: want %v, got %v", tc.reason, want, r.OK)
			}
		})
	}
}

func TestPanel(t *testing.T) {
	cases := map[string]struct {
		reason string
		width  int
		pic    picture
	}{
		"Wide":   {reason: "There is room for everything.", width: maxWidth, pic: full()},
		"Narrow": {reason: "A small terminal gets one line.", width: minWidth - 1, pic: full()},
		"Least":  {reason: "The smallest panel.", width: minWidth, pic: full()},
		"Empty":  {reason: "Nothing runs yet.", width: 80, pic: picture{phase: "Start"}},
		"Many":   {reason: "More nodes than columns.", width: 80, pic: picture{phase: "Surge", own: 500, cloud: 500}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			s := &screen{begin: time.Now(), pic: tc.pic}
			for _, row := range s.panel(tc.width) {
				if n := runes(row); n > max(tc.width, 0) {
					t.Errorf("\n%s\na row of %d columns does not fit in %d: %q", tc.reason, n, tc.width, row)
				}
				if strings.Contains(row, "\n") {
					t.Errorf("\n%s\na row has a line break: %q", tc.reason, row)
				}
			}
		})
	}
}

func full() picture {
	return picture{
		phase: "Nodes and replicas come up in the cloud", own: 8, cloud: 3, hourly: 12.345, spent: 1.2,
		services: []bar{
			{name: surging, desired: 80, own: 44, cloud: 30, pending: 6},
			{name: "a-service-with-a-long-name", desired: 20, own: 20},
			{name: "none"},
		},
	}
}
