package controller

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	configv1alpha1 "github.com/karmada-io/karmada/pkg/apis/config/v1alpha1"
	workv1alpha2 "github.com/karmada-io/karmada/pkg/apis/work/v1alpha2"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/yaml"

	fleetv1alpha1 "regionpool.io/provider-regionpool/apis/fleet/v1alpha1"
	"regionpool.io/provider-regionpool/internal/fleet/scheduler"
)

// interpreter is the example that tells Karmada how a Volcano Job is divided.
func interpreter(t *testing.T) *configv1alpha1.ResourceInterpreterCustomization {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("..", "..", "..", "examples", "volcano-slices-interpreter.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	out := &configv1alpha1.ResourceInterpreterCustomization{}
	if err := yaml.UnmarshalStrict(raw, out); err != nil {
		t.Fatal(err)
	}
	return out
}

// volcanoJob has two servers and four workers; slices are what its author says.
func volcanoJob(t *testing.T, slices string) *unstructured.Unstructured {
	t.Helper()
	u := &unstructured.Unstructured{Object: map[string]any{}}
	if err := yaml.Unmarshal([]byte(`spec: {minAvailable: 6, tasks: [{name: server, replicas: 2, template: `+pods("1")+`}, {name: worker, replicas: 4, minAvailable: 4, template: `+pods("3")+`}]}`), &u.Object); err != nil {
		t.Fatal(err)
	}
	whole(u.Object)
	u.SetAPIVersion("batch.volcano.sh/v1alpha1")
	u.SetKind("Job")
	u.SetNamespace("default")
	u.SetName("web")
	if slices != "" {
		u.SetAnnotations(map[string]string{fleetv1alpha1.AnnotationSlices: slices})
	}
	return u
}

func TestSlices(t *testing.T) {
	type want struct {
		Replicas       int32
		Gang, Together bool
		Held           bool
		Assigned       map[string]int32
		Pods           []pieces
		Problem        string
	}
	pairs := []workv1alpha2.TargetCluster{{Name: "idc-a", Replicas: 1}, {Name: "idc-b", Replicas: 1}}
	cases := map[string]struct {
		reason     string
		slices     string
		told, gate bool
		clusters   []workv1alpha2.TargetCluster
		want       want
	}{
		"Undivided": {
			reason: "Without a word of its author a gang is in one member.",
			told:   true, gate: true,
			want: want{Replicas: 1, Gang: true, Assigned: map[string]int32{}, Pods: []pieces{{"server", 2, "1", "a"}, {"worker", 4, "3", "a"}}},
		},
		"One": {
			reason: "One slice is the gang.", slices: "1",
			want: want{Replicas: 1, Gang: true, Assigned: map[string]int32{}, Pods: []pieces{{"server", 2, "1", "a"}, {"worker", 4, "3", "a"}}},
		},
		"Two": {
			reason: "A slice has as many pods of each component, and members have as many slices as the binding says.", slices: "2",
			told: true, gate: true, clusters: pairs,
			want: want{Replicas: 2, Together: true, Assigned: map[string]int32{"idc-a": 1, "idc-b": 1}, Pods: []pieces{{"server", 1, "1", "a"}, {"worker", 2, "3", "a"}}},
		},
		"Uneven": {
			reason: "Slices are equal.", slices: "4", told: true, gate: true,
			want: want{Replicas: 1, Gang: true, Assigned: map[string]int32{}, Problem: "component server has 2 pods, which are no 4 equal slices"},
		},
		"NoNumber": {
			reason: "What cannot be understood is said.", slices: "two", told: true, gate: true,
			want: want{Replicas: 1, Gang: true, Assigned: map[string]int32{}, Problem: `annotation fleet.regionpool.io/slices is "two", which is no number of slices`},
		},
		"NotTold": {
			reason: "Karmada would send all of it to each member.", slices: "2", gate: true,
			want: want{Replicas: 1, Gang: true, Assigned: map[string]int32{}, Problem: "Job cannot be divided: no ResourceInterpreterCustomization in Karmada has replicaRevision for batch.volcano.sh/v1alpha1 Job"},
		},
		"NoGate": {
			reason: "So it would if it did not know that the kind has replicas.", slices: "2", told: true,
			want: want{Replicas: 1, Gang: true, Assigned: map[string]int32{}, Problem: "Job cannot be divided: does Karmada have the feature gate MultiplePodTemplatesScheduling?"},
		},
		"NotTheSameAnyMore": {
			reason: "What runs divided stays as it is when its declaration cannot be understood any more.", slices: "x", told: true, gate: true, clusters: pairs,
			want: want{Replicas: 1, Gang: true, Held: true, Assigned: map[string]int32{"idc-a": 1, "idc-b": 1}, Problem: `annotation fleet.regionpool.io/slices is "x", which is no number of slices`},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			u := volcanoJob(t, tc.slices)
			rb := resourceBinding()
			rb.Spec.Replicas, rb.Spec.Clusters = 0, tc.clusters
			rb.Spec.Resource.APIVersion, rb.Spec.Resource.Kind = u.GetAPIVersion(), u.GetKind()
			if tc.gate {
				rb.Spec.Components = []workv1alpha2.Component{{Name: "server", Replicas: 2}, {Name: "worker", Replicas: 4}}
			}
			scheme := runtime.NewScheme()
			if err := configv1alpha1.Install(scheme); err != nil {
				t.Fatal(err)
			}
			karmada := fake.NewClientBuilder().WithScheme(scheme).WithObjects(u)
			if tc.told {
				karmada.WithObjects(interpreter(t))
			}
			b := bindingOf(rb)
			ts := newTemplates(karmada.Build(), clocktesting.NewFakeClock(time.Now()))
			if err := ts.load(t.Context(), []binding{b}); err != nil {
				t.Fatal(err)
			}
			m := b.model(ts.get(b.id()), nil)
			got := want{Replicas: m.Replicas, Gang: m.Gang, Together: m.Together, Held: m.Held, Assigned: m.Assigned, Pods: piecesOf(m.Template), Problem: m.Problem}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("\nReason: %s\nmodel(...): -want, +got:\n%s", tc.reason, diff)
			}
			if m.Movable {
				t.Errorf("\nReason: what starts as a whole is not moved\nmodel(...): it is movable")
			}
		})
	}
}

