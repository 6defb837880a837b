package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	kerrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	xpv2 "github.com/crossplane/crossplane/apis/v2/core/v2"

	federationv1alpha1 "regionpool.io/provider-regionpool/apis/federation/v1alpha1"
	platformv1alpha1 "regionpool.io/provider-regionpool/apis/platform/v1alpha1"
	"regionpool.io/provider-regionpool/cluster/local/manifests"
	"regionpool.io/provider-regionpool/cluster/local/stack"
	"regionpool.io/provider-regionpool/test/cloudsim/requestlog"
	"regionpool.io/provider-regionpool/test/cloudsim/simclient"
	"regionpool.io/provider-regionpool/test/cloudsim/stock"
)

const (
	// The goals, in real seconds. The second has the cloud's own time in it: 70 s
	// for a pod whose image is not there yet, on a clock that is sixty times as
	// fast.
	maxNextCloudSeconds    = 5.0
	maxFirstReplicaSeconds = 10.0 + 70.0/clockFactor

	// stockOuts and bursts that are measured. A claim has at most twenty node
	// pools in a cluster, and the last of them is for the surge.
	stockOuts = 19
	bursts    = 20

	// surgeReplicas ask for half a CPU each.
	surgeReplicas = 1000

	otherName   = "other"
	bigPool     = "big"
	soldOutType = "ecs.c7.large"
	cloudRegion = "cn-shanghai"

	surgeTimeout = 5 * time.Minute
)

// emergency measures what counts in one, on the whole stack and both simulated
// clouds: how soon another cloud is called when one is sold out, how soon the
// first replica runs after an emergency claim, and how many calls a surge of a
// thousand replicas costs.
func emergency(ctx context.Context, r *run) (outcome, error) {
	tiny, err := stack.NewMember(homeName, 1, "1", "2Gi", "110")
	if err != nil {
		return outcome{}, err
	}
	e, err := startStack(ctx, r, "burst", stack.Options{
		Members: []stack.Member{tiny},
		Parts: map[stack.Part]stack.PartOptions{
			// The stock is not asked for: here an order is to find that it is gone.
			stack.Provider: {Args: []string{"--poll-in-progress=200ms", "--list-lag=500ms", "--stock-interval=1h"}},
		},
	})
	if err != nil {
		return outcome{}, err
	}
	out, err := emergencies(ctx, r, e)
	return out, errors.Join(err, e.close())
}

func emergencies(ctx context.Context, r *run, e *environment) (outcome, error) {
	sim := simclient.New(e.Cloud().AdminEndpoint)
	if err := ensureNamespace(ctx, e.karmada, workspace); err != nil {
		return outcome{}, err
	}
	done := r.log.Step("a cluster in each cloud is warm")
	if err := claimBoth(ctx, e); err != nil {
		return outcome{}, fmt.Errorf("cannot make the elastic clusters: %w", err)
	}
	done()

	done = r.log.Step("%d stock-outs", stockOuts)
	var next []float64
	for i := range stockOuts {
		s, err := stockOut(ctx, e, sim, i)
		if err != nil {
			return outcome{}, fmt.Errorf("stock-out %d: %w", i, err)
		}
		if s > 0 {
			next = append(next, s)
		}
	}
	done()

	done = r.log.Step("a surge of %d replicas", surgeReplicas)
	calls, ready, err := bigSurge(ctx, e, sim)
	if err != nil {
		return outcome{}, err
	}
	done()

	done = r.log.Step("%d emergency claims", bursts)
	if err := overflow(ctx, e, "Reserved"); err != nil {
		return outcome{}, err
	}
	var first []float64
	for i := range bursts {
		s, err := burstOnce(ctx, e, i)
		if err != nil {
			return outcome{}, fmt.Errorf("emergency claim %d: %w", i, err)
		}
		first = append(first, s)
	}
	done()

	slices.Sort(next)
	slices.Sort(first)
	p99next, p99first := quantile(next, 0.99), quantile(first, 0.99)
	return outcome{
		met: len(next) > stockOuts/2 && p99next <= maxNextCloudSeconds && p99first <= maxFirstReplicaSeconds,
		cases: []Case{
			ours("order that finds no stock to the next cloud's call, p50", quantile(next, 0.5)),
			ours("order that finds no stock to the next cloud's call, p99", p99next),
			ours("stock-outs (count)", float64(len(next))),
			ours("emergency claim to first replica, p50", quantile(first, 0.5)),
			ours("emergency claim to first replica, p99", p99first),
			ours("emergency claims (count)", float64(len(first))),
			ours(fmt.Sprintf("surge of %d replicas until all are Ready", surgeReplicas), ready),
			ours(fmt.Sprintf("cloud API calls for a surge of %d replicas (count)", surgeReplicas), float64(calls)),
		},
	}, nil
}

