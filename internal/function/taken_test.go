package function

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	fnv1 "github.com/crossplane/function-sdk-go/proto/v1"
)

// reservationOfOther is what another claim has reserved for a pool, with a cluster
// that it brings.
func reservationOfOther(pool, member string) *fnv1.Resource {
	return ofBurst(observedResource("federation.regionpool.io/v1alpha1", "CapacityReservation", "sale",
		`{forProvider: {pool: `+pool+`, members: [{name: `+member+`, elastic: true}], offerings: [{name: `+member+`-general, member: `+member+`}]}}`, `{}`))
}

// TestPoolTakesNameOfBurst: a pool is edited to name a cluster like one that a
// Burst has brought.
func TestPoolTakesNameOfBurst(t *testing.T) {
	const (
		fatal = `cannot compose the claim: nothing is changed until this is mended: ` +
			`[spec.elastic[0].name: Invalid value: "ack": is also the name of a cluster of CapacityReservation "sale": rename one, ` +
			`spec.elastic[0].nodePools[0].name: Invalid value: "general": makes the offering "ack-general", as does a cluster of CapacityReservation "sale": rename one]`
		self = `cannot compose the claim: nothing is changed until this is mended: ` +
			`spec.selfBuilt[0].name: Invalid value: "idc-a": is also the name of a cluster of CapacityReservation "sale": rename one`
	)
	plan := func(spec string) map[string]*fnv1.Resource {
		return map[string]*fnv1.Resource{"capacity-plan": observedResource("federation.regionpool.io/v1alpha1", "CapacityPlan", "shanghai", `{forProvider: `+spec+`}`,
			`{`+conditionsReady+`, atProvider: {phase: Home, members: [{name: ack, wanted: true, reason: demand}]}}`)}
	}
	cases := map[string]struct {
		reason   string
		other    *fnv1.Resource
		observed map[string]*fnv1.Resource
		fatal    string
	}{
		"Edited":    {reason: "The name is taken: the field is told, and nothing is composed.", other: reservationOfOther("platform-shanghai", "ack"), observed: plan(`{members: [{name: idc-a}]}`), fatal: fatal},
		"New":       {reason: "Also by a pool that is new.", other: reservationOfOther("platform-shanghai", "ack"), fatal: fatal},
		"SelfBuilt": {reason: "And by a self-built cluster.", other: reservationOfOther("platform-shanghai", "idc-a"), fatal: self},
		"First":     {reason: "What the pool had before stays.", other: reservationOfOther("platform-shanghai", "ack"), observed: plan(`{members: [{name: idc-a}, {name: ack, elastic: true}], offerings: [{name: ack-general, member: ack, max: 50}]}`)},
		"OtherPool": {reason: "A Burst on another pool has names of its own.", other: reservationOfOther("platform-beijing", "ack")},
		"OtherName": {reason: "Another name is no matter.", other: reservationOfOther("platform-shanghai", "ack2")},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			rsp := run(t, &fnv1.RunFunctionRequest{
				Observed:          &fnv1.State{Composite: object(testClaim), Resources: tc.observed},
				RequiredResources: map[string]*fnv1.Resources{requireReservations: {Items: []*fnv1.Resource{tc.other}}, requireMembers: {}, requireNodePools: {}},
			})
			got := tell(rsp, conditionOfferingsValid)
			if diff := cmp.Diff(tc.fatal, got.Fatal); diff != "" {
				t.Errorf("\nReason: %s\n-want, +got:\n%s", tc.reason, diff)
			}
			told := len(got.Conditions) == 1 && got.Conditions[0] != "OfferingsValid=TRUE/Valid"
			if composed := slices.Contains(got.Composed, "capacity-plan"); composed != (tc.fatal == "") || told != (tc.fatal != "") {
				t.Errorf("\nReason: %s\ncomposed %v, told %v", tc.reason, got.Composed, got.Conditions)
			}
		})
	}
	t.Run("Unresolved", func(t *testing.T) {
		rsp := run(t, &fnv1.RunFunctionRequest{Observed: &fnv1.State{Composite: object(testClaim)}})
		if _, ok := rsp.GetRequirements().GetResources()[requireReservations]; !ok || tell(rsp).Fatal != "" {
			t.Errorf("\nReason: core is asked first\nRunFunction(...): %v", rsp.GetRequirements())
		}
	})
}

// TestBurstOutlivesEditOfPool: the pool is told, and the Burst goes on.
func TestBurstOutlivesEditOfPool(t *testing.T) {
	const status = `{phase: Bursting, members: [{name: tke, wanted: true, reason: it is kept warm}]}`
	taken := observedResource("federation.regionpool.io/v1alpha1", "CapacityPlan", "shanghai", `{forProvider: {members: [{name: idc-a}, {name: tke}]}}`, `{`+conditionsReady+`, atProvider: `+status+`}`)
	cases := map[string]struct {
		reason   string
		observed map[string]*fnv1.Resource
		plan     *fnv1.Resource
		fails    bool
	}{
		"Running": {reason: "A cluster that exists stays, and can end.", observed: rentedByBurst(`{phase: Filled}`), plan: observedPlan(status)},
		"Second":  {reason: "One that does not exist needs another name.", plan: observedPlan(status), fails: true},
		"Taken":   {reason: "So does one whose name the pool has told the fleet.", observed: rentedByBurst(`{phase: Filled}`), plan: taken, fails: true},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			rsp := run(t, &fnv1.RunFunctionRequest{
				Observed:          &fnv1.State{Composite: object(testBurstElastic), Resources: tc.observed},
				RequiredResources: required(object(testClaimTKE, "vpcId: vpc-1", "vpcId: vpc-2"), tc.plan),
			})
			if got := tell(rsp); (got.Fatal != "") != tc.fails || !tc.fails && len(got.Composed) != 5 {
				t.Errorf("\nReason: %s\nRunFunction(...): composed %v: %s", tc.reason, got.Composed, got.Fatal)
			}
		})
	}
}
