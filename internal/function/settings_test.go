package function

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	fnv1 "github.com/crossplane/function-sdk-go/proto/v1"
)

func TestPlacementWeightsTravel(t *testing.T) {
	claim := object(testClaim, "  workloads:", "  placementWeights: {hole: 500000, spread: 0}\n  workloads:")
	rsp := run(t, &fnv1.RunFunctionRequest{Observed: &fnv1.State{Composite: claim}})
	var got map[string]any
	for _, r := range rsp.GetDesired().GetResources() {
		if f := r.GetResource().GetFields(); f["kind"].GetStringValue() == "CapacityPlan" {
			got = f["spec"].GetStructValue().GetFields()["forProvider"].GetStructValue().GetFields()["placementWeights"].GetStructValue().AsMap()
		}
	}
	if diff := cmp.Diff(map[string]any{"hole": 500000., "spread": 0.}, got); diff != "" {
		t.Errorf("\nReason: Weights of the claim are in its plan, also those that are 0.\nRunFunction(...): -want, +got:\n%s", diff)
	}
}

func TestOutageTravels(t *testing.T) {
	claim := object(testClaim, "  workloads:", "  outage: {replaceAfter: 10m0s}\n  workloads:")
	rsp := run(t, &fnv1.RunFunctionRequest{Observed: &fnv1.State{Composite: claim}})
	got := ""
	for _, r := range rsp.GetDesired().GetResources() {
		if f := r.GetResource().GetFields(); f["kind"].GetStringValue() == "CapacityPlan" {
			got = f["spec"].GetStructValue().GetFields()["forProvider"].GetStructValue().GetFields()["outage"].GetStructValue().GetFields()["replaceAfter"].GetStringValue()
		}
	}
	if want := "10m0s"; got != want {
		t.Errorf("\nReason: What the claim says of silent clusters is in its plan.\nRunFunction(...): want %q, got %q", want, got)
	}
}
