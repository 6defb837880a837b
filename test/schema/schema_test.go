package schema

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/json"
	"sigs.k8s.io/yaml"
)

const (
	configuration = "../../package/configuration"
	providerCRDs  = "../../package/provider/crds"
	fleetCRDs     = "../../apis/fleet/crds"
	examples      = "../../examples"
)

// maxClaimLines is how long a useful claim may be.
const maxClaimLines = 20

func load(t *testing.T) *Set {
	t.Helper()
	s, err := Load(configuration, providerCRDs, fleetCRDs)
	if err != nil {
		t.Fatalf("Load(...): %v", err)
	}
	return s
}

// claim is the example with a change.
func claim(t *testing.T, change string) *unstructured.Unstructured {
	t.Helper()
	objs, err := Objects(filepath.Join(examples, "regionpool.yaml"))
	if err != nil || len(objs) != 1 {
		t.Fatalf("cannot read the example claim: %v", err)
	}
	j, err := yaml.YAMLToJSON([]byte(change))
	if err != nil {
		t.Fatalf("cannot read the change: %v", err)
	}
	c := map[string]any{}
	if err := json.Unmarshal(j, &c); err != nil {
		t.Fatalf("cannot read the change: %v", err)
	}
	return &unstructured.Unstructured{Object: merge(objs[0].Object, c).(map[string]any)}
}

// merge puts change over base: maps are merged, a list with one item is merged
// into the first item, null deletes.
func merge(base, change any) any {
	switch c := change.(type) {
	case map[string]any:
		b, ok := base.(map[string]any)
		if !ok {
			return c
		}
		for k, v := range c {
			if v == nil {
				delete(b, k)
				continue
			}
			b[k] = merge(b[k], v)
		}
		return b
	case []any:
		b, ok := base.([]any)
		if !ok || len(c) != 1 || len(b) == 0 {
			return c
		}
		if _, ok := c[0].(map[string]any); !ok {
			return c
		}
		b[0] = merge(b[0], c[0])
		return b
	default:
		return c
	}
}

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
			want:   []string{"spec.elastic[0].nodePools", "at least 1 items"},
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
			want:   []string{"spec.limits.hourlyCost", "below 0"},
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
			errs := s.Validate(claim(t, tc.change))
			if len(tc.want) == 0 {
				if len(errs) > 0 {
					t.Fatalf("\nReason: %s\nValidate(...): unexpected %v", tc.reason, errs.ToAggregate())
				}
				return
			}
			for _, err := range errs {
				if matches(err.Error(), tc.want) {
					return
				}
			}
			t.Errorf("\nReason: %s\nValidate(...): want an error with %q, got %v", tc.reason, tc.want, errs.ToAggregate())
		})
	}
}

func matches(msg string, parts []string) bool {
	if !strings.HasPrefix(msg, parts[0]+":") {
		return false
	}
	for _, p := range parts[1:] {
		if !strings.Contains(msg, p) {
			return false
		}
	}
	return true
}

func TestDefaults(t *testing.T) {
	s := load(t)
	c := claim(t, `{}`)
	s.Default(c)
	for path, want := range map[string]any{
		"mode":                          "Simulated",
		"scaleDown.stabilizationWindow": "5m",
		"scaleDown.nodeIdle":            "10m",
		"scaleDown.clusterIdle":         "1h",
	} {
		got, _, err := unstructured.NestedString(c.Object, append([]string{"spec"}, strings.Split(path, ".")...)...)
		if err != nil || got != want {
			t.Errorf("Default(...): spec.%s: want %q, got %q, %v", path, want, got, err)
		}
	}
}

// TestXRD guards what Crossplane adds by itself: carrying it in the XRD would
// override or duplicate it.
func TestXRD(t *testing.T) {
	objs, err := Objects(filepath.Join(configuration, "apis", "regionpool", "definition.yaml"))
	if err != nil || len(objs) != 1 {
		t.Fatalf("cannot read the XRD: %v", err)
	}
	versions, _, _ := unstructured.NestedSlice(objs[0].Object, "spec", "versions")
	for _, v := range versions {
		props, _, _ := unstructured.NestedMap(v.(map[string]any), "schema", "openAPIV3Schema", "properties")
		for name := range props {
			if name != "spec" && name != "status" {
				t.Errorf("the XRD carries %q", name)
			}
		}
		if _, ok, _ := unstructured.NestedMap(props, "status", "properties", "conditions"); ok {
			t.Errorf("the XRD carries status.conditions")
		}
	}
}

func TestExamples(t *testing.T) {
	s := load(t)
	objs, err := Objects(examples)
	if err != nil {
		t.Fatalf("cannot read the examples: %v", err)
	}
	seen := map[schema.GroupVersionKind]bool{}
	for _, o := range objs {
		gvk := o.GroupVersionKind()
		seen[gvk] = true
		// What is applied to a member or to Crossplane itself is not ours.
		if !strings.HasSuffix(gvk.Group, "regionpool.io") {
			continue
		}
		if errs := s.Validate(o); len(errs) > 0 {
			t.Errorf("example %s %s: %v", gvk.Kind, o.GetName(), errs.ToAggregate())
		}
	}
	for gvk := range s.kinds {
		// Users do not write usages, nor the twins in the workload plane.
		if gvk.Kind == "ProviderConfigUsage" || gvk.Group == "fleet.regionpool.io" {
			continue
		}
		if !seen[gvk] {
			t.Errorf("no example for %s", gvk)
		}
	}
}

func TestClaimIsShort(t *testing.T) {
	b, err := os.ReadFile(filepath.Join(examples, "regionpool.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if n := bytes.Count(b, []byte("\n")); n > maxClaimLines {
		t.Errorf("the example claim has %d lines, want at most %d", n, maxClaimLines)
	}
}
