package render

import (
	"context"
	"flag"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/crossplane/function-sdk-go/logging"
	fnv1 "github.com/crossplane/function-sdk-go/proto/v1"

	"regionpool.io/provider-regionpool/cluster/local/binaries"
	"regionpool.io/provider-regionpool/cluster/local/progress"
	"regionpool.io/provider-regionpool/internal/function"
	"regionpool.io/provider-regionpool/test/schema"
)

var update = flag.Bool("update", false, "write the golden files")

const (
	configuration = "../../package/configuration"
	providerCRDs  = "../../package/provider/crds"
	examples      = "../../examples"
	example       = "regionpool.yaml"

	functionName = "function-regionpool"
	claimUID     = "8a4a4b6c-0000-4000-8000-000000000001"
)

// A stage renders with one crossplane binary and one running function.
type stage struct {
	t          *testing.T
	crossplane string
	address    string
	kinds      *schema.Set

	// compositions and definitions by the kind of the claim.
	compositions, definitions map[string]*unstructured.Unstructured
}

func newStage(t *testing.T) *stage {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Minute)
	defer cancel()
	bins, err := binaries.Ensure(ctx, filepath.Join(t.TempDir(), "binaries"), progress.New(os.Stderr), "crossplane")
	if err != nil {
		t.Fatalf("binaries.Ensure(...): %v", err)
	}
	kinds, err := schema.Load(configuration, providerCRDs)
	if err != nil {
		t.Fatalf("schema.Load(...): %v", err)
	}

	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("net.Listen(...): %v", err)
	}
	srv := grpc.NewServer()
	fnv1.RegisterFunctionRunnerServiceServer(srv, function.New(logging.NewNopLogger()))
	go func() { _ = srv.Serve(l) }()
	t.Cleanup(srv.Stop)

	s := &stage{t: t, crossplane: bins.Path(binaries.Crossplane), address: l.Addr().String(), kinds: kinds,
		compositions: map[string]*unstructured.Unstructured{}, definitions: map[string]*unstructured.Unstructured{}}
	for _, o := range read(t, configuration) {
		switch o.GetKind() {
		case "Composition":
			kind, _, _ := unstructured.NestedString(o.Object, "spec", "compositeTypeRef", "kind")
			s.compositions[kind] = o
		case "CompositeResourceDefinition":
			kind, _, _ := unstructured.NestedString(o.Object, "spec", "names", "kind")
			s.definitions[kind] = o
		}
	}
	return s
}

func read(t *testing.T, path string) []*unstructured.Unstructured {
	t.Helper()
	objs, err := schema.Objects(path)
	if err != nil {
		t.Fatalf("cannot read %s: %v", path, err)
	}
	return objs
}

// A scene is what the reconciler finds.
type scene struct {
	claim              *unstructured.Unstructured
	observed, required []*unstructured.Unstructured
}

func (s *stage) claim() *unstructured.Unstructured { return s.example(example) }

// example reads a claim from the examples.
func (s *stage) example(file string) *unstructured.Unstructured {
	c := read(s.t, filepath.Join(examples, file))[0]
	c.SetUID(claimUID)
	return c
}

func (s *stage) render(sc scene) *Output {
	s.t.Helper()
	// The API server would have refused it, or set defaults.
	if errs := s.kinds.Validate(sc.claim); len(errs) > 0 {
		s.t.Fatalf("invalid claim: %v", errs.ToAggregate())
	}
	s.kinds.Default(sc.claim)
	out, err := Run(s.t.Context(), s.crossplane, Input{
		XR:          sc.claim,
		Definition:  s.definitions[sc.claim.GetKind()],
		Composition: s.compositions[sc.claim.GetKind()],
		Functions:   map[string]string{functionName: s.address},
		Observed:    sc.observed,
		Required:    sc.required,
	})
	if err != nil {
		s.t.Fatalf("Run(...): %v", err)
	}
	for _, c := range out.Composed {
		if errs := s.kinds.Validate(c); len(errs) > 0 {
			s.t.Errorf("composed an invalid %s %s: %v", c.GetKind(), c.GetName(), errs.ToAggregate())
		}
	}
	return out
}

// golden is what is compared: the parts of an answer that are ours, in a stable
// order.
type golden struct {
	Fatal    string           `json:"fatal,omitempty"`
	Deleted  []string         `json:"deleted,omitempty"`
	Events   []string         `json:"events,omitempty"`
	Status   map[string]any   `json:"status,omitempty"`
	Composed []map[string]any `json:"composed,omitempty"`
}

