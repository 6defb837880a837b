package function

import (
	"context"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
	"sigs.k8s.io/yaml"

	"github.com/crossplane/function-sdk-go/logging"
	fnv1 "github.com/crossplane/function-sdk-go/proto/v1"
	"github.com/crossplane/function-sdk-go/resource"
)

const testClaim = `
apiVersion: platform.regionpool.io/v1alpha1
kind: RegionPool
metadata: {name: shanghai, namespace: platform, uid: claim-uid}
spec:
  federation: {providerConfigRef: {name: karmada}}
  selfBuilt:
  - {name: idc-a, kubeconfigSecretRef: {name: idc-a}}
  elastic:
  - name: ack
    providerConfigRef: {name: aliyun}
    ack: {region: cn-shanghai, vpcId: vpc-1, vSwitchIds: [vsw-1]}
    nodePools: [{name: general, instanceTypes: [ecs.g7.4xlarge], max: 50}]
  workloads: {matchLabels: {regionpool.io/pool: shanghai}}
`

// object reads YAML, with changes to it: pairs of old and new text.
func object(y string, replace ...string) *fnv1.Resource {
	y = strings.NewReplacer(replace...).Replace(y)
	j, err := yaml.YAMLToJSON([]byte(y))
	if err != nil {
		panic(err)
	}
	return &fnv1.Resource{Resource: resource.MustStructJSON(string(j))}
}

// observedResource is something of the claim that is Synced and Ready.
func observedResource(apiVersion, kind, name, spec, status string) *fnv1.Resource {
	return object(`
apiVersion: ` + apiVersion + `
kind: ` + kind + `
metadata:
  name: ` + name + `
  namespace: platform
  generation: 3
  annotations: {crossplane.io/external-name: ` + strings.TrimPrefix(name, "shanghai-") + `}
  ownerReferences: [{apiVersion: platform.regionpool.io/v1alpha1, kind: RegionPool, name: shanghai, uid: claim-uid, controller: true}]
spec: ` + spec + `
status: ` + status)
}

const conditionsReady = `conditions: [{type: Synced, status: "True", observedGeneration: 3}, {type: Ready, status: "True"}]`

func observedPlan(atProvider string) *fnv1.Resource {
	return observedResource("federation.regionpool.io/v1alpha1", "CapacityPlan", "shanghai", `{forProvider: {members: [{name: idc-a}]}}`,
		`{`+conditionsReady+`, atProvider: `+atProvider+`}`)
}

func observedMember(name, spec string) *fnv1.Resource {
	return observedResource("federation.regionpool.io/v1alpha1", "Member", "shanghai-"+name, `{forProvider: `+spec+`}`, `{`+conditionsReady+`}`)
}

// rented is an elastic cluster that exists.
func rented() map[string]*fnv1.Resource {
	return map[string]*fnv1.Resource{
		"cluster-ack":          observedResource("ack.regionpool.io/v1alpha1", "Cluster", "shanghai-ack", `{}`, `{`+conditionsReady+`}`),
		"nodepool-ack-general": observedResource("ack.regionpool.io/v1alpha1", "NodePool", "shanghai-ack-general", `{}`, `{`+conditionsReady+`}`),
		"member-ack":           observedMember("ack", `{tier: Elastic, onLeave: Drain}`),
	}
}

func with(m map[string]*fnv1.Resource, name string, r *fnv1.Resource) map[string]*fnv1.Resource {
	if m == nil {
		m = map[string]*fnv1.Resource{}
	}
	m[name] = r
	return m
}

func run(t *testing.T, req *fnv1.RunFunctionRequest) *fnv1.RunFunctionResponse {
	t.Helper()
	rsp, err := New(logging.NewNopLogger()).RunFunction(context.Background(), req)
	if err != nil {
		t.Fatalf("RunFunction(...): %v", err)
	}
	return rsp
}

