package function

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"

	fnv1 "github.com/crossplane/function-sdk-go/proto/v1"
	"github.com/crossplane/function-sdk-go/response"

	federationv1alpha1 "regionpool.io/provider-regionpool/apis/federation/v1alpha1"
)

const testBurst = `
apiVersion: platform.regionpool.io/v1alpha1
kind: Burst
metadata: {name: sale, namespace: platform, uid: burst-uid, creationTimestamp: "2026-11-10T20:00:00Z"}
spec:
  poolRef: {name: shanghai}
  amount: {replicas: 20}
  targets: [{namespace: shop, name: web}]
  until: "2026-11-11T23:00:00Z"
`

const testBurstElastic = testBurst + `  elastic:
    name: tke
    providerConfigRef: {name: tencent}
    tke: {region: ap-guangzhou, vpcId: vpc-1, subnetIds: [subnet-1]}
    nodePools: [{name: general, instanceTypes: [S5.4XLARGE64], max: 10}]
    virtualNodes: {maxPods: 50}
`

// ofBurst makes a resource one of the Burst.
func ofBurst(r *fnv1.Resource) *fnv1.Resource {
	r.GetResource().GetFields()["metadata"].GetStructValue().GetFields()["ownerReferences"] =
		object(`{l: [{apiVersion: platform.regionpool.io/v1alpha1, kind: Burst, name: sale, uid: burst-uid, controller: true}]}`).GetResource().GetFields()["l"]
	return r
}

const reservationSpec = `{
  providerConfigRef: {kind: ClusterProviderConfig, name: karmada},
  forProvider: {pool: platform-shanghai, until: "2026-11-11T23:00:00Z", amount: {replicas: 20}, targets: [{namespace: shop, name: web}],
    members: [{name: tke, tier: 4, elastic: true, warm: true}], offerings: [{name: tke-virtual, member: tke, max: 50, allocatable: {}, hourlyPrice: "1", virtual: {nodeLabels: {}, cpuHour: "1", memoryGiBHour: "1"}, source: {cloud: TKE}}]}}`

func observedReservation(at string) *fnv1.Resource {
	return ofBurst(observedResource("federation.regionpool.io/v1alpha1", "CapacityReservation", "sale", reservationSpec, `{`+conditionsReady+`, atProvider: `+at+`}`))
}

// rentedByBurst is the cluster that the Burst brought.
func rentedByBurst(at string) map[string]*fnv1.Resource {
	tke := func(kind, name string) *fnv1.Resource {
		return ofBurst(observedResource("tke.regionpool.io/v1alpha1", kind, name, `{forProvider: {tags: {regionpool.io/leaks: delete}}}`, `{`+conditionsReady+`}`))
	}
	return map[string]*fnv1.Resource{
		"capacity-reservation":            observedReservation(at),
		"tke-cluster-tke":                 tke("Cluster", "sale-tke.burst"),
		"tke-nodepool-tke-general":        tke("NodePool", "sale-tke-general.burst"),
		"tke-virtualnodepool-tke-virtual": tke("VirtualNodePool", "sale-tke-virtual.burst"),
		"member-tke":                      ofBurst(observedMember("tke", `{tier: Elastic}`)),
	}
}

func required(pool, plan *fnv1.Resource) map[string]*fnv1.Resources {
	items := func(r *fnv1.Resource) *fnv1.Resources {
		if r == nil {
			return &fnv1.Resources{}
		}
		return &fnv1.Resources{Items: []*fnv1.Resource{r}}
	}
	return map[string]*fnv1.Resources{requirePool: items(pool), requirePlan: items(plan), requireMembers: {}, requireTKENodePools: {}, requireVirtualNodePools: {}}
}

// told is what a response says.
type told struct {
	Composed   []string
	Events     []string
	Phase      string
	Message    string
	Conditions []string
	Fatal      string
	TTL        *durationpb.Duration
}

