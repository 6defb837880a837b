package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	xpv2 "github.com/crossplane/crossplane/apis/v2/core/v2"

	ackv1alpha1 "regionpool.io/provider-regionpool/apis/ack/v1alpha1"
	federationv1alpha1 "regionpool.io/provider-regionpool/apis/federation/v1alpha1"
	"regionpool.io/provider-regionpool/cluster/local/manifests"
	"regionpool.io/provider-regionpool/cluster/local/stack"
	"regionpool.io/provider-regionpool/test/cloudsim/requestlog"
)

const (
	// The goal.
	minDecisions       = 200
	maxDecisionSeconds = 1.0

	// warmUp steps are made before any that counts.
	warmUp = 5
	// steps that count. A few more than needed, since two of them may be taken
	// for one by a busy fleet.
	steps = 210

	stepTimeout = 30 * time.Second
	warmTimeout = 3 * time.Minute

	// The pause between two steps is random, so that they do not keep in step
	// with any period of what is measured.
	minPause, maxPause = 50 * time.Millisecond, 450 * time.Millisecond

	// pools take the steps in turn. ACK refuses to change a pool while nodes of
	// it are on their way, for about a second and a half of our time; when its
	// turn comes again a pool is at rest.
	pools = 12

	claimName = "bench"
	homeName  = "idc"
	cloudName = "rented"
	workspace = "bench"

	// nodePoolLabel tells the nodes of the pools apart.
	nodePoolLabel = "bench.example.org/pool"
)

func poolName(i int) string { return fmt.Sprintf("pool-%d", i) }

func offering(i int) string { return cloudName + "-" + poolName(i) }

var poolLabels = map[string]string{"regionpool.io/pool": claimName}

// decision measures how long it takes from unmet demand, as fleet sees it, until
// the call that orders the node arrives at the cloud and is accepted. The elastic
// cluster is warm, and nodes come and are filled all the time. Each step is one
// more replica that only fits on a node of its own.
func decision(ctx context.Context, r *run) (outcome, error) {
	tiny, err := stack.NewMember(homeName, 1, "1", "2Gi", "110")
	if err != nil {
		return outcome{}, err
	}
	e, err := startStack(ctx, r, "decision", stack.Options{
		WithoutCloud: true, Members: []stack.Member{tiny, {Name: cloudName}},
		Parts: map[stack.Part]stack.PartOptions{
			// The cloud's clock runs sixty times as fast.
			stack.Provider: {Args: stack.Hurried(stack.Provider)},
		},
	})
	if err != nil {
		return outcome{}, err
	}
	sim, err := startCloud(e.Plane(cloudName), r.seed)
	if err != nil {
		return outcome{}, errors.Join(err, e.close())
	}
	defer sim.stop()
	out, err := surge(ctx, r, e, sim)
	return out, errors.Join(err, e.close())
}

