package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	platformv1alpha1 "regionpool.io/provider-regionpool/apis/platform/v1alpha1"
	elasticv1alpha1 "regionpool.io/provider-regionpool/apis/v1alpha1"
	"regionpool.io/provider-regionpool/cluster/local/stack"
	"regionpool.io/provider-regionpool/test/cloudsim/faults"
	"regionpool.io/provider-regionpool/test/observer"
)

// spotThenOnDemand rents spot machines, and others when there are none.
func spotThenOnDemand(c *platformv1alpha1.RegionPool) {
	c.Spec.Elastic[0].NodePools = append(c.Spec.Elastic[0].NodePools, platformv1alpha1.ElasticNodePool{
		Name: "spot", InstanceTypes: []string{instanceType}, CapacityType: elasticv1alpha1.CapacitySpot, Max: 6,
	})
}

// TestSpotReclaimed takes a spot machine away after its notice. Its pods have
// left it before, by their budgets, for a machine that was ordered at once.
func TestSpotReclaimed(t *testing.T) {
	p := newPool(t, "spot", spotThenOnDemand)
	p.home()
	p.scale("web", burst)
	p.runs(burstTime, "web", homeCPU, burstAway)

	// A pod that is evicted is gone before its substitute is Ready: that is what
	// budgets allow.
	p.mayLose = true
	nodes := &corev1.NodeList{}
	if err := p.inCloud(t.Context()).List(t.Context(), nodes); err != nil {
		t.Fatalf("cannot list nodes: %v", err)
	}
	var taken string
	for _, n := range nodes.Items {
		if strings.HasSuffix(n.Labels["regionpool.io/offering"], "-spot") {
			taken = n.Name
			break
		}
	}
	if taken == "" {
		t.Fatalf("no spot machine was rented: %d nodes", len(nodes.Items))
	}
	if err := env.cloud.NodeEvent(t.Context(), taken, "reclaim"); err != nil {
		t.Fatalf("cannot reclaim %s: %v", taken, err)
	}
	p.eventually(burstTime, "the machine to be gone and its pods to run elsewhere", func(ctx context.Context) error {
		nodes := &corev1.NodeList{}
		if err := p.inCloud(ctx).List(ctx, nodes); err != nil {
			return err
		}
		for _, n := range nodes.Items {
			if n.Name == taken {
				return fmt.Errorf("%s is still there", taken)
			}
		}
		if w := p.seen("web"); w.Own != homeCPU || w.Cloud != burstAway {
			return fmt.Errorf("%d run at home and %d in the cloud", w.Own, w.Cloud)
		}
		return nil
	})
	time.Sleep(2 * observer.DefaultSkew)
	if n := env.observer.State().PDBViolations; n > 0 {
		t.Errorf("%d disruption budgets were broken: the pods went down with the machine", n)
	}
	p.scale("web", normal)
	p.runs(soon, "web", normal, 0)
	p.away(awayTime)
}

// TestLeakFoundAndDeleted has the cloud leave things of a deleted cluster behind.
// They are reported, and because the claim says so they are deleted.
func TestLeakFoundAndDeleted(t *testing.T) {
	p := newPool(t, "leaky", func(c *platformv1alpha1.RegionPool) { c.Spec.Leaks = platformv1alpha1.LeaksDelete })
	p.home()
	p.scale("web", burst)
	p.runs(burstTime, "web", homeCPU, burstAway)
	p.fault(faults.Rule{Kind: faults.LeaveBehind, Args: map[string]string{"kinds": "security-group,eni"}})
	p.scale("web", normal)
	p.runs(soon, "web", normal, 0)

	p.eventually(awayTime, "what leaked to be reported", func(ctx context.Context) error {
		pc := &elasticv1alpha1.ClusterProviderConfig{}
		if err := env.host.Get(ctx, types.NamespacedName{Name: stack.CloudConfig}, pc); err != nil {
			return err
		}
		if len(pc.Status.Leaks) == 0 {
			l, err := env.cloud.Ledger(ctx)
			return fmt.Errorf("no leak is reported; there are %s (%v)", objects(l.Leaked), err)
		}
		return nil
	})
	p.hit(faults.LeaveBehind)
	p.away(2 * awayTime)
	p.eventually(soon, "the report to be empty", func(ctx context.Context) error {
		pc := &elasticv1alpha1.ClusterProviderConfig{}
		if err := env.host.Get(ctx, types.NamespacedName{Name: stack.CloudConfig}, pc); err != nil {
			return err
		}
		if len(pc.Status.Leaks) > 0 {
			return fmt.Errorf("it says %s", compact(pc.Status.Leaks))
		}
		return nil
	})
}
