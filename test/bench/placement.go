package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	clusterv1alpha1 "github.com/karmada-io/karmada/pkg/apis/cluster/v1alpha1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	kerrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	federationv1alpha1 "regionpool.io/provider-regionpool/apis/federation/v1alpha1"
	"regionpool.io/provider-regionpool/cluster/local/manifests"
	"regionpool.io/provider-regionpool/cluster/local/stack"
)

const (
	// rival is Karmada as it is released, with its own scheduler. Resource
	// modelling is off for it, as on the whole stack: with it on, its estimates
	// are about half of the truth.
	rival = "karmada-1.18"

	workloadName = "w"
	loadSpace    = "load"
	judgeSpace   = "judge"

	// quiet is how long nothing may move before a placement counts as made, and
	// settleTimeout how long it may take at all.
	quiet         = 5 * time.Second
	settleTimeout = 60 * time.Second
	lookEvery     = 250 * time.Millisecond
)

// rentedNames are the cloud members, one tier each.
var rentedNames = []string{"cloud-a", "cloud-b"}

// A contender divides the replicas of workloads that carry its label.
type contender struct {
	name string
	mode federationv1alpha1.PlacementMode
	// pool is also the namespace and the label of its workloads.
	pool string
}

var contenders = []contender{
	{name: "ours", mode: federationv1alpha1.ModeSimulated, pool: "bench-ours"},
	{name: rival, mode: federationv1alpha1.ModeOverflow, pool: "bench-karmada"},
}

// placement measures how far placements are from the right ones. Each contender
// has the same members for itself, one after the other. What is right is judged
// by the self-built member's own kube-scheduler: it is given the workload alone,
// and what it can run belongs there; the rest belongs in the cloud, which has
// room for everything.
func placement(ctx context.Context, r *run) (outcome, error) {
	members := []stack.Member{{Name: homeName}}
	for _, name := range rentedNames {
		members = append(members, stack.Member{Name: name})
	}
	e, err := startStack(ctx, r, "placement", stack.Options{
		WithoutCloud: true, Members: members,
		Parts: map[stack.Part]stack.PartOptions{stack.Function: {Disabled: true}},
		// The rival goes by what Karmada knows itself.
		KarmadaArgs: map[string][]string{"karmada-scheduler": {"--enable-scheduler-estimator=false"}},
	})
	if err != nil {
		return outcome{}, err
	}
	out, err := contest(ctx, r, e)
	return out, errors.Join(err, e.close())
}

func contest(ctx context.Context, r *run, e *environment) (outcome, error) {
	for _, name := range rentedNames {
		for _, n := range rentedNodes(name) {
			if err := e.Plane(name).AddNode(ctx, n); err != nil {
				return outcome{}, err
			}
		}
	}
	done := r.log.Step("the members have joined")
	if err := federate(ctx, e); err != nil {
		return outcome{}, err
	}
	done()
	out := outcome{met: true}
	for _, s := range shapes(r.seed) {
		cases, err := compare(ctx, r, e, s)
		if err != nil {
			return out, fmt.Errorf("cannot measure %q: %w", s.name, err)
		}
		for _, c := range cases {
			out.met = out.met && c.Ours == 0
		}
		out.cases = append(out.cases, cases...)
	}
	return out, nil
}

// federate joins the members, and makes a policy for each contender and a plan
// for ours.
func federate(ctx context.Context, e *environment) error {
	gv := federationv1alpha1.SchemeGroupVersion.String()
	managed := func(kind, name string, forProvider map[string]any) *unstructured.Unstructured {
		u := object(gv, kind, stack.PlatformNamespace, name)
		u.Object["spec"] = map[string]any{
			"providerConfigRef": map[string]any{"kind": "ClusterProviderConfig", "name": stack.KarmadaConfig},
			"forProvider":       forProvider,
		}
		return u
	}
	tiers := []any{map[string]any{"name": homeName, "members": []any{homeName}}}
	planned := []any{map[string]any{"name": homeName}}
	all := []*unstructured.Unstructured{managed(federationv1alpha1.MemberKind, homeName, map[string]any{
		"kubeconfigSecretRef": map[string]any{"name": homeName},
	})}
	for i, name := range rentedNames {
		tiers = append(tiers, map[string]any{"name": name, "members": []any{name}})
		planned = append(planned, map[string]any{"name": name, "tier": int64(i + 1), "elastic": true})
		all = append(all, managed(federationv1alpha1.MemberKind, name, map[string]any{
			"kubeconfigSecretRef": map[string]any{"name": name}, "tier": string(federationv1alpha1.TierElastic),
		}))
	}
	for _, c := range contenders {
		all = append(all, managed(federationv1alpha1.PlacementPolicyKind, c.pool, map[string]any{
			"pool": c.pool, "mode": string(c.mode), "tiers": tiers,
			"workloads": map[string]any{"matchLabels": map[string]any{"regionpool.io/pool": c.pool}},
		}))
		if c.mode == federationv1alpha1.ModeSimulated {
			all = append(all, managed(federationv1alpha1.CapacityPlanKind, c.pool, map[string]any{"members": planned}))
		}
		if err := ensureNamespace(ctx, e.karmada, c.pool); err != nil {
			return err
		}
	}
	if err := manifests.Apply(ctx, e.host, all...); err != nil {
		return err
	}
	for _, o := range all {
		if err := manifests.WaitCondition(ctx, e.host, o, "Ready"); err != nil {
			return err
		}
	}
	for _, name := range []string{loadSpace, judgeSpace} {
		ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
		if _, err := e.Plane(homeName).Client().CoreV1().Namespaces().Create(ctx, ns, metav1.CreateOptions{}); err != nil && !kerrors.IsAlreadyExists(err) {
			return fmt.Errorf("cannot create namespace %s: %w", name, err)
		}
	}
	return nil
}