func (s *stage) compare(name string, out *Output) {
	s.t.Helper()
	g := golden{Fatal: out.Fatal}
	for _, d := range out.Deleted {
		g.Deleted = append(g.Deleted, id(d))
	}
	slices.Sort(g.Deleted)
	for _, e := range out.Events {
		// Core's own events tell of selecting the composition and the like.
		if e.Reason != "SelectComposition" && e.Reason != "ComposeResources" || e.Type == "Warning" {
			g.Events = append(g.Events, e.Type+" "+e.Reason+" "+e.Message)
		}
	}
	g.Status, _, _ = unstructured.NestedMap(out.XR.Object, "status")
	if cs, ok := g.Status["conditions"].([]any); ok {
		for _, c := range cs {
			delete(c.(map[string]any), "lastTransitionTime")
		}
		slices.SortFunc(cs, func(a, b any) int {
			return strings.Compare(a.(map[string]any)["type"].(string), b.(map[string]any)["type"].(string))
		})
	}
	slices.SortFunc(out.Composed, func(a, b *unstructured.Unstructured) int { return strings.Compare(id(a), id(b)) })
	for _, c := range out.Composed {
		c = c.DeepCopy()
		c.SetOwnerReferences(nil)
		c.SetGenerateName("")
		unstructured.RemoveNestedField(c.Object, "status")
		g.Composed = append(g.Composed, c.Object)
	}
	b, err := yaml.Marshal(g)
	if err != nil {
		s.t.Fatal(err)
	}

	file := filepath.Join("testdata", name+".yaml")
	if *update {
		if err := os.WriteFile(file, b, 0o600); err != nil {
			s.t.Fatal(err)
		}
	}
	want, err := os.ReadFile(filepath.Clean(file))
	if err != nil {
		s.t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(b)); diff != "" {
		s.t.Errorf("%s (go test ./test/render -update writes the golden files): -want, +got:\n%s", name, diff)
	}
}

func id(u *unstructured.Unstructured) string { return u.GetKind() + "/" + u.GetName() }

// ready is what the provider makes of composed resources after a while: all of
// them Synced and Ready.
func ready(objs []*unstructured.Unstructured) []*unstructured.Unstructured {
	out := make([]*unstructured.Unstructured, 0, len(objs))
	for _, o := range objs {
		o = o.DeepCopy()
		set(o, "True", "status", "conditions", "Synced")
		set(o, "True", "status", "conditions", "Ready")
		out = append(out, o)
	}
	return out
}

// set sets a field, or the status of a condition.
func set(o *unstructured.Unstructured, value any, path ...string) {
	if len(path) == 3 && path[1] == "conditions" {
		cs, _, _ := unstructured.NestedSlice(o.Object, "status", "conditions")
		cs = slices.DeleteFunc(cs, func(c any) bool { return c.(map[string]any)["type"] == path[2] })
		_ = unstructured.SetNestedSlice(o.Object, append(cs, map[string]any{"type": path[2], "status": value, "reason": "Test", "lastTransitionTime": "2026-01-01T00:00:00Z"}), path[:2]...)
		return
	}
	_ = unstructured.SetNestedField(o.Object, value, path...)
}

// says is the fleet speaking: the plan's status.
func says(objs []*unstructured.Unstructured, status string) []*unstructured.Unstructured {
	return saysOf("CapacityPlan", objs, status)
}

func saysOf(kind string, objs []*unstructured.Unstructured, status string) []*unstructured.Unstructured {
	at := map[string]any{}
	if err := yaml.Unmarshal([]byte(status), &at); err != nil {
		panic(err)
	}
	out := make([]*unstructured.Unstructured, 0, len(objs))
	for _, o := range objs {
		o = o.DeepCopy()
		if o.GetKind() == kind {
			set(o, at, "status", "atProvider")
		}
		out = append(out, o)
	}
	return out
}

func without(objs []*unstructured.Unstructured, ids ...string) []*unstructured.Unstructured {
	return slices.DeleteFunc(slices.Clone(objs), func(o *unstructured.Unstructured) bool { return slices.Contains(ids, id(o)) })
}

