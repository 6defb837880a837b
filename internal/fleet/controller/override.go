package controller

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	policyv1alpha1 "github.com/karmada-io/karmada/pkg/apis/policy/v1alpha1"
	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	fleetv1alpha1 "regionpool.io/provider-regionpool/apis/fleet/v1alpha1"
	"regionpool.io/provider-regionpool/internal/fleet/scheduler"
	"regionpool.io/provider-regionpool/internal/snapshot"
)

// Pods run on virtual nodes only if they tolerate them, and a workload's author
// does not know of such nodes. So fleet writes an OverridePolicy for each
// workload of a pool that has virtual offerings, by which Karmada gives it other
// tolerations and another affinity in the members that have them.
//
// The policy is written as soon as the workload is seen, before it has replicas
// there: Karmada renders a workload anew when a policy changes, and that
// restarts its pods. For the same reason what a policy says of a member stays
// while the workload has replicas there.

// policyAgain is how soon a policy that could not be written is tried again.
const policyAgain = 5 * time.Second

// policyName of the policy for a workload. Names of objects are bounded.
func policyName(kind, name string) string {
	out := "regionpool-" + strings.ToLower(kind) + "-" + name
	if len(out) <= 253 {
		return out
	}
	sum := sha256.Sum256([]byte(out))
	return out[:236] + "-" + hex.EncodeToString(sum[:8])
}

// virtuals are the virtual offerings of a plan, by name.
func virtuals(p *fleetv1alpha1.CapacityPlan) []scheduler.Virtual {
	var out []scheduler.Virtual
	for i := range p.Spec.Offerings {
		o := &p.Spec.Offerings[i]
		if o.Virtual == nil || len(o.Virtual.NodeLabels) == 0 {
			continue
		}
		out = append(out, scheduler.Virtual{
			Offering: o.Name, Member: o.Member, NodeLabels: o.Virtual.NodeLabels, Tolerations: o.Virtual.Tolerations,
			Largest: o.Allocatable, Moves: o.Virtual.Moves != fleetv1alpha1.MoveNever,
		})
	}
	slices.SortFunc(out, func(a, b scheduler.Virtual) int { return strings.Compare(a.Offering, b.Offering) })
	return out
}

// byMember groups virtual offerings.
func byMember(vs []scheduler.Virtual) map[string][]scheduler.Virtual {
	out := map[string][]scheduler.Virtual{}
	for _, v := range vs {
		out[v.Member] = append(out[v.Member], v)
	}
	return out
}

// fitsVirtual reports whether virtual nodes take pods of a template at all.
// They have no host to share.
func fitsVirtual(t *scheduler.Template, vs []scheduler.Virtual) bool {
	s := &t.Spec.Spec
	if s.HostNetwork || s.HostPID || s.HostIPC || s.NodeName != "" {
		return false
	}
	for _, v := range s.Volumes {
		if v.HostPath != nil {
			return false
		}
	}
	for _, list := range [][]corev1.Container{s.InitContainers, s.Containers} {
		for i := range list {
			if sc := list[i].SecurityContext; sc != nil && ptr.Deref(sc.Privileged, false) {
				return false
			}
		}
	}
	need := t.Requests()
	return slices.ContainsFunc(vs, func(v scheduler.Virtual) bool {
		for name, q := range need {
			largest, ok := v.Largest[name]
			device := strings.Contains(string(name), "/")
			if !q.IsZero() && (ok && q.Cmp(largest) > 0 || !ok && device) {
				return false
			}
		}
		return true
	})
}

