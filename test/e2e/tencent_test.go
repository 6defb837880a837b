package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	fleetv1alpha1 "regionpool.io/provider-regionpool/apis/fleet/v1alpha1"
	platformv1alpha1 "regionpool.io/provider-regionpool/apis/platform/v1alpha1"
	elasticv1alpha1 "regionpool.io/provider-regionpool/apis/v1alpha1"
	"regionpool.io/provider-regionpool/cluster/local/stack"
	"regionpool.io/provider-regionpool/test/cloudsim/faults"
	"regionpool.io/provider-regionpool/test/cloudsim/requestlog"
	"regionpool.io/provider-regionpool/test/cloudsim/stock"
)

const (
	// tencentType has four CPU, as instanceType.
	tencentType   = "S5.LARGE16"
	tencentRegion = "ap-guangzhou"

	// setDesired sizes a node pool of TKE.
	setDesired = "ModifyNodePoolDesiredCapacityAboutAsg"
)

// tencent is an elastic cluster in the other cloud.
func tencent(name string) platformv1alpha1.ElasticCluster {
	return platformv1alpha1.ElasticCluster{
		Name:              "tke-" + name,
		ProviderConfigRef: clusterProviderConfig(stack.TencentConfig),
		TKE:               &platformv1alpha1.TKECluster{Region: tencentRegion, VPCID: "vpc-gz1", SubnetIDs: []string{"subnet-gz1"}},
		NodePools:         []platformv1alpha1.ElasticNodePool{{Name: "general", InstanceTypes: []string{tencentType}, Max: 6}},
	}
}

// onlyTencent rents from the other cloud alone.
func onlyTencent(c *platformv1alpha1.RegionPool) {
	c.Spec.Elastic = []platformv1alpha1.ElasticCluster{tencent(c.Name)}
}

// cheaperType costs less than tencentType.
const cheaperType = "ecs.c7.xlarge"

// bothClouds rents from both. The first is the cheaper.
func bothClouds(c *platformv1alpha1.RegionPool) {
	c.Spec.Elastic[0].NodePools[0].InstanceTypes = []string{cheaperType}
	c.Spec.Elastic = append(c.Spec.Elastic, tencent(c.Name))
}

// TestTencentLoop is the whole story in the other cloud: one cluster is made,
// takes what has no room, and nothing is left of it.
func TestTencentLoop(t *testing.T) {
	p := newPool(t, "tloop", onlyTencent)
	p.home()
	p.scale("web", burst)
	p.runs(burstTime, "web", homeCPU, burstAway)
	// One more node in a pool that is there.
	p.scale("web", burst+2)
	p.runs(burstTime, "web", homeCPU, burstAway+2)
	p.scale("web", normal)
	p.runs(soon, "web", normal, 0)
	p.away(awayTime)
	p.phase(soon, fleetv1alpha1.PhaseHome)
	if n, err := p.accepted(t.Context(), createCluster); n != 1 || err != nil {
		t.Errorf("%d clusters were created (%v)", n, err)
	}
}

// TestTencentAnswerLost loses the answers to both creates after the cloud carried
// them out.
func TestTencentAnswerLost(t *testing.T) {
	p := newPool(t, "tlost", onlyTencent)
	p.home()
	p.fault(faults.Rule{Kind: faults.DropAfterAccept, Action: createCluster, Times: 1})
	p.fault(faults.Rule{Kind: faults.DropAfterAccept, Action: createNodePool, Times: 1})
	p.scale("web", burst)
	p.runs(burstTime, "web", homeCPU, burstAway)
	p.hit(faults.DropAfterAccept)
	for _, action := range []string{createCluster, createNodePool} {
		if n, err := p.accepted(t.Context(), action); n != 1 || err != nil {
			t.Errorf("%s was accepted %d times (%v)", action, n, err)
		}
	}
	p.scale("web", normal)
	p.runs(soon, "web", normal, 0)
}

// shelf sets how many machines of a type a region has, until the test ends.
func (p *pool) shelf(region, instanceType string, n int) {
	p.Helper()
	set := func(n int) {
		it := stock.Item{Key: stock.Key{Region: region, Type: instanceType}, Count: n}
		if err := env.cloud.SetStock(context.Background(), it); err != nil {
			p.Errorf("cannot set stock: %v", err)
		}
	}
	set(n)
	p.Cleanup(func() { set(1000) })
}