// claimBoth claims a region with a warm cluster in each cloud, and waits for
// them.
func claimBoth(ctx context.Context, e *environment) error {
	nodePools := func(small, big string) []any {
		var out []any
		for i := range stockOuts {
			out = append(out, map[string]any{
				"name": poolName(i), "instanceTypes": []any{small}, "max": int64(4),
				"labels": map[string]any{nodePoolLabel: poolName(i)},
			})
		}
		return append(out, map[string]any{"name": bigPool, "instanceTypes": []any{big}, "max": int64(60)})
	}
	c := object("platform.regionpool.io/v1alpha1", "RegionPool", stack.PlatformNamespace, claimName)
	c.Object["spec"] = map[string]any{
		"federation": map[string]any{"providerConfigRef": map[string]any{"name": stack.KarmadaConfig}},
		"selfBuilt":  []any{map[string]any{"name": homeName, "kubeconfigSecretRef": map[string]any{"name": homeName}}},
		"elastic": []any{
			map[string]any{
				"name": cloudName, "warm": true,
				"providerConfigRef": map[string]any{"name": stack.CloudConfig},
				"ack":               map[string]any{"region": cloudRegion, "vpcId": "vpc-1", "vSwitchIds": []any{"vsw-1"}},
				"nodePools":         nodePools(soldOutType, "ecs.c7.8xlarge"),
				"virtualNodes":      map[string]any{"maxPods": int64(100)},
			},
			map[string]any{
				"name": otherName, "warm": true,
				"providerConfigRef": map[string]any{"name": stack.TencentConfig},
				"tke":               map[string]any{"region": "ap-guangzhou", "vpcId": "vpc-gz1", "subnetIds": []any{"subnet-gz1"}, "level": "L200"},
				"nodePools":         nodePools("S5.MEDIUM8", "S5.8XLARGE128"),
			},
		},
		"workloads": map[string]any{"matchLabels": map[string]any{"regionpool.io/pool": claimName}},
		"scaleDown": map[string]any{"nodeIdle": "5s", "stabilizationWindow": "5s"},
	}
	if err := manifests.Apply(ctx, e.host, c); err != nil {
		return err
	}
	return poll(ctx, 200*time.Millisecond, warmTimeout, func(ctx context.Context) (string, error) {
		for _, name := range []string{cloudName, otherName} {
			m := &federationv1alpha1.Member{}
			if err := e.host.Get(ctx, types.NamespacedName{Namespace: stack.PlatformNamespace, Name: claimName + "-" + name}, m); err != nil {
				return "", err
			}
			if why := unready("Member "+name, m.GetCondition(xpv2.TypeReady)); why != "" {
				return why, nil
			}
		}
		c := &platformv1alpha1.RegionPool{}
		if err := e.host.Get(ctx, types.NamespacedName{Namespace: stack.PlatformNamespace, Name: claimName}, c); err != nil {
			return "", err
		}
		return unready("claim", c.Status.GetCondition(xpv2.TypeReady)), nil
	})
}

// stockOut lets the cheaper cloud be sold out while a node of it is ordered, and
// returns the seconds from that order until the other cloud is asked for one. It
// is 0 if the first cloud was not asked, because it was known to be sold out.
func stockOut(ctx context.Context, e *environment, sim *simclient.Client, i int) (float64, error) {
	shelf := stock.Item{Key: stock.Key{Region: cloudRegion, Type: soldOutType}}
	if err := sim.SetStock(ctx, shelf); err != nil {
		return 0, err
	}
	begin := time.Now()
	d := deployment(workspace, fmt.Sprintf("soldout-%d", i), poolLabels, 1, corev1.PodSpec{
		NodeSelector: map[string]string{nodePoolLabel: poolName(i)},
		Containers:   []corev1.Container{container(cpu("1100m"))},
	})
	if err := e.karmada.Create(ctx, d); err != nil {
		return 0, fmt.Errorf("cannot create %s: %w", d.Name, err)
	}
	var refused, answered time.Time
	err := poll(ctx, 10*time.Millisecond, stepTimeout, func(ctx context.Context) (string, error) {
		calls, err := sim.Requests(ctx, requestlog.Filter{Since: begin, Mutating: true})
		if err != nil {
			return "", err
		}
		for _, c := range calls {
			switch {
			case !sizes(c) || *c.Desired == 0:
			case c.AccessKeyID == e.Cloud().AccessKeyID && refused.IsZero():
				refused = c.Time
			case c.AccessKeyID == e.Cloud().SecretID && answered.IsZero():
				answered = c.Time
			}
		}
		if answered.IsZero() {
			return "the other cloud to be called", nil
		}
		return "", nil
	})
	if err != nil {
		return 0, err
	}
	shelf.Count = 1000
	err = errors.Join(sim.SetStock(ctx, shelf), client.IgnoreNotFound(e.karmada.Delete(ctx, d)))
	if refused.IsZero() || err != nil {
		return 0, err
	}
	return answered.Sub(refused).Seconds(), nil
}

