package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	ackv1alpha1 "regionpool.io/provider-regionpool/apis/ack/v1alpha1"
	platformv1alpha1 "regionpool.io/provider-regionpool/apis/platform/v1alpha1"
	elasticv1alpha1 "regionpool.io/provider-regionpool/apis/v1alpha1"
	"regionpool.io/provider-regionpool/cluster/local/stack"
	"regionpool.io/provider-regionpool/test/cloudsim/faults"
	"regionpool.io/provider-regionpool/test/cloudsim/requestlog"
	"regionpool.io/provider-regionpool/test/cloudsim/stock"
)

// fault switches a fault on until the test ends, or is told to end it.
func (p *pool) fault(r faults.Rule) (end func()) {
	p.Helper()
	id, err := env.cloud.SetFault(p.Context(), r)
	if err != nil {
		p.Fatalf("cannot set fault %s: %v", r.Kind, err)
	}
	return func() {
		p.Helper()
		if err := env.cloud.ClearFault(p.Context(), id); err != nil {
			p.Fatalf("cannot clear fault %s: %v", r.Kind, err)
		}
	}
}

// hit fails unless the cloud has injected a fault into a call: a test whose
// fault never struck proves nothing.
func (p *pool) hit(kind faults.Kind) {
	p.Helper()
	calls, err := env.cloud.Requests(p.Context(), requestlog.Filter{Since: p.begin})
	if err != nil {
		p.Fatalf("cannot read the request log: %v", err)
	}
	for _, c := range calls {
		for _, f := range c.Faults {
			if f == string(kind) {
				return
			}
		}
	}
	p.Errorf("the fault %s never struck", kind)
}

// TestCreateAnswerLost loses the answers to both creates after the cloud carried
// them out. They carry no token, so what was made must be found by its tag.
func TestCreateAnswerLost(t *testing.T) {
	cases := map[string]struct {
		reason string
		kind   faults.Kind
		args   map[string]string
	}{
		"Dropped":  {reason: "The connection ends without an answer.", kind: faults.DropAfterAccept},
		"HTML":     {reason: "A gateway answers 502 for a call that took effect.", kind: faults.HTTP502HTML, args: map[string]string{"accept": "true"}},
		"Truncate": {reason: "The answer breaks off in the middle.", kind: faults.TruncateBody},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			p := newPool(t, "lost-"+strings.ToLower(name))
			p.home()
			p.fault(faults.Rule{Kind: tc.kind, Action: createCluster, Times: 1, Args: tc.args})
			p.fault(faults.Rule{Kind: tc.kind, Action: createNodePool, Times: 1, Args: tc.args})
			p.scale("web", burst)
			p.runs(burstTime, "web", homeCPU, burstAway)
			p.hit(tc.kind)
			for _, action := range []string{createCluster, createNodePool} {
				if n, err := p.accepted(t.Context(), action); n != 1 || err != nil {
					t.Errorf("%s: %s was accepted %d times (%v)", tc.reason, action, n, err)
				}
			}
			p.scale("web", normal)
			p.runs(soon, "web", normal, 0)
		})
	}
}

// TestListLag makes the lists trail twice as long as elsewhere while an answer
// is lost: the first look does not find what was made.
func TestListLag(t *testing.T) {
	p := newPool(t, "lag")
	clock, err := env.cloud.Clock(t.Context())
	if err != nil {
		t.Fatalf("cannot read the clock: %v", err)
	}
	// Lists trail by up to ten virtual seconds.
	if err := env.cloud.SetClockFactor(t.Context(), clock.Factor/2); err != nil {
		t.Fatalf("cannot slow the clock down: %v", err)
	}
	t.Cleanup(func() {
		if err := env.cloud.SetClockFactor(context.Background(), clock.Factor); err != nil {
			t.Errorf("cannot restore the clock: %v", err)
		}
	})
	p.home()
	p.fault(faults.Rule{Kind: faults.DropAfterAccept, Action: createCluster, Times: 1})
	p.fault(faults.Rule{Kind: faults.DropAfterAccept, Action: createNodePool, Times: 1})
	p.scale("web", burst)
	p.runs(2*burstTime, "web", homeCPU, burstAway)
	p.hit(faults.DropAfterAccept)
	p.scale("web", normal)
	p.runs(soon, "web", normal, 0)
}

// TestStockOut has the cloud sell out. The region says so, orders nothing twice,
// and goes on when there is stock again.
func TestStockOut(t *testing.T) {
	p := newPool(t, "stock")
	shelf := stock.Item{Key: stock.Key{Region: region, Type: instanceType}}
	set := func(n int) {
		t.Helper()
		it := shelf
		it.Count = n
		if err := env.cloud.SetStock(context.Background(), it); err != nil {
			t.Fatalf("cannot set stock: %v", err)
		}
	}
	t.Cleanup(func() { set(1000) })
	p.home()
	set(0)
	p.scale("web", burst)
	p.eventually(burstTime, "the node pool to say that the cloud is sold out", func(ctx context.Context) error {
		return p.condition(ctx, ackv1alpha1.NodePoolKind, string(elasticv1alpha1.TypeCapacityAvailable), metav1.ConditionFalse)
	})
	p.runs(soon, "web", homeCPU, 0, stillPending)

	set(1000)
	p.runs(burstTime, "web", homeCPU, burstAway)
	p.eventually(soon, "the node pool to say that there is capacity", func(ctx context.Context) error {
		return p.condition(ctx, ackv1alpha1.NodePoolKind, string(elasticv1alpha1.TypeCapacityAvailable), metav1.ConditionTrue)
	})
	p.scale("web", normal)
	p.runs(soon, "web", normal, 0)
}

