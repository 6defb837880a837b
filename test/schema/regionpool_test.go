package schema

import (
	"strings"
	"testing"
)

func TestRegionPool(t *testing.T) {
	const second = `
spec:
  elastic:
  - name: ack-shanghai
    providerConfigRef: {name: aliyun}
    ack: {region: cn-shanghai, vpcId: vpc-1, vSwitchIds: [vsw-1]}
    nodePools: [{name: general, instanceTypes: [ecs.g7.4xlarge], max: 50}]
  - name: ack-two
    providerConfigRef: {name: aliyun}
    nodePools: [{name: general, instanceTypes: [ecs.g7.4xlarge], max: 50}]
`
	cases := map[string]struct {
		reason string
		change string
		// want are parts of one message: the field and what is wrong with it.
		// None means that the claim is accepted.
		want []string
	}{
		"Example": {
			reason: "The example is a valid claim.",
			change: `{}`,
		},
		"MinAboveMax": {
			reason: "min must not be above max.",
			change: `spec: {elastic: [{nodePools: [{min: 51}]}]}`,
			want:   []string{"spec.elastic[0].nodePools[0]", "min is above max"},
		},
		"NoMax": {
			reason: "max is required.",
			change: `spec: {elastic: [{nodePools: [{max: null}]}]}`,
			want:   []string{"spec.elastic[0].nodePools[0].max", "Required"},
		},
		"MinAboveLimit": {
			reason: "What must always run must fit in the cap.",
			change: `spec: {elastic: [{nodePools: [{min: 40}]}], limits: {nodes: 30}}`,
			want:   []string{"spec", "limits.nodes is below the sum of min in elastic[].nodePools"},
		},
		"WarmAboveLimit": {
			reason: "A warm cluster must fit in the cap.",
			change: `spec: {elastic: [{warm: true}], limits: {clusters: 0}}`,
			want:   []string{"spec", "limits.clusters is below"},
		},
		"OverlappingCIDRs": {
			reason: "Pods and Services need ranges of their own.",
			change: `spec: {elastic: [{ack: {containerCIDR: 172.16.0.0/12, serviceCIDR: 172.19.0.0/20}}]}`,
			want:   []string{"spec.elastic[0].ack", "serviceCIDR and containerCIDR overlap"},
		},
		"OverlappingDefaultCIDR": {
			reason: "The default pod range counts too.",
			change: `spec: {elastic: [{ack: {serviceCIDR: 10.0.128.0/20}}]}`,
			want:   []string{"spec.elastic[0].ack", "serviceCIDR overlaps the default containerCIDR"},
		},
		"NoCIDR": {
			reason: "Garbage is no range.",
			change: `spec: {elastic: [{ack: {containerCIDR: 10.0.0.0/33}}]}`,
			want:   []string{"spec.elastic[0].ack.containerCIDR", "is no CIDR"},
		},
		"BothNetworks": {
			reason: "A cluster has Flannel or Terway.",
			change: `spec: {elastic: [{ack: {containerCIDR: 10.1.0.0/16, podVSwitchIds: [vsw-2]}}]}`,
			want:   []string{"spec.elastic[0].ack", "exclude each other"},
		},
		"Terway": {
			reason: "Terway needs no pod range.",
			change: `spec: {elastic: [{ack: {podVSwitchIds: [vsw-2], serviceCIDR: 10.0.0.0/20}}]}`,
		},
		"SharedVPC": {
			reason: "Two Flannel clusters in one network need different pod ranges.",
			change: second[:strings.LastIndex(second, "    nodePools")] + "    ack: {region: cn-shanghai, vpcId: vpc-1, vSwitchIds: [vsw-1], containerCIDR: 10.0.64.0/20}\n" + second[strings.LastIndex(second, "    nodePools"):],
			want:   []string{"spec", "elastic: two clusters in one vpcId overlap in containerCIDR"},
		},
		"SharedVPCApart": {
			reason: "Different ranges in one network are fine.",
			change: second[:strings.LastIndex(second, "    nodePools")] + "    ack: {region: cn-shanghai, vpcId: vpc-1, vSwitchIds: [vsw-1], containerCIDR: 10.1.0.0/16}\n" + second[strings.LastIndex(second, "    nodePools"):],
		},
		"EmptyTier": {
			reason: "A region needs a cluster of its own.",
			change: `spec: {selfBuilt: []}`,
			want:   []string{"spec.selfBuilt", "at least 1 items"},
		},
		"NoNodePools": {
			reason: "An elastic cluster needs something to order.",
			change: `spec: {elastic: [{nodePools: []}]}`,
			want:   []string{"spec.elastic[0]", "set nodePools, virtualNodes or both"},
		},
		"OnlyVirtualNodes": {
			reason: "Virtual nodes are something to order.",
			change: `spec: {elastic: [{nodePools: null, virtualNodes: {maxPods: 10}}]}`,
		},
		"NoCloud": {
			reason: "A cluster is somewhere.",
			change: `spec: {elastic: [{ack: null}]}`,
			want:   []string{"spec.elastic[0]", "set exactly one of ack and tke"},
		},
		"BothClouds": {
			reason: "And not in two places.",
			change: `spec: {elastic: [{tke: {region: ap-shanghai, vpcId: vpc-1, subnetIds: [subnet-1]}}]}`,
			want:   []string{"spec.elastic[0]", "set exactly one of ack and tke"},
		},
		"TKE": {
			reason: "A cluster may be in TKE.",
			change: tke(``),
		},
		"TKEBothNetworks": {
			reason: "A cluster has GlobalRouter or VPC-CNI.",
			change: tke(`clusterCIDR: 10.1.0.0/16, eniSubnetIds: [subnet-2]`),
			want:   []string{"spec.elastic[0].tke", "exclude each other"},
		},
		"TKEOverlappingCIDRs": {
			reason: "Pods and Services need ranges of their own.",
			change: tke(`clusterCIDR: 172.16.0.0/12, serviceCIDR: 172.19.0.0/20`),
			want:   []string{"spec.elastic[0].tke", "serviceCIDR and clusterCIDR overlap"},
		},
		"TKEOverlappingDefaultCIDR": {
			reason: "The default pod range counts too.",
			change: tke(`serviceCIDR: 172.16.128.0/20`),
			want:   []string{"spec.elastic[0].tke", "serviceCIDR overlaps the default clusterCIDR"},
		},
		"TKENoCIDR": {
			reason: "Garbage is no range.",
			change: tke(`clusterCIDR: 10.0.0.0/33`),
			want:   []string{"spec.elastic[0].tke.clusterCIDR", "is no CIDR"},
		},
		"TKEBadSubnet": {
			reason: "A vSwitch is no subnet.",
			change: tke(`eniSubnetIds: [vsw-1]`),
			want:   []string{"spec.elastic[0].tke.eniSubnetIds[0]", "should match"},
		},
		"TKEBadLevel": {
			reason: "There are certain levels.",
			change: tke(`level: L7`),
			want:   []string{"spec.elastic[0].tke.level", "Unsupported value"},
		},
		"TKETypeOfACK": {
			reason: "Each cloud has its own types.",
			change: strings.Replace(tke(``), "S5.4XLARGE64", "ecs.g7.4xlarge", 1),
			want:   []string{"spec.elastic[0]", "instanceTypes in nodePools are of another cloud"},
		},
		"ACKTypeOfTKE": {
			reason: "Each cloud has its own types.",
			change: `spec: {elastic: [{nodePools: [{instanceTypes: [S5.4XLARGE64]}]}]}`,
			want:   []string{"spec.elastic[0]", "instanceTypes in nodePools are of another cloud"},
		},
		"SubnetsOfTheOtherCloud": {
			reason: "Each cloud has its own subnets.",
			change: `spec: {elastic: [{nodePools: [{subnets: [subnet-1]}]}]}`,
			want:   []string{"spec.elastic[0]", "subnets in nodePools are of another cloud"},
		},
		"VirtualSubnetsOfTheOtherCloud": {
			reason: "Also those of virtual nodes.",
			change: `spec: {elastic: [{virtualNodes: {maxPods: 1, subnets: [subnet-1]}}]}`,
			want:   []string{"spec.elastic[0]", "subnets in virtualNodes are of another cloud"},
		},
		"BadSubnets": {
			reason: "A subnet has a form.",
			change: `spec: {elastic: [{nodePools: [{subnets: [one]}]}]}`,
			want:   []string{"spec.elastic[0].nodePools[0].subnets[0]", "should match"},
		},
		"ZonesAndSubnets": {
			reason: "There is a zone for each subnet.",
			change: `spec: {elastic: [{nodePools: [{subnets: [vsw-1, vsw-2], zones: [cn-shanghai-b]}]}]}`,
			want:   []string{"spec.elastic[0].nodePools[0]", "zones: name one for each of subnets"},
		},
		"ZonesAndSubnetsOfTheCluster": {
			reason: "Also if they are those of the cluster.",
			change: strings.Replace(tke(``), "max: 50", "max: 50, zones: [ap-shanghai-2, ap-shanghai-4]", 1),
			want:   []string{"spec.elastic[0]", "zones in nodePools: name one for each of the cluster's subnets"},
		},
		"ZoneOfOtherRegion": {
			reason: "A zone has the name of its region.",
			change: strings.Replace(tke(``), "max: 50", "max: 50, zones: [ap-guangzhou-3]", 1),
			want:   []string{"spec.elastic[0]", "zones in nodePools are of another region"},
		},
		"Zones": {
			reason: "Zones of the region, one for each subnet.",
			change: strings.Replace(tke(``), "max: 50", "max: 50, zones: [ap-shanghai-2]", 1),
		},
		"SharedTKEVPC": {
			reason: "Two GlobalRouter clusters in one network need different pod ranges.",
			change: `spec: {elastic: [` + tkeCluster("tke-a", ``) + `, ` + tkeCluster("tke-b", `clusterCIDR: 172.16.64.0/20`) + `]}`,
			want:   []string{"spec", "elastic: two clusters in one vpcId overlap in clusterCIDR"},
		},
		"SharedTKEVPCApart": {
			reason: "Different ranges in one network are fine.",
			change: `spec: {elastic: [` + tkeCluster("tke-a", ``) + `, ` + tkeCluster("tke-b", `clusterCIDR: 10.1.0.0/16`) + `]}`,
		},
		"SpotWithoutFallback": {
			reason: "Spot needs something to fall back to.",
			change: `spec: {elastic: [{nodePools: [{capacityType: Spot}]}]}`,
			want:   []string{"spec", "Spot node pools need an OnDemand node pool or virtualNodes"},
		},
		"SpotWithVirtualNodes": {
			reason: "Virtual nodes are something to fall back to.",
			change: `spec: {elastic: [{nodePools: [{capacityType: Spot}], virtualNodes: {maxPods: 10}}]}`,
		},
		"BadCapacityType": {
			reason: "There are two ways to rent.",
			change: `spec: {elastic: [{nodePools: [{capacityType: Stolen}]}]}`,
			want:   []string{"spec.elastic[0].nodePools[0].capacityType", "Unsupported value"},
		},
		"VirtualNameTaken": {
			reason: "Offerings of a cluster have different names.",
			change: `spec: {elastic: [{virtualNodes: {name: general, maxPods: 10}}]}`,
			want:   []string{"spec.elastic[0]", "virtualNodes has the name of a node pool"},
		},
		"VirtualLongName": {
			reason: "The offering is the value of a label.",
			change: `spec: {elastic: [{name: a123456789a123456789a123456789a123456789, virtualNodes: {name: b123456789b123456789b123456789, maxPods: 10}}]}`,
			want:   []string{"spec.elastic[0]", "virtualNodes.name are together longer"},
		},
		"VirtualNoMax": {
			reason: "Virtual nodes need a bound.",
			change: `spec: {elastic: [{virtualNodes: {moves: Never}}]}`,
			want:   []string{"spec.elastic[0].virtualNodes.maxPods", "Required"},
		},
		"VirtualPriceZero": {
			reason: "Pods that cost nothing would make every cap void.",
			change: `spec: {elastic: [{virtualNodes: {maxPods: 1, cpuHour: 0}}]}`,
			want:   []string{"spec.elastic[0].virtualNodes.cpuHour", "must be above 0"},
		},
		"VirtualPriceNegative": {
			reason: "So would pods that earn money.",
			change: `spec: {elastic: [{virtualNodes: {maxPods: 1, memoryGiBHour: "-0.1"}}]}`,
			want:   []string{"spec.elastic[0].virtualNodes.memoryGiBHour", "must be above 0"},
		},
		"BadMoves": {
			reason: "Replicas move or they do not.",
			change: `spec: {elastic: [{virtualNodes: {maxPods: 1, moves: Often}}]}`,
			want:   []string{"spec.elastic[0].virtualNodes.moves", "Unsupported value"},
		},
		"Weights": {
			reason: "Weights may be fractions.",
			change: `spec: {weights: {price: 1, wait: "0.5", interruption: "0", spread: 100m}}`,
		},
		"WeightNegative": {
			reason: "A weight below 0 would make the worst the best.",
			change: `spec: {weights: {wait: "-1"}}`,
			want:   []string{"spec.weights.wait", "wait is below 0"},
		},
		"PlacementWeights": {
			reason: "A term that weighs nothing does not count.",
			change: `spec: {placementWeights: {cloud: 1, spread: 0, hole: 500000}}`,
		},
		"PlacementWeightNegative": {
			reason: "A weight below 0 would make the worst the best.",
			change: `spec: {placementWeights: {hole: -1}}`,
			want:   []string{"spec.placementWeights.hole", "greater than or equal to 0"},
		},
		"PlacementWeightHuge": {
			reason: "Sums of weights must not overflow.",
			change: `spec: {placementWeights: {cloud: 1000000001}}`,
			want:   []string{"spec.placementWeights.cloud", "less than or equal to 1000000000"},
		},
		"PlacementUnplacedNothing": {
			reason: "To leave replicas without a place must not be free.",
			change: `spec: {placementWeights: {unplaced: 0}}`,
			want:   []string{"spec.placementWeights.unplaced", "greater than or equal to 1"},
		},
		"PlacementUnplacedBelowMoving": {
			reason: "A replica that runs nowhere is the worst there is.",
			change: `spec: {placementWeights: {unplaced: 100}}`,
			want:   []string{"spec.placementWeights", "unplaced is below moving"},
		},
		"BadOverflow": {
			reason: "All may leave home, or those with a reservation.",
			change: `spec: {overflow: Never}`,
			want:   []string{"spec.overflow", "Unsupported value"},
		},
		"BadLeaks": {
			reason: "Leaks are reported or deleted.",
			change: `spec: {leaks: Ignore}`,
			want:   []string{"spec.leaks", "Unsupported value"},
		},
		"NoInstanceTypes": {
			reason: "A node pool needs an instance type.",
			change: `spec: {elastic: [{nodePools: [{instanceTypes: []}]}]}`,
			want:   []string{"spec.elastic[0].nodePools[0].instanceTypes", "at least 1 items"},
		},
		"DuplicateSelfBuilt": {
			reason: "Names of members are unique.",
			change: `spec: {selfBuilt: [{name: a, kubeconfigSecretRef: {name: a}}, {name: a, kubeconfigSecretRef: {name: b}}]}`,
			want:   []string{"spec.selfBuilt[1]", "Duplicate"},
		},
		"DuplicateElastic": {
			reason: "A self-built and an elastic cluster must not share a name.",
			change: `spec: {elastic: [{name: idc-b}]}`,
			want:   []string{"spec", "a name is used by a self-built and an elastic cluster"},
		},
		"DuplicateNodePool": {
			reason: "Names of node pools are unique in their cluster.",
			change: `spec: {elastic: [{nodePools: [{name: a, instanceTypes: [ecs.g7.large], max: 1}, {name: a, instanceTypes: [ecs.g7.large], max: 1}]}]}`,
			want:   []string{"spec.elastic[0].nodePools[1]", "Duplicate"},
		},
		"LongNames": {
			reason: "The offering is the value of a label.",
			change: `spec: {elastic: [{name: a123456789a123456789a123456789a123456789, nodePools: [{name: b123456789b123456789b123456789}]}]}`,
			want:   []string{"spec.elastic[0]", "longer than 62 characters"},
		},
		"BadName": {
			reason: "Names are names of Kubernetes objects.",
			change: `spec: {selfBuilt: [{name: IDC_A}]}`,
			want:   []string{"spec.selfBuilt[0].name", "should match"},
		},
		"EmptySelector": {
			reason: "An empty selector would take every workload.",
			change: `spec: {workloads: {matchLabels: {regionpool.io/pool: null}}}`,
			want:   []string{"spec.workloads.matchLabels", "at least 1 properties"},
		},
		"NoSelector": {
			reason: "So would none.",
			change: `spec: {workloads: null}`,
			want:   []string{"spec.workloads", "Required"},
		},
		"PriceZero": {
			reason: "Nodes that cost nothing would make every cap void.",
			change: `spec: {elastic: [{nodePools: [{hourlyPrice: 0}]}]}`,
			want:   []string{"spec.elastic[0].nodePools[0].hourlyPrice", "must be above 0"},
		},
		"PriceNegative": {
			reason: "So would nodes that earn money.",
			change: `spec: {elastic: [{nodePools: [{hourlyPrice: "-1.5"}]}]}`,
			want:   []string{"spec.elastic[0].nodePools[0].hourlyPrice", "should match"},
		},
		"PriceZeroString": {
			reason: "0 has many forms.",
			change: `spec: {elastic: [{nodePools: [{hourlyPrice: "0.00"}]}]}`,
			want:   []string{"spec.elastic[0].nodePools[0].hourlyPrice", "should match"},
		},
		"PriceSmall": {
			reason: "A small price is above 0.",
			change: `spec: {elastic: [{nodePools: [{hourlyPrice: "0.05"}]}]}`,
		},
		"Price": {
			reason: "A price may be a fraction.",
			change: `spec: {elastic: [{nodePools: [{hourlyPrice: "4.2"}]}]}`,
		},
		"LimitNegative": {
			reason: "A cap below 0 cannot be kept.",
			change: `spec: {limits: {hourlyCost: "-1"}}`,
			want:   []string{"spec.limits.hourlyCost", "must be above 0"},
		},
		"LimitZero": {
			reason: "A cap of 0 on money is a slip: other caps say that nothing is rented.",
			change: `spec: {limits: {hourlyCost: 0}}`,
			want:   []string{"spec.limits.hourlyCost", "to rent nothing set nodes and clusters to 0"},
		},
		"DelayNegative": {
			reason: "A delay is not over before it begins.",
			change: `spec: {scaleDown: {nodeIdle: -5m}}`,
			want:   []string{"spec.scaleDown.nodeIdle", "nodeIdle must be a duration of 0 or more"},
		},
		"DelayWrong": {
			reason: "Garbage is no delay.",
			change: `spec: {scaleDown: {clusterIdle: soon}}`,
			want:   []string{"spec.scaleDown.clusterIdle", "clusterIdle must be a duration of 0 or more, such as 10m"},
		},
		"ReplaceTooSoon": {
			reason: "A blink is no outage.",
			change: `spec: {outage: {replaceAfter: 30s}}`,
			want:   []string{"spec.outage.replaceAfter", "replaceAfter must be a duration of 1m or more, such as 10m"},
		},
		"DrainTimeoutNegative": {
			reason: "Nor is a time-out.",
			change: `spec: {elastic: [{drainTimeout: -5m}]}`,
			want:   []string{"spec.elastic[0].drainTimeout", "drainTimeout must be a duration of 0 or more"},
		},
		"BadRegion": {
			reason: "A region has a form.",
			change: `spec: {elastic: [{ack: {region: Shanghai}}]}`,
			want:   []string{"spec.elastic[0].ack.region", "should match"},
		},
		"BadVPC": {
			reason: "So has a network.",
			change: `spec: {elastic: [{ack: {vpcId: shanghai}}]}`,
			want:   []string{"spec.elastic[0].ack.vpcId", "should match"},
		},
		"BadVSwitch": {
			reason: "So has a subnet.",
			change: `spec: {elastic: [{ack: {vSwitchIds: [one]}}]}`,
			want:   []string{"spec.elastic[0].ack.vSwitchIds[0]", "should match"},
		},
		"NoFederation": {
			reason: "The federation is required.",
			change: `spec: {federation: null}`,
			want:   []string{"spec.federation", "Required"},
		},
		"EmptySecret": {
			reason: "The reference needs a name.",
			change: `spec: {selfBuilt: [{kubeconfigSecretRef: {name: ""}}]}`,
			want:   []string{"spec.selfBuilt[0].kubeconfigSecretRef.name", "at least 1 chars"},
		},
		"BadMode": {
			reason: "There are two modes.",
			change: `spec: {mode: Magic}`,
			want:   []string{"spec.mode", "Unsupported value"},
		},
		"Typo": {
			reason: "A field that does not exist is told.",
			change: `spec: {elastic: [{nodePools: [{maximum: 5}]}]}`,
			want:   []string{"spec.elastic[0].nodePools[0].maximum", "unknown field"},
		},
		"LongName": {
			reason: "Crossplane uses the name as the value of a label.",
			change: `metadata: {name: ` + strings.Repeat("a", 64) + `}`,
			want:   []string{"metadata.name", "Too long"},
		},
	}
	s := load(t)
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			check(t, s, tc.reason, claim(t, tc.change), tc.want)
		})
	}
}
