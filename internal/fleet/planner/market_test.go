package planner

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	fleetv1alpha1 "regionpool.io/provider-regionpool/apis/fleet/v1alpha1"
	elasticv1alpha1 "regionpool.io/provider-regionpool/apis/v1alpha1"
	"regionpool.io/provider-regionpool/internal/fleet/scheduler"
)

// market returns the market of an offering for change.
func (w *tester) market(name string) *fleetv1alpha1.OfferingMarket {
	all := &w.in.Plan.Spec.Market.Offerings
	for i := range *all {
		if (*all)[i].Name == name {
			return &(*all)[i]
		}
	}
	*all = append(*all, fleetv1alpha1.OfferingMarket{Name: name})
	return &(*all)[len(*all)-1]
}

func (w *tester) fed(name, price string) {
	w.market(name).HourlyPrice = ptr.To(resource.MustParse(price))
}

func (w *tester) short(name string, since time.Time, types ...string) {
	m := w.market(name)
	m.Unavailable, m.Shortages = true, nil
	for _, t := range append(types, "ecs.g7") {
		m.Shortages = append(m.Shortages, elasticv1alpha1.Shortage{InstanceType: t, Zone: "z", Reason: "OutOfStock", Since: metav1.NewTime(since)})
	}
}

// apart keeps the replicas of a demand on nodes of their own.
func apart(d *scheduler.Demand) {
	d.Template.Spec.Labels = map[string]string{"app": "apart"}
	d.Template.Spec.Spec.Affinity = &corev1.Affinity{PodAntiAffinity: &corev1.PodAntiAffinity{RequiredDuringSchedulingIgnoredDuringExecution: []corev1.PodAffinityTerm{{
		TopologyKey: corev1.LabelHostname, LabelSelector: &metav1.LabelSelector{MatchLabels: d.Template.Spec.Labels},
	}}}}
}

// reasonOf returns the reason of the status of an offering, or why it was
// refused.
func reasonOf(st fleetv1alpha1.CapacityPlanStatus, name string) string {
	out := ""
	for _, o := range st.Offerings {
		if o.Name == name {
			out = o.Reason
		}
	}
	if st.LastDecision != nil {
		for _, r := range st.LastDecision.Refused {
			if r.Name == name {
				out += " | " + r.Reason
			}
		}
	}
	return out
}

