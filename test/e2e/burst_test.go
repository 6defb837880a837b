package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	kerrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	fleetv1alpha1 "regionpool.io/provider-regionpool/apis/fleet/v1alpha1"
	platformv1alpha1 "regionpool.io/provider-regionpool/apis/platform/v1alpha1"
)

// firstReplicaWithin is how soon the first replica runs on a virtual node of a
// warm cluster after a Burst was applied: 10 s, and what the simulated cloud
// takes to start a pod whose image it does not have, which is 70 s of its own.
const firstReplicaWithin = 10*time.Second + 70*time.Second/60

// newBurst returns an emergency claim for a workload of the pool.
func (p *pool) newBurst(name, workload string, replicas int) *platformv1alpha1.Burst {
	return &platformv1alpha1.Burst{
		TypeMeta:   metav1.TypeMeta{APIVersion: platformv1alpha1.SchemeGroupVersion.String(), Kind: "Burst"},
		ObjectMeta: metav1.ObjectMeta{Namespace: p.claim.Namespace, Name: name},
		Spec: platformv1alpha1.BurstSpec{
			PoolRef: corev1.LocalObjectReference{Name: p.claim.Name},
			Amount:  fleetv1alpha1.Amount{Replicas: ptr.To(int32(replicas))},
			Targets: []fleetv1alpha1.WorkloadTarget{{Namespace: p.workloads(), Kind: "Deployment", Name: workload}},
			For:     &metav1.Duration{Duration: time.Hour},
		},
	}
}

// applyBurst applies an emergency claim, which is removed when the test ends.
func (p *pool) applyBurst(b *platformv1alpha1.Burst) {
	p.Helper()
	if err := env.host.Create(p.Context(), b.DeepCopy()); err != nil {
		p.Fatalf("cannot create Burst: %v", err)
	}
	p.Cleanup(func() { p.endBurst(context.Background(), b.Name) })
}

func (p *pool) endBurst(ctx context.Context, name string) {
	p.Helper()
	b := &platformv1alpha1.Burst{ObjectMeta: metav1.ObjectMeta{Namespace: p.claim.Namespace, Name: name}}
	if err := client.IgnoreNotFound(env.host.Delete(ctx, b)); err != nil {
		p.Errorf("cannot delete Burst: %v", err)
	}
	if err := poll(ctx, awayTime, func(ctx context.Context) error {
		err := env.host.Get(ctx, client.ObjectKeyFromObject(b), b)
		if kerrors.IsNotFound(err) {
			return nil
		}
		return fmt.Errorf("Burst %s is still there: %s (%v)", name, compact(b.Status), err)
	}); err != nil {
		p.Errorf("the Burst does not go: %v", err)
	}
}

// burstSays waits until an emergency claim is in a phase, with a message that has
// all the words.
func (p *pool) burstSays(within time.Duration, name, phase string, words ...string) *platformv1alpha1.Burst {
	p.Helper()
	b := &platformv1alpha1.Burst{}
	p.eventually(within, fmt.Sprintf("Burst %s to say %s", name, phase), func(ctx context.Context) error {
		if err := env.host.Get(ctx, client.ObjectKey{Namespace: p.claim.Namespace, Name: name}, b); err != nil {
			return err
		}
		if b.Status.Phase != phase {
			return fmt.Errorf("it says %s: %s %s", b.Status.Phase, b.Status.Message, compact(b.Status.Conditions))
		}
		for _, w := range words {
			if !strings.Contains(b.Status.Message, w) {
				return fmt.Errorf("it does not name %q: %s", w, b.Status.Message)
			}
		}
		return nil
	})
	return b
}

// virtualAndWarm gives the pool's cluster virtual nodes and keeps it warm.
func virtualAndWarm(c *platformv1alpha1.RegionPool) {
	c.Spec.Elastic[0].Warm = true
	c.Spec.Elastic[0].VirtualNodes = &platformv1alpha1.VirtualNodes{
		// So dear that machines are cheaper, also when they are not full.
		MaxPods: 50, CPUHour: ptr.To(resource.MustParse("2")), MemoryGiBHour: ptr.To(resource.MustParse("1")),
	}
}

// cool lets the pool's cluster go when it is empty.
func cool(c *platformv1alpha1.RegionPool) { c.Spec.Elastic[0].Warm = false }

// joined waits until the pool's cluster is in the federation.
func (p *pool) joined() {
	p.Helper()
	p.eventually(burstTime, "the warm cluster to join", func(ctx context.Context) error {
		if c, err := karmadaCluster(ctx, p.elastic()); err != nil || c == nil {
			return fmt.Errorf("it has not joined (%v)", err)
		}
		return p.claimReady(ctx)
	})
}

// TestVirtualNodesFirst starts what has no room on virtual nodes, within seconds,
// and moves it to machines when they are there. No replica is lost on the way.
func TestVirtualNodesFirst(t *testing.T) {
	p := newPool(t, "virtual", virtualAndWarm)
	p.home()
	p.joined()
	p.scale("web", burst)
	p.eventually(soon, "replicas on virtual nodes", func(context.Context) error {
		if w := p.seen("web"); w.Virtual == 0 {
			return fmt.Errorf("%d run at home and %d in the cloud: %v", w.Own, w.Cloud, w.Pods)
		}
		return nil
	})
	p.runs(burstTime, "web", homeCPU, burstAway)
	p.eventually(burstTime, "replicas to move to machines", func(context.Context) error {
		w := p.seen("web")
		if w.Virtual > 0 || w.Cloud != burstAway || env.observer.State().Nodes.Cloud == 0 {
			return fmt.Errorf("%d are on virtual nodes, %d in the cloud, with %d machines", w.Virtual, w.Cloud, env.observer.State().Nodes.Cloud)
		}
		return nil
	})
	p.scale("web", normal)
	p.runs(soon, "web", normal, 0)
	p.edit(cool)
	p.away(awayTime)
}