func only(objs []*unstructured.Unstructured, ids ...string) []*unstructured.Unstructured {
	return slices.DeleteFunc(slices.Clone(objs), func(o *unstructured.Unstructured) bool { return !slices.Contains(ids, id(o)) })
}

const (
	saysHome = `
observedGeneration: 1
phase: Home
members: [{name: idc-a, wanted: true, joined: true, nodes: 2}, {name: idc-b, wanted: true, joined: true, nodes: 2}, {name: ack-shanghai, wanted: false, reason: no demand}]
offerings: [{name: ack-shanghai-general, nodes: 0}]
nodes: {own: 4, cloud: 0}
replicas: {own: 16, cloud: 0, pending: 0}
hourlyCost: "0"
conditions: [{type: CapacitySufficient, status: "True", reason: Placed, message: "", lastTransitionTime: "2026-01-01T00:00:00Z"}]
`
	saysSurge = `
observedGeneration: 1
phase: Bursting
members: [{name: idc-a, wanted: true, joined: true, nodes: 2}, {name: idc-b, wanted: true, joined: true, nodes: 2}, {name: ack-shanghai, wanted: true, reason: 44 replicas of web wait}]
offerings: [{name: ack-shanghai-general, nodes: 3, reason: 44 replicas of web wait}]
nodes: {own: 4, cloud: 0}
replicas: {own: 30, cloud: 0, pending: 44}
hourlyCost: "12.74"
lastDecision: {time: "2026-01-01T00:00:00.000000Z", summary: "3 x ecs.g7.4xlarge for 44 replicas of web"}
conditions: [{type: CapacitySufficient, status: "True", reason: OnItsWay, message: "3 nodes are on their way", lastTransitionTime: "2026-01-01T00:00:00Z"}]
`
	saysSpilled = `
observedGeneration: 1
phase: Spilled
members: [{name: idc-a, wanted: true, joined: true, nodes: 2}, {name: idc-b, wanted: true, joined: true, nodes: 2}, {name: ack-shanghai, wanted: true, joined: true, nodes: 3, replicas: 44}]
offerings: [{name: ack-shanghai-general, nodes: 3, registered: 3, ready: 3}]
nodes: {own: 4, cloud: 3}
replicas: {own: 30, cloud: 44, pending: 0}
hourlyCost: "12.74"
lastDecision: {time: "2026-01-01T00:00:00.000000Z", summary: "3 x ecs.g7.4xlarge for 44 replicas of web"}
conditions: [{type: CapacitySufficient, status: "True", reason: Placed, message: "", lastTransitionTime: "2026-01-01T00:00:00Z"}]
`
	saysEmpty = `
observedGeneration: 1
phase: Releasing
members: [{name: idc-a, wanted: true, joined: true, nodes: 2}, {name: idc-b, wanted: true, joined: true, nodes: 2}, {name: ack-shanghai, wanted: false, joined: true, reason: empty for 1h}]
offerings: [{name: ack-shanghai-general, nodes: 0}]
nodes: {own: 4, cloud: 0}
replicas: {own: 16, cloud: 0, pending: 0}
hourlyCost: "0"
lastDecision: {time: "2026-01-01T02:00:00.000000Z", summary: "release ack-shanghai: empty for 1h"}
conditions: [{type: CapacitySufficient, status: "True", reason: Placed, message: "", lastTransitionTime: "2026-01-01T00:00:00Z"}]
`
)

var elastic = []string{"Cluster/shanghai-ack-shanghai", "NodePool/shanghai-ack-shanghai-general", "Member/shanghai-ack-shanghai"}