func TestChoice(t *testing.T) {
	cases := map[string]struct {
		reason string
		build  func(*tester)
		want   map[string]int32
		cost   string
		// says is a part of what is said of the offering.
		of, says string
	}{
		"FedPrice": {
			reason: "What the cloud asks now decides.",
			build: func(w *tester) {
				w.offering("a", "ack", "8", "1", 10)
				w.offering("b", "ack", "8", "1.5", 10)
				w.fed("b", "0.8")
				w.demand(4, cpu("3"))
			},
			want: map[string]int32{"a": 0, "b": 2}, cost: "1.6", of: "a", says: "dearer: 0.5 a replica, b costs 0.4",
		},
		"ZeroPrice": {
			reason: "A price of zero is not believed.",
			build: func(w *tester) {
				w.offering("a", "ack", "8", "1", 10)
				w.offering("b", "ack", "8", "1.5", 10)
				w.fed("b", "0")
				w.demand(4, cpu("3"))
			},
			want: map[string]int32{"a": 2, "b": 0}, cost: "2", of: "b", says: "the price of 0 that the cloud reports is not believed",
		},
		"HundredfoldPrice": {
			reason: "Nor is one of a hundredfold: it would keep the pool from what it pays for.",
			build: func(w *tester) {
				w.offering("a", "ack", "8", "1", 10)
				w.fed("a", "100")
				w.in.Plan.Spec.Limits.HourlyCost = ptr.To(resource.MustParse("2"))
				w.demand(4, cpu("3"))
			},
			want: map[string]int32{"a": 2}, cost: "2", of: "a", says: "not believed",
		},
		"CapByDeclared": {
			reason: "A feed that is too low does not lift the cap.",
			build: func(w *tester) {
				w.offering("a", "ack", "8", "1", 10)
				w.fed("a", "0.2")
				w.in.Plan.Spec.Limits.HourlyCost = ptr.To(resource.MustParse("2"))
				w.demand(10, cpu("3"))
			},
			want: map[string]int32{"a": 2}, cost: "0.4",
		},
		"CapByFed": {
			reason: "One that is higher counts.",
			build: func(w *tester) {
				w.offering("a", "ack", "8", "1", 10)
				w.fed("a", "2")
				w.in.Plan.Spec.Limits.HourlyCost = ptr.To(resource.MustParse("3"))
				w.demand(10, cpu("3"))
			},
			want: map[string]int32{"a": 1}, cost: "2",
		},
		"CapByFallback": {
			reason: "The cloud may deliver a dearer type of the offering.",
			build: func(w *tester) {
				w.offering("a", "ack", "8", "1", 10)
				w.fed("a", "1")
				w.in.Plan.Spec.Market.Offerings[0].HighestPrice = ptr.To(resource.MustParse("2"))
				w.in.Plan.Spec.Limits.HourlyCost = ptr.To(resource.MustParse("3"))
				w.demand(10, cpu("3"))
			},
			want: map[string]int32{"a": 1}, cost: "1",
		},
		"Interruption": {
			reason: "Spot must be cheaper by the weight of interruption: 0.9 and a quarter of it are more than 1.",
			build: func(w *tester) {
				w.offering("spot", "ack", "8", "0.9", 10).CapacityType = elasticv1alpha1.CapacitySpot
				w.offering("a", "ack", "8", "1", 10)
				w.demand(4, cpu("3"))
			},
			want: map[string]int32{"spot": 0, "a": 2}, cost: "2", of: "spot", says: "dearer: 0.5625 a replica, a costs 0.5",
		},
		"CheapSpot": {
			reason: "At 0.7 it is.",
			build: func(w *tester) {
				w.offering("spot", "ack", "8", "0.7", 10).CapacityType = elasticv1alpha1.CapacitySpot
				w.offering("a", "ack", "8", "1", 10)
				w.demand(4, cpu("3"))
			},
			want: map[string]int32{"spot": 2, "a": 0}, cost: "1.4",
		},
		"Wait": {
			reason: "A minute sooner is worth 0.1 for each replica.",
			build: func(w *tester) {
				w.in.Plan.Spec.Weights = fleetv1alpha1.Weights{Price: ptr.To(resource.MustParse("1")), Wait: ptr.To(resource.MustParse("0.1"))}
				w.offering("slow", "ack", "8", "1", 10).StartSeconds = 180
				w.offering("fast", "ack", "8", "1.3", 10).StartSeconds = 60
				w.demand(4, cpu("3"))
			},
			want: map[string]int32{"slow": 0, "fast": 2}, cost: "2.6",
		},
		"PriceOfNoWeight": {
			reason: "Without a weight of money the sooner is better at any price.",
			build: func(w *tester) {
				w.in.Plan.Spec.Weights = fleetv1alpha1.Weights{Price: ptr.To(resource.MustParse("0")), Wait: ptr.To(resource.MustParse("1"))}
				w.offering("slow", "ack", "8", "1", 10).StartSeconds = 180
				w.offering("fast", "ack", "8", "100", 10).StartSeconds = 60
				w.demand(4, cpu("3"))
			},
			want: map[string]int32{"slow": 0, "fast": 2}, cost: "200",
		},
		"Spread": {
			reason: "Two nodes too many in one zone cost more than the dearer zone.",
			build: func(w *tester) {
				w.in.Plan.Spec.Weights = fleetv1alpha1.Weights{Price: ptr.To(resource.MustParse("1")), Spread: ptr.To(resource.MustParse("0.2"))}
				w.offering("a", "ack", "8", "1", 10).Zones = []string{"a"}
				w.offering("b", "ack", "8", "1.1", 10).Zones = []string{"b"}
				w.demand(8, cpu("3"))
			},
			want: map[string]int32{"a": 2, "b": 2}, cost: "4.2",
		},
		"Together": {
			reason: "Large and small replicas share nodes: 5 and 3 CPU on 8.",
			build: func(w *tester) {
				w.offering("a", "ack", "8", "1", 10)
				w.demand(3, cpu("3"))
				w.demand(3, cpu("5"))
			},
			want: map[string]int32{"a": 3}, cost: "3",
		},
		"Mixed": {
			reason: "Neither alone is best: one large and one small node.",
			build: func(w *tester) {
				w.offering("large", "ack", "16", "1.8", 10)
				w.offering("small", "ack", "4", "0.5", 10)
				w.demand(5, cpu("4"))
			},
			want: map[string]int32{"large": 1, "small": 1}, cost: "2.3",
		},
		"OddFirst": {
			reason: "Replicas that share no node with each other leave room for all others, less and more important ones.",
			build: func(w *tester) {
				w.offering("a", "ack", "8", "1", 10)
				w.demand(4, cpu("4"))
				apart(w.demand(3, cpu("2")))
				w.demand(4, cpu("500m"))
			},
			want: map[string]int32{"a": 4}, cost: "4",
		},
		"OddByImportance": {
			reason: "Where not all have a place, the more important have theirs.",
			build: func(w *tester) {
				w.offering("a", "ack", "8", "1", 2)
				w.demand(4, cpu("4"))
				apart(w.demand(3, cpu("2")))
			},
			want: map[string]int32{"a": 2}, cost: "2",
		},
		"TypeShort": {
			reason: "Where other types are left the cloud's pool takes one of those.",
			build: func(w *tester) {
				w.offering("a", "ack", "8", "1", 10)
				w.offering("b", "ack", "8", "2", 10)
				w.short("a", epoch)
				w.market("a").Unavailable = false
				w.demand(4, cpu("3"))
			},
			want: map[string]int32{"a": 2, "b": 0}, cost: "2",
		},
		"UnknownType": {
			reason: "What the cloud does not know is never ordered.",
			build: func(w *tester) {
				w.offering("a", "ack", "8", "1", 10)
				w.offering("b", "ack", "8", "2", 10)
				w.market("a").Unavailable, w.market("a").Message = true, "no type ecs.nope"
				w.demand(4, cpu("3"))
			},
			want: map[string]int32{"a": 0, "b": 2}, cost: "4", of: "a", says: "the cloud cannot deliver it: no type ecs.nope",
		},
		"NodesAtCloud": {
			reason: "What exists at the cloud counts, whoever ordered it.",
			build: func(w *tester) {
				w.offering("a", "ack", "8", "1", 10)
				w.market("a").Nodes, w.market("a").Desired = ptr.To(int32(0)), ptr.To(int32(2))
				w.offering("b", "ack", "8", "2", 10)
				w.in.Plan.Spec.Limits.Nodes = ptr.To(int32(3))
				w.demand(8, cpu("3"))
			},
			want: map[string]int32{"a": 1, "b": 0}, cost: "1",
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			w := newTester(t)
			w.elastic("ack", "0", scheduler.Serving)
			tc.build(w)
			out := w.make()
			if diff := cmp.Diff(tc.want, nodesOf(out.Status)); diff != "" {
				t.Errorf("%s -want, +got:\n%s", tc.reason, diff)
			}
			if out.Status.HourlyCost != tc.cost {
				t.Errorf("%s Want cost %s, got %s", tc.reason, tc.cost, out.Status.HourlyCost)
			}
			if got := reasonOf(out.Status, tc.of); !strings.Contains(got, tc.says) {
				t.Errorf("%s Of %s it says %q, not %q", tc.reason, tc.of, got, tc.says)
			}
			if name == "NodesAtCloud" {
				return
			}
			if again := w.make(); again.Urgent || len(again.Records) > 0 || !again.Memory.Equal(out.Memory) {
				t.Errorf("A second look at the same world decides nothing: urgent %t, %v", again.Urgent, again.Records)
			}
		})
	}
}