// TestBurst has a pool whose workloads stay home. An emergency claim for one of
// them lets it out: its first replica runs on a virtual node within seconds, and
// what the claim guarantees is held for it alone. When it ends, all goes back.
func TestBurst(t *testing.T) {
	p := newPool(t, "burst", virtualAndWarm, func(c *platformv1alpha1.RegionPool) { c.Spec.Overflow = fleetv1alpha1.OverflowReserved })
	p.home()
	p.joined()
	p.deploy("other", 2)
	p.runs(soon, "other", 2, 0)
	p.scale("web", burst)
	p.runs(soon, "web", homeCPU-2, 0, stillPending)
	p.consistently(3*time.Second, "nothing leaves home without a Burst", func(context.Context) error {
		if w := p.seen("web"); w.Cloud > 0 {
			return fmt.Errorf("%d are in the cloud", w.Cloud)
		}
		return nil
	})

	begin := time.Now()
	p.applyBurst(p.newBurst("sale", "web", 8))
	p.eventually(firstReplicaWithin, "the first replica on a virtual node", func(context.Context) error {
		if w := p.seen("web"); w.Cloud == 0 {
			return fmt.Errorf("none is Ready in the cloud: %v", w.Pods)
		}
		return nil
	})
	t.Logf("first replica after %.2f s", time.Since(begin).Seconds())
	p.runs(burstTime, "web", homeCPU-2, burstAway+2)
	p.burstSays(burstTime, "sale", "Filled")

	// Another workload may not use what is held.
	p.scale("other", 4)
	p.consistently(3*time.Second, "another workload stays home", func(context.Context) error {
		if w := p.seen("other"); w.Cloud > 0 {
			return fmt.Errorf("%d of it are in the cloud", w.Cloud)
		}
		return nil
	})
	p.scale("other", 2)

	// The rest of what is held is there at once.
	p.scale("web", homeCPU-2+8)
	p.runs(soon, "web", homeCPU-2, 8)

	p.scale("web", homeCPU-2)
	p.runs(soon, "web", homeCPU-2, 0)
	p.endBurst(t.Context(), "sale")
	p.edit(cool)
	p.away(awayTime)
}

// TestBurstsAddUp has two emergency claims on one pool, the first of which is
// there before the pool. Extending one moves nothing; time ends the other.
func TestBurstsAddUp(t *testing.T) {
	p := newPool(t, "addup")
	early := p.newBurst("early", "web", 3)
	p.applyBurst(early)
	p.burstSays(soon, "early", "Waiting", p.claim.Name)
	p.home()
	p.burstSays(burstTime, "early", "Filled")
	nodes := env.observer.State().Nodes.Cloud
	if nodes == 0 {
		t.Errorf("no node is held")
	}
	p.applyBurst(p.newBurst("second", "web", 3))
	p.burstSays(burstTime, "second", "Filled")
	if got := env.observer.State().Nodes.Cloud; got <= nodes {
		t.Errorf("two Bursts hold %d nodes, one held %d", got, nodes)
	}
	both := env.observer.State().Nodes.Cloud
	p.eventually(soon, "a Burst to be extended", func(ctx context.Context) error {
		b := &platformv1alpha1.Burst{}
		if err := env.host.Get(ctx, client.ObjectKey{Namespace: p.claim.Namespace, Name: "second"}, b); err != nil {
			return err
		}
		b.Spec.For = &metav1.Duration{Duration: 2 * time.Hour}
		return env.host.Update(ctx, b)
	})
	p.consistently(5*time.Second, "extending moves nothing", func(context.Context) error {
		if got := env.observer.State().Nodes.Cloud; got != both {
			return fmt.Errorf("there are %d nodes instead of %d", got, both)
		}
		return nil
	})
	// It ends when its time is over.
	p.eventually(soon, "a Burst to be cut short", func(ctx context.Context) error {
		b := &platformv1alpha1.Burst{}
		if err := env.host.Get(ctx, client.ObjectKey{Namespace: p.claim.Namespace, Name: "early"}, b); err != nil {
			return err
		}
		b.Spec.For = &metav1.Duration{Duration: time.Since(b.CreationTimestamp.Time).Round(time.Second) + 2*time.Second}
		return env.host.Update(ctx, b)
	})
	p.burstSays(soon, "early", "Ended")
	p.eventually(awayTime, "what it held to be given back", func(context.Context) error {
		if got := env.observer.State().Nodes.Cloud; got != both-nodes {
			return fmt.Errorf("there are %d nodes", got)
		}
		return nil
	})
	p.endBurst(t.Context(), "early")
	p.endBurst(t.Context(), "second")
	p.away(awayTime)
}

// TestBurstBringsCluster has an emergency claim that brings a cluster of the
// other cloud, for its own time.
func TestBurstBringsCluster(t *testing.T) {
	p := newPool(t, "brings", func(c *platformv1alpha1.RegionPool) { c.Spec.Elastic = nil })
	p.home()
	p.scale("web", burst)
	p.runs(soon, "web", homeCPU, 0, stillPending)
	b := p.newBurst("help", "web", burstAway)
	extra := tencent(p.name)
	b.Spec.Elastic = &extra
	p.applyBurst(b)
	p.runs(burstTime, "web", homeCPU, burstAway)
	p.scale("web", homeCPU)
	p.runs(soon, "web", homeCPU, 0)
	p.endBurst(t.Context(), "help")
	p.away(awayTime)
}