// TestRegionPool tells the life of a claim. Each scene starts from what the ones
// before it composed.
func TestRegionPool(t *testing.T) {
	if testing.Short() {
		t.Skip("needs the crossplane binary")
	}
	s := newStage(t)

	fresh := s.render(scene{claim: s.claim()})
	s.compare("fresh", fresh)

	home := says(ready(fresh.Composed), saysHome)
	joined := s.claim()
	s.compare("joined", s.render(scene{claim: joined, observed: home}))

	// One of two members has not joined, and says why.
	partly := ready(fresh.Composed)
	for _, o := range only(partly, "Member/shanghai-idc-b") {
		set(o, []any{
			map[string]any{"type": "Synced", "status": "False", "reason": "ReconcileError", "message": "cannot use the kubeconfig in Secret idc-b: it is\nno YAML", "lastTransitionTime": "2026-01-01T00:00:00Z"},
		}, "status", "conditions")
	}
	s.compare("partly-joined", s.render(scene{claim: s.claim(), observed: partly}))

	surge := s.render(scene{claim: s.claim(), observed: says(ready(fresh.Composed), saysSurge)})
	s.compare("surge", surge)

	burst := says(ready(surge.Composed), saysSpilled)
	s.compare("burst", s.render(scene{claim: s.claim(), observed: burst}))

	edited := s.claim()
	set(edited, int64(60), "spec", "limits", "nodes")
	pools := []any{
		map[string]any{"name": "general", "instanceTypes": []any{"ecs.g7.4xlarge", "ecs.r7.2xlarge"}, "max": int64(60)},
		map[string]any{"name": "arm", "instanceTypes": []any{"ecs.c8y.xlarge"}, "max": int64(5), "hourlyPrice": "0.5", "taints": []any{map[string]any{"key": "arm", "effect": "NoSchedule"}}},
	}
	setElastic(edited, "nodePools", pools)
	s.compare("edit-in-burst", s.render(scene{claim: edited, observed: burst}))

	bad := s.claim()
	setElastic(bad, "nodePools", []any{map[string]any{"name": "general", "instanceTypes": []any{"ecs.nonsense.4xlarge"}, "max": int64(50)}})
	s.compare("unknown-instance-type", s.render(scene{claim: bad, observed: burst}))

	s.compare("plan-missing", s.render(scene{claim: s.claim(), observed: without(burst, "CapacityPlan/shanghai")}))
	s.compare("plan-silent", s.render(scene{claim: s.claim(), observed: says(burst, `{}`)}))

	old := says(burst, saysEmpty)
	for _, o := range only(old, "CapacityPlan/shanghai") {
		set(o, "False", "status", "conditions", "Synced")
	}
	s.compare("plan-stale", s.render(scene{claim: s.claim(), observed: old}))

	s.compare("release", s.render(scene{claim: s.claim(), observed: says(burst, saysEmpty)}))

	// An elastic cluster is taken out of the claim while it runs replicas: it is
	// dropped at once, but plan and policy list it until its Member is gone.
	cut := s.claim()
	unstructured.RemoveNestedField(cut.Object, "spec", "elastic")
	removed := s.render(scene{claim: cut.DeepCopy(), observed: burst})
	s.compare("elastic-removed", removed)
	observed := says(ready(removed.Composed), saysSpilled)
	s.compare("elastic-leaving", s.render(scene{claim: cut.DeepCopy(), observed: observed, required: only(burst, elastic...)}))
	s.compare("elastic-gone", s.render(scene{claim: cut.DeepCopy(), observed: observed}))

	// A self-built cluster is taken out of the claim: it is told to drain, and
	// dropped once it was told.
	less := s.claim()
	set(less, []any{map[string]any{"name": "idc-a", "kubeconfigSecretRef": map[string]any{"name": "idc-a"}}}, "spec", "selfBuilt")
	told := s.render(scene{claim: less.DeepCopy(), observed: home})
	s.compare("self-built-told", told)
	s.compare("self-built-dropped", s.render(scene{claim: less.DeepCopy(), observed: says(ready(told.Composed), saysHome)}))

	clash := s.claim()
	setElastic(clash, "name", "a")
	setElastic(clash, "nodePools", []any{map[string]any{"name": "b-c", "instanceTypes": []any{"ecs.g7.large"}, "max": int64(1)}})
	es, _, _ := unstructured.NestedSlice(clash.Object, "spec", "elastic")
	second := s.claim()
	setElastic(second, "name", "a-b")
	setElastic(second, "nodePools", []any{map[string]any{"name": "c", "instanceTypes": []any{"ecs.g7.large"}, "max": int64(1)}})
	more, _, _ := unstructured.NestedSlice(second.Object, "spec", "elastic")
	_ = unstructured.SetNestedField(more[0].(map[string]any), "vpc-2", "ack", "vpcId")
	set(clash, append(es, more...), "spec", "elastic")
	s.compare("name-clash", s.render(scene{claim: clash, observed: burst}))
}

// setElastic sets a field of the first elastic cluster.
func setElastic(c *unstructured.Unstructured, field string, value any) {
	es, _, _ := unstructured.NestedSlice(c.Object, "spec", "elastic")
	es[0].(map[string]any)[field] = value
	set(c, es, "spec", "elastic")
}
