package whatif

import (
	"context"
	"errors"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"regionpool.io/provider-regionpool/internal/fleet/scheduler"
)

type placement = map[string]int32

// spilled is a region whose self-built members are full, and four replicas of
// which run on a rented node.
func spilled(t *testing.T) *region {
	r := newRegion(t)
	n := &corev1.Node{}
	n.Labels = map[string]string{"regionpool.io/offering": "ack-g"}
	n.Status.Allocatable = r.plan.Spec.Offerings[0].Allocatable
	r.node("ack", "ack-0", n)
	r.deploy("db", placement{"idc-a": 4, "idc-b": 4})
	r.deploy("web", placement{"idc-a": 4, "idc-b": 4, "ack": 4})
	return r
}

func seconds(n int) metav1.Duration { return metav1.Duration{Duration: time.Duration(n) * time.Second} }

func TestAsk(t *testing.T) {
	cases := map[string]struct {
		reason   string
		region   func(*testing.T) *region
		question Question
		want     Answer
	}{
		"Nothing": {
			reason: "At rest nothing happens",
			region: spilled,
			want:   Answer{Unchanged: 2, HourlyCost: Cost{Before: "1.5", Peak: "1.5", After: "1.5", Change: "0"}, Settled: true},
		},
		"FitsAtHome": {
			reason: "What fits at home is placed there at once, and costs nothing",
			region: func(t *testing.T) *region {
				r := newRegion(t)
				r.deploy("web", placement{"idc-a": 2, "idc-b": 2})
				return r
			},
			question: Question{Scale: []Scale{{Binding: "default/web", Replicas: 10}}},
			want: Answer{
				Placements: []Placement{{
					Binding: "default/web-deployment", Workload: "Deployment default/web",
					Before: Placed{Wanted: 4, Members: placement{"idc-a": 2, "idc-b": 2}},
					After:  Placed{Wanted: 10, Members: placement{"idc-a": 5, "idc-b": 5}},
				}},
				HourlyCost: Cost{Before: "0.5", Peak: "0.5", After: "0.5", Change: "0"}, Settled: true,
			},
		},
		"Grows": {
			reason:   "What does not fit runs on nodes that are ordered, when they are Ready",
			region:   spilled,
			question: Question{Scale: []Scale{{Binding: "default/web-deployment", Replicas: 19}}},
			want: Answer{
				Placements: []Placement{{
					Binding: "default/web-deployment", Workload: "Deployment default/web",
					Before: Placed{Wanted: 12, Members: placement{"idc-a": 4, "idc-b": 4, "ack": 4}},
					After:  Placed{Wanted: 19, Members: placement{"idc-a": 4, "idc-b": 4, "ack": 11}},
				}},
				Unchanged: 1, Orders: []Order{{Pool: "pool", Offering: "ack-g", Member: "ack", Before: 1, Peak: 3, After: 3, HourlyPrice: "1", StartSeconds: 90}},
				HourlyCost: Cost{Before: "1.5", Peak: "3.5", After: "3.5", Change: "2"}, ReadyAfter: seconds(90), SettledAfter: seconds(90), Settled: true,
			},
		},
		"MakesACluster": {
			reason:   "A cluster that is not there takes its time before its nodes",
			region:   spilled,
			question: Question{Scale: []Scale{{Binding: "default/web", Replicas: 24}}, Horizon: metav1.Duration{Duration: time.Hour}},
			want: Answer{
				Placements: []Placement{{
					Binding: "default/web-deployment", Workload: "Deployment default/web",
					Before: Placed{Wanted: 12, Members: placement{"idc-a": 4, "idc-b": 4, "ack": 4}},
					After:  Placed{Wanted: 24, Members: placement{"idc-a": 4, "idc-b": 4, "ack": 12, "tke": 4}},
				}},
				Unchanged: 1, Clusters: []Cluster{{Name: "tke", ReadyAfter: seconds(600), Takes: seconds(600), Because: "assumed: no cluster was seen being made in tke"}},
				Orders: []Order{
					{Pool: "pool", Offering: "ack-g", Member: "ack", Before: 1, Peak: 3, After: 3, HourlyPrice: "1", StartSeconds: 90},
					{Pool: "pool", Offering: "tke-s", Member: "tke", Peak: 1, After: 1, HourlyPrice: "1.5", StartSeconds: 90},
				},
				HourlyCost: Cost{Before: "1.5", Peak: "5.5", After: "5.5", Change: "4"}, ReadyAfter: seconds(690), SettledAfter: seconds(690), Settled: true,
			},
		},
		"DiesAtHome": {
			reason:   "Replicas of a member that is lost are placed elsewhere",
			region:   spilled,
			question: Question{Lose: []string{"idc-b"}},
			want: Answer{
				Placements: []Placement{
					{
						Binding: "default/db-deployment", Workload: "Deployment default/db",
						Before: Placed{Wanted: 8, Members: placement{"idc-a": 4, "idc-b": 4}}, After: Placed{Wanted: 8, Members: placement{"idc-a": 4, "ack": 4}},
					},
					{
						Binding: "default/web-deployment", Workload: "Deployment default/web",
						Before: Placed{Wanted: 12, Members: placement{"idc-a": 4, "idc-b": 4, "ack": 4}}, After: Placed{Wanted: 12, Members: placement{"idc-a": 4, "ack": 8}},
					},
				},
				Orders:     []Order{{Pool: "pool", Offering: "ack-g", Member: "ack", Before: 1, Peak: 3, After: 3, HourlyPrice: "1", StartSeconds: 90}},
				HourlyCost: Cost{Before: "1.5", Peak: "3.5", After: "3.5", Change: "2"}, ReadyAfter: seconds(90), SettledAfter: seconds(90), Settled: true,
			},
		},
		"CloudDies": {
			reason:   "A rented member that is lost takes no orders, and costs nothing",
			region:   spilled,
			question: Question{Lose: []string{"ack", "tke"}},
			want: Answer{
				Placements: []Placement{{
					Binding: "default/web-deployment", Workload: "Deployment default/web",
					Before: Placed{Wanted: 12, Members: placement{"idc-a": 4, "idc-b": 4, "ack": 4}},
					After:  Placed{Wanted: 12, Unplaced: 4, Members: placement{"idc-a": 4, "idc-b": 4}},
				}},
				Unchanged: 1, Unplaced: 4, HourlyCost: Cost{Before: "1.5", Peak: "1.5", After: "0", Change: "-1.5"}, Settled: true,
			},
		},
		"NodesAtHome": {
			reason:   "With more nodes at home the cloud part returns after the window, and its node is given back",
			region:   spilled,
			question: Question{AddNodes: []AddNodes{{Member: "idc-a", InstanceType: "rack", Count: 2}}},
			want: Answer{
				Placements: []Placement{{
					Binding: "default/web-deployment", Workload: "Deployment default/web",
					Before: Placed{Wanted: 12, Members: placement{"idc-a": 4, "idc-b": 4, "ack": 4}},
					After:  Placed{Wanted: 12, Members: placement{"idc-a": 8, "idc-b": 4}},
				}},
				Unchanged: 1, Orders: []Order{{Pool: "pool", Offering: "ack-g", Member: "ack", Before: 1, Peak: 1, HourlyPrice: "1", StartSeconds: 90}},
				HourlyCost: Cost{Before: "1.5", Peak: "1.5", After: "0.5", Change: "-1"}, SettledAfter: seconds(15 * 60), Settled: true,
			},
		},
		"Together": {
			reason: "Several changes are made at once",
			region: spilled,
			question: Question{
				Scale: []Scale{{Binding: "default/Deployment/web", Replicas: 16}}, Lose: []string{"idc-b"},
				AddNodes: []AddNodes{{Offering: "ack-g", Count: 1}, {Member: "idc-a", Like: "idc-a-0", Count: 1}, {Member: "idc-a", Count: 1, Allocatable: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("8")}}},
			},
			want: Answer{
				Placements: []Placement{
					{
						Binding: "default/db-deployment", Workload: "Deployment default/db",
						Before: Placed{Wanted: 8, Members: placement{"idc-a": 4, "idc-b": 4}}, After: Placed{Wanted: 8, Members: placement{"idc-a": 8}},
					},
					{
						Binding: "default/web-deployment", Workload: "Deployment default/web",
						Before: Placed{Wanted: 12, Members: placement{"idc-a": 4, "idc-b": 4, "ack": 4}}, After: Placed{Wanted: 16, Members: placement{"idc-a": 12, "ack": 4}},
					},
				},
				HourlyCost: Cost{Before: "1.5", Peak: "2.5", After: "1.5", Change: "0"}, SettledAfter: seconds(600), Settled: true,
				Orders: []Order{{Pool: "pool", Offering: "ack-g", Member: "ack", Before: 1, Peak: 2, After: 1, HourlyPrice: "1", StartSeconds: 90}},
			},
		},
		"Horizon": {
			reason:   "A question that does not look far enough says so",
			region:   spilled,
			question: Question{Scale: []Scale{{Binding: "default/web", Replicas: 14}}, Horizon: seconds(30)},
			want: Answer{
				Placements: []Placement{{
					Binding: "default/web-deployment", Workload: "Deployment default/web",
					Before: Placed{Wanted: 12, Members: placement{"idc-a": 4, "idc-b": 4, "ack": 4}},
					After:  Placed{Wanted: 14, Unplaced: 2, Members: placement{"idc-a": 4, "idc-b": 4, "ack": 4}},
				}},
				Unchanged: 1, Unplaced: 2, Orders: []Order{{Pool: "pool", Offering: "ack-g", Member: "ack", Before: 1, Peak: 2, After: 2, HourlyPrice: "1", StartSeconds: 90}},
				HourlyCost: Cost{Before: "1.5", Peak: "2.5", After: "2.5", Change: "1"},
			},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			w := tc.region(t).world()
			got, err := Ask(context.Background(), w, tc.question)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, got, cmpopts.IgnoreFields(Answer{}, "Moments"), cmpopts.IgnoreFields(Placement{}, "Message")); diff != "" {
				t.Errorf("\nReason: %s\nAsk(...): -want, +got:\n%s\n%s", tc.reason, diff, got.Text())
			}
		})
	}
}

