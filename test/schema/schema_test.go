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
	"k8s.io/apimachinery/pkg/util/validation/field"
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

// claim is the example of a pool with a change.
func claim(t *testing.T, change string) *unstructured.Unstructured {
	t.Helper()
	return changed(t, "regionpool.yaml", change)
}

// changed is an example with a change.
func changed(t *testing.T, example, change string) *unstructured.Unstructured {
	t.Helper()
	objs, err := Objects(filepath.Join(examples, example))
	if err != nil || len(objs) != 1 {
		t.Fatalf("cannot read the example %s: %v", example, err)
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

// tke is a change that puts the elastic cluster into TKE, with more of its fields.
func tke(more string) string {
	return `spec: {elastic: [` + strings.Replace(tkeCluster("tke", more), "{name: tke,", "{name: tke, ack: null,", 1) + `]}`
}

func tkeCluster(name, more string) string {
	return `{name: ` + name + `, providerConfigRef: {name: tencent}, tke: {region: ap-shanghai, vpcId: vpc-1, subnetIds: [subnet-1], ` + more + `}, nodePools: [{name: general, instanceTypes: [S5.4XLARGE64], max: 50}]}`
}

func check(t *testing.T, s *Set, reason string, o *unstructured.Unstructured, want []string) {
	t.Helper()
	report(t, reason, s.Validate(o), want)
}

// report compares complaints with the parts of the one that is wanted; none
// means that the object is accepted.
func report(t *testing.T, reason string, errs field.ErrorList, want []string) {
	t.Helper()
	if len(want) == 0 {
		if len(errs) > 0 {
			t.Fatalf("\nReason: %s\nunexpected %v", reason, errs.ToAggregate())
		}
		return
	}
	for _, err := range errs {
		if matches(err.Error(), want) {
			return
		}
	}
	t.Errorf("\nReason: %s\nwant an error with %q, got %v", reason, want, errs.ToAggregate())
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
		"overflow":                      "Always",
		"leaks":                         "Report",
		"weights.price":                 "1",
		"weights.wait":                  "0",
		"weights.interruption":          "0.25",
		"weights.spread":                "0",
		"placementWeights.unplaced":     int64(100_000_000),
		"placementWeights.hole":         int64(1),
	} {
		got, _, err := unstructured.NestedFieldNoCopy(c.Object, append([]string{"spec"}, strings.Split(path, ".")...)...)
		if err != nil || got != want {
			t.Errorf("Default(...): spec.%s: want %v, got %v, %v", path, want, got, err)
		}
	}
}

// TestXRD guards what Crossplane adds by itself: carrying it in the XRD would
// override or duplicate it.
func TestXRD(t *testing.T) {
	for _, claim := range []string{"regionpool", "burst"} {
		t.Run(claim, func(t *testing.T) { xrd(t, filepath.Join(configuration, "apis", claim, "definition.yaml")) })
	}
}

func xrd(t *testing.T, path string) {
	t.Helper()
	objs, err := Objects(path)
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
	for _, example := range []string{"regionpool.yaml", "emergency-burst.yaml"} {
		b, err := os.ReadFile(filepath.Join(examples, example))
		if err != nil {
			t.Fatal(err)
		}
		if n := bytes.Count(b, []byte("\n")); n > maxClaimLines {
			t.Errorf("the example %s has %d lines, want at most %d", example, n, maxClaimLines)
		}
	}
}
