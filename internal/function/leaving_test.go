package function

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/durationpb"

	fnv1 "github.com/crossplane/function-sdk-go/proto/v1"
	"github.com/crossplane/function-sdk-go/response"
)

func TestLeaving(t *testing.T) {
	plan := observedResource("federation.regionpool.io/v1alpha1", "CapacityPlan", "shanghai", `
  forProvider:
    members: [{name: idc-a}, {name: ack, tier: 1, elastic: true}, {name: old, tier: 2, elastic: true, warm: true}]
    offerings:
    - {name: ack-general, member: ack, allocatable: {cpu: "1"}, hourlyPrice: "1", max: 5}
    - {name: ack-gone, member: ack, allocatable: {cpu: "1"}, hourlyPrice: "1", min: 1, max: 5}
    - {name: old-a, member: old, allocatable: {cpu: "1"}, hourlyPrice: "1", max: 5}
`, `{`+conditionsReady+`, atProvider: {phase: Home}}`)
	foreign := observedMember("old", `{tier: Elastic}`)
	foreign.GetResource().GetFields()["metadata"].GetStructValue().GetFields()["ownerReferences"] =
		object(`{l: [{apiVersion: a/v1, kind: RegionPool, name: shanghai, uid: another, controller: true}]}`).GetResource().GetFields()["l"]

	type want struct {
		Members   []string
		Offerings []string
		Tiers     []string
		TTL       *durationpb.Duration
	}
	none := want{Members: []string{"idc-a", "ack"}, Offerings: []string{"ack-general/50"}, Tiers: []string{"self-built=idc-a", "ack=ack"}, TTL: durationpb.New(response.DefaultTTL)}
	unplanned := none
	unplanned.TTL = durationpb.New(unsettledTTL)
	cases := map[string]struct {
		reason   string
		observed map[string]*fnv1.Resource
		required map[string]*fnv1.Resources
		want     want
	}{
		"Nothing": {
			reason:   "Nothing is leaving.",
			observed: map[string]*fnv1.Resource{"capacity-plan": plan},
			required: map[string]*fnv1.Resources{requireMembers: {}, requireNodePools: {}},
			want:     none,
		},
		"NotPlanned": {
			reason:   "A claim without a plan is looked at again soon.",
			required: map[string]*fnv1.Resources{requireMembers: {}, requireNodePools: {}},
			want:     unplanned,
		},
		"Unresolved": {
			reason:   "Before core has answered, what the plan lists counts as existing.",
			observed: map[string]*fnv1.Resource{"capacity-plan": plan},
			want: want{
				Members:   []string{"idc-a", "ack", "old"},
				Offerings: []string{"ack-general/50", "ack-gone/0", "old-a/0"},
				Tiers:     []string{"self-built=idc-a", "ack=ack", "old=old"},
				TTL:       durationpb.New(unsettledTTL),
			},
		},
		"MemberLeaving": {
			reason:   "A member is listed while its Member exists, and its offerings with it.",
			observed: map[string]*fnv1.Resource{"capacity-plan": plan},
			required: map[string]*fnv1.Resources{
				requireMembers:   {Items: []*fnv1.Resource{observedMember("old", `{tier: Elastic}`), observedMember("ack", `{tier: Elastic}`)}},
				requireNodePools: {},
			},
			want: want{
				Members:   []string{"idc-a", "ack", "old"},
				Offerings: []string{"ack-general/50", "old-a/0"},
				Tiers:     []string{"self-built=idc-a", "ack=ack", "old=old"},
				TTL:       durationpb.New(unsettledTTL),
			},
		},
		"NodePoolLeaving": {
			reason:   "An offering is listed while its NodePool exists.",
			observed: map[string]*fnv1.Resource{"capacity-plan": plan},
			required: map[string]*fnv1.Resources{
				requireMembers:   {},
				requireNodePools: {Items: []*fnv1.Resource{observedResource("ack.regionpool.io/v1alpha1", "NodePool", "shanghai-ack-gone", `{forProvider: {sizeFrom: {offering: ack-gone}}}`, `{}`)}},
			},
			want: want{
				Members:   []string{"idc-a", "ack"},
				Offerings: []string{"ack-general/50", "ack-gone/0"},
				Tiers:     []string{"self-built=idc-a", "ack=ack"},
				TTL:       durationpb.New(unsettledTTL),
			},
		},
		"PlanLost": {
			reason:   "Without the plan the Members themselves tell.",
			required: map[string]*fnv1.Resources{requireMembers: {Items: []*fnv1.Resource{observedMember("idc-z", `{tier: SelfBuilt}`), observedMember("old", `{tier: Elastic}`)}}, requireNodePools: {}},
			want: want{
				Members:   []string{"idc-a", "ack", "idc-z", "old"},
				Offerings: []string{"ack-general/50"},
				Tiers:     []string{"self-built=idc-a,idc-z", "ack=ack", "old=old"},
				TTL:       durationpb.New(unsettledTTL),
			},
		},
		"Foreign": {
			reason:   "The Members of an earlier claim of this name are not ours.",
			observed: map[string]*fnv1.Resource{"capacity-plan": plan},
			required: map[string]*fnv1.Resources{requireMembers: {Items: []*fnv1.Resource{foreign}}, requireNodePools: {}},
			want:     none,
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			rsp := run(t, &fnv1.RunFunctionRequest{
				Observed:          &fnv1.State{Composite: object(testClaim), Resources: tc.observed},
				RequiredResources: tc.required,
			})
			got := want{TTL: rsp.GetMeta().GetTtl()}
			p := forProvider(t, rsp, "capacity-plan")
			for _, m := range p.Members {
				got.Members = append(got.Members, m.Name)
				if m.Warm {
					t.Errorf("\nReason: %s\nRunFunction(...): %s is warm", tc.reason, m.Name)
				}
			}
			for _, o := range p.Offerings {
				got.Offerings = append(got.Offerings, o.Name+"/"+o.Max.String())
			}
			for _, ti := range forProvider(t, rsp, "placement-policy").Tiers {
				got.Tiers = append(got.Tiers, ti.Name+"="+strings.Join(ti.Members, ","))
			}
			if diff := cmp.Diff(tc.want, got, protocmp.Transform()); diff != "" {
				t.Errorf("\nReason: %s\nRunFunction(...): -want, +got:\n%s", tc.reason, diff)
			}
			for _, r := range []string{requireMembers, requireNodePools} {
				if got := rsp.GetRequirements().GetResources()[r].GetMatchLabels().GetLabels()[LabelClaim]; got != "shanghai" {
					t.Errorf("\nReason: %s\nRunFunction(...): requirement %q is missing", tc.reason, r)
				}
			}
		})
	}
}