// rule is what a policy says of one member. Add with the whole value works
// whether the workload has the field or not; the pod spec is always there.
func rule(t *scheduler.Template, member string, vs []scheduler.Virtual) (policyv1alpha1.RuleWithCluster, error) {
	spec := scheduler.Tolerant(&t.Spec, vs).Spec
	if spec.Tolerations == nil {
		// An API server would drop a value of null.
		spec.Tolerations = []corev1.Toleration{}
	}
	out := policyv1alpha1.RuleWithCluster{TargetCluster: &policyv1alpha1.ClusterAffinity{ClusterNames: []string{member}}}
	for _, f := range []struct {
		path  string
		value any
	}{{"/spec/template/spec/tolerations", spec.Tolerations}, {"/spec/template/spec/affinity", spec.Affinity}} {
		raw, err := json.Marshal(f.value)
		if err != nil {
			return out, fmt.Errorf("cannot encode %s: %w", f.path, err)
		}
		out.Overriders.Plaintext = append(out.Overriders.Plaintext, policyv1alpha1.PlaintextOverrider{
			Path: f.path, Operator: policyv1alpha1.OverriderOpAdd, Value: apiextensionsv1.JSON{Raw: raw},
		})
	}
	return out, nil
}

// ruleMember is the member that a rule of ours is about.
func ruleMember(r *policyv1alpha1.RuleWithCluster) string {
	if r.TargetCluster == nil || len(r.TargetCluster.ClusterNames) != 1 {
		return ""
	}
	return r.TargetCluster.ClusterNames[0]
}

func ruleFor(p *policyv1alpha1.OverridePolicy, member string) *policyv1alpha1.RuleWithCluster {
	if p == nil {
		return nil
	}
	for i := range p.Spec.OverrideRules {
		if ruleMember(&p.Spec.OverrideRules[i]) == member {
			return &p.Spec.OverrideRules[i]
		}
	}
	return nil
}

// rules that the policy of a binding should have, by member.
func rules(b binding, t *template, vs map[string][]scheduler.Virtual, have *policyv1alpha1.OverridePolicy) ([]policyv1alpha1.RuleWithCluster, error) {
	assigned := map[string]int32{}
	for _, c := range b.spec.Clusters {
		assigned[c.Name] += c.Replicas
	}
	byName := map[string]policyv1alpha1.RuleWithCluster{}
	if have != nil {
		for _, r := range have.Spec.OverrideRules {
			if assigned[ruleMember(&r)] > 0 {
				byName[ruleMember(&r)] = r
			}
		}
	}
	if t != nil && t.pods != nil && t.templated && t.divided {
		for member, of := range vs {
			if !fitsVirtual(t.pods, of) {
				continue
			}
			if b.spec.Resource.Kind == "Job" && assigned[member] > 0 {
				// The pod template of a Job that runs cannot be changed.
				continue
			}
			r, err := rule(t.pods, member, of)
			if err != nil {
				return nil, err
			}
			byName[member] = r
		}
	}
	var out []policyv1alpha1.RuleWithCluster
	for _, name := range slices.Sorted(maps.Keys(byName)) {
		out = append(out, byName[name])
	}
	return out, nil
}

// sameRules compares what an API server may have written differently.
func sameRules(a, b []policyv1alpha1.RuleWithCluster) bool {
	return reflect.DeepEqual(generic(a), generic(b))
}

func generic(v any) any {
	raw, err := json.Marshal(v)
	if err != nil {
		return err
	}
	var out any
	if err := json.Unmarshal(raw, &out); err != nil {
		return err
	}
	return out
}

// A policySight is all that a policy was found to be right for. Comparing it with
// what it should be takes a tenth of a millisecond, too much for each workload
// in each round.
type policySight struct {
	version, pool, virtuals, assigned string
	template                          *template
}

// assignedTo names the members with replicas of a binding on which it depends
// what its policy should be.
func assignedTo(b binding, p *policyv1alpha1.OverridePolicy, vs map[string][]scheduler.Virtual) string {
	var out []string
	for _, c := range b.spec.Clusters {
		if c.Replicas > 0 && (b.spec.Resource.Kind == "Job" || len(vs[c.Name]) == 0 && ruleFor(p, c.Name) != nil) {
			out = append(out, c.Name)
		}
	}
	slices.Sort(out)
	return strings.Join(out, " ")
}