func TestShortage(t *testing.T) {
	w := newTester(t)
	w.elastic("ack", "0", scheduler.Serving)
	w.offering("a", "ack", "8", "1", 10)
	w.offering("b", "ack", "8", "2", 10)
	w.in.Plan.Spec.Limits.Nodes = ptr.To(int32(6))
	w.demand(8, cpu("3"))
	check := func(reason string, a, b int32) Output {
		t.Helper()
		out := w.make()
		if diff := cmp.Diff(map[string]int32{"a": a, "b": b}, nodesOf(out.Status)); diff != "" {
			t.Errorf("%s: -want, +got:\n%s", reason, diff)
		}
		return out
	}
	desire := func(n, nodes int32) {
		w.market("a").Desired, w.market("a").Nodes = ptr.To(n), ptr.To(nodes)
	}
	check("The cheapest is ordered", 4, 0)

	w.in.Now = w.in.Now.Add(time.Minute)
	desire(4, 1)
	w.short("a", w.in.Now, "ecs.g6")
	out := check("One came; of the other three the cloud may still have to be told: only two more are within the limit", 1, 2)
	if c := meta.FindStatusCondition(out.Status.Conditions, ConditionCapacityAvailable); c.Status != metav1.ConditionFalse || !strings.Contains(c.Message, "OutOfStock (ecs.g6 z)") {
		t.Errorf("The shortage is a condition: %+v", c)
	}
	if until := out.Status.Offerings[0].AvoidUntil; until == nil || !until.Time.Equal(w.in.Now.Add(3*time.Minute)) {
		t.Errorf("It is avoided for three minutes, not until %s", until)
	}
	desire(1, 1)
	check("The cloud has taken them back", 1, 3)
	w.node("ack", "a", "n1", true)
	check("The one that came is kept", 1, 3)

	w.in.Plan.Spec.Limits.Nodes = nil
	w.in.Now = w.in.Now.Add(3*time.Minute - time.Second)
	w.restart()
	w.demand(2, cpu("3"))
	check("Not tried again yet", 1, 4)
	w.in.Now = w.in.Now.Add(time.Second)
	w.demand(2, cpu("3"))
	check("Tried again, though the old shortage is still told of", 2, 4)
	w.in.Now = w.in.Now.Add(time.Second)
	w.short("a", w.in.Now)
	desire(2, 1)
	out = check("And again there is none", 1, 5)
	if until := out.Status.Offerings[0].AvoidUntil; until == nil || !until.Time.Equal(w.in.Now.Add(6*time.Minute)) {
		t.Errorf("It is avoided for twice as long, not until %s", until)
	}
	w.in.Now = w.in.Now.Add(6 * time.Minute)
	w.node("ack", "a", "n2", true).CreationTimestamp = metav1.NewTime(w.in.Now.Add(time.Second))
	w.in.Now = w.in.Now.Add(2 * time.Second)
	w.market("a").Unavailable, w.market("a").Shortages = false, nil
	if out := w.make(); len(out.Memory.Strikes) > 0 {
		t.Errorf("It delivered: %v is forgotten", out.Memory.Strikes)
	}
}