func surge(ctx context.Context, r *run, e *environment, sim *simulator) (outcome, error) {
	if err := sim.configure(ctx, e.host); err != nil {
		return outcome{}, err
	}
	if err := ensureNamespace(ctx, e.karmada, workspace); err != nil {
		return outcome{}, err
	}
	done := r.log.Step("the elastic cluster is warm")
	ids, err := claim(ctx, e)
	if err != nil {
		return outcome{}, fmt.Errorf("cannot make the elastic cluster: %w", err)
	}
	done()

	done = r.log.Step("%d step-ups of demand", warmUp+steps)
	var begin time.Time
	random := rand.New(rand.NewPCG(r.seed, 0)) //nolint:gosec // Not secret.
	var workloads [pools][]*appsv1.Deployment
	for i := range warmUp + steps {
		if i == warmUp {
			begin = time.Now()
		}
		turn := i % pools
		id := ids[offering(turn)]
		had := ordered(sim, id)
		if err := stepUp(ctx, e.karmada, random, turn, &workloads[turn]); err != nil {
			return outcome{}, err
		}
		err := poll(ctx, 5*time.Millisecond, stepTimeout, func(context.Context) (string, error) {
			if ordered(sim, id) > had {
				return "", nil
			}
			return fmt.Sprintf("step %d: no call for more than %d nodes of %s", i, had, offering(turn)), nil
		})
		if err != nil {
			return outcome{}, err
		}
		if err := sleep(ctx, minPause+time.Duration(random.Int64N(int64(maxPause-minPause)))); err != nil {
			return outcome{}, err
		}
	}
	done()

	records, err := e.decisions(ctx)
	if err != nil {
		return outcome{}, err
	}
	calls := sim.Requests.List(requestlog.Filter{Since: begin, Action: modifyNodePool})
	all, unanswered := latencies(records, calls, ids, begin)
	total, planned := seconds(all, func(l latency) time.Duration { return l.answered }), seconds(all, func(l latency) time.Duration { return l.planned })
	p99 := quantile(total, 0.99)
	return outcome{
		met: len(all) >= minDecisions && unanswered == 0 && p99 <= maxDecisionSeconds,
		cases: []Case{
			ours("p50", quantile(total, 0.5)),
			ours("p99", p99),
			ours("max", quantile(total, 1)),
			ours("p50 until the plan is written", quantile(planned, 0.5)),
			ours("p99 until the plan is written", quantile(planned, 0.99)),
			ours("decisions (count)", float64(len(all))),
			ours("decisions without a call (count)", float64(unanswered)),
		},
	}, nil
}

// claim a region with a warm elastic cluster, and wait for it. It returns the ids
// of the node pools by offering.
func claim(ctx context.Context, e *environment) (map[string]string, error) {
	var nodePools []any
	for i := range pools {
		nodePools = append(nodePools, map[string]any{
			"name": poolName(i), "instanceTypes": []any{"ecs.g7.large"}, "max": int64(warmUp + steps),
			"labels": map[string]any{nodePoolLabel: poolName(i)},
		})
	}
	c := object("platform.regionpool.io/v1alpha1", "RegionPool", stack.PlatformNamespace, claimName)
	c.Object["spec"] = map[string]any{
		"federation": map[string]any{"providerConfigRef": map[string]any{"name": stack.KarmadaConfig}},
		"selfBuilt":  []any{map[string]any{"name": homeName, "kubeconfigSecretRef": map[string]any{"name": homeName}}},
		"elastic": []any{map[string]any{
			"name": cloudName, "warm": true,
			"providerConfigRef": map[string]any{"name": stack.CloudConfig},
			"ack":               map[string]any{"region": "cn-shanghai", "vpcId": "vpc-1", "vSwitchIds": []any{"vsw-1"}},
			"nodePools":         nodePools,
		}},
		"workloads": map[string]any{"matchLabels": map[string]any{"regionpool.io/pool": claimName}},
	}
	if err := manifests.Apply(ctx, e.host, c); err != nil {
		return nil, err
	}
	ids := map[string]string{}
	return ids, poll(ctx, 200*time.Millisecond, warmTimeout, func(ctx context.Context) (string, error) {
		m := &federationv1alpha1.Member{}
		if err := e.host.Get(ctx, types.NamespacedName{Namespace: stack.PlatformNamespace, Name: claimName + "-" + cloudName}, m); err != nil {
			return "", err
		}
		if why := unready("Member", m.GetCondition(xpv2.TypeReady)); why != "" {
			return why, nil
		}
		for i := range pools {
			np := &ackv1alpha1.NodePool{}
			if err := e.host.Get(ctx, types.NamespacedName{Namespace: stack.PlatformNamespace, Name: claimName + "-" + offering(i)}, np); err != nil {
				return "", err
			}
			if why := unready("NodePool", np.GetCondition(xpv2.TypeReady)); why != "" {
				return why, nil
			}
			ids[offering(i)] = np.Status.AtProvider.ID
		}
		return "", nil
	})
}

func unready(kind string, c xpv2.Condition) string {
	if c.Status == corev1.ConditionTrue {
		return ""
	}
	return fmt.Sprintf("the %s is not ready: %s %s", kind, c.Reason, c.Message)
}