func (f *Fleet) readPolicies(ctx context.Context) (map[string]*policyv1alpha1.OverridePolicy, error) {
	list := &policyv1alpha1.OverridePolicyList{}
	if err := f.Client.List(ctx, list, client.HasLabels{fleetv1alpha1.LabelPool}, client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("cannot list override policies: %w", err)
	}
	out := make(map[string]*policyv1alpha1.OverridePolicy, len(list.Items))
	for i := range list.Items {
		p := &list.Items[i]
		if !f.serves(p.Labels[fleetv1alpha1.LabelPool]) {
			continue
		}
		key := p.Namespace + "/" + p.Name
		out[key] = p
		if latest := f.policies.latest(key, p); latest != nil {
			out[key] = latest.(*policyv1alpha1.OverridePolicy)
		}
	}
	// One that was written and is not in the cache yet.
	for key, o := range f.policies.written {
		if out[key] == nil && f.Clock.Since(f.policyWritten[key]) < syncPatience {
			out[key] = o.(*policyv1alpha1.OverridePolicy)
		}
	}
	return out, nil
}

// override makes the policies what they should be, and sets in which members the
// replicas of bindings tolerate virtual nodes. What cannot be written is said,
// and grants nothing.
func (f *Fleet) override(ctx context.Context, v *view, bs []binding) error {
	have, err := f.readPolicies(ctx)
	if err != nil {
		return err
	}
	pools, prints := map[string]map[string][]scheduler.Virtual{}, map[string]string{}
	for _, p := range v.plans {
		vs := virtuals(p.merged)
		raw, err := json.Marshal(vs)
		if err != nil {
			return fmt.Errorf("cannot encode the virtual offerings of %s: %w", p.plan.Name, err)
		}
		pools[p.plan.Name], prints[p.plan.Name] = byMember(vs), string(raw)
	}
	var g errgroup.Group
	g.SetLimit(16)
	var mu sync.Mutex
	tolerate := func(b binding, p *policyv1alpha1.OverridePolicy, vs map[string][]scheduler.Virtual) {
		mu.Lock()
		defer mu.Unlock()
		v.tolerate(b, p, vs)
	}
	needed, failed := map[string]bool{}, map[string]time.Time{}
	for _, b := range bs {
		ref := &b.spec.Resource
		if ref.Namespace == "" {
			continue
		}
		key := ref.Namespace + "/" + policyName(ref.Kind, ref.Name)
		needed[key] = true
		p, vs := have[key], pools[b.pool()]
		t := f.templates.get(b.id())
		if len(vs) == 0 && p == nil || v.unsure[b.pool()] {
			continue
		}
		if t == nil || t.pods == nil && t.problem != "" {
			// What it needs is not known.
			continue
		}
		sight := policySight{template: t, pool: b.pool(), virtuals: prints[b.pool()], assigned: assignedTo(b, p, vs)}
		if p != nil {
			sight.version = p.ResourceVersion
			if f.policySights[key] == sight {
				tolerate(b, p, vs)
				continue
			}
		}
		want, err := rules(b, t, vs, p)
		if err != nil {
			return err
		}
		if p == nil && len(want) == 0 {
			continue
		}
		if p != nil && len(want) > 0 && p.Labels[fleetv1alpha1.LabelPool] == b.pool() && sameRules(want, p.Spec.OverrideRules) {
			f.policySights[key] = sight
			tolerate(b, p, vs)
			continue
		}
		if at := f.policyRetry[key]; at.After(v.now) {
			v.readAgain = earlier(v.readAgain, at)
			tolerate(b, p, vs)
			continue
		}
		g.Go(func() error {
			now, err := f.writePolicy(ctx, b, p, want)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				f.Log.Info("Cannot write override policy", "policy", key, "reason", err.Error())
				// A round waits for the write, so it is not tried in each.
				again := policyAgain
				switch {
				case apierrors.IsConflict(err):
					again = retryAfter
				case apierrors.IsAlreadyExists(err):
					// Somebody else's policy has the name.
					again = readAgain
				}
				failed[key] = v.now.Add(again)
				now = p
			}
			delete(f.policies.written, key)
			if err == nil && now != nil {
				f.policies.put(key, now)
				f.policyWritten[key] = f.Clock.Now()
			}
			v.tolerate(b, now, vs)
			return nil
		})
	}
	_ = g.Wait()
	maps.DeleteFunc(f.policyRetry, func(_ string, at time.Time) bool { return !at.After(v.now) })
	for key, at := range failed {
		f.policyRetry[key] = at
		v.readAgain = earlier(v.readAgain, at)
	}
	maps.DeleteFunc(f.policySights, func(key string, _ policySight) bool { return !needed[key] })
	for key := range f.policies.written {
		if !needed[key] {
			delete(f.policies.written, key)
			delete(f.policyWritten, key)
		}
	}
	return f.dropPolicies(ctx, v, have, needed)
}

