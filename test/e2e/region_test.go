package e2e

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	kerrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	xpv2 "github.com/crossplane/crossplane/apis/v2/core/v2"

	federationv1alpha1 "regionpool.io/provider-regionpool/apis/federation/v1alpha1"
	fleetv1alpha1 "regionpool.io/provider-regionpool/apis/fleet/v1alpha1"
	platformv1alpha1 "regionpool.io/provider-regionpool/apis/platform/v1alpha1"
	"regionpool.io/provider-regionpool/cluster/local/stack"
	"regionpool.io/provider-regionpool/test/observer"
)

const (
	// instanceType has four CPU, of which pods of one CPU can use three.
	instanceType = "ecs.g7.xlarge"
	region       = "cn-shanghai"

	// How long steps may take. They are bounds of a slow machine.
	soon      = 30 * time.Second
	joinTime  = 60 * time.Second
	burstTime = 90 * time.Second
	awayTime  = 120 * time.Second
)

// A pool is a claim with its workloads: what one test works with.
type pool struct {
	*testing.T
	name  string
	begin time.Time
	claim *platformv1alpha1.RegionPool

	// mayLose allows what the test itself brings about.
	mayLose bool
}

// newPool returns a pool whose claim has not been applied. When the test ends,
// all of it is removed and the invariants are checked.
func newPool(t *testing.T, name string, change ...func(*platformv1alpha1.RegionPool)) *pool {
	t.Helper()
	if env == nil {
		t.Skip("needs the real stack")
	}
	p := &pool{T: t, name: name, begin: time.Now(), claim: newClaim(name)}
	for _, c := range change {
		c(p.claim)
	}
	if err := env.cloud.ClearFault(t.Context(), ""); err != nil {
		t.Fatalf("cannot clear faults: %v", err)
	}
	env.observer.Reset()
	t.Cleanup(func() {
		// The test's own context has ended.
		ctx, cancel := context.WithTimeout(context.Background(), 2*awayTime)
		defer cancel()
		p.checkRunning(ctx)
		p.remove(ctx)
		p.checkInvariants(ctx)
	})
	return p
}

// newClaim returns a claim on the shared members that can rent a few small nodes.
func newClaim(name string) *platformv1alpha1.RegionPool {
	c := &platformv1alpha1.RegionPool{
		TypeMeta:   metav1.TypeMeta{APIVersion: platformv1alpha1.SchemeGroupVersion.String(), Kind: "RegionPool"},
		ObjectMeta: metav1.ObjectMeta{Namespace: stack.PlatformNamespace, Name: name},
		Spec: platformv1alpha1.RegionPoolSpec{
			Federation: platformv1alpha1.Federation{ProviderConfigRef: clusterProviderConfig(stack.KarmadaConfig)},
			Elastic: []platformv1alpha1.ElasticCluster{{
				Name:              "ack-" + name,
				ProviderConfigRef: clusterProviderConfig(stack.CloudConfig),
				ACK:               &platformv1alpha1.ACKCluster{Region: region, VPCID: "vpc-1", VSwitchIDs: []string{"vsw-1"}},
				NodePools:         []platformv1alpha1.ElasticNodePool{{Name: "general", InstanceTypes: []string{instanceType}, Max: 6}},
			}},
			Workloads: platformv1alpha1.WorkloadSelector{MatchLabels: map[string]string{fleetv1alpha1.LabelPool: name}},
			ScaleDown: fleetv1alpha1.ScaleDown{
				StabilizationWindow: metav1.Duration{Duration: 2 * time.Second},
				NodeIdle:            metav1.Duration{Duration: 2 * time.Second},
				ClusterIdle:         metav1.Duration{Duration: 3 * time.Second},
				// The default, which a field of Go that is zero would not mean.
				HeadroomPercent: 5,
			},
		},
	}
	for _, m := range memberNames {
		c.Spec.SelfBuilt = append(c.Spec.SelfBuilt, selfBuilt(m, m))
	}
	return c
}

func clusterProviderConfig(name string) platformv1alpha1.ProviderConfigReference {
	return platformv1alpha1.ProviderConfigReference{Kind: "ClusterProviderConfig", Name: name}
}

func selfBuilt(name, secret string) platformv1alpha1.SelfBuiltCluster {
	return platformv1alpha1.SelfBuiltCluster{Name: name, KubeconfigSecretRef: federationv1alpha1.SecretKeyReference{Name: secret, Key: "kubeconfig"}}
}

// elastic is the name of the pool's cloud cluster.
func (p *pool) elastic() string { return "ack-" + p.name }

