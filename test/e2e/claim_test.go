package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	fleetv1alpha1 "regionpool.io/provider-regionpool/apis/fleet/v1alpha1"
	platformv1alpha1 "regionpool.io/provider-regionpool/apis/platform/v1alpha1"
)

// TestClaimDeletedWhileCreating deletes the claim right after a cluster was
// ordered. The cluster that nobody wants any more must not be left behind.
func TestClaimDeletedWhileCreating(t *testing.T) {
	p := newPool(t, "hasty")
	p.home()
	p.scale("web", burst)
	p.called(createCluster)
	s, err := env.cloud.State(t.Context())
	if err != nil {
		t.Fatalf("cannot read the cloud's state: %v", err)
	}
	for _, c := range s.Clusters {
		if c.State == "running" {
			t.Fatalf("cluster %s is running already: the moment was missed", c.ID)
		}
	}
	p.scale("web", homeCPU)
	if err := p.delete(t.Context()); err != nil {
		t.Fatalf("cannot delete the claim: %v", err)
	}
	p.eventually(awayTime, "the claim to go", func(ctx context.Context) error { return p.gone(ctx, time.Second) })
	p.away(awayTime)
	p.runs(soon, "web", homeCPU, 0)
}

// TestClaimEditedDuringBurst lowers and raises a limit while the cloud is being
// called. The limit holds at every moment, and more is ordered once it allows.
func TestClaimEditedDuringBurst(t *testing.T) {
	p := newPool(t, "edited")
	p.home()
	p.scale("web", burst)
	p.called(createCluster)
	p.edit(func(c *platformv1alpha1.RegionPool) { c.Spec.Limits.Nodes = ptr.To(int32(1)) })
	p.eventually(burstTime, "what one node holds to run", func(context.Context) error {
		if w := p.seen("web"); w.Own != homeCPU || w.Cloud == 0 {
			return fmt.Errorf("%d run at home and %d in the cloud", w.Own, w.Cloud)
		}
		return nil
	})
	p.phase(soon, fleetv1alpha1.PhaseCapped)
	p.eventually(soon, "the claim to name the limit", func(ctx context.Context) error {
		return p.claimSays(ctx, fleetv1alpha1.ConditionCapacitySufficient, "nodes")
	})
	p.consistently(3*time.Second, "the limit holds", func(context.Context) error {
		if n := env.observer.State().Nodes.Cloud; n > 1 {
			return fmt.Errorf("there are %d nodes", n)
		}
		return nil
	})

	p.edit(func(c *platformv1alpha1.RegionPool) { c.Spec.Limits.Nodes = ptr.To(int32(4)) })
	p.runs(burstTime, "web", homeCPU, burstAway)
	p.scale("web", normal)
	p.runs(soon, "web", normal, 0)
}

// TestTwoClaimsOneMember has a second claim name a member of the first. The
// second is told; the first keeps its member, also when the second is deleted.
func TestTwoClaimsOneMember(t *testing.T) {
	first := newPool(t, "first")
	first.home()
	owner := func(ctx context.Context) error {
		for _, m := range memberNames {
			c, err := karmadaCluster(ctx, m)
			if err != nil {
				return err
			}
			if c == nil {
				return fmt.Errorf("%s has left the federation", m)
			}
			if got, want := c.GetLabels()[fleetv1alpha1.LabelPool], first.claim.Namespace+"-first"; got != want {
				return fmt.Errorf("%s belongs to %q, not to %q", m, got, want)
			}
		}
		return first.claimReady(ctx)
	}

	second := newPool(t, "second", func(c *platformv1alpha1.RegionPool) {
		c.Spec.SelfBuilt = c.Spec.SelfBuilt[:1]
		c.Spec.Elastic = nil
	})
	second.apply()
	second.eventually(joinTime, "the second claim to be told", func(ctx context.Context) error {
		return second.claimSays(ctx, "MembersJoined", "spec.selfBuilt[0]", memberNames[0])
	})
	second.consistently(3*time.Second, "the first claim keeps its members", owner)

	if err := second.delete(t.Context()); err != nil {
		t.Fatalf("cannot delete the second claim: %v", err)
	}
	second.eventually(joinTime, "the second claim to go", func(ctx context.Context) error { return second.gone(ctx, time.Second) })
	second.consistently(3*time.Second, "the first claim keeps its members", owner)
	first.runs(soon, "web", normal, 0)
}