// TestSlicesAreWritten: members are told their slices, which Karmada hands to its
// interpreter.
func TestSlicesAreWritten(t *testing.T) {
	rb := resourceBinding()
	rb.Spec.Replicas = 0
	got := bindingOf(rb).clusters(&scheduler.Binding{Together: true, Replicas: 3}, []scheduler.Target{{Member: "idc-a", Replicas: 2}, {Member: "idc-b", Replicas: 1}})
	if diff := cmp.Diff([]workv1alpha2.TargetCluster{{Name: "idc-a", Replicas: 2}, {Name: "idc-b", Replicas: 1}}, got); diff != "" {
		t.Errorf("\nReason: slices are replicas of the binding\nclusters(...): -want, +got:\n%s", diff)
	}
}

// TestFleetRoundOfSlices: a gang that no member has room for is written over two, and
// a fleet that was started anew changes nothing.
func TestFleetRoundOfSlices(t *testing.T) {
	plan := capacityPlan()
	plan.Spec.Members = []fleetv1alpha1.PlanMember{{Name: "idc-a"}, {Name: "idc-b"}}
	plan.Spec.Offerings = nil
	rb := resourceBinding()
	rb.Spec.Replicas, rb.Spec.Components = 0, []workv1alpha2.Component{{Name: "server", Replicas: 2}, {Name: "worker", Replicas: 4}}
	rb.Spec.Resource.APIVersion, rb.Spec.Resource.Kind = "batch.volcano.sh/v1alpha1", "Job"
	rb.Spec.Placement = nil
	n := idcNode()
	n.Labels = map[string]string{"zone": "a"}
	told := interpreter(t)
	u := &unstructured.Unstructured{}
	var err error
	if u.Object, err = runtime.DefaultUnstructuredConverter.ToUnstructured(told); err != nil {
		t.Fatal(err)
	}
	f, writes := newFleet(t, []client.Object{plan, karmadaCluster("idc-a"), karmadaCluster("idc-b"), volcanoJob(t, "2"), rb, u}, n)
	addMember(t, f, "idc-b", n.DeepCopy())
	for _, when := range []string{"at first", "after a restart"} {
		// What a fleet remembers besides what it wrote is forgotten.
		f.templates, f.bindings, f.readings = newTemplates(f.Live, f.Clock), newOverlay(), readings{}
		for range 2 {
			writes.Store(0)
			if _, err := f.Round(t.Context(), time.Now()); err != nil {
				t.Fatal(err)
			}
		}
		got := &workv1alpha2.ResourceBinding{}
		if err := f.Client.Get(t.Context(), client.ObjectKeyFromObject(rb), got); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]workv1alpha2.TargetCluster{{Name: "idc-a", Replicas: 1}, {Name: "idc-b", Replicas: 1}}, got.Spec.Clusters); diff != "" {
			t.Errorf("\nReason: each member has a slice, %s\nRound(...): -want, +got:\n%s", when, diff)
		}
		if writes.Load() != 0 {
			t.Errorf("\nReason: at rest nothing is written, %s\nRound(...): got %d writes", when, writes.Load())
		}
	}
}
