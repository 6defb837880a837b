package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	ackv1alpha1 "regionpool.io/provider-regionpool/apis/ack/v1alpha1"
	federationv1alpha1 "regionpool.io/provider-regionpool/apis/federation/v1alpha1"
	fleetv1alpha1 "regionpool.io/provider-regionpool/apis/fleet/v1alpha1"
	tkev1alpha1 "regionpool.io/provider-regionpool/apis/tke/v1alpha1"
	"regionpool.io/provider-regionpool/test/cloudsim/ledger"
	"regionpool.io/provider-regionpool/test/cloudsim/requestlog"
)

const pollInterval = 100 * time.Millisecond

// managedKinds are all kinds a claim is made of.
var managedKinds = []schema.GroupVersionKind{
	ackv1alpha1.ClusterGroupVersionKind,
	ackv1alpha1.NodePoolGroupVersionKind,
	tkev1alpha1.ClusterGroupVersionKind,
	tkev1alpha1.NodePoolGroupVersionKind,
	tkev1alpha1.VirtualNodePoolGroupVersionKind,
	federationv1alpha1.MemberGroupVersionKind,
	federationv1alpha1.PlacementPolicyGroupVersionKind,
	federationv1alpha1.CapacityPlanGroupVersionKind,
	federationv1alpha1.CapacityReservationGroupVersionKind,
}

// poll until f returns nil; the last error says what is missing.
func poll(ctx context.Context, within time.Duration, f func(ctx context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	var last error
	for {
		err := f(ctx)
		if err == nil {
			return nil
		}
		// An error that only says that time is up hides the reason.
		if last == nil || ctx.Err() == nil {
			last = err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("not within %s: %w", within, last)
		case <-tick.C:
		}
	}
}

// eventually fails the test, with a picture of the region, unless f returns nil
// in time.
func (p *pool) eventually(within time.Duration, what string, f func(ctx context.Context) error) {
	p.Helper()
	begin := time.Now()
	if err := poll(p.Context(), within, f); err != nil {
		p.explain(p.Context())
		p.Fatalf("waiting for %s: %v", what, err)
	}
	p.Logf("%6.1fs  %s (%.1fs)", time.Since(p.begin).Seconds(), what, time.Since(begin).Seconds())
}

// consistently fails the test if f returns an error within the time.
func (p *pool) consistently(during time.Duration, what string, f func(ctx context.Context) error) {
	p.Helper()
	end := time.Now().Add(during)
	for time.Now().Before(end) {
		if err := f(p.Context()); err != nil {
			p.explain(p.Context())
			p.Fatalf("expected for %s: %s: %v", during, what, err)
		}
		time.Sleep(pollInterval)
	}
	p.Logf("%6.1fs  %s for %s", time.Since(p.begin).Seconds(), what, during)
}

// each calls f for every managed resource of the pool.
func (p *pool) each(ctx context.Context, f func(u *unstructured.Unstructured)) error {
	for _, gvk := range managedKinds {
		l := &unstructured.UnstructuredList{}
		l.SetGroupVersionKind(gvk.GroupVersion().WithKind(gvk.Kind + "List"))
		if err := env.host.List(ctx, l, client.InNamespace(p.claim.Namespace)); err != nil {
			return fmt.Errorf("cannot list %s: %w", gvk.Kind, err)
		}
		for i := range l.Items {
			if l.Items[i].GetLabels()["regionpool.io/claim"] == p.name {
				f(&l.Items[i])
			}
		}
	}
	return nil
}

// managed lists the managed resources of the pool as kind/name.
func (p *pool) managed(ctx context.Context) ([]string, error) {
	var out []string
	err := p.each(ctx, func(u *unstructured.Unstructured) { out = append(out, u.GetKind()+"/"+u.GetName()) })
	return out, err
}

// explain logs a picture of the region: enough to see what it waits for.
func (p *pool) explain(ctx context.Context) {
	p.Helper()
	b := &strings.Builder{}
	if c, err := p.read(ctx); err == nil {
		fmt.Fprintf(b, "claim: phase %s, %s\n", c.Status.Phase, c.Status.LastDecision)
		for _, cond := range c.Status.Conditions {
			fmt.Fprintf(b, "    %s %s %s %s\n", cond.Type, cond.Status, cond.Reason, cond.Message)
		}
	}
	_ = p.each(ctx, func(u *unstructured.Unstructured) {
		leaving := ""
		if u.GetDeletionTimestamp() != nil {
			leaving = fmt.Sprintf(" (deleted, finalizers %v)", u.GetFinalizers())
		}
		fmt.Fprintf(b, "%s/%s%s\n", u.GetKind(), u.GetName(), leaving)
		conditions, _, _ := unstructured.NestedSlice(u.Object, "status", "conditions")
		for _, c := range conditions {
			if m, ok := c.(map[string]any); ok {
				fmt.Fprintf(b, "    %v %v %v %v\n", m["type"], m["status"], m["reason"], orEmpty(m["message"]))
			}
		}
	})
	plan := &fleetv1alpha1.CapacityPlan{}
	if err := env.karmada.Get(ctx, client.ObjectKey{Name: p.claim.Namespace + "-" + p.name}, plan); err == nil {
		fmt.Fprintf(b, "plan: %s\n", compact(plan.Status))
	}
	s := env.observer.State()
	for _, w := range s.Workloads {
		if w.Namespace == p.workloads() {
			fmt.Fprintf(b, "workload %s: wanted %d, ready %v, pods %v\n", w.Name, w.Desired, w.Ready, w.Pods)
		}
	}
	for _, m := range s.Members {
		fmt.Fprintf(b, "member %s: connected %v, %d nodes, %d pods\n", m.Name, m.Connected, m.Nodes, m.Pods)
	}
	if l, err := env.cloud.Ledger(ctx); err == nil {
		fmt.Fprintf(b, "cloud: %s\n", objects(l.Live))
	}
	if calls, err := env.cloud.Requests(ctx, requestlog.Filter{Since: p.begin, Mutating: true}); err == nil {
		fmt.Fprintf(b, "the last calls of %d:\n", len(calls))
		for _, c := range calls[max(0, len(calls)-15):] {
			fmt.Fprintf(b, "    %s %s %d %s accepted=%v %v\n", c.Time.Format("15:04:05.000"), c.Action, c.Status, c.Code, c.Accepted, c.Faults)
		}
	}
	p.Log("the region looks like this:\n" + b.String() + "logs are in " + env.stack.Dir() + "/logs")
}

func orEmpty(v any) any {
	if v == nil {
		return ""
	}
	return v
}

func compact(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// objects lists what is live in the cloud.
func objects(os []ledger.Object) string {
	if len(os) == 0 {
		return "nothing"
	}
	out := make([]string, 0, len(os))
	for _, o := range os {
		out = append(out, string(o.Kind)+" "+o.ID)
	}
	return strings.Join(out, ", ")
}

// cluster returns the Karmada Cluster of that name, or nil.
func karmadaCluster(ctx context.Context, name string) (*unstructured.Unstructured, error) {
	u := &unstructured.Unstructured{}
	u.SetGroupVersionKind(schema.GroupVersionKind{Group: "cluster.karmada.io", Version: "v1alpha1", Kind: "Cluster"})
	err := env.karmada.Get(ctx, client.ObjectKey{Name: name}, u)
	if client.IgnoreNotFound(err) != nil {
		return nil, err
	}
	if err != nil {
		return nil, nil
	}
	return u, nil
}