// workloads is the namespace of the pool's workloads.
func (p *pool) workloads() string { return "e2e-" + p.name }

// key of the claim.
func (p *pool) key() types.NamespacedName {
	return types.NamespacedName{Namespace: p.claim.Namespace, Name: p.claim.Name}
}

// apply creates the claim.
func (p *pool) apply() {
	p.Helper()
	if err := env.host.Create(p.Context(), p.claim.DeepCopy()); err != nil {
		p.Fatalf("cannot create claim: %v", err)
	}
}

// applyReady creates the claim and waits until it is Ready.
func (p *pool) applyReady() {
	p.Helper()
	p.apply()
	p.eventually(joinTime, "the claim to be Ready", p.claimReady)
}

func (p *pool) claimReady(ctx context.Context) error {
	c, err := p.read(ctx)
	if err != nil {
		return err
	}
	for _, t := range []xpv2.ConditionType{xpv2.TypeSynced, xpv2.TypeReady} {
		if got := c.Status.GetCondition(t); got.Status != corev1.ConditionTrue {
			return fmt.Errorf("%s is %s: %s %s", t, got.Status, got.Reason, got.Message)
		}
	}
	return nil
}

// read returns the claim as it is.
func (p *pool) read(ctx context.Context) (*platformv1alpha1.RegionPool, error) {
	c := &platformv1alpha1.RegionPool{}
	return c, env.host.Get(ctx, p.key(), c)
}

// edit changes the claim's spec.
func (p *pool) edit(change func(*platformv1alpha1.RegionPool)) {
	p.Helper()
	p.eventually(soon, "the claim to be edited", func(ctx context.Context) error {
		c, err := p.read(ctx)
		if err != nil {
			return err
		}
		before := c.DeepCopy()
		change(c)
		// The type does not have what core keeps in spec.crossplane: an update would
		// make it forget what it has composed.
		return env.host.Patch(ctx, c, client.MergeFrom(before))
	})
}

// deploy creates a workload of pods that ask for one CPU, with a disruption
// budget.
func (p *pool) deploy(name string, replicas int) {
	p.Helper()
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: p.workloads()}}
	if err := env.karmada.Create(p.Context(), ns); err != nil && !kerrors.IsAlreadyExists(err) {
		p.Fatalf("cannot create namespace: %v", err)
	}
	app := map[string]string{"app": name}
	meta := metav1.ObjectMeta{Namespace: p.workloads(), Name: name, Labels: p.claim.Spec.Workloads.MatchLabels}
	for _, o := range []client.Object{
		&policyv1.PodDisruptionBudget{ObjectMeta: meta, Spec: policyv1.PodDisruptionBudgetSpec{
			Selector: &metav1.LabelSelector{MatchLabels: app}, MaxUnavailable: ptr.To(intstr.FromString("25%")),
		}},
		&appsv1.Deployment{ObjectMeta: meta, Spec: appsv1.DeploymentSpec{
			Replicas: ptr.To(int32(replicas)),
			Selector: &metav1.LabelSelector{MatchLabels: app},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: app},
				Spec: corev1.PodSpec{Containers: []corev1.Container{{
					Name: name, Image: "example.org/" + name + ":1",
					Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{
						corev1.ResourceCPU: resource.MustParse("1"), corev1.ResourceMemory: resource.MustParse("512Mi"),
					}},
				}}},
			},
		}},
	} {
		if err := env.karmada.Create(p.Context(), o); err != nil {
			p.Fatalf("cannot create %T %s: %v", o, name, err)
		}
	}
}

// scale sets the demand of a workload.
func (p *pool) scale(name string, replicas int) {
	p.Helper()
	d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: p.workloads(), Name: name}}
	patch := fmt.Appendf(nil, `{"spec":{"replicas":%d}}`, replicas)
	if err := env.karmada.Patch(p.Context(), d, client.RawPatch(types.MergePatchType, patch)); err != nil {
		p.Fatalf("cannot scale %s: %v", name, err)
	}
}

// seen is what the observer says of a workload of the pool.
func (p *pool) seen(name string) observer.Workload {
	for _, w := range env.observer.State().Workloads {
		if w.Namespace == p.workloads() && w.Name == name {
			return w
		}
	}
	return observer.Workload{Namespace: p.workloads(), Name: name}
}

// stillPending lets a workload want more than runs.
const stillPending = true

