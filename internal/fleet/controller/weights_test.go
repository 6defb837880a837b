package controller

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/yaml"

	"regionpool.io/provider-regionpool/apis/fleet/crds"
	fleetv1alpha1 "regionpool.io/provider-regionpool/apis/fleet/v1alpha1"
	"regionpool.io/provider-regionpool/internal/fleet/scheduler"
)

// schemaWeights are the defaults that the API fills in.
func schemaWeights() (fleetv1alpha1.PlacementWeights, error) {
	out := fleetv1alpha1.PlacementWeights{}
	raw, err := crds.FS.ReadFile("fleet.regionpool.io_capacityplans.yaml")
	if err != nil {
		return out, err
	}
	crd := &apiextensionsv1.CustomResourceDefinition{}
	if err := yaml.Unmarshal(raw, crd); err != nil {
		return out, err
	}
	spec := crd.Spec.Versions[0].Schema.OpenAPIV3Schema.Properties["spec"]
	defaults := map[string]json.RawMessage{}
	for name, p := range spec.Properties["placementWeights"].Properties {
		if p.Default == nil {
			return out, fmt.Errorf("%s has no default", name)
		}
		defaults[name] = p.Default.Raw
	}
	if raw, err = json.Marshal(defaults); err != nil {
		return out, err
	}
	return out, json.Unmarshal(raw, &out)
}

func TestWeights(t *testing.T) {
	schema, err := schemaWeights()
	if err != nil {
		t.Fatal(err)
	}
	changed := scheduler.DefaultWeights
	changed.Hole, changed.Spread = 500, 0
	cases := map[string]struct {
		reason string
		plan   fleetv1alpha1.PlacementWeights
		want   scheduler.Weights
	}{
		"Schema": {
			reason: "The schema tells the defaults that the scheduler has.",
			plan:   schema,
			want:   scheduler.DefaultWeights,
		},
		"NotDefaulted": {
			reason: "A plan that no API has defaulted has them too.",
			want:   scheduler.DefaultWeights,
		},
		"Set": {
			reason: "What a plan says counts, also a weight of 0.",
			plan:   fleetv1alpha1.PlacementWeights{Hole: ptr.To[int64](500), Spread: ptr.To[int64](0)},
			want:   changed,
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, *weights(tc.plan)); diff != "" {
				t.Errorf("\nReason: %s\nweights(...): -want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}
