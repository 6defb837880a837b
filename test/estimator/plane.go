// Package estimator proves that an unmodified karmada-scheduler, with nothing
// but its own flags, finds fleet's estimates and does what they say: real etcd,
// real Karmada, real members with kwok nodes.
package estimator

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	clusterv1alpha1 "github.com/karmada-io/karmada/pkg/apis/cluster/v1alpha1"
	policyv1alpha1 "github.com/karmada-io/karmada/pkg/apis/policy/v1alpha1"
	workv1alpha2 "github.com/karmada-io/karmada/pkg/apis/work/v1alpha2"

	fleetv1alpha1 "regionpool.io/provider-regionpool/apis/fleet/v1alpha1"
	"regionpool.io/provider-regionpool/cluster/local/binaries"
	"regionpool.io/provider-regionpool/cluster/local/kube"
	"regionpool.io/provider-regionpool/cluster/local/ports"
	"regionpool.io/provider-regionpool/cluster/local/process"
	"regionpool.io/provider-regionpool/cluster/local/progress"
	"regionpool.io/provider-regionpool/cluster/local/stack"
)

const (
	// estimated is the karmada-scheduler of the stack, which asks fleet, and
	// blind one that does not.
	estimated = "default-scheduler"
	blind     = "blind"

	// schedulerProcess is the name of the stack's karmada-scheduler.
	schedulerProcess = "karmada-scheduler"

	pool            = "platform-shanghai"
	memberNamespace = "karmada-cluster"
	account         = "karmada"
	gpu             = corev1.ResourceName("nvidia.com/gpu")
)

// A Plane is a workload plane with two members, a karmada-scheduler that asks
// fleet, and one that does not.
type Plane struct {
	client client.Client
	stack  *stack.Stack
	procs  *process.Group
	ports  []int
}

// members have two nodes each, with room for an odd number of GPUs.
func members() []stack.Member {
	capacity := corev1.ResourceList{
		corev1.ResourceCPU: resource.MustParse("8"), corev1.ResourceMemory: resource.MustParse("32Gi"), corev1.ResourcePods: resource.MustParse("110"),
		gpu: resource.MustParse("3"),
	}
	return []stack.Member{{Name: "idc-a", Nodes: 2, Node: kube.Node{Capacity: capacity}}, {Name: "idc-b", Nodes: 2, Node: kube.Node{Capacity: capacity}}}
}

// Start starts a plane that keeps its files in a folder.
func Start(ctx context.Context, dir string, log *progress.Log) (*Plane, error) {
	p := &Plane{}
	if err := p.start(ctx, dir, log); err != nil {
		return nil, errors.Join(err, p.Close())
	}
	return p, nil
}

func (p *Plane) start(ctx context.Context, dir string, log *progress.Log) error {
	var err error
	if p.ports, err = ports.ReserveN(2); err != nil {
		return fmt.Errorf("cannot reserve ports: %w", err)
	}
	p.stack, err = stack.Start(ctx, stack.Options{
		Dir: filepath.Join(dir, "stack"), Members: members(), WithoutHost: true, WithoutCloud: true,
		Parts:       map[stack.Part]stack.PartOptions{stack.Fleet: {Args: []string{"--debug"}}},
		KarmadaArgs: map[string][]string{schedulerProcess: {"--v=4"}},
	}, log)
	if err != nil {
		return err
	}
	scheme := runtime.NewScheme()
	b := runtime.NewSchemeBuilder(clientgoscheme.AddToScheme, clusterv1alpha1.Install, policyv1alpha1.Install, workv1alpha2.Install, fleetv1alpha1.AddToScheme)
	if err := b.AddToScheme(scheme); err != nil {
		return fmt.Errorf("cannot build the scheme: %w", err)
	}
	if p.client, err = client.New(p.stack.RESTConfig(stack.Karmada), client.Options{Scheme: scheme}); err != nil {
		return fmt.Errorf("cannot make a client of Karmada: %w", err)
	}
	plan := &fleetv1alpha1.CapacityPlan{ObjectMeta: metav1.ObjectMeta{Name: pool}}
	for i, m := range members() {
		if err := Join(ctx, p.client, p.stack.Plane(m.Name), pool); err != nil {
			return err
		}
		plan.Spec.Members = append(plan.Spec.Members, fleetv1alpha1.PlanMember{Name: m.Name, Tier: int32(i)})
	}
	if err := p.client.Create(ctx, plan); err != nil {
		return fmt.Errorf("cannot create the plan: %w", err)
	}
	return p.startBlind(ctx, dir)
}