func tell(rsp *fnv1.RunFunctionResponse, conditions ...string) told {
	out := told{Composed: sortedKeys(rsp.GetDesired().GetResources()), TTL: rsp.GetMeta().GetTtl()}
	for _, r := range rsp.GetResults() {
		if r.GetSeverity() == fnv1.Severity_SEVERITY_FATAL {
			out.Fatal = r.GetMessage()
			continue
		}
		out.Events = append(out.Events, r.GetReason()+": "+r.GetMessage())
	}
	for _, want := range conditions {
		for _, c := range rsp.GetConditions() {
			if c.GetType() == want {
				out.Conditions = append(out.Conditions, strings.TrimSuffix(want+"="+strings.TrimPrefix(c.GetStatus().String(), "STATUS_CONDITION_")+"/"+c.GetReason()+": "+c.GetMessage(), ": "))
			}
		}
	}
	s := rsp.GetDesired().GetComposite().GetResource().GetFields()["status"].GetStructValue().GetFields()
	out.Phase, out.Message = s["phase"].GetStringValue(), s["message"].GetStringValue()
	return out
}

// TestBurstsOfOneName: two clusters of one name would follow one plan, and each
// order all of its nodes.
func TestBurstsOfOneName(t *testing.T) {
	const wanted = `{phase: Bursting, members: [{name: tke, wanted: true, reason: it is kept warm}]}`
	other := func(pool, member, created string) *fnv1.Resource {
		r := observedResource("federation.regionpool.io/v1alpha1", "CapacityReservation", "other",
			`{forProvider: {pool: `+pool+`, members: [{name: `+member+`, elastic: true}], offerings: [{name: `+member+`-general, member: `+member+`}]}}`, `{}`)
		if created != "" {
			r.GetResource().GetFields()["metadata"].GetStructValue().GetFields()["creationTimestamp"] = structpb.NewStringValue(created)
		}
		return r
	}
	mine := func() map[string]*fnv1.Resource {
		r := observedReservation(`{phase: Filling}`)
		r.GetResource().GetFields()["metadata"].GetStructValue().GetFields()["creationTimestamp"] = structpb.NewStringValue("2026-11-10T20:00:01Z")
		return map[string]*fnv1.Resource{"capacity-reservation": r}
	}
	rented := rentedByBurst(`{phase: Filled}`)
	const fatal = `cannot compose the claim: nothing is changed until this is mended: ` +
		`[spec.elastic.name: Invalid value: "tke": is also the name of a cluster of CapacityReservation "other": rename one, ` +
		`spec.elastic.nodePools[0].name: Invalid value: "general": makes the offering "tke-general", as does a cluster of CapacityReservation "other": rename one]`
	cases := map[string]struct {
		reason   string
		observed map[string]*fnv1.Resource
		other    *fnv1.Resource
		fatal    string
		composed int
	}{
		"Taken":     {reason: "A name that another Burst has is taken.", other: other("platform-shanghai", "tke", "2026-11-10T20:00:00Z"), fatal: fatal},
		"Second":    {reason: "It is the second, though both were reserved before either saw the other.", observed: mine(), other: other("platform-shanghai", "tke", "2026-11-10T20:00:00Z"), fatal: fatal},
		"First":     {reason: "The first goes on.", observed: mine(), other: other("platform-shanghai", "tke", "2026-11-10T20:00:02Z"), composed: 5},
		"Exists":    {reason: "A cluster that exists stays, and can end.", observed: rented, other: other("platform-shanghai", "tke", "2026-11-10T20:00:00Z"), composed: 5},
		"OtherName": {reason: "Another name is no matter.", observed: mine(), other: other("platform-shanghai", "tke2", "2026-11-10T20:00:00Z"), composed: 5},
		"OtherPool": {reason: "Nor is another pool, which has a plan of its own.", observed: mine(), other: other("platform-beijing", "tke", "2026-11-10T20:00:00Z"), composed: 5},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			req := required(object(testClaim), observedPlan(wanted))
			req[requireReservations] = &fnv1.Resources{Items: []*fnv1.Resource{observedReservation(`{}`), tc.other}}
			rsp := run(t, &fnv1.RunFunctionRequest{Observed: &fnv1.State{Composite: object(testBurstElastic), Resources: tc.observed}, RequiredResources: req})
			got := tell(rsp)
			if diff := cmp.Diff(tc.fatal, got.Fatal); diff != "" {
				t.Errorf("\nReason: %s\n-want, +got:\n%s", tc.reason, diff)
			}
			if len(got.Composed) != tc.composed && tc.fatal == "" {
				t.Errorf("\nReason: %s\ncomposed: %v", tc.reason, got.Composed)
			}
		})
	}
}