// parameters are the parts of plan and policy that TestLeaving looks at.
type parameters struct {
	Members []struct {
		Name string `json:"name"`
		Warm bool   `json:"warm"`
	} `json:"members"`
	Offerings []struct {
		Name string      `json:"name"`
		Max  json.Number `json:"max"`
	} `json:"offerings"`
	Tiers []struct {
		Name    string   `json:"name"`
		Members []string `json:"members"`
	} `json:"tiers"`
}

func forProvider(t *testing.T, rsp *fnv1.RunFunctionResponse, name string) parameters {
	t.Helper()
	b, err := rsp.GetDesired().GetResources()[name].GetResource().MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	o := struct {
		Spec struct {
			ForProvider json.RawMessage `json:"forProvider"`
		} `json:"spec"`
	}{}
	if err := json.Unmarshal(b, &o); err != nil {
		t.Fatal(err)
	}
	p := parameters{}
	if err := json.Unmarshal(o.Spec.ForProvider, &p); err != nil {
		t.Fatal(err)
	}
	return p
}

// TestVirtualNodesRemoved takes virtual nodes out of a claim whose cluster stays.
func TestVirtualNodesRemoved(t *testing.T) {
	const (
		inTKE = `{name: tke-virtual, member: tke, max: %, allocatable: {cpu: "1"}, hourlyPrice: "1", virtual: {nodeLabels: {}, cpuHour: "1", memoryGiBHour: "1"}, source: {cloud: TKE}}`
		inACK = `{name: ack-virtual, member: ack, max: %, allocatable: {cpu: "1"}, hourlyPrice: "1", virtual: {nodeLabels: {}, cpuHour: "1", memoryGiBHour: "1"}, source: {cloud: ACK}}`
	)
	plan := func(offering, max, status string) *fnv1.Resource {
		return observedResource("federation.regionpool.io/v1alpha1", "CapacityPlan", "shanghai",
			`{forProvider: {members: [{name: idc-a}], offerings: [`+strings.ReplaceAll(offering, "%", max)+`]}}`, `{`+conditionsReady+`, atProvider: `+status+`}`)
	}
	superNodes := observedResource("tke.regionpool.io/v1alpha1", "VirtualNodePool", "shanghai-tke-virtual", `{forProvider: {subnetIds: [subnet-1], labels: {regionpool.io/offering: tke-virtual}}}`, `{`+conditionsReady+`}`)
	tke := with(nil, "tke-virtualnodepool-tke-virtual", superNodes)
	ack := with(nil, "cluster-ack", observedResource("ack.regionpool.io/v1alpha1", "Cluster", "shanghai-ack", `{forProvider: {virtualNodes: {}}}`, `{`+conditionsReady+`}`))
	withoutVirtual := object(testClaimTKE, "    virtualNodes: {maxPods: 100}\n", "")
	warm := object(testClaim, "name: ack\n", "name: ack\n    warm: true\n")

	// has says whether virtual nodes are composed, and the max of their offering,
	// -1 if it is not listed.
	type want struct {
		Has bool
		Max int
	}
	cases := map[string]struct {
		reason   string
		claim    *fnv1.Resource
		observed map[string]*fnv1.Resource
		plan     *fnv1.Resource
		want     want
	}{
		"Told":       {reason: "First the fleet is told.", claim: withoutVirtual, observed: tke, plan: plan(inTKE, "100", `{offerings: [{name: tke-virtual, nodes: 0}]}`), want: want{Has: true}},
		"InUse":      {reason: "They stay while replicas are there.", claim: withoutVirtual, observed: tke, plan: plan(inTKE, "0", `{offerings: [{name: tke-virtual, nodes: 3}]}`), want: want{Has: true}},
		"Silent":     {reason: "Silence does not say that none is there.", claim: withoutVirtual, observed: tke, plan: plan(inTKE, "0", `{}`), want: want{Has: true}},
		"Unused":     {reason: "Then they go, and the offering when they are gone.", claim: withoutVirtual, observed: tke, plan: plan(inTKE, "0", `{offerings: [{name: tke-virtual, nodes: 0}]}`), want: want{}},
		"Gone":       {reason: "Nothing is listed of what is gone.", claim: withoutVirtual, plan: plan(inTKE, "0", `{offerings: [{name: tke-virtual, nodes: 0}]}`), want: want{Max: -1}},
		"ACKInUse":   {reason: "In ACK they are a part of the cluster.", claim: warm, observed: ack, plan: plan(inACK, "0", `{offerings: [{name: ack-virtual, nodes: 3}]}`), want: want{Has: true}},
		"ACKUnused":  {reason: "There too they go when none is left.", claim: warm, observed: ack, plan: plan(inACK, "0", `{offerings: [{name: ack-virtual, nodes: 0}]}`), want: want{}},
		"ACKGone":    {reason: "There too nothing is listed of what is gone.", claim: warm, observed: with(nil, "cluster-ack", rented()["cluster-ack"]), plan: plan(inACK, "0", `{offerings: [{name: ack-virtual, nodes: 0}]}`), want: want{Max: -1}},
		"ACKRenamed": {reason: "Under a new name they stay, and the old offering goes at once.", claim: object(testClaim, "name: ack\n", "name: ack\n    warm: true\n    virtualNodes: {name: fast, maxPods: 5}\n"), observed: ack, plan: plan(inACK+", "+strings.ReplaceAll(inACK, "ack-virtual", "ack-fast"), "5", `{}`), want: want{Has: true, Max: -1}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			req := map[string]*fnv1.Resources{requireMembers: {}, requireNodePools: {}, requireTKENodePools: {}, requireVirtualNodePools: {}}
			if _, ok := tc.observed["tke-virtualnodepool-tke-virtual"]; ok {
				req[requireVirtualNodePools] = &fnv1.Resources{Items: []*fnv1.Resource{superNodes}}
			}
			observed := map[string]*fnv1.Resource{"capacity-plan": tc.plan}
			for n, r := range tc.observed {
				observed[n] = r
			}
			rsp := run(t, &fnv1.RunFunctionRequest{Observed: &fnv1.State{Composite: tc.claim, Resources: observed}, RequiredResources: req})
			_, has := rsp.GetDesired().GetResources()["tke-virtualnodepool-tke-virtual"]
			cluster := rsp.GetDesired().GetResources()["cluster-ack"].GetResource().GetFields()["spec"].GetStructValue().GetFields()["forProvider"].GetStructValue().GetFields()
			if cluster["virtualNodes"] != nil {
				has = true
			}
			got := want{Has: has, Max: -1}
			for _, o := range forProvider(t, rsp, "capacity-plan").Offerings {
				if o.Name == "tke-virtual" || o.Name == "ack-virtual" {
					n, err := o.Max.Int64()
					if err != nil {
						t.Fatal(err)
					}
					got.Max = int(n)
				}
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("\nReason: %s\nRunFunction(...): -want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}

// TestLeavingTKE takes what is in TKE out of a claim.
func TestLeavingTKE(t *testing.T) {
	plan := observedResource("federation.regionpool.io/v1alpha1", "CapacityPlan", "shanghai", `
  forProvider:
    members: [{name: idc-a}, {name: tke, tier: 1, elastic: true}, {name: gone, tier: 2, elastic: true}]
    offerings:
    - {name: tke-old, member: tke, allocatable: {cpu: "1"}, hourlyPrice: "1", max: 5, source: {cloud: TKE}}
    - {name: gone-virtual, member: gone, allocatable: {cpu: "1"}, hourlyPrice: "1", max: 5, source: {cloud: TKE}, virtual: {nodeLabels: {}, cpuHour: "1", memoryGiBHour: "1"}}
`, `{`+conditionsReady+`, atProvider: {phase: Home}}`)
	nodePool := observedResource("tke.regionpool.io/v1alpha1", "NodePool", "shanghai-tke-old", `{forProvider: {sizeFrom: {offering: tke-old}}}`, `{}`)
	superNodes := observedResource("tke.regionpool.io/v1alpha1", "VirtualNodePool", "shanghai-gone-virtual", `{forProvider: {labels: {regionpool.io/offering: gone-virtual}}}`, `{}`)
	member := observedResource("federation.regionpool.io/v1alpha1", "Member", "shanghai-gone", `{forProvider: {tier: Elastic, clusterRef: {apiVersion: tke.regionpool.io/v1alpha1, kind: Cluster, name: shanghai-gone}}}`, `{}`)
	items := func(rs ...*fnv1.Resource) *fnv1.Resources { return &fnv1.Resources{Items: rs} }

	type want struct {
		Members   []string
		Offerings []string
		Asks      []string
	}
	named := []string{"tke-general/50", "tke-virtual/100"}
	both := []string{requireNodePools, requireTKENodePools, requireVirtualNodePools}
	cases := map[string]struct {
		reason   string
		claim    *fnv1.Resource
		plan     *fnv1.Resource
		required map[string]*fnv1.Resources
		want     want
	}{
		"Unresolved": {
			reason: "Before core has answered, what the plan lists counts as existing.",
			claim:  object(testClaimTKE),
			plan:   plan,
			want:   want{Members: []string{"idc-a", "tke", "gone"}, Offerings: append(slices.Clone(named), "gone-virtual/0", "tke-old/0"), Asks: both[1:]},
		},
		"Leaving": {
			reason:   "It is listed while it exists.",
			claim:    object(testClaimTKE),
			plan:     plan,
			required: map[string]*fnv1.Resources{requireMembers: items(member), requireTKENodePools: items(nodePool), requireVirtualNodePools: items(superNodes)},
			want:     want{Members: []string{"idc-a", "tke", "gone"}, Offerings: append(slices.Clone(named), "gone-virtual/0", "tke-old/0"), Asks: both[1:]},
		},
		"Gone": {
			reason:   "It is not listed when it is gone.",
			claim:    object(testClaimTKE),
			plan:     plan,
			required: map[string]*fnv1.Resources{requireMembers: items(), requireTKENodePools: items(), requireVirtualNodePools: items()},
			want:     want{Members: []string{"idc-a", "tke"}, Offerings: named, Asks: both[1:]},
		},
		"OtherClaim": {
			reason: "A claim without a cluster in TKE asks for what was there.",
			claim:  object(testClaim),
			plan:   plan,
			want:   want{Members: []string{"idc-a", "ack", "gone", "tke"}, Offerings: []string{"ack-general/50", "gone-virtual/0", "tke-old/0"}, Asks: both},
		},
		"PlanLost": {
			reason:   "So it does when only a Member tells that there was something.",
			claim:    object(testClaim),
			required: map[string]*fnv1.Resources{requireMembers: items(member), requireNodePools: items()},
			want:     want{Members: []string{"idc-a", "ack", "gone"}, Offerings: []string{"ack-general/50"}, Asks: both},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			observed := map[string]*fnv1.Resource{}
			if tc.plan != nil {
				observed["capacity-plan"] = tc.plan
			}
			rsp := run(t, &fnv1.RunFunctionRequest{Observed: &fnv1.State{Composite: tc.claim, Resources: observed}, RequiredResources: tc.required})
			got := want{}
			p := forProvider(t, rsp, "capacity-plan")
			for _, m := range p.Members {
				got.Members = append(got.Members, m.Name)
			}
			for _, o := range p.Offerings {
				got.Offerings = append(got.Offerings, o.Name+"/"+o.Max.String())
			}
			got.Asks = slices.DeleteFunc(sortedKeys(rsp.GetRequirements().GetResources()), func(n string) bool { return n == requireMembers || n == requireReservations })
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("\nReason: %s\nRunFunction(...): -want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}
