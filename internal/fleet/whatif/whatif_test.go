package whatif

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
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
				Unchanged: 1, Clusters: []string{"tke"},
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
	cases := map[string]struct {
		reason   string
		question Question
		want     string
	}{
		"Binding":      {"There is none", Question{Scale: []Scale{{Binding: "default/nope", Replicas: 1}}}, `no pool places "default/nope"`},
		"Replicas":     {"Fewer than none", Question{Scale: []Scale{{Binding: "default/web", Replicas: -1}}}, "cannot have -1 replicas"},
		"Member":       {"There is none", Question{Lose: []string{"idc-z"}}, `there is no member "idc-z"; there are ack, idc-a, idc-b, tke`},
		"MemberTwice":  {"It is lost already", Question{Lose: []string{"idc-a", "idc-a"}}, `there is no member "idc-a"`},
		"Offering":     {"There is none", Question{AddNodes: []AddNodes{{Offering: "ack-x", Count: 1}}}, `there is no offering "ack-x"; there are ack-g, tke-s`},
		"WrongMember":  {"It is another's", Question{AddNodes: []AddNodes{{Offering: "ack-g", Member: "tke", Count: 1}}}, "offering ack-g is of member ack, not of tke"},
		"InstanceType": {"There is none", Question{AddNodes: []AddNodes{{Member: "idc-a", InstanceType: "x", Count: 1}}}, `there is no instance type "x"; there are rack, type.ack-g, type.tke-s`},
		"Like":         {"There is no such node", Question{AddNodes: []AddNodes{{Member: "idc-a", Like: "x", Count: 1}}}, `idc-a has no node "x" among its 2`},
		"Unsaid":       {"It is not said what they are like", Question{AddNodes: []AddNodes{{Member: "idc-a", Count: 1}}}, "say what the 1 nodes are like"},
		"Contradicted": {"It is said twice", Question{AddNodes: []AddNodes{{Member: "idc-a", Offering: "ack-g", Like: "x", Count: 1}}}, "by one of"},
		"Count":        {"Too many", Question{AddNodes: []AddNodes{{Offering: "ack-g", Count: 10001}}}, "say 1 to 10000"},
		"NotThere":     {"A member that is not there has no nodes", Question{AddNodes: []AddNodes{{Member: "tke", InstanceType: "type.tke-s", Count: 1}}}, "it takes no replicas now"},
		"Past":         {"Time goes one way", Question{Horizon: seconds(-1)}, "cannot look -1s ahead"},
	}
	w := spilled(t).world()
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := Ask(context.Background(), w, tc.question)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("\nReason: %s\nAsk(...): want an error with %q, got %v", tc.reason, tc.want, err)
			}
		})
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Ask(ctx, w, Question{Lose: []string{"idc-a"}}); !errors.Is(err, context.Canceled) {
		t.Errorf("\nReason: The context has ended\nAsk(...): got %v", err)
	}
}
