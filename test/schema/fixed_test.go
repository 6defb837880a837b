package schema

import (
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// TestFixed changes what no cloud can change: the API server refuses it once the
// thing exists, and not before.
func TestFixed(t *testing.T) {
	const (
		tkeCluster = `
apiVersion: tke.regionpool.io/v1alpha1
kind: Cluster
metadata: {name: c, namespace: ns}
spec: {providerConfigRef: {kind: ProviderConfig, name: p}, forProvider: {region: ap-shanghai, vpcId: vpc-1, subnetId: subnet-1, clusterCIDR: 172.16.0.0/16}}`
		tkePool = `
apiVersion: tke.regionpool.io/v1alpha1
kind: NodePool
metadata: {name: p, namespace: ns}
spec: {providerConfigRef: {kind: ProviderConfig, name: p}, forProvider: {clusterRef: {name: c}, instanceTypes: [S5.LARGE8], size: 1, subnetIds: [subnet-1]}}`
		tkeVirtual = `
apiVersion: tke.regionpool.io/v1alpha1
kind: VirtualNodePool
metadata: {name: v, namespace: ns}
spec: {providerConfigRef: {kind: ProviderConfig, name: p}, forProvider: {clusterRef: {name: c}, subnetIds: [subnet-1]}}`
		ackCluster = `
apiVersion: ack.regionpool.io/v1alpha1
kind: Cluster
metadata: {name: c, namespace: ns}
spec: {providerConfigRef: {kind: ProviderConfig, name: p}, forProvider: {region: cn-shanghai, vpcId: vpc-1, vSwitchIds: [vsw-1], containerCIDR: 10.0.0.0/16}}`
		ackPool = `
apiVersion: ack.regionpool.io/v1alpha1
kind: NodePool
metadata: {name: p, namespace: ns}
spec: {providerConfigRef: {kind: ProviderConfig, name: p}, forProvider: {clusterRef: {name: c}, instanceTypes: [ecs.g7.large], size: 1, vSwitchIds: [vsw-1]}}`
	)
	cases := map[string]struct {
		reason string
		object string
		change map[string]any
		want   []string
		// early is what is said before it exists.
		early []string
	}{
		"TKESubnets":        {reason: "TKE has no call for it.", object: tkePool, change: map[string]any{"subnetIds": []any{"subnet-1", "subnet-2"}}, want: []string{"spec.forProvider.subnetIds", "subnetIds cannot be changed: add another node pool"}},
		"TKESubnetsDropped": {reason: "Nor for this.", object: tkePool, change: map[string]any{"subnetIds": nil}, want: []string{"spec.forProvider.subnetIds", "cannot be changed"}},
		"TKESecurityGroups": {reason: "Nor for security groups.", object: tkePool, change: map[string]any{"securityGroupIds": []any{"sg-1"}}, want: []string{"spec.forProvider.securityGroupIds", "cannot be changed"}},
		"TKEDisk":           {reason: "Nor for disks.", object: tkePool, change: map[string]any{"systemDisk": map[string]any{"sizeGiB": int64(200)}}, want: []string{"spec.forProvider.systemDisk", "cannot be changed"}},
		"TKETypes":          {reason: "Types can be changed.", object: tkePool, change: map[string]any{"instanceTypes": []any{"S5.LARGE16"}}},
		"TKEVirtualSubnets": {reason: "Subnets get a virtual node each.", object: tkeVirtual, change: map[string]any{"subnetIds": []any{"subnet-1", "subnet-2"}}},
		"TKEVirtualGroups":  {reason: "They keep their security groups.", object: tkeVirtual, change: map[string]any{"securityGroupIds": []any{"sg-1"}}, want: []string{"spec.forProvider.securityGroupIds", "cannot be changed"}},
		"TKERegion":         {reason: "It may exist there before that is known.", object: tkeCluster, change: map[string]any{"region": "ap-guangzhou"}, want: []string{"spec.forProvider.region", "region cannot be changed"}, early: []string{"spec.forProvider.region", "region cannot be changed"}},
		"TKEVPC":            {reason: "A cluster stays in its VPC.", object: tkeCluster, change: map[string]any{"vpcId": "vpc-2"}, want: []string{"spec.forProvider.vpcId", "vpcId cannot be changed: give the new cluster another name"}},
		"TKECIDR":           {reason: "And has its ranges.", object: tkeCluster, change: map[string]any{"clusterCIDR": "172.20.0.0/16"}, want: []string{"spec.forProvider.clusterCIDR", "cannot be changed"}},
		"TKEVersion":        {reason: "It is not upgraded.", object: tkeCluster, change: map[string]any{"kubernetesVersion": "1.34"}, want: []string{"spec.forProvider.kubernetesVersion", "cannot be changed"}},
		"TKELevel":          {reason: "A level can be changed.", object: tkeCluster, change: map[string]any{"level": "L100"}},
		"ACKService":        {reason: "ACK has no call for it.", object: ackCluster, change: map[string]any{"serviceCIDR": "172.20.0.0/20"}, want: []string{"spec.forProvider.serviceCIDR", "cannot be changed"}},
		"ACKAddons":         {reason: "Add-ons are installed with the cluster.", object: ackCluster, change: map[string]any{"addons": []any{map[string]any{"name": "x"}}}, want: []string{"spec.forProvider.addons", "cannot be changed"}},
		"ACKVirtualNodes":   {reason: "Virtual nodes can be added.", object: ackCluster, change: map[string]any{"virtualNodes": map[string]any{"vSwitchIds": []any{"vsw-1"}}}},
		"ACKProtection":     {reason: "Protection can be switched.", object: ackCluster, change: map[string]any{"deletionProtection": true}},
		"ACKSubnets":        {reason: "ACK changes the vSwitches of node pools.", object: ackPool, change: map[string]any{"vSwitchIds": []any{"vsw-2"}, "systemDisk": map[string]any{"sizeGiB": int64(200)}}},
	}
	s := load(t)
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			parse := func() *unstructured.Unstructured {
				objs, err := Decode([]byte(tc.object))
				if err != nil || len(objs) != 1 {
					t.Fatalf("Decode(...): %v", err)
				}
				return objs[0]
			}
			for status, want := range map[string][]string{"": tc.early, "id-1": tc.want} {
				was, is := parse(), parse()
				for _, o := range []*unstructured.Unstructured{was, is} {
					if status != "" {
						_ = unstructured.SetNestedField(o.Object, status, "status", "atProvider", "id")
						if o.GetKind() == "NodePool" {
							for _, f := range []string{"wanted", "desired", "nodes", "ready"} {
								_ = unstructured.SetNestedField(o.Object, int64(1), "status", "atProvider", f)
							}
						}
					}
				}
				for f, v := range tc.change {
					if v == nil {
						unstructured.RemoveNestedField(is.Object, "spec", "forProvider", f)
						continue
					}
					if err := unstructured.SetNestedField(is.Object, v, "spec", "forProvider", f); err != nil {
						t.Fatal(err)
					}
				}
				report(t, tc.reason, s.ValidateUpdate(is, was), want)
			}
		})
	}
}