// compare the contenders on one shape.
func compare(ctx context.Context, r *run, e *environment, s shape) ([]Case, error) {
	home := e.Plane(homeName)
	for _, n := range s.home {
		if err := home.AddNode(ctx, n); err != nil {
			return nil, err
		}
		if err := home.WaitNode(ctx, n.Name); err != nil {
			return nil, err
		}
	}
	for _, p := range s.load {
		if _, err := home.Client().CoreV1().Pods(loadSpace).Create(ctx, p.DeepCopy(), metav1.CreateOptions{}); err != nil {
			return nil, fmt.Errorf("cannot create other load: %w", err)
		}
	}
	fits := make([]int, len(s.replicas))
	for i, n := range s.replicas {
		var err error
		if fits[i], err = judge(ctx, home.Client(), s.pod, n); err != nil {
			return nil, fmt.Errorf("cannot judge: %w", err)
		}
	}
	cases := make([]Case, len(s.replicas))
	for i, n := range s.replicas {
		cases[i] = ours(fmt.Sprintf("%s: %d replicas, %d fit", s.name, n, fits[i]), 0)
	}
	for _, c := range contenders {
		if err := known(ctx, e, s); err != nil {
			return nil, err
		}
		for i, n := range s.replicas {
			where, err := c.place(ctx, e, s.pod, n)
			if err != nil {
				return nil, err
			}
			wrong := float64(mistakes(where, int(n), fits[i]))
			r.log.Printf("%s: %s: %s, wrong %g", cases[i].Case, c.name, where, wrong)
			if c.name == rival {
				cases[i].Rivals[rival] = wrong
			} else {
				cases[i].Ours = wrong
			}
		}
		if err := c.clear(ctx, e); err != nil {
			return nil, err
		}
	}
	for _, n := range s.home {
		if err := home.RemoveNode(ctx, n.Name); err != nil {
			return nil, err
		}
	}
	return cases, nil
}

// mistakes are replicas in the cloud that belong home, and those that run
// nowhere.
func mistakes(p places, replicas, fits int) int {
	home, cloud := p[homeName].running, 0
	for _, name := range rentedNames {
		cloud += p[name].running
	}
	return max(0, cloud-(replicas-fits)) + max(0, replicas-home-cloud)
}

// judge returns how many replicas a member can run, by its own kube-scheduler.
func judge(ctx context.Context, k kubernetes.Interface, pod corev1.PodSpec, replicas int32) (int, error) {
	d := deployment(judgeSpace, workloadName, nil, replicas, pod)
	if _, err := k.AppsV1().Deployments(judgeSpace).Create(ctx, d, metav1.CreateOptions{}); err != nil {
		return 0, fmt.Errorf("cannot create the workload: %w", err)
	}
	fits := 0
	err := poll(ctx, lookEvery, settleTimeout, func(ctx context.Context) (string, error) {
		l, err := k.CoreV1().Pods(judgeSpace).List(ctx, metav1.ListOptions{})
		if err != nil {
			return "", err
		}
		refused := 0
		fits = 0
		for i := range l.Items {
			switch {
			case l.Items[i].Spec.NodeName != "":
				fits++
			case unschedulable(&l.Items[i]):
				refused++
			}
		}
		if fits+refused < int(replicas) {
			return fmt.Sprintf("kube-scheduler has judged %d of %d", fits+refused, replicas), nil
		}
		return "", nil
	})
	if err != nil {
		return 0, err
	}
	background := metav1.DeletePropagationBackground
	if err := k.AppsV1().Deployments(judgeSpace).Delete(ctx, workloadName, metav1.DeleteOptions{PropagationPolicy: &background}); err != nil {
		return 0, fmt.Errorf("cannot delete the workload: %w", err)
	}
	return fits, poll(ctx, lookEvery, settleTimeout, func(ctx context.Context) (string, error) { return left(ctx, k, judgeSpace) })
}

func unschedulable(p *corev1.Pod) bool {
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodScheduled {
			return c.Status == corev1.ConditionFalse && c.Reason == corev1.PodReasonUnschedulable
		}
	}
	return false
}