func TestAskWrongly(t *testing.T) {
	negative := corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("-1")}
	cpu := corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("1")}
	add := func(a AddNodes) Question {
		if a.Count == 0 {
			a.Count = 1
		}
		return Question{AddNodes: []AddNodes{a}}
	}
	cases := map[string]struct {
		reason   string
		question Question
		// want are parts of the error.
		want []string
	}{
		"Binding":      {"There is none", Question{Scale: []Scale{{Binding: "default/nope", Replicas: 1}}}, []string{"scale[0].binding", `no pool places "default/nope"`}},
		"NoBinding":    {"None is named", Question{Scale: []Scale{{Replicas: 1}}}, []string{"scale[0].binding", "no pool places"}},
		"Replicas":     {"Fewer than none", Question{Scale: []Scale{{Binding: "default/web", Replicas: -1}}}, []string{"scale[0].replicas", "-1", "say 0 to 1000000"}},
		"Crowd":        {"More than any region has", Question{Scale: []Scale{{Binding: "default/web", Replicas: 1000001}}}, []string{"scale[0].replicas"}},
		"Whole":        {"A group is placed whole", Question{Scale: []Scale{{Binding: "default/train", Replicas: 3}}}, []string{"scale[0].binding", "placed whole"}},
		"Everywhere":   {"It has no replicas", Question{Scale: []Scale{{Binding: "default/agent", Replicas: 3}}}, []string{"scale[0].binding", "goes whole to every member"}},
		"ScaledTwice":  {"Only one of them can be", Question{Scale: []Scale{{Binding: "default/web", Replicas: 3}, {Binding: "default/Deployment/web", Replicas: 4}}}, []string{"scale[1].binding", "Duplicate"}},
		"Member":       {"There is none", Question{Lose: []string{"idc-z"}}, []string{"lose[0]", "idc-z", "there is no such member; there are ack, idc-a, idc-b, tke"}},
		"MemberTwice":  {"It is lost already", Question{Lose: []string{"idc-a", "idc-a"}}, []string{"lose[1]", "Duplicate"}},
		"LostAndMore":  {"What is lost gets nothing", Question{Lose: []string{"idc-a"}, AddNodes: []AddNodes{{Member: "idc-a", Like: "idc-a-0", Count: 1}}}, []string{"addNodes[0].member", "lost in the same question"}},
		"Offering":     {"There is none", add(AddNodes{Offering: "ack-x"}), []string{"addNodes[0].offering", "there are ack-g, tke-s"}},
		"WrongMember":  {"It is another's", add(AddNodes{Offering: "ack-g", Member: "tke"}), []string{"addNodes[0].member", "offering ack-g is of member ack"}},
		"NoMember":     {"Somebody must get them", add(AddNodes{InstanceType: "rack"}), []string{"addNodes[0].member", "which member"}},
		"AddTo":        {"There is no such member", add(AddNodes{Member: "idc-z", InstanceType: "rack"}), []string{"addNodes[0].member", "there is no such member"}},
		"InstanceType": {"There is none", add(AddNodes{Member: "idc-a", InstanceType: "x"}), []string{"addNodes[0].instanceType", "there are rack, type.ack-g, type.tke-s"}},
		"Like":         {"There is no such node", add(AddNodes{Member: "idc-a", Like: "x"}), []string{"addNodes[0].like", "idc-a has no such node among its 2"}},
		"Unsaid":       {"It is not said what they are like", add(AddNodes{Member: "idc-a"}), []string{"addNodes[0]", "say what the nodes are like, by one of"}},
		"Contradicted": {"It is said twice", add(AddNodes{Member: "idc-a", Offering: "ack-g", Like: "x"}), []string{"addNodes[0]", "only once"}},
		"Stray":        {"Labels belong to allocatable", add(AddNodes{Member: "idc-a", Like: "idc-a-0", Labels: map[string]string{"a": "b"}}), []string{"addNodes[0].labels", "allocatable only"}},
		"Negative":     {"A node has no less than nothing", add(AddNodes{Member: "idc-a", Allocatable: negative}), []string{"addNodes[0].allocatable[cpu]", "below 0"}},
		"Label":        {"A label is one", add(AddNodes{Member: "idc-a", Allocatable: cpu, Labels: map[string]string{"a b": ""}}), []string{"addNodes[0].labels"}},
		"Taint":        {"A taint has an effect", add(AddNodes{Member: "idc-a", Allocatable: cpu, Taints: []corev1.Taint{{Key: "a", Effect: "No"}}}), []string{"addNodes[0].taints[0].effect", "NoSchedule"}},
		"Count":        {"Too many", add(AddNodes{Offering: "ack-g", Count: 10001}), []string{"addNodes[0].count", "say 1 to 10000"}},
		"NotThere":     {"A member that is not there has no nodes", add(AddNodes{Member: "tke", InstanceType: "type.tke-s"}), []string{"addNodes[0].member", "it takes no replicas now"}},
		"Past":         {"Time goes one way", Question{Horizon: seconds(-1)}, []string{"horizon", "-1s"}},
		"Far":          {"Nobody knows", Question{Horizon: metav1.Duration{Duration: 31 * 24 * time.Hour}}, []string{"horizon", "720h"}},
		"All":          {"All that is wrong is said", Question{Lose: []string{"x"}, Scale: []Scale{{Binding: "default/web", Replicas: -1}}, Horizon: seconds(-1)}, []string{"lose[0]", "scale[0].replicas", "horizon"}},
	}
	r := spilled(t)
	r.bindings = append(r.bindings,
		scheduler.Binding{ID: "default/train", Pool: "pool", Divided: true, Gang: true, Replicas: 1},
		scheduler.Binding{ID: "default/agent", Pool: "pool"})
	w := r.world()
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := Ask(context.Background(), w, tc.question)
			for _, want := range tc.want {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("\nReason: %s\nAsk(...): want an error with %q, got %v", tc.reason, want, err)
				}
			}
		})
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Ask(ctx, w, Question{Lose: []string{"idc-a"}}); !errors.Is(err, context.Canceled) {
		t.Errorf("\nReason: The context has ended\nAsk(...): got %v", err)
	}
}

