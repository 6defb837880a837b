package e2e

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	ackv1alpha1 "regionpool.io/provider-regionpool/apis/ack/v1alpha1"
	fleetv1alpha1 "regionpool.io/provider-regionpool/apis/fleet/v1alpha1"
	platformv1alpha1 "regionpool.io/provider-regionpool/apis/platform/v1alpha1"
)

// deleteNodePool is the call of the cloud's API.
const deleteNodePool = "DeleteClusterNodepool"

// TestPoolReplaced takes a node pool that is in use out of the claim and puts
// another in its place, while the cluster stays. Each replica has a substitute
// that is Ready before it goes: the observer judges that.
func TestPoolReplaced(t *testing.T) {
	p := newPool(t, "replaced")
	p.home()
	p.scale("web", burst)
	p.runs(burstTime, "web", homeCPU, burstAway)
	if err := p.onlyOn(t.Context(), "general"); err != nil {
		t.Fatalf("the replicas have to run there: %v", err)
	}

	p.edit(func(c *platformv1alpha1.RegionPool) {
		c.Spec.Elastic[0].NodePools = []platformv1alpha1.ElasticNodePool{{Name: "next", InstanceTypes: []string{instanceType}, Max: 6}}
	})
	p.eventually(soon, "the pool that goes to say what it waits for", func(ctx context.Context) error {
		return p.poolSays(ctx, "-general", "DeletionBlocked", "run elsewhere", "evicted")
	})
	p.called(deleteNodePool)
	p.eventually(awayTime, "the pool to be gone and the other to run the replicas", func(ctx context.Context) error {
		left, err := p.managed(ctx)
		for _, name := range left {
			if strings.HasSuffix(name, "-general") {
				err = errors.Join(err, errors.New(name+" is still there"))
			}
		}
		return errors.Join(err, p.onlyOn(ctx, "next"))
	})
	p.runs(soon, "web", homeCPU, burstAway)
	for action, want := range map[string]int{createCluster: 1, createNodePool: 2} {
		if n, err := p.accepted(t.Context(), action); n != want || err != nil {
			t.Errorf("%s was accepted %d times, not %d (%v)", action, n, want, err)
		}
	}
	p.scale("web", normal)
	p.runs(soon, "web", normal, 0)
	p.away(awayTime)
}

// onlyOn fails unless all nodes of the cloud cluster are of the node pool.
func (p *pool) onlyOn(ctx context.Context, name string) error {
	l := &corev1.NodeList{}
	if err := p.inCloud(ctx).List(ctx, l); err != nil {
		return err
	}
	if len(l.Items) == 0 {
		return errors.New("there are no nodes")
	}
	for i := range l.Items {
		if o := l.Items[i].Labels[fleetv1alpha1.LabelOffering]; !strings.HasSuffix(o, "-"+name) {
			return fmt.Errorf("node %s is of offering %s", l.Items[i].Name, o)
		}
	}
	return nil
}

// poolSays fails unless the NodePool whose name ends so has the condition as
// True, with a message that has all the words.
func (p *pool) poolSays(ctx context.Context, suffix, typ string, words ...string) error {
	last := fmt.Errorf("there is no %s %s", ackv1alpha1.NodePoolKind, suffix)
	err := p.each(ctx, func(u *unstructured.Unstructured) {
		if u.GetKind() != ackv1alpha1.NodePoolKind || !strings.HasSuffix(u.GetName(), suffix) {
			return
		}
		last = fmt.Errorf("%s says nothing about %s", u.GetName(), typ)
		conditions, _, _ := unstructured.NestedSlice(u.Object, "status", "conditions")
		for _, c := range conditions {
			m, ok := c.(map[string]any)
			if !ok || m["type"] != typ {
				continue
			}
			last = nil
			for _, w := range words {
				if m["status"] != string(corev1.ConditionTrue) || !strings.Contains(fmt.Sprint(m["message"]), w) {
					last = fmt.Errorf("%s says %s is %v: %v", u.GetName(), typ, m["status"], orEmpty(m["message"]))
				}
			}
		}
	})
	return errors.Join(err, last)
}