// bigSurge returns the calls to both clouds for a surge, and the seconds until
// all replicas are Ready.
func bigSurge(ctx context.Context, e *environment, sim *simclient.Client) (calls int, ready float64, err error) {
	begin := time.Now()
	d := deployment(workspace, "surge", poolLabels, surgeReplicas, corev1.PodSpec{Containers: []corev1.Container{container(cpu("500m"))}})
	if err := e.karmada.Create(ctx, d); err != nil {
		return 0, 0, fmt.Errorf("cannot create %s: %w", d.Name, err)
	}
	if err := poll(ctx, 200*time.Millisecond, surgeTimeout, func(ctx context.Context) (string, error) {
		now := &appsv1.Deployment{}
		if err := e.karmada.Get(ctx, client.ObjectKeyFromObject(d), now); err != nil {
			return "", err
		}
		if n := now.Status.ReadyReplicas; n < surgeReplicas {
			return fmt.Sprintf("%d of %d replicas are Ready", n, surgeReplicas), nil
		}
		return "", nil
	}); err != nil {
		return 0, 0, err
	}
	ready = time.Since(begin).Seconds()
	all, err := sim.Requests(ctx, requestlog.Filter{Since: begin})
	if err != nil {
		return 0, 0, err
	}
	return len(all), ready, client.IgnoreNotFound(e.karmada.Delete(ctx, d))
}

// overflow sets which workloads may leave home.
func overflow(ctx context.Context, e *environment, mode string) error {
	c := object("platform.regionpool.io/v1alpha1", "RegionPool", stack.PlatformNamespace, claimName)
	patch := fmt.Appendf(nil, `{"spec":{"overflow":%q}}`, mode)
	if err := e.host.Patch(ctx, c, client.RawPatch(types.MergePatchType, patch)); err != nil {
		return fmt.Errorf("cannot change the claim: %w", err)
	}
	// Until fleet has it, workloads would leave without an emergency claim.
	return sleep(ctx, 3*time.Second)
}

// burstOnce has a replica wait at home, applies an emergency claim for it, and
// returns the seconds until it is Ready in the cloud.
func burstOnce(ctx context.Context, e *environment, i int) (float64, error) {
	name := fmt.Sprintf("burst-%d", i)
	d := deployment(workspace, name, poolLabels, 1, corev1.PodSpec{Containers: []corev1.Container{container(cpu("1100m"))}})
	if err := e.karmada.Create(ctx, d); err != nil {
		return 0, fmt.Errorf("cannot create %s: %w", name, err)
	}
	if err := sleep(ctx, time.Second); err != nil {
		return 0, err
	}
	member, err := e.rented(ctx)
	if err != nil {
		return 0, err
	}
	b := object("platform.regionpool.io/v1alpha1", "Burst", stack.PlatformNamespace, name)
	b.Object["spec"] = map[string]any{
		"poolRef": map[string]any{"name": claimName},
		"amount":  map[string]any{"replicas": int64(1)},
		"targets": []any{map[string]any{"namespace": workspace, "kind": "Deployment", "name": name}},
		"for":     "1h",
	}
	begin := time.Now()
	if err := manifests.Apply(ctx, e.host, b); err != nil {
		return 0, err
	}
	if err := poll(ctx, 20*time.Millisecond, stepTimeout, func(ctx context.Context) (string, error) {
		l := &corev1.PodList{}
		if err := member.List(ctx, l, client.InNamespace(workspace), client.MatchingLabels{"app": name}); err != nil {
			return "", err
		}
		for _, p := range l.Items {
			if slices.ContainsFunc(p.Status.Conditions, func(c corev1.PodCondition) bool {
				return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
			}) {
				return "", nil
			}
		}
		return fmt.Sprintf("%d pods in the cloud, none Ready", len(l.Items)), nil
	}); err != nil {
		return 0, err
	}
	took := time.Since(begin).Seconds()
	if err := errors.Join(client.IgnoreNotFound(e.karmada.Delete(ctx, d)), client.IgnoreNotFound(e.host.Delete(ctx, b))); err != nil {
		return 0, fmt.Errorf("cannot remove %s: %w", name, err)
	}
	return took, poll(ctx, 100*time.Millisecond, stepTimeout, func(ctx context.Context) (string, error) {
		err := e.host.Get(ctx, client.ObjectKeyFromObject(b), b)
		if kerrors.IsNotFound(err) {
			return "", nil
		}
		return "the emergency claim to go", err
	})
}

// rented is a client of the cluster in the first cloud.
func (e *environment) rented(ctx context.Context) (client.Client, error) {
	s := &corev1.Secret{}
	if err := e.host.Get(ctx, types.NamespacedName{Namespace: stack.PlatformNamespace, Name: claimName + "-" + cloudName + "-kubeconfig"}, s); err != nil {
		return nil, fmt.Errorf("cannot read the kubeconfig of the cloud cluster: %w", err)
	}
	cfg, err := clientcmd.RESTConfigFromKubeConfig(s.Data["kubeconfig"])
	if err != nil {
		return nil, fmt.Errorf("cannot parse the kubeconfig of the cloud cluster: %w", err)
	}
	cfg.QPS = -1
	return client.New(cfg, client.Options{})
}

func cpu(q string) corev1.ResourceList {
	return corev1.ResourceList{corev1.ResourceCPU: resource.MustParse(q), corev1.ResourceMemory: resource.MustParse("256Mi")}
}
