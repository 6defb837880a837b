package function

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	fnv1 "github.com/crossplane/function-sdk-go/proto/v1"
)

// TestFixed changes what no cloud can change: it stays as it is, and the claim
// says so. What can be changed still is.
func TestFixed(t *testing.T) {
	const (
		made    = `{atProvider: {id: made}, ` + conditionsReady + `}`
		tkeSpec = `{forProvider: {region: ap-guangzhou, vpcId: vpc-1, subnetId: subnet-1, clusterCIDR: 172.16.0.0/16, serviceCIDR: 172.19.0.0/20, maxPodsPerNode: 64, level: L50}}`
		tkePool = `{forProvider: {clusterRef: {name: shanghai-tke}, capacityType: OnDemand, subnetIds: [subnet-1], max: 50}}`
		ackSpec = `{forProvider: {region: cn-shanghai, vpcId: vpc-1, vSwitchIds: [vsw-1], containerCIDR: 10.0.0.0/16, serviceCIDR: 172.19.0.0/20, nodeCIDRMask: 26, clusterSpec: ack.pro.small, virtualNodes: {vSwitchIds: [vsw-1]}}}`
		ackPool = `{forProvider: {clusterRef: {name: shanghai-ack}, capacityType: OnDemand, vSwitchIds: [vsw-1], max: 50}}`
	)
	tke := func(cluster, pool string) map[string]*fnv1.Resource {
		return map[string]*fnv1.Resource{
			"tke-cluster-tke":          observedResource("tke.regionpool.io/v1alpha1", "Cluster", "shanghai-tke", tkeSpec, cluster),
			"tke-nodepool-tke-general": observedResource("tke.regionpool.io/v1alpha1", "NodePool", "shanghai-tke-general", tkePool, pool),
		}
	}
	ack := map[string]*fnv1.Resource{
		"cluster-ack":          observedResource("ack.regionpool.io/v1alpha1", "Cluster", "shanghai-ack", ackSpec, made),
		"nodepool-ack-general": observedResource("ack.regionpool.io/v1alpha1", "NodePool", "shanghai-ack-general", ackPool, made),
	}
	type want struct {
		condition string
		// fields of forProvider, by resource.
		fields map[string]map[string]any
	}
	cases := map[string]struct {
		reason   string
		claim    *fnv1.Resource
		observed map[string]*fnv1.Resource
		want     want
	}{
		"Same": {
			reason: "Nothing is said of what is as it was.", claim: object(testClaimTKE), observed: tke(made, made),
			want: want{condition: "OfferingsValid=TRUE/Valid"},
		},
		"Subnets": {
			reason:   "Subnets of a node pool of TKE cannot be changed, its max can.",
			claim:    object(testClaimTKE, "max: 50", "max: 40, subnets: [subnet-1, subnet-2]"),
			observed: tke(made, made),
			want: want{
				condition: "OfferingsValid=FALSE/CannotChange: spec.elastic[0].nodePools[0].subnets: Forbidden: cannot be changed while the node pool exists, which has subnet-1: set that, or add another node pool",
				fields:    map[string]map[string]any{"tke-nodepool-tke-general": {"subnetIds": []any{"subnet-1"}, "max": 40.0}},
			},
		},
		"NotMade": {
			reason:   "Before the cloud has made it, a slip can be mended.",
			claim:    object(testClaimTKE, "vpc-1", "vpc-2", "[subnet-1]", "[subnet-3]"),
			observed: tke(`{}`, `{}`),
			want: want{
				condition: "OfferingsValid=TRUE/Valid",
				fields: map[string]map[string]any{
					"tke-cluster-tke":          {"vpcId": "vpc-2", "subnetId": "subnet-3"},
					"tke-nodepool-tke-general": {"subnetIds": []any{"subnet-3"}},
				},
			},
		},
		"Region": {
			reason:   "It may exist in the first region, known or not.",
			claim:    object(testClaimTKE, "ap-guangzhou", "ap-shanghai"),
			observed: tke(`{}`, `{}`),
			want: want{
				condition: "OfferingsValid=FALSE/CannotChange: spec.elastic[0].tke.region: Forbidden: cannot be changed while the cluster exists, which has ap-guangzhou: set that, or add an elastic cluster with another name",
				fields:    map[string]map[string]any{"tke-cluster-tke": {"region": "ap-guangzhou"}},
			},
		},
		"TKECluster": {
			reason:   "The network of a cluster cannot be changed, its level can.",
			claim:    object(testClaimTKE, "subnetIds: [subnet-1]", "subnetIds: [subnet-1], level: L100, clusterCIDR: 172.20.0.0/16"),
			observed: tke(made, made),
			want: want{
				condition: "OfferingsValid=FALSE/CannotChange: spec.elastic[0].tke.clusterCIDR: Forbidden: cannot be changed while the cluster exists, which has 172.16.0.0/16: set that, or add an elastic cluster with another name",
				fields:    map[string]map[string]any{"tke-cluster-tke": {"clusterCIDR": "172.16.0.0/16", "level": "L100"}},
			},
		},
		"ACK": {
			reason:   "So is it in ACK, whose node pools can change their vSwitches.",
			claim:    object(testClaim, "name: ack\n", "name: ack\n    warm: true\n    virtualNodes: {maxPods: 5, subnets: [vsw-2]}\n", "vSwitchIds: [vsw-1]", "vSwitchIds: [vsw-1, vsw-3], clusterSpec: ack.standard", "max: 50", "max: 50, subnets: [vsw-2], capacityType: Spot"),
			observed: ack,
			want: want{
				condition: "OfferingsValid=FALSE/CannotChange: [spec.elastic[0].ack.clusterSpec: Forbidden: cannot be changed while the cluster exists, which has ack.pro.small: set that, or add an elastic cluster with another name, " +
					"spec.elastic[0].virtualNodes.subnets: Forbidden: cannot be changed while the cluster exists, which has vsw-1: set that, or add an elastic cluster with another name, " +
					"spec.elastic[0].nodePools[0].capacityType: Forbidden: cannot be changed while the node pool exists, which has OnDemand: set that, or add another node pool]",
				fields: map[string]map[string]any{
					"cluster-ack":          {"vSwitchIds": []any{"vsw-1"}, "clusterSpec": "ack.pro.small", "nodeCIDRMask": 26.0, "virtualNodes": map[string]any{"vSwitchIds": []any{"vsw-1"}}},
					"nodepool-ack-general": {"capacityType": "OnDemand", "vSwitchIds": []any{"vsw-2"}},
				},
			},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			tc.observed["capacity-plan"] = observedPlan(`{phase: Bursting, members: [{name: ack, wanted: true}]}`)
			rsp := run(t, &fnv1.RunFunctionRequest{Observed: &fnv1.State{Composite: tc.claim, Resources: tc.observed}})
			got := want{}
			if c := tell(rsp, conditionOfferingsValid).Conditions; len(c) == 1 {
				got.condition = c[0]
			}
			for n, fields := range tc.want.fields {
				if got.fields == nil {
					got.fields = map[string]map[string]any{}
				}
				got.fields[n] = map[string]any{}
				spec := rsp.GetDesired().GetResources()[n].GetResource().AsMap()["spec"].(map[string]any)["forProvider"].(map[string]any)
				for f := range fields {
					got.fields[n][f] = spec[f]
				}
			}
			if diff := cmp.Diff(tc.want, got, cmp.AllowUnexported(want{})); diff != "" {
				t.Errorf("\nReason: %s\nRunFunction(...): -want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}