// startBlind starts a karmada-scheduler that does not ask for estimates.
func (p *Plane) startBlind(ctx context.Context, dir string) error {
	set, err := binaries.Open(filepath.Join(dir, "stack", "binaries"))
	if err != nil {
		return err
	}
	if p.procs, err = process.NewGroup(filepath.Join(dir, "logs")); err != nil {
		return fmt.Errorf("cannot make process group: %w", err)
	}
	_, err = p.procs.Start(ctx, process.Spec{
		Name: schedulerProcess + "-" + blind, Path: set.Path(binaries.KarmadaScheduler),
		Args: []string{
			"--kubeconfig=" + p.stack.Plane(stack.Karmada).KubeconfigPath(),
			"--metrics-bind-address=" + loopback(p.ports[0]),
			"--health-probe-bind-address=" + loopback(p.ports[1]),
			"--feature-gates=CustomizedClusterResourceModeling=false",
			"--leader-elect=false",
			"--scheduler-name=" + blind,
		},
		Port: p.ports[0], Health: "http://" + loopback(p.ports[1]) + "/healthz", Grace: process.NoGrace,
	})
	if err != nil {
		return fmt.Errorf("cannot start karmada-scheduler: %w", err)
	}
	return nil
}

// Close stops everything that Start started.
func (p *Plane) Close() error {
	if p.procs != nil {
		p.procs.Stop()
	}
	var err error
	if p.stack != nil {
		err = p.stack.Close()
	}
	ports.Release(p.ports...)
	return err
}

func loopback(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

// Join makes a control plane a cluster of Karmada, and of a pool.
func Join(ctx context.Context, karmada client.Client, cp *kube.ControlPlane, pool string) error {
	c, name := cp.Client(), cp.Name()
	if _, err := c.CoreV1().ServiceAccounts(metav1.NamespaceSystem).Create(ctx, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: account}}, metav1.CreateOptions{}); err != nil {
		return fmt.Errorf("cannot create an account in %s: %w", name, err)
	}
	if _, err := c.RbacV1().ClusterRoleBindings().Create(ctx, &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: account},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "cluster-admin"},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: metav1.NamespaceSystem, Name: account}},
	}, metav1.CreateOptions{}); err != nil {
		return fmt.Errorf("cannot grant an account its rights in %s: %w", name, err)
	}
	t, err := c.CoreV1().ServiceAccounts(metav1.NamespaceSystem).CreateToken(ctx, account, &authenticationv1.TokenRequest{
		Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: ptr.To(int64(7200))},
	}, metav1.CreateOptions{})
	if err != nil {
		return fmt.Errorf("cannot get a token of %s: %w", name, err)
	}
	secret := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: memberNamespace, Name: name},
		Data:       map[string][]byte{clusterv1alpha1.SecretTokenKey: []byte(t.Status.Token), clusterv1alpha1.SecretCADataKey: cp.CA().CertPEM()},
	}
	ref := &clusterv1alpha1.LocalSecretReference{Namespace: memberNamespace, Name: name}
	cluster := &clusterv1alpha1.Cluster{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{fleetv1alpha1.LabelPool: pool}},
		Spec:       clusterv1alpha1.ClusterSpec{SyncMode: clusterv1alpha1.Push, APIEndpoint: cp.Endpoint(), SecretRef: ref, ImpersonatorSecretRef: ref},
	}
	for _, o := range []client.Object{secret, cluster} {
		if err := karmada.Create(ctx, o); err != nil {
			return fmt.Errorf("cannot create %T %s: %w", o, name, err)
		}
	}
	return nil
}

// connected waits until karmada-scheduler says that it has found the estimators of
// all members.
func (p *Plane) connected(ctx context.Context) error {
	for _, m := range members() {
		said := fmt.Sprintf("of cluster(%s) has been established", m.Name)
		err := wait(ctx, time.Minute, "karmada-scheduler is connected for "+m.Name, func(context.Context) (bool, error) {
			b, err := os.ReadFile(p.stack.Process(schedulerProcess).LogPath())
			return strings.Contains(string(b), said), err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// clusters returns what a scheduler gave to a Deployment; nil before it did.
func (p *Plane) clusters(ctx context.Context, namespace, name string) (map[string]int32, error) {
	rb := &workv1alpha2.ResourceBinding{}
	if err := p.client.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name + "-deployment"}, rb); err != nil {
		if apierrors.IsNotFound(err) {
			return nil, nil
		}
		return nil, fmt.Errorf("cannot read the binding of %s: %w", name, err)
	}
	var out map[string]int32
	for _, c := range rb.Spec.Clusters {
		if out == nil {
			out = map[string]int32{}
		}
		out[c.Name] += c.Replicas
	}
	return out, nil
}

// wait calls f until it says true or fails.
func wait(ctx context.Context, within time.Duration, what string, f func(context.Context) (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	for {
		ok, err := f(ctx)
		if ok && err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("waited in vain until %s: %w", what, ctx.Err()), err)
		case <-time.After(100 * time.Millisecond):
		}
	}
}