func TestBurst(t *testing.T) {
	pool := object(testClaim)
	const (
		wanted = `{phase: Bursting, members: [{name: tke, wanted: true, reason: it is kept warm}]}`
		capped = `{phase: Capped, members: [{name: tke, wanted: false, reason: limits.clusters is reached}]}`
		filled = `{phase: Filled, observedGeneration: 1, targets: [shop/web], running: 3, free: 17, nodes: 2, hourlyCost: "8", spent: "4"}`
		ended  = `{phase: Ended, observedGeneration: 1, targets: [shop/web], message: its time was over}`
		used   = `{phase: Ended, observedGeneration: 1, targets: [shop/web], membersInUse: [tke], message: its time was over}`
	)
	var (
		short    = durationpb.New(unsettledTTL)
		rest     = durationpb.New(response.DefaultTTL)
		everyone = []string{"capacity-reservation", "member-tke", "tke-cluster-tke", "tke-nodepool-tke-general", "tke-virtualnodepool-tke-virtual"}
		alone    = []string{"capacity-reservation"}
	)
	cases := map[string]struct {
		reason     string
		claim      *fnv1.Resource
		observed   map[string]*fnv1.Resource
		required   map[string]*fnv1.Resources
		conditions []string
		want       told
	}{
		"NoPool": {
			reason:     "Without its pool it waits, and says so.",
			claim:      object(testBurstElastic),
			required:   required(nil, nil),
			conditions: []string{conditionPoolFound, conditionCapacityReserved, conditionTargetsFound, conditionOfferingsValid},
			want: told{
				Composed: []string{}, Phase: "Waiting", Message: `spec.poolRef: waits for RegionPool "shanghai" of namespace "platform"`, TTL: short,
				Conditions: []string{
					`PoolFound=FALSE/PoolNotFound: spec.poolRef: waits for RegionPool "shanghai" of namespace "platform"`,
					`CapacityReserved=FALSE/Waiting: spec.poolRef: waits for RegionPool "shanghai" of namespace "platform"`,
					"TargetsFound=UNKNOWN/NotPlanned",
					"OfferingsValid=TRUE/Valid",
				},
			},
		},
		"New": {
			reason:     "The capacity is asked for at once.",
			claim:      object(testBurst),
			required:   required(pool, nil),
			conditions: []string{conditionPoolFound, conditionCapacityReserved},
			want: told{
				Composed: alone, Phase: "Waiting", TTL: short,
				Conditions: []string{"PoolFound=TRUE/Found", "CapacityReserved=FALSE/Waiting: The capacity is being asked for"},
			},
		},
		"ElasticNotPlanned": {
			reason:   "A cluster needs the word of the fleet, which counts the caps.",
			claim:    object(testBurstElastic),
			required: required(pool, nil),
			want:     told{Composed: alone, Phase: "Waiting", TTL: short},
		},
		"ElasticCapped": {
			reason:   "It is not made when a cap forbids it.",
			claim:    object(testBurstElastic),
			observed: with(nil, "capacity-reservation", observedReservation(filled)),
			required: required(pool, observedPlan(capped)),
			want:     told{Composed: alone, Phase: "Filled", TTL: short},
		},
		"ElasticWanted": {
			reason:   "It is made when the fleet wants it.",
			claim:    object(testBurstElastic),
			observed: with(nil, "capacity-reservation", observedReservation(filled)),
			required: required(pool, observedPlan(wanted)),
			want:     told{Composed: everyone, Phase: "Filled", Events: []string{"Renting: Renting tke: it is kept warm"}, TTL: short},
		},
		"Filled": {
			reason:     "All of it is there.",
			claim:      object(testBurstElastic),
			observed:   rentedByBurst(filled),
			required:   required(pool, observedPlan(wanted)),
			conditions: []string{conditionTargetsFound, conditionCapacityReserved, conditionElasticHealthy, conditionCapacityAvailable},
			want: told{
				Composed: everyone, Phase: "Filled", TTL: rest,
				Conditions: []string{"TargetsFound=TRUE/Found", "CapacityReserved=TRUE/Filled", "ElasticHealthy=TRUE/Synced", "CapacityAvailable=TRUE/Available"},
			},
		},
		"NoTargets": {
			reason:     "Targets that match nothing are told.",
			claim:      object(testBurst),
			observed:   with(nil, "capacity-reservation", observedReservation(`{phase: Waiting, observedGeneration: 1, message: no workload matches}`)),
			required:   required(pool, nil),
			conditions: []string{conditionTargetsFound, conditionCapacityReserved},
			want: told{
				// The cluster of the observed reservation goes as the claim has none.
				Composed: alone, Phase: "Waiting", Message: "no workload matches", TTL: short,
				Conditions: []string{
					"TargetsFound=FALSE/NothingMatches: spec.targets: no workload of the pool matches Deployment shop/web",
					"CapacityReserved=FALSE/Waiting: no workload matches",
				},
			},
		},
		"EndedInUse": {
			reason:   "A cluster that is in use stays after the end.",
			claim:    object(testBurstElastic),
			observed: rentedByBurst(used),
			required: required(pool, observedPlan(wanted)),
			want:     told{Composed: everyone, Phase: "Ended", Message: "its time was over", TTL: short},
		},
		"Ended": {
			reason:     "Then it goes.",
			claim:      object(testBurstElastic),
			observed:   rentedByBurst(ended),
			required:   required(pool, observedPlan(wanted)),
			conditions: []string{conditionCapacityReserved},
			want: told{
				Composed: alone, Phase: "Ended", Message: "its time was over", Events: []string{"Releasing: Releasing tke: its time was over"}, TTL: short,
				Conditions: []string{"CapacityReserved=FALSE/Ended: its time was over"},
			},
		},
		"EndedNotSynced": {
			reason: "It does not go by a status that may be old.",
			claim:  object(testBurstElastic),
			observed: with(rentedByBurst(ended), "capacity-reservation", ofBurst(observedResource("federation.regionpool.io/v1alpha1", "CapacityReservation", "sale", reservationSpec,
				`{conditions: [{type: Synced, status: "False"}, {type: Ready, status: "True"}], atProvider: `+ended+`}`))),
			required: required(pool, observedPlan(wanted)),
			want:     told{Composed: everyone, Phase: "Ended", Message: "its time was over", TTL: short},
		},
		"Extended": {
			reason:   "A later end that the fleet has not seen yet moves nothing.",
			claim:    object(testBurstElastic, "2026-11-11T23", "2026-11-12T23"),
			observed: rentedByBurst(ended),
			required: required(pool, observedPlan(wanted)),
			want:     told{Composed: everyone, Phase: "Ended", Message: "its time was over", TTL: short},
		},
		"MoreMoney": {
			reason: "So does more money.",
			claim:  object(testBurstElastic + "  maxCost: 200\n"),
			observed: with(rentedByBurst(ended), "capacity-reservation", ofBurst(observedResource("federation.regionpool.io/v1alpha1", "CapacityReservation", "sale",
				strings.Replace(reservationSpec, "amount:", `maxCost: "100", amount:`, 1), `{`+conditionsReady+`, atProvider: `+ended+`}`))),
			required: required(pool, observedPlan(wanted)),
			want:     told{Composed: everyone, Phase: "Ended", Message: "its time was over", TTL: short},
		},
		"PoolGone": {
			reason:     "When the pool goes, what exists stays.",
			claim:      object(testBurstElastic),
			observed:   rentedByBurst(filled),
			required:   required(nil, nil),
			conditions: []string{conditionPoolFound, conditionCapacityReserved},
			want: told{
				Composed: everyone, Phase: "Filled", TTL: short,
				Conditions: []string{`PoolFound=FALSE/PoolNotFound: spec.poolRef: waits for RegionPool "shanghai" of namespace "platform"`, "CapacityReserved=TRUE/Filled"},
			},
		},
		"PoolGoneEnded": {
			reason:   "Its end does not need the pool.",
			claim:    object(testBurstElastic),
			observed: rentedByBurst(ended),
			required: required(nil, nil),
			want:     told{Composed: alone, Phase: "Ended", Message: "its time was over", Events: []string{"Releasing: Releasing tke: its time was over"}, TTL: short},
		},
		"AllLost": {
			reason:   "What can only be guessed is left alone.",
			claim:    object(testBurstElastic),
			observed: map[string]*fnv1.Resource{"tke-cluster-tke": rentedByBurst(filled)["tke-cluster-tke"]},
			required: required(nil, nil),
			want:     told{Composed: []string{}, Fatal: `cannot compose the claim: neither RegionPool "shanghai" nor the CapacityReservation exists, nothing is changed until one does`, TTL: short},
		},
		"Late": {
			reason:     "An end before the beginning is told, and nothing is made.",
			claim:      object(testBurst, "2026-11-11T23", "2026-11-09T23"),
			required:   required(pool, nil),
			conditions: []string{conditionCapacityReserved},
			want: told{
				Composed: []string{}, Phase: "Ended", Message: "spec.until: 2026-11-09T23:00:00Z was over before the Burst was made", TTL: short,
				Conditions: []string{"CapacityReserved=FALSE/Ended: spec.until: 2026-11-09T23:00:00Z was over before the Burst was made"},
			},
		},
		"Overflow": {
			reason:     "Without fleet nothing can be reserved.",
			claim:      object(testBurst),
			required:   required(object(testClaim, "  workloads:", "  mode: Overflow\n  workloads:"), nil),
			conditions: []string{conditionPoolFound},
			want: told{
				Composed: []string{}, Phase: "Waiting", TTL: short,
				Conditions: []string{`PoolFound=FALSE/ModeOverflow: RegionPool "shanghai" is in mode Overflow, in which no fleet reserves capacity: set its spec.mode to Simulated`},
			},
		},
		"Prefer": {
			reason:     "A preferred cluster that nobody has is told.",
			claim:      object(testBurst + "  prefer: [ack, nowhere]\n"),
			required:   required(pool, nil),
			conditions: []string{conditionOfferingsValid},
			want: told{
				Composed: alone, Phase: "Waiting", TTL: short,
				Conditions: []string{`OfferingsValid=FALSE/UnknownCluster: spec.prefer[1]: Invalid value: "nowhere": is no elastic cluster of RegionPool "shanghai" nor of this claim`},
			},
		},
		"SameName": {
			reason:   "The cluster needs a name that the pool does not use.",
			claim:    object(testBurstElastic, "name: tke\n", "name: ack\n", "name: general", "name: special"),
			required: required(pool, nil),
			want: told{Composed: []string{}, TTL: short,
				Fatal: `cannot compose the claim: nothing is changed until this is mended: spec.elastic.name: Invalid value: "ack": is also the name of a cluster of RegionPool "shanghai": rename one`},
		},
		"NoAmount": {
			reason:   "Nothing of a resource is a slip.",
			claim:    object(testBurst, "{replicas: 20}", `{resources: {cpu: "10", memory: "0", nvidia.com/gpu: "-1"}}`),
			required: required(pool, nil),
			want: told{Composed: []string{}, TTL: short,
				Fatal: `cannot compose the claim: nothing is changed until this is mended: [spec.amount.resources[memory]: Invalid value: "0": must be above 0, spec.amount.resources[nvidia.com/gpu]: Invalid value: "-1": must be above 0]`},
		},
		"SameRange": {
			reason:   "Pods of two clusters of a network need ranges of their own.",
			claim:    object(testBurstElastic),
			required: required(object(testClaimTKE, "name: tke\n", "name: other\n"), nil),
			want: told{Composed: []string{}, TTL: short,
				Fatal: `cannot compose the claim: nothing is changed until this is mended: spec.elastic.tke.clusterCIDR: Invalid value: "172.16.0.0/16": overlaps 172.16.0.0/16 of other, which is in the same VPC: set another range`},
		},
		"UnknownType": {
			reason:   "An unknown type is told, also before the pool exists.",
			claim:    object(testBurstElastic, "S5.4XLARGE64", "S5.HUGE"),
			required: required(nil, nil),
			want: told{Composed: []string{}, TTL: short,
				Fatal: `cannot compose the claim: nothing is changed until this is mended: spec.elastic.nodePools[0].instanceTypes[0]: Invalid value: "S5.HUGE": unknown instance type: mend the name, or set cpu and memory in spec.elastic.nodePools[0].capacity and a price in spec.elastic.nodePools[0].hourlyPrice`},
		},
		"Unresolved": {
			reason: "Before core has answered nothing is FATAL: it would not ask again.",
			claim:  object(testBurstElastic, "S5.4XLARGE64", "S5.HUGE"),
			want:   told{Composed: []string{}, Phase: "Waiting", Message: `spec.poolRef: waits for RegionPool "shanghai" of namespace "platform"`, TTL: short},
		},
		"SpotAlone": {
			reason:   "Spot needs something to fall back to, here or in the pool.",
			claim:    object(testBurstElastic, "max: 10", "max: 10, capacityType: Spot", "    virtualNodes: {maxPods: 50}\n", ""),
			required: required(object(testClaim, "max: 50", "max: 50, capacityType: Spot"), nil),
			want: told{Composed: []string{}, TTL: short,
				Fatal: `cannot compose the claim: nothing is changed until this is mended: spec.elastic.nodePools: Invalid value: "tke": Spot node pools need an OnDemand node pool or virtualNodes to fall back to, here or in the pool`},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			rsp := run(t, &fnv1.RunFunctionRequest{Observed: &fnv1.State{Composite: tc.claim, Resources: tc.observed}, RequiredResources: tc.required})
			if diff := cmp.Diff(tc.want, tell(rsp, tc.conditions...), protocmp.Transform()); diff != "" {
				t.Errorf("\nReason: %s\nRunFunction(...): -want, +got:\n%s", tc.reason, diff)
			}
			if notReady := rsp.GetDesired().GetComposite().GetReady() == fnv1.Ready_READY_FALSE; tc.want.Fatal == "" && notReady != (tc.want.Phase == "Waiting") {
				t.Errorf("\nReason: %s\nRunFunction(...): phase %s, told not to be Ready: %t", tc.reason, tc.want.Phase, notReady)
			}
			for _, r := range []string{requirePool, requirePlan} {
				if got := rsp.GetRequirements().GetResources()[r].GetMatchName(); got != "shanghai" {
					t.Errorf("\nReason: %s\nRunFunction(...): requirement %q is missing", tc.reason, r)
				}
			}
		})
	}
}

