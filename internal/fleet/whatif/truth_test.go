package whatif

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"

	"regionpool.io/provider-regionpool/internal/fleet/planner"
	"regionpool.io/provider-regionpool/internal/fleet/scheduler"
	"regionpool.io/provider-regionpool/internal/simulation"
	"regionpool.io/provider-regionpool/internal/snapshot"
)

// live lets the region live for a time: each second a round is made, replicas run
// where they are assigned, and nodes that were ordered 90 seconds ago come. It
// shares no code with a play.
func (r *region) live(seconds int) {
	r.t.Helper()
	due := map[string][]time.Time{}
	for range seconds {
		w := r.world()
		out, err := scheduler.Run(context.Background(), w.Input)
		if err != nil {
			r.t.Fatal(err)
		}
		in := w.Plans[0]
		replicas := map[string]int32{}
		for i := range out.Decisions {
			d := &out.Decisions[i]
			for j := range r.bindings {
				b := &r.bindings[j]
				if b.ID != d.Binding {
					continue
				}
				b.State = d.State
				if d.Changed {
					b.LastScheduled = r.now
				}
				b.Assigned = map[string]int32{}
				for _, t := range d.Targets {
					b.Assigned[t.Member] = t.Replicas
				}
			}
			for _, t := range d.Targets {
				replicas[t.Member] += t.Replicas
			}
		}
		for name, m := range in.Members {
			m.Fork, m.Replicas = out.Forks[name], replicas[name]
			in.Members[name] = m
		}
		in.Demands, in.OnVirtual = out.Demands, out.OnVirtual
		made, err := planner.Make(context.Background(), in)
		if err != nil {
			r.t.Fatal(err)
		}
		r.plan.Status, r.memory = made.Status, made.Memory
		r.follow()
		for _, o := range made.Status.Offerings {
			member := offeringOf(r.plan, o.Name).Member
			keep := []*corev1.Node{}
			have := int32(0)
			for _, n := range r.nodes[member] {
				gone := false
				for _, name := range o.Release {
					gone = gone || n.Name == name
				}
				if !gone {
					keep = append(keep, n)
				}
				if n.Labels["regionpool.io/offering"] == o.Name && !gone {
					have++
				}
			}
			r.nodes[member] = keep
			for int32(len(due[o.Name]))+have < o.Nodes {
				due[o.Name] = append(due[o.Name], r.now.Add(90*time.Second))
			}
		}
		r.now = r.now.Add(time.Second)
		for name, ds := range due {
			for len(ds) > 0 && !ds[0].After(r.now) {
				ds = ds[1:]
				r.serial++
				o := offeringOf(r.plan, name)
				n := &corev1.Node{}
				n.Labels = map[string]string{"regionpool.io/offering": name}
				n.Status.Allocatable = o.Allocatable
				r.node(o.Member, fmt.Sprintf("%s-live-%d", name, r.serial), n)
			}
			due[name] = ds
		}
	}
}

// TestTruth asks, then makes the same change, lives on, and compares.
func TestTruth(t *testing.T) {
	cases := map[string]struct {
		reason   string
		question Question
		change   func(*region)
		seconds  int
	}{
		"Grows": {
			reason:   "A workload grows",
			question: Question{Scale: []Scale{{Binding: "default/web", Replicas: 19}}},
			change:   func(r *region) { r.bindings[1].Replicas = 19 },
			seconds:  120,
		},
		"Shrinks": {
			reason:   "A workload shrinks: the cloud part goes, and its node",
			question: Question{Scale: []Scale{{Binding: "default/db", Replicas: 2}}},
			change:   func(r *region) { r.bindings[0].Replicas = 2 },
			seconds:  16 * 60,
		},
		"Dies": {
			reason:   "A member dies for good",
			question: Question{Lose: []string{"idc-b"}},
			change: func(r *region) {
				r.state["idc-b"] = scheduler.Absent
				delete(r.pods, "idc-b")
			},
			seconds: 120,
		},
		"Nodes": {
			reason:   "A self-built member gets nodes, and the cloud part returns",
			question: Question{AddNodes: []AddNodes{{Member: "idc-a", Like: "idc-a-0", Count: 2}}},
			change: func(r *region) {
				for i := range 2 {
					r.node("idc-a", fmt.Sprintf("idc-a-new-%d", i), r.nodes["idc-a"][0].DeepCopy())
				}
			},
			seconds: 16 * 60,
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if testing.Short() && tc.seconds > 120 {
				t.Skip("takes many rounds")
			}
			r := spilled(t)
			got, err := Ask(context.Background(), r.world(), tc.question)
			if err != nil {
				t.Fatal(err)
			}
			want := map[string]map[string]int32{}
			for i := range r.bindings {
				want[r.bindings[i].ID] = maps.Clone(r.bindings[i].Assigned)
			}
			answered := maps.Clone(want)
			for _, p := range got.Placements {
				answered[p.Binding] = p.After.Members
			}
			tc.change(r)
			r.live(tc.seconds)
			for i := range r.bindings {
				want[r.bindings[i].ID] = r.bindings[i].Assigned
			}
			if diff := cmp.Diff(want, answered); diff != "" {
				t.Errorf("\nReason: %s\nAsk(...): -what happened, +what was answered:\n%s", tc.reason, diff)
			}
			if r.plan.Status.HourlyCost != got.HourlyCost.After {
				t.Errorf("\nReason: %s\nAsk(...): it costs %s an hour, %s was answered", tc.reason, r.plan.Status.HourlyCost, got.HourlyCost.After)
			}
		})
	}
}

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