// runs waits until a workload has so many Ready replicas at home and in the
// cloud, and no more.
func (p *pool) runs(within time.Duration, name string, own, cloud int, pending ...bool) {
	p.Helper()
	p.eventually(within, fmt.Sprintf("%s to run %d at home and %d in the cloud", name, own, cloud), func(context.Context) error {
		w := p.seen(name)
		enough := w.Desired == own+cloud || len(pending) > 0 && w.Desired > own+cloud
		if !enough || w.Own != own || w.Cloud != cloud {
			return fmt.Errorf("%d are wanted, %d run at home and %d in the cloud: %v", w.Desired, w.Own, w.Cloud, w.Pods)
		}
		return nil
	})
}

// away waits until nothing is rented.
func (p *pool) away(within time.Duration) {
	p.Helper()
	p.eventually(within, "everything rented to be given back", func(ctx context.Context) error {
		l, err := env.cloud.Ledger(ctx)
		if err != nil {
			return err
		}
		if len(l.Live) > 0 {
			return fmt.Errorf("still there: %s", objects(l.Live))
		}
		return nil
	})
}

// delete the claim.
func (p *pool) delete(ctx context.Context) error {
	return client.IgnoreNotFound(env.host.Delete(ctx, p.claim.DeepCopy()))
}

// gone waits until the claim and everything it was made of is gone.
func (p *pool) gone(ctx context.Context, within time.Duration) error {
	return poll(ctx, within, func(ctx context.Context) error {
		left, err := p.managed(ctx)
		if err != nil {
			return err
		}
		if len(left) > 0 {
			return fmt.Errorf("still there: %s", strings.Join(left, ", "))
		}
		if _, err := p.read(ctx); !kerrors.IsNotFound(err) {
			return errors.Join(errors.New("the claim is still there"), err)
		}
		return nil
	})
}

// remove the claim, and the workloads wherever they run: a self-built cluster
// keeps its replicas when it leaves.
func (p *pool) remove(ctx context.Context) {
	p.Helper()
	if p.Failed() {
		// Its demand may not fit at home, and would hold the cloud for ever. The
		// next test must not pay for this one.
		p.mayLose = true
		ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: p.workloads()}}
		if err := client.IgnoreNotFound(env.karmada.Delete(ctx, ns)); err != nil {
			p.Errorf("cannot delete namespace: %v", err)
		}
	}
	if err := p.delete(ctx); err != nil {
		p.Errorf("cannot delete the claim: %v", err)
	}
	if err := p.gone(ctx, awayTime); err != nil {
		p.Errorf("the claim does not go: %v", err)
		p.explain(ctx)
	}
	if p.seen("web").Desired > 0 && p.seen("web").Own < p.seen("web").Desired && !p.mayLose && !p.Failed() {
		p.Errorf("the self-built clusters run %d of %d replicas after the claim is gone", p.seen("web").Own, p.seen("web").Desired)
	}
	// Invariants are about the claim's life, not about this clean-up.
	p.settleViolations(ctx)
	clusters := []client.Client{env.karmada}
	for _, m := range memberNames {
		clusters = append(clusters, env.members[m])
	}
	for _, c := range clusters {
		ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: p.workloads()}}
		if err := client.IgnoreNotFound(c.Delete(ctx, ns)); err != nil {
			p.Errorf("cannot delete namespace: %v", err)
		}
	}
	for _, c := range clusters {
		if err := poll(ctx, soon, func(ctx context.Context) error {
			err := c.Get(ctx, types.NamespacedName{Name: p.workloads()}, &corev1.Namespace{})
			if kerrors.IsNotFound(err) {
				return nil
			}
			return errors.Join(errors.New("the namespace is still there"), err)
		}); err != nil {
			p.Errorf("the workloads do not go: %v", err)
		}
	}
}

// inCloud is a client of the pool's cloud cluster, with the kubeconfig that its
// managed resource publishes.
func (p *pool) inCloud(ctx context.Context) client.Client {
	p.Helper()
	s := &corev1.Secret{}
	name := types.NamespacedName{Namespace: p.claim.Namespace, Name: p.name + "-" + p.elastic() + "-kubeconfig"}
	if err := env.host.Get(ctx, name, s); err != nil {
		p.Fatalf("cannot read the kubeconfig of the cloud cluster: %v", err)
	}
	cfg, err := clientcmd.RESTConfigFromKubeConfig(s.Data["kubeconfig"])
	if err != nil {
		p.Fatalf("cannot parse the kubeconfig of the cloud cluster: %v", err)
	}
	c, err := client.New(unthrottled(cfg), client.Options{})
	if err != nil {
		p.Fatalf("cannot make client of the cloud cluster: %v", err)
	}
	return c
}
