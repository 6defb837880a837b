package ack_test

import (
	"testing"
	"time"

	cs "github.com/alibabacloud-go/cs-20151215/v5/client"
	"github.com/alibabacloud-go/tea/tea"
	corev1 "k8s.io/api/core/v1"

	"regionpool.io/provider-regionpool/test/cloudsim/faults"
	"regionpool.io/provider-regionpool/test/cloudsim/ledger"
	"regionpool.io/provider-regionpool/test/cloudsim/simtest"
	"regionpool.io/provider-regionpool/test/cloudsim/stock"
)

// spotPool creates a pool of one spot instance and waits until it is ready.
func (s *sim) spotPool(cluster string, change func(*cs.CreateClusterNodePoolRequestScalingGroup)) string {
	s.t.Helper()
	q := poolRequest("spot", 1)
	q.ScalingGroup.SpotStrategy = tea.String("SpotAsPriceGo")
	if change != nil {
		change(q.ScalingGroup)
	}
	r, err := s.cs.CreateClusterNodePool(&cluster, q)
	if err != nil {
		s.t.Fatalf("CreateClusterNodePool(...): %v", err)
	}
	s.Step(2 * time.Minute)
	return *r.Body.NodepoolId
}

// TestSpotNotice: five minutes before a spot instance is taken away the node
// says so by the condition ACK's node problem detector sets, and by nothing else.
func TestSpotNotice(t *testing.T) {
	cases := map[string]struct {
		reason string
		notice func(s *sim, node string)
	}{
		"Event": {reason: "By the control panel.", notice: func(s *sim, node string) {
			if err := s.Admin.NodeEvent(s.t.Context(), node, "reclaim"); err != nil {
				s.t.Errorf("NodeEvent(...): %v", err)
			}
		}},
		"Fault": {reason: "By a fault.", notice: func(*sim, string) {}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			s := start(t, simtest.Options{})
			k := s.cluster("u1")
			if name == "Fault" {
				s.fault(faults.Rule{Kind: faults.SpotReclaim, Times: 1, Args: map[string]string{"seconds": "40"}})
			}
			p := s.spotPool(k, nil)
			m := s.Memory.Cluster(k)
			node := m.Nodes()[0]
			n, _ := m.Node(node)
			check(t, "The node says that it is a spot instance.", "Spot", n.Labels["node.alibabacloud.com/instance-charge-type"])
			tc.notice(s, node)
			s.Step(time.Minute)
			c, ok := m.NodeCondition(node, "InstanceExpired")
			check(t, tc.reason, []any{true, corev1.ConditionTrue, "InstanceToBeTerminated"}, []any{ok, c.Status, c.Reason})
			check(t, "The pool does not know.", poolShape{State: "active", Desired: 1, Total: 1, Serving: 1}, s.shape(k, p))
			s.Step(200 * time.Second)
			check(t, "The machine runs on.", poolShape{State: "active", Desired: 1, Total: 1, Serving: 1}, s.shape(k, p))
			s.Step(75 * time.Second)
			check(t, "Until it is taken.", []any{poolShape{State: "active", Desired: 1}, 0}, []any{s.shape(k, p), len(m.Nodes())})
			s.Step(4 * time.Minute)
			check(t, "The group replaces it.", poolShape{State: "active", Desired: 1, Total: 1, Serving: 1}, s.shape(k, p))
		})
	}
}

// TestSpotRemedy: with spot_instance_remedy the replacement comes first, and the
// old node is drained; without stock nothing is done.
func TestSpotRemedy(t *testing.T) {
	for name, tc := range map[string]struct {
		reason     string
		stock      int
		want, last poolShape
	}{
		"Stock":   {reason: "The old node leaves when the new one is there.", stock: 10, want: poolShape{State: "active", Desired: 1, Total: 1, Serving: 1}, last: poolShape{State: "active", Desired: 1, Total: 1, Serving: 1}},
		"NoStock": {reason: "The old node stays to its end.", want: poolShape{State: "active", Desired: 1, Total: 1, Serving: 1}, last: poolShape{State: "active", Desired: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t, simtest.Options{})
			k := s.cluster("u1")
			s.Memory.Cluster(k).SetCoreDNS(false)
			p := s.spotPool(k, func(g *cs.CreateClusterNodePoolRequestScalingGroup) { g.SpotInstanceRemedy = tea.Bool(true) })
			m := s.Memory.Cluster(k)
			old := m.Nodes()[0]
			if err := s.Admin.SetStock(t.Context(), stock.Item{Key: stock.Key{Spot: true}, Count: tc.stock}); err != nil {
				t.Fatalf("SetStock(...): %v", err)
			}
			if err := s.Admin.NodeEvent(t.Context(), old, "reclaim"); err != nil {
				t.Fatalf("NodeEvent(...): %v", err)
			}
			s.Step(4 * time.Minute)
			_, there := m.Node(old)
			check(t, tc.reason, []any{tc.stock == 0, tc.want}, []any{there, s.shape(k, p)})
			s.Step(6 * time.Minute)
			check(t, tc.reason, tc.last, s.shape(k, p))
		})
	}
}

// TestSpotStock: spot has stock and prices of its own.
func TestSpotStock(t *testing.T) {
	type want struct {
		Shape  poolShape
		Hourly []float64
	}
	one := poolShape{State: "active", Desired: 1, Total: 1, Serving: 1}
	cases := map[string]struct {
		reason string
		stock  []stock.Item
		moves  []stock.Price
		change func(*cs.CreateClusterNodePoolRequestScalingGroup)
		want   want
	}{
		"Spot":    {reason: "A quarter of the price.", want: want{one, []float64{0.24}}},
		"Moved":   {reason: "The market moves.", moves: []stock.Price{{Key: stock.Key{Zone: zone, Spot: true}, Factor: 2}}, want: want{one, []float64{0.48}}},
		"SoldOut": {reason: "Without spot stock nothing comes.", stock: []stock.Item{{Key: stock.Key{Spot: true}}}, want: want{poolShape{State: "active", Desired: 1}, nil}},
		"Compensated": {
			reason: "Unless the pool takes others.", stock: []stock.Item{{Key: stock.Key{Spot: true}}}, want: want{one, []float64{0.96}},
			change: func(g *cs.CreateClusterNodePoolRequestScalingGroup) { g.CompensateWithOnDemand = tea.Bool(true) },
		},
		"OtherZone": {
			reason: "Another zone may have some.", stock: []stock.Item{{Key: stock.Key{Zone: zone, Spot: true}}}, want: want{one, []float64{0.24}},
			change: func(g *cs.CreateClusterNodePoolRequestScalingGroup) {
				g.VswitchIds = append(g.VswitchIds, tea.String("vsw-2"))
			},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			s := start(t, simtest.Options{})
			k := s.cluster("u1")
			for _, it := range tc.stock {
				if err := s.Admin.SetStock(t.Context(), it); err != nil {
					t.Fatalf("SetStock(...): %v", err)
				}
			}
			for _, m := range tc.moves {
				if err := s.Admin.SetPrice(t.Context(), m); err != nil {
					t.Fatalf("SetPrice(...): %v", err)
				}
			}
			p := s.spotPool(k, tc.change)
			got := want{Shape: s.shape(k, p)}
			for _, o := range s.Cloud.Ledger.Live(func(o ledger.Object) bool { return o.Kind == ledger.ECS }) {
				got.Hourly = append(got.Hourly, float64(int(o.Hourly*100+0.5))/100)
			}
			check(t, tc.reason, tc.want, got)
		})
	}
}