// stepUp adds one replica for nodes of a pool: as often as not to a workload that
// is there, or as a new one.
func stepUp(ctx context.Context, c client.Client, random *rand.Rand, pool int, workloads *[]*appsv1.Deployment) error {
	if n := len(*workloads); n > 0 && random.IntN(2) == 0 {
		d := (*workloads)[random.IntN(n)]
		was := d.DeepCopy()
		d.Spec.Replicas = ptr.To(*d.Spec.Replicas + 1)
		if err := c.Patch(ctx, d, client.MergeFrom(was)); err != nil {
			return fmt.Errorf("cannot scale %s: %w", d.Name, err)
		}
		return nil
	}
	spec := corev1.PodSpec{
		NodeSelector: map[string]string{nodePoolLabel: poolName(pool)},
		Containers: []corev1.Container{container(corev1.ResourceList{
			// More than the self-built member has, and than half a node.
			corev1.ResourceCPU:    *resource.NewMilliQuantity(1100+10*random.Int64N(40), resource.DecimalSI),
			corev1.ResourceMemory: *resource.NewQuantity((256+64*random.Int64N(40))<<20, resource.BinarySI),
		})},
	}
	d := deployment(workspace, fmt.Sprintf("%s-%d", poolName(pool), len(*workloads)), poolLabels, 1, spec)
	if err := c.Create(ctx, d); err != nil {
		return fmt.Errorf("cannot create %s: %w", d.Name, err)
	}
	*workloads = append(*workloads, d)
	return nil
}

func deployment(namespace, name string, labels map[string]string, replicas int32, spec corev1.PodSpec) *appsv1.Deployment {
	app := map[string]string{"app": name}
	return &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: labels},
		Spec: appsv1.DeploymentSpec{
			Replicas: &replicas,
			Selector: &metav1.LabelSelector{MatchLabels: app},
			Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: app}, Spec: spec},
		},
	}
}

// container with requests. What kubelet alone understands is limited too.
func container(requests corev1.ResourceList) corev1.Container {
	c := corev1.Container{Name: "main", Image: "bench.example.org/main:1.0", Resources: corev1.ResourceRequirements{Requests: requests}}
	if q, ok := requests[gpu]; ok {
		c.Resources.Limits = corev1.ResourceList{gpu: q}
	}
	return c
}

const modifyNodePool = "ModifyClusterNodePool"

// ordered is the highest number of nodes that was called for in a node pool.
func ordered(sim *simulator, id string) int {
	highest := 0
	for _, c := range sim.Requests.List(requestlog.Filter{Action: modifyNodePool}) {
		if sizes(c) && c.NodePool == id {
			highest = max(highest, *c.Desired)
		}
	}
	return highest
}

// sizes says whether a call sets the number of nodes.
func sizes(c requestlog.Entry) bool { return c.Accepted && c.Desired != nil }

// A latency of a decision, from the demand: until the plan is written, and until
// the call arrives.
type latency struct{ planned, answered time.Duration }

// latencies pairs decisions for more nodes of an offering with the first call
// for at least as many. Unanswered decisions have no such call.
func latencies(records []record, calls []requestlog.Entry, ids map[string]string, begin time.Time) (out []latency, unanswered int) {
	for _, d := range records {
		if d.To <= d.From || d.UnmetSeen.Before(begin) {
			continue
		}
		i := slices.IndexFunc(calls, func(c requestlog.Entry) bool {
			return sizes(c) && c.NodePool == ids[d.Offering] && !c.Time.Before(d.UnmetSeen) && *c.Desired >= d.To
		})
		if i < 0 {
			unanswered++
			continue
		}
		out = append(out, latency{planned: d.Written.Sub(d.UnmetSeen), answered: calls[i].Time.Sub(d.UnmetSeen)})
	}
	return out, unanswered
}

// seconds of each latency, sorted.
func seconds(all []latency, part func(latency) time.Duration) []float64 {
	out := make([]float64, 0, len(all))
	for _, l := range all {
		out = append(out, part(l).Seconds())
	}
	slices.Sort(out)
	return out
}