// tolerate notes in which members the policy of a binding lets its replicas use
// virtual nodes.
func (v *view) tolerate(b binding, p *policyv1alpha1.OverridePolicy, vs map[string][]scheduler.Virtual) {
	out := map[string]bool{}
	for member := range vs {
		if ruleFor(p, member) != nil {
			out[member] = true
		}
	}
	if len(out) > 0 {
		v.tolerates[b.id()] = out
	}
}

// writePolicy writes a policy with the supplied rules, or deletes it if there
// are none.
func (f *Fleet) writePolicy(ctx context.Context, b binding, have *policyv1alpha1.OverridePolicy, want []policyv1alpha1.RuleWithCluster) (*policyv1alpha1.OverridePolicy, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	if len(want) == 0 {
		return nil, f.deletePolicy(ctx, have)
	}
	ref := &b.spec.Resource
	out := &policyv1alpha1.OverridePolicy{}
	if have != nil {
		out = have.DeepCopy()
	}
	out.Namespace, out.Name = ref.Namespace, policyName(ref.Kind, ref.Name)
	if out.Labels == nil {
		out.Labels = map[string]string{}
	}
	out.Labels[fleetv1alpha1.LabelPool] = b.pool()
	out.OwnerReferences = []metav1.OwnerReference{{APIVersion: ref.APIVersion, Kind: ref.Kind, Name: ref.Name, UID: ref.UID}}
	out.Spec = policyv1alpha1.OverrideSpec{
		ResourceSelectors: []policyv1alpha1.ResourceSelector{{APIVersion: ref.APIVersion, Kind: ref.Kind, Namespace: ref.Namespace, Name: ref.Name}},
		OverrideRules:     want,
	}
	if have == nil {
		return out, f.Client.Create(ctx, out, client.FieldOwner(FieldOwner))
	}
	return out, f.Client.Update(ctx, out, client.FieldOwner(FieldOwner))
}

func (f *Fleet) deletePolicy(ctx context.Context, p *policyv1alpha1.OverridePolicy) error {
	err := f.Client.Delete(ctx, p, client.Preconditions{UID: &p.UID})
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

// dropPolicies deletes those of workloads that fleet does not place any more.
// Those of workloads that are gone go with them.
func (f *Fleet) dropPolicies(ctx context.Context, v *view, have map[string]*policyv1alpha1.OverridePolicy, needed map[string]bool) error {
	for key, p := range have {
		if needed[key] || p.DeletionTimestamp != nil || len(p.Spec.ResourceSelectors) != 1 {
			continue
		}
		s := &p.Spec.ResourceSelectors[0]
		if !v.strangers[snapshot.WorkloadKey{Namespace: p.Namespace, Kind: s.Kind, Name: s.Name}] {
			continue
		}
		if err := f.deletePolicy(ctx, p); err != nil {
			return fmt.Errorf("cannot delete override policy %s: %w", key, err)
		}
	}
	return nil
}