// nextCloudWithin is how soon another cloud is called after one has said that it
// is sold out, in real time.
const nextCloudWithin = 5 * time.Second

// TestSoldOutTakesNextCloud has the cheaper cloud deliver one machine and no
// more, when both clusters are there. What it delivered is used, the other cloud
// is called at once, and the condition names the type.
func TestSoldOutTakesNextCloud(t *testing.T) {
	p := newPool(t, "soldout", bothClouds, func(c *platformv1alpha1.RegionPool) {
		for i := range c.Spec.Elastic {
			c.Spec.Elastic[i].Warm = true
		}
	})
	p.home()
	p.eventually(burstTime, "both clusters to be in the federation", func(ctx context.Context) error {
		for _, name := range []string{"ack-soldout", "tke-soldout"} {
			if c, err := karmadaCluster(ctx, name); err != nil || c == nil {
				return fmt.Errorf("%s has not joined (%v)", name, err)
			}
		}
		return p.claimReady(ctx)
	})
	p.shelf(region, cheaperType, 1)
	p.scale("web", burst)

	refused := time.Time{}
	p.eventually(burstTime, "a node pool to say that the cloud is sold out", func(ctx context.Context) error {
		err := p.condition(ctx, "NodePool", string(elasticv1alpha1.TypeCapacityAvailable), metav1.ConditionFalse)
		if err == nil && refused.IsZero() {
			refused = time.Now()
		}
		return err
	})
	p.eventually(nextCloudWithin, "the other cloud to be called", func(ctx context.Context) error {
		calls, err := env.cloud.Requests(ctx, requestlog.Filter{Since: p.begin})
		if err != nil {
			return err
		}
		for _, c := range calls {
			if c.AccessKeyID != env.stack.Cloud().SecretID || !c.Accepted || c.Desired == nil || *c.Desired == 0 {
				continue
			}
			if c.Action == createNodePool || c.Action == setDesired {
				t.Logf("called %s after the refusal was seen", c.Time.Sub(refused))
				return nil
			}
		}
		return fmt.Errorf("no nodes were ordered from it")
	})
	p.runs(burstTime, "web", homeCPU, burstAway)
	w := p.seen("web")
	if w.Ready["ack-soldout"] == 0 || w.Ready["tke-soldout"] == 0 {
		t.Errorf("the machine that was delivered is not used: %v", w.Ready)
	}
	p.eventually(soon, "the claim to name what is sold out", func(ctx context.Context) error {
		c, err := p.read(ctx)
		if err != nil {
			return err
		}
		for _, cond := range c.Status.Conditions {
			if cond.Status == "False" && strings.Contains(cond.Message, cheaperType) {
				return nil
			}
		}
		return fmt.Errorf("no condition names %s: %s", cheaperType, compact(c.Status.Conditions))
	})
	p.scale("web", normal)
	p.runs(soon, "web", normal, 0)
	p.edit(func(c *platformv1alpha1.RegionPool) {
		for i := range c.Spec.Elastic {
			c.Spec.Elastic[i].Warm = false
		}
	})
	p.away(awayTime)
}

// TestTencentTeardown deletes the claim while the cloud cluster has nodes, and
// loses the answer to its deletion. The claim goes when everything is gone.
func TestTencentTeardown(t *testing.T) {
	p := newPool(t, "tgone", onlyTencent)
	p.home()
	p.fault(faults.Rule{Kind: faults.DropAfterAccept, Action: "DeleteCluster", Times: 1})
	p.scale("web", burst)
	p.runs(burstTime, "web", homeCPU, burstAway)
	p.scale("web", homeCPU)
	p.runs(soon, "web", homeCPU, 0)
	if err := p.delete(t.Context()); err != nil {
		t.Fatalf("cannot delete the claim: %v", err)
	}
	p.eventually(awayTime, "the claim to go", func(ctx context.Context) error { return p.gone(ctx, time.Second) })
	p.away(awayTime)
}
