package controller

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	workv1alpha2 "github.com/karmada-io/karmada/pkg/apis/work/v1alpha2"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"regionpool.io/provider-regionpool/internal/fleet/scheduler"
)

// TestCurrent: a decision about a binding is written over a status that is newer,
// but not over anything else.
func TestCurrent(t *testing.T) {
	cases := map[string]struct {
		reason string
		change func(*testing.T, client.Client, *workv1alpha2.ResourceBinding)
		want   error
		newer  bool
	}{
		"Same": {reason: "Nothing has changed.", change: func(*testing.T, client.Client, *workv1alpha2.ResourceBinding) {}},
		"Status": {reason: "Karmada wrote the status.", newer: true, change: func(t *testing.T, c client.Client, b *workv1alpha2.ResourceBinding) {
			b.Status.AggregatedStatus = []workv1alpha2.AggregatedStatusItem{{ClusterName: "idc-a"}}
			if err := c.Status().Update(t.Context(), b); err != nil {
				t.Fatal(err)
			}
		}},
		"Spec": {reason: "Another number is wanted.", want: errMoved, change: func(t *testing.T, c client.Client, b *workv1alpha2.ResourceBinding) {
			b.Spec.Replicas++
			b.Generation++
			if err := c.Update(t.Context(), b); err != nil {
				t.Fatal(err)
			}
		}},
		"Annotation": {reason: "It may belong to another pool now.", want: errMoved, change: func(t *testing.T, c client.Client, b *workv1alpha2.ResourceBinding) {
			b.Annotations = map[string]string{}
			if err := c.Update(t.Context(), b); err != nil {
				t.Fatal(err)
			}
		}},
		"Label": {reason: "Its policy was made anew.", want: errMoved, change: func(t *testing.T, c client.Client, b *workv1alpha2.ResourceBinding) {
			b.Labels = map[string]string{}
			if err := c.Update(t.Context(), b); err != nil {
				t.Fatal(err)
			}
		}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			f, _ := newFleet(t, []client.Object{resourceBinding()}, idcNode())
			rb := &workv1alpha2.ResourceBinding{}
			if err := f.Client.Get(t.Context(), client.ObjectKeyFromObject(resourceBinding()), rb); err != nil {
				t.Fatal(err)
			}
			decided := bindingOf(rb.DeepCopy())
			tc.change(t, f.Client, rb)
			got, err := f.current(t.Context(), decided)
			if !errors.Is(err, tc.want) {
				t.Fatalf("\nReason: %s\ncurrent(...): got error %v, want %v", tc.reason, err, tc.want)
			}
			if newer := got.GetResourceVersion() != decided.GetResourceVersion(); newer != tc.newer {
				t.Errorf("\nReason: %s\ncurrent(...): got newer %t, want %t", tc.reason, newer, tc.newer)
			}
		})
	}
	t.Run("Gone", func(t *testing.T) {
		f, _ := newFleet(t, nil, idcNode())
		if _, err := f.current(t.Context(), bindingOf(resourceBinding())); !apierrors.IsNotFound(err) {
			t.Errorf("\nReason: there is nothing to write to\ncurrent(...): got error %v", err)
		}
	})
}

// TestReadings: what is encoded in a binding is decoded once for each version.
func TestReadings(t *testing.T) {
	rs := readings{}
	steps := []struct {
		reason  string
		version string
		raw     string
		want    scheduler.State
	}{
		{reason: "At first it is read", version: "1", raw: `{"room":3}`, want: scheduler.State{Room: 3}},
		{reason: "The same version is not read again", version: "1", raw: `{"room":4}`, want: scheduler.State{Room: 3}},
		{reason: "The next one is", version: "2", raw: `{"room":5}`, want: scheduler.State{Room: 5}},
	}
	for _, s := range steps {
		rb := resourceBinding()
		rb.ResourceVersion, rb.Annotations[AnnotationPlacement] = s.version, s.raw
		if diff := cmp.Diff(s.want, rs.of(bindingOf(rb)).state()); diff != "" {
			t.Errorf("\nReason: %s\nof(...): -want, +got:\n%s", s.reason, diff)
		}
		if got := rs.of(bindingOf(rb)).copy().read; got != nil {
			t.Errorf("\nReason: a copy will be changed, and has to be read anew\ncopy(): got %v", got)
		}
	}
}

// TestRefusals: bindings alike share what refuses them, one that is being evicted
// has its own.
func TestRefusals(t *testing.T) {
	clusters := []*cluster{{Cluster: *karmadaCluster("idc-a"), exists: true}, {Cluster: *karmadaCluster("other"), exists: true}}
	alike := bindingOf(resourceBinding())
	elsewhere := bindingOf(resourceBinding())
	elsewhere.spec.Placement.ClusterAffinity.ClusterNames = []string{"other"}
	evicted := bindingOf(resourceBinding())
	evicted.spec.GracefulEvictionTasks = []workv1alpha2.GracefulEvictionTask{{FromCluster: "idc-a"}}
	rs := refusals{}
	unselected := "the placement does not select it"
	cases := []struct {
		reason string
		b      binding
		want   map[string]string
	}{
		{reason: "What its placement says", b: alike, want: map[string]string{"other": unselected}},
		{reason: "Another placement", b: elsewhere, want: map[string]string{"idc-a": unselected}},
		{reason: "One that is being evicted", b: evicted, want: map[string]string{"idc-a": "the workload is being evicted from it", "other": unselected}},
		{reason: "Not by what another one's eviction says", b: alike, want: map[string]string{"other": unselected}},
	}
	for _, tc := range cases {
		if diff := cmp.Diff(tc.want, rs.of(tc.b, clusters)); diff != "" {
			t.Errorf("\nReason: %s\nof(...): -want, +got:\n%s", tc.reason, diff)
		}
	}
}