// FuzzRead: whatever is asked, there is an answer, or an error that names a field
// or says that it is no question.
func FuzzRead(f *testing.F) {
	for _, seed := range []string{
		`{"scale":[{"binding":"default/web","replicas":20}]}`, `{"lose":["idc-a"],"horizon":"5m"}`, `{"addNodes":[{"member":"idc-a","like":"idc-a-0","count":2}]}`,
		`{"addNodes":[{"member":"idc-b","count":1,"allocatable":{"cpu":"8"},"labels":{"a":"b"},"taints":[{"key":"x","effect":"NoSchedule"}]}]}`,
		`{`, `[]`, `null`, `{} {}`, `{"scal":[]}`, `{"scale":{}}`, `{"scale":[{"replicas":"x"}]}`, `{"horizon":"soon"}`, `{"horizon":7}`,
		`{"addNodes":[{"allocatable":{"cpu":"much"}}]}`, `{"addNodes":[{"count":-1}],"lose":[""]}`, `{"scale":[{"binding":"default/web","replicas":99999999999}]}`,
	} {
		f.Add(seed)
	}
	named := regexp.MustCompile(`^\[?(scale|lose|addNodes|horizon)\b|cannot read the question|^[^ ]+: Invalid value: .*unknown field`)
	var w *World
	f.Fuzz(func(t *testing.T, raw string) {
		q, err := Read(strings.NewReader(raw))
		if err == nil {
			if w == nil {
				now := spilled(t).world()
				w = &now
			}
			q.Horizon.Duration = min(q.Horizon.Duration, time.Minute)
			_, err = Ask(t.Context(), *w, q)
		}
		if err != nil && !named.MatchString(err.Error()) {
			t.Errorf("\nReason: An error names the field\nRead(%q): got %v", raw, err)
		}
	})
}