// TestThrottledForAMinute refuses every call for a minute. The region does not
// hammer, and goes on by itself.
func TestThrottledForAMinute(t *testing.T) {
	p := newPool(t, "throttled")
	p.home()
	end := p.fault(faults.Rule{Kind: faults.Throttle})
	p.scale("web", burst)
	time.Sleep(time.Minute)
	calls, err := env.cloud.Requests(t.Context(), requestlog.Filter{Since: p.begin})
	if err != nil {
		t.Fatalf("cannot read the request log: %v", err)
	}
	if len(calls) == 0 || len(calls) > 120 {
		t.Errorf("%d calls were made in a minute of throttling", len(calls))
	}
	p.runs(soon, "web", homeCPU, 0, stillPending)
	end()
	p.runs(2*burstTime, "web", homeCPU, burstAway)
	p.scale("web", normal)
	p.runs(soon, "web", normal, 0)
}

// TestWrongCredentialsThenMended has a wrong secret in the account's Secret. The
// claim says so; nothing is taken for gone; and it goes on once it is mended.
func TestWrongCredentialsThenMended(t *testing.T) {
	p := newPool(t, "credentials")
	set := func(secret string) {
		t.Helper()
		cloud := env.stack.Cloud()
		b, err := json.Marshal(map[string]string{"accessKeyId": cloud.AccessKeyID, "accessKeySecret": secret})
		if err != nil {
			t.Fatalf("cannot encode credentials: %v", err)
		}
		patch, err := json.Marshal(corev1.Secret{Data: map[string][]byte{"credentials": b}})
		if err != nil {
			t.Fatalf("cannot encode Secret: %v", err)
		}
		s := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: stack.SystemNamespace, Name: stack.CloudConfig}}
		if err := env.host.Patch(context.Background(), s, client.RawPatch(types.MergePatchType, patch)); err != nil {
			t.Fatalf("cannot change credentials: %v", err)
		}
	}
	right := env.stack.Cloud().AccessKeySecret
	t.Cleanup(func() { set(right) })

	p.home()
	set(wrongSecret)
	p.scale("web", burst)
	p.eventually(burstTime, "the claim to say that the credentials are wrong", func(ctx context.Context) error {
		return p.claimSays(ctx, "ElasticHealthy", "spec.elastic[0]", "credentials")
	})
	if n, err := p.accepted(t.Context(), createCluster); n > 0 || err != nil {
		t.Errorf("%d clusters were created (%v)", n, err)
	}
	set(right)
	p.runs(2*burstTime, "web", homeCPU, burstAway)

	// Once more while something is rented: a refusal proves nothing about what
	// exists.
	set(wrongSecret)
	p.consistently(5*time.Second, "the cloud keeps its replicas", func(context.Context) error {
		if w := p.seen("web"); w.Cloud != burstAway {
			return fmt.Errorf("%d replicas are left in the cloud", w.Cloud)
		}
		return nil
	})
	set(right)
	p.scale("web", normal)
	p.runs(soon, "web", normal, 0)
	p.away(awayTime)
}

const wrongSecret = "a-wrong-secret-that-must-not-be-shown"

// condition fails unless a managed resource of the kind has the condition.
func (p *pool) condition(ctx context.Context, kind, typ string, want metav1.ConditionStatus) error {
	last := fmt.Errorf("there is no %s", kind)
	found := false
	err := p.each(ctx, func(u *unstructured.Unstructured) {
		if u.GetKind() != kind {
			return
		}
		last = fmt.Errorf("%s %s says nothing about %s", kind, u.GetName(), typ)
		conditions, _, _ := unstructured.NestedSlice(u.Object, "status", "conditions")
		for _, c := range conditions {
			m, ok := c.(map[string]any)
			if !ok || m["type"] != typ {
				continue
			}
			if m["status"] == string(want) {
				found = true
			}
			last = fmt.Errorf("%s %s says %s is %v: %v", kind, u.GetName(), typ, m["status"], orEmpty(m["message"]))
		}
	})
	if err != nil || found {
		return err
	}
	return last
}

// claimSays fails unless the claim has the condition as False, with a message
// that has all the words.
func (p *pool) claimSays(ctx context.Context, typ string, words ...string) error {
	c, err := p.read(ctx)
	if err != nil {
		return err
	}
	return conditionSays(c, typ, words...)
}

func conditionSays(c *platformv1alpha1.RegionPool, typ string, words ...string) error {
	for _, cond := range c.Status.Conditions {
		if string(cond.Type) != typ {
			continue
		}
		if cond.Status != corev1.ConditionFalse {
			return fmt.Errorf("%s is %s", typ, cond.Status)
		}
		for _, w := range words {
			if !strings.Contains(cond.Message, w) {
				return fmt.Errorf("%s does not name %q: %s", typ, w, cond.Message)
			}
		}
		return nil
	}
	return fmt.Errorf("the claim has no condition %s", typ)
}
