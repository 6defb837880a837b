package function

import (
	"testing"

	fnv1 "github.com/crossplane/function-sdk-go/proto/v1"
)

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