func TestFatal(t *testing.T) {
	kept := &fnv1.State{Resources: map[string]*fnv1.Resource{"other": {Resource: resource.MustStructJSON(`{"kind":"Other"}`)}}}
	longName := strings.Repeat("a", 55)

	cases := map[string]struct {
		reason string
		req    *fnv1.RunFunctionRequest
		want   string
	}{
		"NoComposite": {
			reason: "Without the claim there is nothing to go by.",
			req:    &fnv1.RunFunctionRequest{},
			want:   "no observed composite resource",
		},
		"NoNamespace": {
			reason: "A claim is namespaced.",
			req:    &fnv1.RunFunctionRequest{Observed: &fnv1.State{Composite: object(testClaim, "namespace: platform, ", "")}},
			want:   "no name or no namespace",
		},
		"UnknownKind": {
			reason: "Other kinds are refused.",
			req:    &fnv1.RunFunctionRequest{Observed: &fnv1.State{Composite: object(testClaim, "kind: RegionPool", "kind: Unknown")}},
			want:   `knows no such kind`,
		},
		"NoParse": {
			reason: "A spec of another shape is refused.",
			req:    &fnv1.RunFunctionRequest{Observed: &fnv1.State{Composite: object(testClaim, "max: 50", "max: many")}},
			want:   "cannot parse the claim",
		},
		"BadDuration": {
			reason: "The schema does not know what a duration is.",
			req:    &fnv1.RunFunctionRequest{Observed: &fnv1.State{Composite: object(testClaim, "  workloads:", "  scaleDown: {nodeIdle: soon}\n  workloads:")}},
			want:   "cannot parse the claim",
		},
		"BadObserved": {
			reason: "A plan that cannot be read might say anything.",
			req: &fnv1.RunFunctionRequest{Observed: &fnv1.State{
				Composite: object(testClaim),
				Resources: with(rented(), "capacity-plan", observedPlan(`{members: none}`)),
			}},
			want: `cannot parse observed resource "capacity-plan"`,
		},
		"UnknownInstanceType": {
			reason: "The message names the field and the mend.",
			req: &fnv1.RunFunctionRequest{Observed: &fnv1.State{
				Composite: object(testClaim, "ecs.g7.4xlarge", "ecs.g7.4xlarge, ecs.nonsense"),
				Resources: rented(),
			}},
			want: `spec.elastic[0].nodePools[0].instanceTypes[1]: Invalid value: "ecs.nonsense": unknown instance type: mend the name, or set cpu and memory in spec.elastic[0].nodePools[0].capacity`,
		},
		"BadPrice": {
			reason: "A price must be above 0.",
			req:    &fnv1.RunFunctionRequest{Observed: &fnv1.State{Composite: object(testClaim, "max: 50", "max: 50, hourlyPrice: -5")}},
			want:   `spec.elastic[0].nodePools[0].hourlyPrice: Invalid value: "-5": must be above 0`,
		},
		"PoolNameTooLong": {
			reason: "Namespace and name together are the value of a label.",
			req:    &fnv1.RunFunctionRequest{Observed: &fnv1.State{Composite: object(testClaim, "name: shanghai, namespace", "name: "+longName+", namespace")}},
			want:   "metadata.name: Invalid value",
		},
		"SameName": {
			reason: "Members share one list of names.",
			req:    &fnv1.RunFunctionRequest{Observed: &fnv1.State{Composite: object(testClaim, "name: ack\n", "name: idc-a\n")}},
			want:   "spec.elastic[0].name: Invalid value: \"idc-a\": is also the name of spec.selfBuilt[0].name",
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			tc.req.Desired = kept
			rsp := run(t, tc.req)
			if len(rsp.GetResults()) != 1 || rsp.GetResults()[0].GetSeverity() != fnv1.Severity_SEVERITY_FATAL {
				t.Fatalf("\nReason: %s\nRunFunction(...): want one FATAL result, got %v", tc.reason, rsp.GetResults())
			}
			if got := rsp.GetResults()[0].GetMessage(); !strings.Contains(got, tc.want) {
				t.Errorf("\nReason: %s\nRunFunction(...): want a message with %q, got %q", tc.reason, tc.want, got)
			}
			if diff := cmp.Diff(kept, rsp.GetDesired(), protocmp.Transform()); diff != "" {
				t.Errorf("\nReason: %s\nRunFunction(...): -want desired, +got:\n%s", tc.reason, diff)
			}
		})
	}
}

// base is what is composed whatever happens.
var base = []string{"capacity-plan", "member-idc-a", "placement-policy"}

// all is base and the elastic cluster.
var all = []string{"capacity-plan", "cluster-ack", "member-ack", "member-idc-a", "nodepool-ack-general", "placement-policy"}

