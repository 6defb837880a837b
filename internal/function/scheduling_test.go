package function

import (
	"testing"

	fnv1 "github.com/crossplane/function-sdk-go/proto/v1"
)

func TestSchedulerConfigurationTravels(t *testing.T) {
	const member = "{name: idc-a, kubeconfigSecretRef: {name: idc-a}"
	claim := object(testClaim, member, member+", schedulerConfiguration: 'kind: KubeSchedulerConfiguration'")
	rsp := run(t, &fnv1.RunFunctionRequest{Observed: &fnv1.State{Composite: claim}})
	got := rsp.GetDesired().GetResources()["member-idc-a"].GetResource().GetFields()["spec"].GetStructValue().GetFields()["forProvider"].GetStructValue().GetFields()["schedulerConfiguration"].GetStringValue()
	if want := "kind: KubeSchedulerConfiguration"; got != want {
		t.Errorf("\nReason: What the claim says of a cluster's scheduler is in its Member.\nRunFunction(...): want %q, got %q", want, got)
	}
}