func reservationOf(t *testing.T, rsp *fnv1.RunFunctionResponse) *federationv1alpha1.CapacityReservation {
	t.Helper()
	b, err := rsp.GetDesired().GetResources()["capacity-reservation"].GetResource().MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	out := &federationv1alpha1.CapacityReservation{}
	if err := json.Unmarshal(b, out); err != nil {
		t.Fatal(err)
	}
	return out
}

func TestCapacityReservation(t *testing.T) {
	pool := object(testClaim)
	t.Run("For", func(t *testing.T) {
		r := reservationOf(t, run(t, &fnv1.RunFunctionRequest{
			Observed:          &fnv1.State{Composite: object(testBurst, `until: "2026-11-11T23:00:00Z"`, "for: 90m")},
			RequiredResources: required(pool, nil),
		}))
		if want := time.Date(2026, 11, 10, 21, 30, 0, 0, time.UTC); !r.Spec.ForProvider.Until.Time.Equal(want) {
			t.Errorf("until: want %s, which is the duration after the creation, got %s", want, r.Spec.ForProvider.Until)
		}
		if got := r.GetAnnotations()["crossplane.io/external-name"]; got != "platform-sale" {
			t.Errorf("external name: got %q", got)
		}
		if got := r.Spec.ForProvider.Targets[0].Kind; got != "Deployment" {
			t.Errorf("targets[0].kind: got %q", got)
		}
	})
	t.Run("Tier", func(t *testing.T) {
		for reason, want := range map[string]struct {
			pool *fnv1.Resource
			tier int32
		}{
			"The pool's own clusters come first":              {pool: pool, tier: 2},
			"Without the pool the tier stays what it was":     {pool: nil, tier: 4},
			"A pool that is being deleted is as good as none": {pool: object(testClaim, "uid: claim-uid", `uid: claim-uid, deletionTimestamp: "2026-01-01T00:00:00Z"`), tier: 4},
		} {
			r := reservationOf(t, run(t, &fnv1.RunFunctionRequest{
				Observed:          &fnv1.State{Composite: object(testBurstElastic), Resources: rentedByBurst(`{phase: Filled}`)},
				RequiredResources: required(want.pool, nil),
			}))
			m := r.Spec.ForProvider.Members
			if len(m) != 1 || m[0].Tier != want.tier || !m[0].Warm || !m[0].Elastic {
				t.Errorf("\nReason: %s\nmembers: want one of tier %d, kept warm, got %+v", reason, want.tier, m)
			}
			if r.Spec.ForProvider.Pool != "platform-shanghai" || r.Spec.ProviderConfigReference.Name != "karmada" {
				t.Errorf("\nReason: %s\ngot pool %q and ProviderConfig %q", reason, r.Spec.ForProvider.Pool, r.Spec.ProviderConfigReference.Name)
			}
		}
	})
	t.Run("Leaving", func(t *testing.T) {
		req := required(pool, nil)
		req[requireMembers] = &fnv1.Resources{Items: []*fnv1.Resource{rentedByBurst(`{}`)["member-tke"]}}
		r := reservationOf(t, run(t, &fnv1.RunFunctionRequest{
			Observed:          &fnv1.State{Composite: object(testBurst), Resources: rentedByBurst(`{phase: Filled}`)},
			RequiredResources: req,
		}))
		if m := r.Spec.ForProvider.Members; len(m) != 1 || m[0].Name != "tke" || m[0].Warm {
			t.Errorf("members: a cluster taken out of the claim is listed until its Member is gone, got %+v", m)
		}
		if o := r.Spec.ForProvider.Offerings; len(o) != 1 || o[0].Max != 0 {
			t.Errorf("offerings: they are listed with it, and nothing is ordered, got %+v", o)
		}
	})
	t.Run("Ended", func(t *testing.T) {
		r := reservationOf(t, run(t, &fnv1.RunFunctionRequest{
			Observed:          &fnv1.State{Composite: object(testBurstElastic), Resources: rentedByBurst(`{phase: Ended}`)},
			RequiredResources: required(pool, nil),
		}))
		if m := r.Spec.ForProvider.Members; len(m) != 1 || m[0].Warm {
			t.Errorf("members: none is kept warm after the end, got %+v", m)
		}
	})
}