func TestShortageDoublesUpToAnHour(t *testing.T) {
	p := &plan{in: Input{Settings: DefaultSettings}}
	var got []time.Duration
	for n := range int32(7) {
		got = append(got, p.ttl(n))
	}
	m := time.Minute
	if diff := cmp.Diff([]time.Duration{3 * m, 6 * m, 12 * m, 24 * m, 48 * m, 60 * m, 60 * m}, got); diff != "" {
		t.Errorf("-want, +got:\n%s", diff)
	}
}

func TestLoweredMaximumCounts(t *testing.T) {
	w := newTester(t)
	w.elastic("ack", "0", scheduler.Serving)
	w.offering("a", "ack", "8", "1", 4)
	w.offering("b", "ack", "8", "2", 4)
	w.in.Plan.Spec.Limits.Nodes = ptr.To(int32(4))
	w.demand(8, cpu("3"))
	check := func(reason string, a, b int32) {
		t.Helper()
		if diff := cmp.Diff(map[string]int32{"a": a, "b": b}, nodesOf(w.make().Status)); diff != "" {
			t.Errorf("%s: -want, +got:\n%s", reason, diff)
		}
	}
	check("Ordered", 4, 0)
	w.in.Plan.Spec.Offerings[0].Max = 1
	check("Three are withdrawn, and may be on their way", 1, 0)
	w.in.Now = w.in.Now.Add(DefaultSettings.NodesEnd)
	check("They are not any more", 1, 3)
}

func TestClusterAtCloudCounts(t *testing.T) {
	w := newTester(t)
	w.elastic("ack", "1", scheduler.Absent)
	w.elastic("tke", "1", scheduler.Absent)
	w.offering("ack-g", "ack", "8", "1", 0)
	w.offering("tke-g", "tke", "8", "2", 5)
	w.in.Plan.Spec.Limits.Clusters = ptr.To[int32](1)
	w.in.Plan.Spec.Market.Members = []fleetv1alpha1.MemberMarket{{Name: "ack", Exists: true}}
	w.demand(2, cpu("3"))
	if wantedOf(w.make().Status, "tke") {
		t.Errorf("A cluster that is being deleted counts as long as the host says that it exists")
	}
	w.in.Plan.Spec.Market.Members[0].Exists = false
	if !wantedOf(w.make().Status, "tke") {
		t.Errorf("When it is gone another is made")
	}
}