func TestElastic(t *testing.T) {
	const (
		wanted   = `{phase: Bursting, members: [{name: ack, wanted: true, reason: 5 replicas wait}], offerings: [{name: ack-general, nodes: 1}]}`
		unwanted = `{phase: Home, members: [{name: ack, wanted: false, reason: empty for 1h}], offerings: [{name: ack-general, nodes: 0}]}`
	)
	type want struct {
		composed []string
		events   []string
	}
	cases := map[string]struct {
		reason   string
		claim    *fnv1.Resource
		observed map[string]*fnv1.Resource
		want     want
	}{
		"Fresh": {
			reason: "Nothing is rented before the fleet asks for it.",
			claim:  object(testClaim),
			want:   want{composed: base},
		},
		"Warm": {
			reason: "A warm cluster does not wait for the fleet.",
			claim:  object(testClaim, "name: ack\n", "name: ack\n    warm: true\n"),
			want:   want{composed: all, events: []string{"Renting: Renting ack: the claim keeps it warm"}},
		},
		"Min": {
			reason: "Nor does one with a minimum.",
			claim:  object(testClaim, "max: 50", "max: 50, min: 2"),
			want:   want{composed: all, events: []string{"Renting: Renting ack: node pool general has min 2"}},
		},
		"Wanted": {
			reason:   "The fleet asks for it.",
			claim:    object(testClaim),
			observed: with(nil, "capacity-plan", observedPlan(wanted)),
			want:     want{composed: all, events: []string{"Renting: Renting ack: 5 replicas wait"}},
		},
		"Unwanted": {
			reason:   "The fleet does not ask for it.",
			claim:    object(testClaim),
			observed: with(nil, "capacity-plan", observedPlan(unwanted)),
			want:     want{composed: base},
		},
		"Running": {
			reason:   "What exists and is wanted stays, silently.",
			claim:    object(testClaim),
			observed: with(rented(), "capacity-plan", observedPlan(wanted)),
			want:     want{composed: all},
		},
		"Released": {
			reason:   "The fleet says plainly that it is not wanted.",
			claim:    object(testClaim),
			observed: with(rented(), "capacity-plan", observedPlan(unwanted)),
			want:     want{composed: base, events: []string{"Releasing: Releasing ack: empty for 1h"}},
		},
		"PartlyObserved": {
			reason:   "Any part of it counts as existing.",
			claim:    object(testClaim),
			observed: map[string]*fnv1.Resource{"nodepool-ack-general": rented()["nodepool-ack-general"]},
			want:     want{composed: all},
		},
		"NoPlan": {
			reason:   "Silence is no order to release.",
			claim:    object(testClaim),
			observed: rented(),
			want:     want{composed: all},
		},
		"NoStatus": {
			reason:   "Nor is a plan without a status.",
			claim:    object(testClaim),
			observed: with(rented(), "capacity-plan", observedPlan(`{}`)),
			want:     want{composed: all},
		},
		"NotSynced": {
			reason: "Nor is a status that may be old: the provider cannot reach the workload plane.",
			claim:  object(testClaim),
			observed: with(rented(), "capacity-plan", observedResource("federation.regionpool.io/v1alpha1", "CapacityPlan", "shanghai", `{forProvider: {members: []}}`,
				`{conditions: [{type: Synced, status: "False"}], atProvider: `+unwanted+`}`)),
			want: want{composed: all},
		},
		"OldGeneration": {
			reason: "Nor is one of an earlier spec.",
			claim:  object(testClaim),
			observed: with(rented(), "capacity-plan", observedResource("federation.regionpool.io/v1alpha1", "CapacityPlan", "shanghai", `{forProvider: {members: []}}`,
				`{conditions: [{type: Synced, status: "True", observedGeneration: 2}], atProvider: `+unwanted+`}`)),
			want: want{composed: all},
		},
		"Contradiction": {
			reason:   "Nor is one that wants nodes of it.",
			claim:    object(testClaim),
			observed: with(rented(), "capacity-plan", observedPlan(`{members: [{name: ack, wanted: false}], offerings: [{name: ack-general, nodes: 1}]}`)),
			want:     want{composed: all},
		},
		"NodePoolRemoved": {
			reason:   "A node pool that the claim no longer names goes alone.",
			claim:    object(testClaim, "name: general", "name: other"),
			observed: with(rented(), "capacity-plan", observedPlan(wanted)),
			want: want{
				composed: []string{"capacity-plan", "cluster-ack", "member-ack", "member-idc-a", "nodepool-ack-other", "placement-policy"},
				events:   []string{"Removing: Removing NodePool shanghai-ack-general: the claim no longer names it"},
			},
		},
		"SelfBuiltTold": {
			reason:   "A self-built member that the claim no longer names is told to drain.",
			claim:    object(testClaim),
			observed: map[string]*fnv1.Resource{"member-idc-z": observedMember("idc-z", `{tier: SelfBuilt, onLeave: Retain, kubeconfigSecretRef: {name: z}}`)},
			want:     want{composed: []string{"capacity-plan", "member-idc-a", "member-idc-z", "placement-policy"}},
		},
		"SelfBuiltDropped": {
			reason:   "Once it was told it is dropped.",
			claim:    object(testClaim),
			observed: map[string]*fnv1.Resource{"member-idc-z": observedMember("idc-z", `{tier: SelfBuilt, onLeave: Drain, kubeconfigSecretRef: {name: z}}`)},
			want:     want{composed: base, events: []string{"Removing: Removing Member shanghai-idc-z: the claim no longer names it"}},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			req := &fnv1.RunFunctionRequest{
				Observed: &fnv1.State{Composite: tc.claim, Resources: tc.observed},
				Desired:  &fnv1.State{Resources: map[string]*fnv1.Resource{"earlier-step": {Resource: resource.MustStructJSON(`{"apiVersion":"v1","kind":"Secret"}`)}}},
			}
			again, _ := proto.Clone(req).(*fnv1.RunFunctionRequest)
			rsp := run(t, req)

			got := want{composed: slices.DeleteFunc(sortedKeys(rsp.GetDesired().GetResources()), func(n string) bool { return n == "earlier-step" })}
			for _, r := range rsp.GetResults() {
				got.events = append(got.events, r.GetReason()+": "+r.GetMessage())
			}
			if diff := cmp.Diff(tc.want, got, cmp.AllowUnexported(want{})); diff != "" {
				t.Errorf("\nReason: %s\nRunFunction(...): -want, +got:\n%s", tc.reason, diff)
			}
			if _, ok := rsp.GetDesired().GetResources()["earlier-step"]; !ok {
				t.Errorf("\nReason: %s\nRunFunction(...): dropped what an earlier step desired", tc.reason)
			}
			if _, ok := rsp.GetDesired().GetComposite().GetResource().GetFields()["spec"]; ok {
				t.Errorf("\nReason: %s\nRunFunction(...): wrote the claim's spec", tc.reason)
			}
			if !slices.Equal(deterministic(t, rsp), deterministic(t, run(t, again))) {
				t.Errorf("\nReason: %s\nRunFunction(...): the same input gave another answer", tc.reason)
			}
		})
	}
}