// left says which workloads and pods are still in a namespace.
func left(ctx context.Context, k kubernetes.Interface, namespace string) (string, error) {
	ds, err := k.AppsV1().Deployments(namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return "", err
	}
	ps, err := k.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{})
	if err != nil || len(ds.Items)+len(ps.Items) == 0 {
		return "", err
	}
	return fmt.Sprintf("%d Deployments and %d pods are left in %s", len(ds.Items), len(ps.Items), namespace), nil
}

// known waits until Karmada's picture of the self-built member is the truth, so
// that nobody has to place by an old one.
func known(ctx context.Context, e *environment, s shape) error {
	cpu, load := int64(0), int64(0)
	for _, n := range s.home {
		cpu += n.Capacity.Cpu().MilliValue()
	}
	for _, p := range s.load {
		load += p.Spec.Containers[0].Resources.Requests.Cpu().MilliValue()
	}
	return poll(ctx, lookEvery, settleTimeout, func(ctx context.Context) (string, error) {
		for _, name := range append([]string{homeName}, rentedNames...) {
			c := &clusterv1alpha1.Cluster{}
			if err := e.karmada.Get(ctx, types.NamespacedName{Name: name}, c); err != nil {
				return "", err
			}
			sum, wantLoad := c.Status.ResourceSummary, load
			if name != homeName {
				wantLoad = 0
			}
			if sum == nil || sum.Allocated.Cpu().MilliValue() != wantLoad || sum.Allocating.Cpu().MilliValue() != 0 {
				return "Karmada does not know yet what runs in " + name, nil
			}
			if name == homeName && sum.Allocatable.Cpu().MilliValue() != cpu || sum.Allocatable.Cpu().IsZero() {
				return "Karmada does not know yet which nodes " + name + " has", nil
			}
		}
		return "", nil
	})
}

// A place has replicas that run, and those that wait there.
type place struct{ running, waiting int }

// places by member.
type places map[string]place

// String tells the numbers in the order in which the members are filled.
func (p places) String() string {
	var out []string
	for _, name := range append([]string{homeName}, rentedNames...) {
		s := fmt.Sprintf("%s %d", name, p[name].running)
		if n := p[name].waiting; n > 0 {
			s += fmt.Sprintf(" (+%d pending)", n)
		}
		out = append(out, s)
	}
	return strings.Join(out, ", ")
}

// place makes or scales the contender's workload, and returns where its replicas
// are once nothing moves any more.
func (c contender) place(ctx context.Context, e *environment, pod corev1.PodSpec, replicas int32) (places, error) {
	d := deployment(c.pool, workloadName, map[string]string{"regionpool.io/pool": c.pool}, replicas, pod)
	err := e.karmada.Create(ctx, d)
	if kerrors.IsAlreadyExists(err) {
		if err = e.karmada.Get(ctx, client.ObjectKeyFromObject(d), d); err == nil {
			was := d.DeepCopy()
			d.Spec.Replicas = ptr.To(replicas)
			err = e.karmada.Patch(ctx, d, client.MergeFrom(was))
		}
	}
	if err != nil {
		return nil, fmt.Errorf("cannot write the workload of %s: %w", c.name, err)
	}
	var is places
	last, since := "", time.Now()
	err = poll(ctx, lookEvery, settleTimeout, func(ctx context.Context) (string, error) {
		var err error
		if is, err = c.look(ctx, e); err != nil {
			return "", err
		}
		if now := is.String(); now != last {
			last, since = now, time.Now()
		}
		if time.Since(since) < quiet {
			return "replicas are moving", nil
		}
		return "", nil
	})
	if err != nil {
		return nil, fmt.Errorf("cannot see where %s places replicas: %w", c.name, err)
	}
	return is, nil
}

func (c contender) look(ctx context.Context, e *environment) (places, error) {
	out := places{}
	for _, name := range append([]string{homeName}, rentedNames...) {
		l, err := e.Plane(name).Client().CoreV1().Pods(c.pool).List(ctx, metav1.ListOptions{})
		if err != nil {
			return nil, err
		}
		p := place{}
		for i := range l.Items {
			switch {
			case l.Items[i].DeletionTimestamp != nil:
			case l.Items[i].Spec.NodeName != "":
				p.running++
			default:
				p.waiting++
			}
		}
		out[name] = p
	}
	return out, nil
}

// clear deletes the contender's workload and waits until it is gone everywhere.
func (c contender) clear(ctx context.Context, e *environment) error {
	d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: c.pool, Name: workloadName}}
	if err := e.karmada.Delete(ctx, d); err != nil {
		return fmt.Errorf("cannot delete the workload of %s: %w", c.name, err)
	}
	return poll(ctx, lookEvery, settleTimeout, func(ctx context.Context) (string, error) {
		if err := e.karmada.Get(ctx, client.ObjectKeyFromObject(d), &appsv1.Deployment{}); !kerrors.IsNotFound(err) {
			return "the workload is still in Karmada", err
		}
		for _, name := range append([]string{homeName}, rentedNames...) {
			if s, err := left(ctx, e.Plane(name).Client(), c.pool); s != "" || err != nil {
				return s, err
			}
		}
		return "", nil
	})
}
