package schema

import (
	"strings"
	"testing"
)

func TestBurst(t *testing.T) {
	cases := map[string]struct {
		reason string
		change string
		want   []string
	}{
		"Example": {
			reason: "The example is a valid claim.",
			change: `{}`,
		},
		"Until": {
			reason: "It ends at a time or after a duration.",
			change: `spec: {for: null, until: "2030-01-01T00:00:00Z"}`,
		},
		"NoEnd": {
			reason: "A Burst ends.",
			change: `spec: {for: null}`,
			want:   []string{"spec", "set exactly one of until and for"},
		},
		"TwoEnds": {
			reason: "And only once.",
			change: `spec: {until: "2030-01-01T00:00:00Z"}`,
			want:   []string{"spec", "set exactly one of until and for"},
		},
		"ForZero": {
			reason: "It lasts a while.",
			change: `spec: {for: 0s}`,
			want:   []string{"spec.for", "for must be above 0"},
		},
		"ForNegative": {
			reason: "And not into the past.",
			change: `spec: {for: -1h}`,
			want:   []string{"spec.for", "for must be above 0"},
		},
		"NoTime": {
			reason: "Garbage is no time.",
			change: `spec: {for: null, until: tomorrow}`,
			want:   []string{"spec.until", "date-time"},
		},
		"NoPool": {
			reason: "It is for a pool.",
			change: `spec: {poolRef: {name: ""}}`,
			want:   []string{"spec.poolRef", "poolRef.name is empty"},
		},
		"NoTargets": {
			reason: "It is for somebody.",
			change: `spec: {targets: []}`,
			want:   []string{"spec.targets", "at least 1 items"},
		},
		"TargetEverything": {
			reason: "And not for all.",
			change: `spec: {targets: [{name: null}]}`,
			want:   []string{"spec.targets[0]", "the target would match every workload"},
		},
		"TargetByLabel": {
			reason: "Workloads may be named by label.",
			change: `spec: {targets: [{name: null, matchLabels: {app: web}}]}`,
		},
		"NoAmount": {
			reason: "It is for something.",
			change: `spec: {amount: {replicas: null}}`,
			want:   []string{"spec.amount", "set exactly one of replicas, nodes and resources"},
		},
		"TwoAmounts": {
			reason: "And not for two things.",
			change: `spec: {amount: {nodes: 3}}`,
			want:   []string{"spec.amount", "set exactly one of replicas, nodes and resources"},
		},
		"AmountZero": {
			reason: "Nothing need not be reserved.",
			change: `spec: {amount: {replicas: 0}}`,
			want:   []string{"spec.amount.replicas", "greater than or equal to 1"},
		},
		"NoResources": {
			reason: "Neither in resources.",
			change: `spec: {amount: {replicas: null, resources: {}}}`,
			want:   []string{"spec.amount.resources", "resources is empty"},
		},
		"Resources": {
			reason: "Amounts have units.",
			change: `spec: {amount: {replicas: null, resources: {cpu: 10, memory: 40Gi, nvidia.com/gpu: "2"}}}`,
		},
		"MaxCostZero": {
			reason: "Nothing can be had for nothing.",
			change: `spec: {maxCost: 0}`,
			want:   []string{"spec.maxCost", "must be above 0"},
		},
		"MaxCostNegative": {
			reason: "Nor for less.",
			change: `spec: {maxCost: "-5"}`,
			want:   []string{"spec.maxCost", "must be above 0"},
		},
		"Elastic": {
			reason: "It may bring a cluster.",
			change: `spec: {elastic: ` + tkeCluster("tke", "") + `}`,
		},
		"ElasticWrong": {
			reason: "To which the rules of the pool apply.",
			change: `spec: {elastic: ` + strings.Replace(tkeCluster("tke", ""), "S5.4XLARGE64", "ecs.g7.large", 1) + `}`,
			want:   []string{"spec.elastic", "instanceTypes in nodePools are of another cloud"},
		},
	}
	s := load(t)
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			check(t, s, tc.reason, changed(t, "emergency-burst.yaml", tc.change), tc.want)
		})
	}
}

// TestUpdate changes what must not be changed.
func TestUpdate(t *testing.T) {
	cases := map[string]struct {
		reason  string
		example string
		change  string
		want    []string
	}{
		"OtherCloud": {
			reason:  "A cluster cannot move to another cloud under its name.",
			example: "regionpool.yaml",
			change:  strings.Replace(tke(``), "name: tke,", "name: ack-shanghai,", 1),
			want:    []string{"spec.elastic[0]", "a cluster cannot move to another cloud"},
		},
		"Renamed": {
			reason:  "Under another name it is another cluster.",
			example: "regionpool.yaml",
			change:  tke(``),
		},
		"OtherPool": {
			reason:  "A Burst is for one pool.",
			example: "emergency-burst.yaml",
			change:  `spec: {poolRef: {name: other}}`,
			want:    []string{"spec.poolRef", "poolRef cannot be changed"},
		},
		"Extended": {
			reason:  "It may be extended.",
			example: "emergency-burst.yaml",
			change:  `spec: {for: 5h}`,
		},
	}
	s := load(t)
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			report(t, tc.reason, s.ValidateUpdate(changed(t, tc.example, tc.change), changed(t, tc.example, `{}`)), tc.want)
		})
	}
}
