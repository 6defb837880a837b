package whatif

import (
	"context"
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"regionpool.io/provider-regionpool/internal/fleet/scheduler"
	"regionpool.io/provider-regionpool/internal/simulation"
	"regionpool.io/provider-regionpool/internal/snapshot"
)

// TestAskChangesNothing compares a world before and after questions of all kinds.
func TestAskChangesNothing(t *testing.T) {
	w := spilled(t).world()
	questions := []Question{
		{}, {Scale: []Scale{{Binding: "default/web", Replicas: 40}}}, {Lose: []string{"idc-a"}},
		{AddNodes: []AddNodes{{Offering: "tke-s", Count: 2}, {Member: "idc-b", Like: "idc-b-0", Count: 3}}},
	}
	// What a snapshot has is compared by its nodes and pods: the rest of it is
	// made from these.
	opts := cmp.Options{
		cmp.Comparer(func(a, b simulation.Simulator) bool { return a == b }),
		cmp.Transformer("snapshot", func(s *snapshot.Snapshot) map[string][]string {
			out := map[string][]string{}
			if s == nil {
				return out
			}
			for _, ni := range s.Nodes() {
				out[ni.Node().Name] = []string{encoded(ni.Node())}
				for _, pi := range ni.GetPods() {
					out[ni.Node().Name] = append(out[ni.Node().Name], encoded(pi.GetPod()))
				}
			}
			return out
		}),
		cmpopts.IgnoreFields(scheduler.Template{}, "Options"), cmpopts.IgnoreTypes(&snapshot.Fork{}, &snapshot.Objects{}),
	}
	before := spilled(t).world()
	for i, q := range questions {
		if _, err := Ask(context.Background(), w, q); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(before.Input, w.Input, opts); diff != "" {
			t.Errorf("\nReason: The input of a round stays as it is\nAsk(%d): -want, +got:\n%s", i, diff)
		}
		if diff := cmp.Diff(before.Plans, w.Plans, opts); diff != "" {
			t.Errorf("\nReason: The input of a plan stays as it is\nAsk(%d): -want, +got:\n%s", i, diff)
		}
	}
}

func encoded(o any) string {
	raw, err := json.Marshal(o)
	if err != nil {
		return err.Error()
	}
	return string(raw)
}
