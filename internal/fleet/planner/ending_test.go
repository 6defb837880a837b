package planner

import (
	"testing"
	"time"

	"k8s.io/utils/ptr"

	"regionpool.io/provider-regionpool/internal/fleet/scheduler"
)

func TestWithdrawnOrdersCount(t *testing.T) {
	w := newTester(t)
	w.elastic("ack", "0", scheduler.Serving)
	w.offering("ack-a", "ack", "8", "1", 5)
	w.offering("ack-b", "ack", "8", "2", 5)
	w.in.Plan.Spec.Limits.Nodes = ptr.To[int32](2)
	w.demand(4, cpu("3"))
	second := func(reason string, want int32) {
		t.Helper()
		if got := nodesOf(w.make().Status)["ack-b"]; got != want {
			t.Errorf("%s: want %d nodes of ack-b, got %d", reason, want, got)
		}
	}

	second("The cheaper offering is ordered", 0)
	w.in.Now = w.in.Now.Add(DefaultSettings.Arrival)
	second("Nodes whose order is withdrawn may be on their way: the limit holds", 0)
	w.restart()
	w.in.Now = w.in.Now.Add(DefaultSettings.NodesEnd - time.Second)
	second("Until the host has taken the order back, also over a restart", 0)
	w.in.Now = w.in.Now.Add(time.Second)
	second("Then the next offering is ordered", 2)
}

func TestReleasedClusterCounts(t *testing.T) {
	w := newTester(t)
	w.elastic("ack", "1", scheduler.Absent)
	w.elastic("tke", "1", scheduler.Absent)
	w.offering("ack-g", "ack", "8", "1", 5)
	w.offering("tke-g", "tke", "8", "2", 5)
	w.in.Plan.Spec.Limits.Clusters = ptr.To[int32](1)
	expect := func(reason string, ack, tke bool) {
		t.Helper()
		st := w.make().Status
		if wantedOf(st, "ack") != ack || wantedOf(st, "tke") != tke {
			t.Errorf("%s: want ack %t and tke %t, got %t and %t", reason, ack, tke, wantedOf(st, "ack"), wantedOf(st, "tke"))
		}
	}

	w.demand(2, cpu("3"))
	expect("The cheaper cluster is made", true, false)
	w.in.Members["ack"] = Member{State: scheduler.Serving}
	w.in.Demands = nil
	w.make()
	w.in.Now = w.in.Now.Add(2 * time.Hour)
	w.make()
	w.in.Now = w.in.Now.Add(2 * time.Hour)
	expect("It is released when it has had nothing to do", false, false)
	w.in.Members["ack"] = Member{State: scheduler.Absent}
	w.make()

	w.in.Plan.Spec.Offerings[0].Max = 0
	w.demand(2, cpu("3"))
	expect("It has left the federation, but the cloud is still deleting it: the limit holds", false, false)
	w.restart()
	w.in.Now = w.in.Now.Add(DefaultSettings.ClusterEnds - time.Second)
	expect("Also over a restart", false, false)
	w.in.Plan.Spec.Offerings[0].Max = 5
	expect("The same cluster may be made again: it is the one that counts", true, false)

	w.in.Plan.Status.Members = nil
	w.in.Memory.Clusters = map[string]time.Time{"ack": w.in.Now.Add(time.Second)}
	w.in.Plan.Spec.Offerings[0].Max = 0
	w.in.Now = w.in.Now.Add(time.Second)
	expect("When its time is over another cluster is made", false, true)
}