// gitOps is the field owner of a GitOps tool.
const gitOps = "argocd-controller"

// TestGitOps applies the claim as a GitOps tool does, twice, around a whole
// burst. Nobody else may write to its spec, or the tool would fight for it.
func TestGitOps(t *testing.T) {
	p := newPool(t, "gitops")
	desired, err := manifest(p.claim)
	if err != nil {
		t.Fatalf("cannot convert the claim: %v", err)
	}
	sync := func() *unstructured.Unstructured {
		t.Helper()
		u := desired.DeepCopy()
		//lint:ignore SA1019 There is no typed apply configuration.
		if err := env.host.Patch(t.Context(), u, client.Apply, client.FieldOwner(gitOps)); err != nil {
			t.Fatalf("cannot apply the claim without force: %v", err)
		}
		return u
	}

	before := sync()
	p.eventually(joinTime, "the claim to be Ready", p.claimReady)
	p.deploy("web", normal)
	p.runs(soon, "web", normal, 0)
	p.scale("web", burst)
	p.runs(burstTime, "web", homeCPU, burstAway)
	after := sync()

	if diff := cmp.Diff(specOf(before), specOf(after)); diff != "" {
		t.Errorf("the claim's spec was changed: -before, +after:\n%s", diff)
	}
	for _, entry := range after.GetManagedFields() {
		if entry.Manager == gitOps || entry.FieldsV1 == nil {
			continue
		}
		fields := struct {
			Spec map[string]any `json:"f:spec"`
		}{}
		if err := json.Unmarshal(entry.FieldsV1.Raw, &fields); err != nil {
			t.Fatalf("cannot decode managed fields: %v", err)
		}
		for f := range fields.Spec {
			if f != "f:crossplane" {
				t.Errorf("%s owns %s of the spec", entry.Manager, f)
			}
		}
	}

	p.scale("web", normal)
	p.runs(soon, "web", normal, 0)
}

// specOf is what the claim's author writes: spec.crossplane belongs to
// Crossplane core in every composite resource.
func specOf(u *unstructured.Unstructured) map[string]any {
	spec, _, _ := unstructured.NestedMap(u.Object, "spec")
	delete(spec, "crossplane")
	return spec
}

// manifest is the claim as it would be in a repository, without what the zero
// values of Go add.
func manifest(c *platformv1alpha1.RegionPool) (*unstructured.Unstructured, error) {
	m, err := runtime.DefaultUnstructuredConverter.ToUnstructured(c)
	if err != nil {
		return nil, err
	}
	u := &unstructured.Unstructured{Object: m}
	unstructured.RemoveNestedField(u.Object, "status")
	unstructured.RemoveNestedField(u.Object, "metadata", "creationTimestamp")
	return u, nil
}

// TestMemberUnreachable freezes the API server of a self-built member. What it
// last ran is taken to run on: nothing is bought in its place and nothing moves.
func TestMemberUnreachable(t *testing.T) {
	p := newPool(t, "silent")
	p.home()
	p.scale("web", burst)
	p.runs(burstTime, "web", homeCPU, burstAway)

	server := env.stack.Process(memberNames[0] + "-kube-apiserver")
	if server == nil {
		t.Fatalf("there is no API server of %s", memberNames[0])
	}
	if err := server.Pause(); err != nil {
		t.Fatalf("cannot freeze it: %v", err)
	}
	resumed := false
	resume := func() {
		if resumed {
			return
		}
		resumed = true
		if err := server.Resume(); err != nil {
			t.Errorf("cannot thaw it: %v", err)
		}
	}
	t.Cleanup(resume)

	p.consistently(20*time.Second, "nothing is moved or bought because a member is silent", func(context.Context) error {
		if w := p.seen("web"); w.Own != homeCPU || w.Cloud != burstAway {
			return fmt.Errorf("%d run at home and %d in the cloud", w.Own, w.Cloud)
		}
		return nil
	})
	// New demand is met elsewhere, and counts what the silent member runs.
	p.scale("web", burst+2)
	p.runs(burstTime, "web", homeCPU, burstAway+2)

	resume()
	p.eventually(joinTime, "the claim to be Ready", p.claimReady)
	p.runs(soon, "web", homeCPU, burstAway+2)
	p.scale("web", normal)
	p.runs(joinTime, "web", normal, 0)
	p.away(awayTime)
}