const testClaimTKE = `
apiVersion: platform.regionpool.io/v1alpha1
kind: RegionPool
metadata: {name: shanghai, namespace: platform, uid: claim-uid}
spec:
  federation: {providerConfigRef: {name: karmada}}
  selfBuilt:
  - {name: idc-a, kubeconfigSecretRef: {name: idc-a}}
  elastic:
  - name: tke
    warm: true
    providerConfigRef: {name: tencent}
    tke: {region: ap-guangzhou, vpcId: vpc-1, subnetIds: [subnet-1]}
    nodePools: [{name: general, instanceTypes: [S5.4XLARGE64], max: 50}]
    virtualNodes: {maxPods: 100}
  workloads: {matchLabels: {regionpool.io/pool: shanghai}}
`

func TestStock(t *testing.T) {
	short := rented()
	short["nodepool-ack-general"] = observedResource("ack.regionpool.io/v1alpha1", "NodePool", "shanghai-ack-general", `{}`,
		`{conditions: [{type: CapacityAvailable, status: "False", reason: OutOfStock, message: "ecs.g7.4xlarge in cn-shanghai-b"}]}`)
	plan := observedResource("federation.regionpool.io/v1alpha1", "CapacityPlan", "shanghai", `{forProvider: {members: []}}`,
		`{conditions: [{type: OfferingsAvailable, status: "False", message: "ack-general: OutOfStock of ecs.g7.4xlarge\nack-spot: no such zone\nPrices are of 2026-01-01 00:00 UTC"}]}`)
	partly := observedResource("federation.regionpool.io/v1alpha1", "CapacityPlan", "shanghai", `{forProvider: {members: []}}`,
		`{conditions: [{type: OfferingsAvailable, status: "True", message: "ack-general: cn-shanghai does not sell ecs.g7.huge: correct instanceTypes\nPrices are of 2026-01-01 00:00 UTC"}]}`)
	cases := map[string]struct {
		reason   string
		observed map[string]*fnv1.Resource
		want     string
	}{
		"Available": {reason: "Nothing is short.", observed: rented(), want: "CapacityAvailable=TRUE/Available"},
		"NodePool":  {reason: "A node pool says what is short.", observed: short, want: "CapacityAvailable=FALSE/Short: spec.elastic[0] (ack): NodePool shanghai-ack-general: ecs.g7.4xlarge in cn-shanghai-b"},
		"Plan":      {reason: "The plan knows of all offerings, and what it says of prices is no trouble.", observed: with(maps.Clone(short), "capacity-plan", plan), want: "CapacityAvailable=FALSE/Short: spec.elastic[0].nodePools[0] (ack-general): OutOfStock of ecs.g7.4xlarge; ack-spot: no such zone"},
		"Notes": {reason: "What is wrong with a part of an offering is told, although the rest can be had.", observed: with(rented(), "capacity-plan", partly),
			want: "CapacityAvailable=TRUE/Available: spec.elastic[0].nodePools[0] (ack-general): cn-shanghai does not sell ecs.g7.huge: correct instanceTypes"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			rsp := run(t, &fnv1.RunFunctionRequest{Observed: &fnv1.State{Composite: object(testClaim), Resources: tc.observed}})
			if diff := cmp.Diff([]string{tc.want}, tell(rsp, conditionCapacityAvailable).Conditions); diff != "" {
				t.Errorf("\nReason: %s\nRunFunction(...): -want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}

// TestTKE composes a cluster in TKE with all that belongs to it.
func TestTKE(t *testing.T) {
	rsp := run(t, &fnv1.RunFunctionRequest{Observed: &fnv1.State{Composite: object(testClaimTKE)}})
	want := []string{"capacity-plan", "member-idc-a", "member-tke", "placement-policy", "tke-cluster-tke", "tke-nodepool-tke-general", "tke-virtualnodepool-tke-virtual"}
	if diff := cmp.Diff(want, sortedKeys(rsp.GetDesired().GetResources())); diff != "" {
		t.Errorf("RunFunction(...): -want, +got:\n%s", diff)
	}
	for _, r := range []string{requireTKENodePools, requireVirtualNodePools} {
		if rsp.GetRequirements().GetResources()[r] == nil {
			t.Errorf("RunFunction(...): requirement %q is missing", r)
		}
	}
	if rsp.GetRequirements().GetResources()[requireNodePools] != nil {
		t.Errorf("RunFunction(...): requires the node pools of a cloud that is not used")
	}
	// A cluster that moves to the other cloud under its name is another resource:
	// core would forget the old one.
	rsp = run(t, &fnv1.RunFunctionRequest{Observed: &fnv1.State{Composite: object(testClaimTKE), Resources: map[string]*fnv1.Resource{"cluster-tke": rented()["cluster-ack"]}}})
	if _, ok := rsp.GetDesired().GetResources()["cluster-tke"]; ok {
		t.Errorf("RunFunction(...): the cluster of the other cloud is kept")
	}
}

func deterministic(t *testing.T, m proto.Message) []byte {
	t.Helper()
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestPhase(t *testing.T) {
	joined := observedMember("idc-a", `{tier: SelfBuilt}`)
	cases := map[string]struct {
		reason   string
		claim    *fnv1.Resource
		observed map[string]*fnv1.Resource
		want     string
	}{
		"New":       {reason: "A new pool is joining.", claim: object(testClaim), want: "Joining"},
		"NotJoined": {reason: "It joins until all are in, whatever the fleet says.", claim: object(testClaim), observed: with(nil, "capacity-plan", observedPlan(`{phase: Home}`)), want: "Joining"},
		"Silent":    {reason: "Then it waits for the fleet.", claim: object(testClaim), observed: with(nil, "member-idc-a", joined), want: "Planning"},
		"Fleet":     {reason: "Then the fleet says.", claim: object(testClaim), observed: with(with(nil, "member-idc-a", joined), "capacity-plan", observedPlan(`{phase: Spilled}`)), want: "Spilled"},
		"Lost":      {reason: "A member that is lost does not take it back.", claim: object(testClaim + "status: {phase: Home}\n"), observed: with(nil, "capacity-plan", observedPlan(`{phase: Bursting}`)), want: "Bursting"},
		"Overflow":  {reason: "Without fleet the mode is all there is to say.", claim: object(testClaim, "  workloads:", "  mode: Overflow\n  workloads:"), observed: with(nil, "member-idc-a", joined), want: "Overflow"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			rsp := run(t, &fnv1.RunFunctionRequest{Observed: &fnv1.State{Composite: tc.claim, Resources: tc.observed}})
			got := rsp.GetDesired().GetComposite().GetResource().GetFields()["status"].GetStructValue().GetFields()["phase"].GetStringValue()
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("\nReason: %s\nRunFunction(...): -want phase, +got:\n%s", tc.reason, diff)
			}
		})
	}
}