// TestLeaks looks for the tag on everything that is billed.
func TestLeaks(t *testing.T) {
	tagged := func(rsp *fnv1.RunFunctionResponse) (with, without []string) {
		for n, r := range rsp.GetDesired().GetResources() {
			s := r.GetResource().GetFields()
			if !strings.HasPrefix(s["apiVersion"].GetStringValue(), "tke.") && !strings.HasPrefix(s["apiVersion"].GetStringValue(), "ack.") {
				continue
			}
			tags := s["spec"].GetStructValue().GetFields()["forProvider"].GetStructValue().GetFields()["tags"].GetStructValue().GetFields()
			if tags["regionpool.io/leaks"].GetStringValue() == "delete" {
				with = append(with, n)
			} else {
				without = append(without, n)
			}
		}
		return with, without
	}
	warm := []string{"name: ack\n", "name: ack\n    warm: true\n    virtualNodes: {maxPods: 5}\n"}
	with, without := tagged(run(t, &fnv1.RunFunctionRequest{Observed: &fnv1.State{Composite: object(testClaim, append(warm, "  workloads:", "  leaks: Delete\n  workloads:")...)}}))
	if len(with) != 2 || len(without) != 0 {
		t.Errorf("leaks: Delete: want all tagged, got %q with and %q without the tag", with, without)
	}
	with, without = tagged(run(t, &fnv1.RunFunctionRequest{Observed: &fnv1.State{Composite: object(testClaim, warm...)}}))
	if len(with) != 0 || len(without) != 2 {
		t.Errorf("leaks: Report: want none tagged, got %q with and %q without the tag", with, without)
	}
	for reason, pool := range map[string]*fnv1.Resource{
		"The pool says so":                object(testClaim, "  workloads:", "  leaks: Delete\n  workloads:"),
		"A pool that is gone has said so": nil,
	} {
		with, without = tagged(run(t, &fnv1.RunFunctionRequest{
			Observed:          &fnv1.State{Composite: object(testBurstElastic), Resources: rentedByBurst(`{phase: Filled}`)},
			RequiredResources: required(pool, nil),
		}))
		if len(with) != 3 || len(without) != 0 {
			t.Errorf("\nReason: %s\nwant all tagged, got %q with and %q without the tag", reason, with, without)
		}
	}
}
