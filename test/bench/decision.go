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

	claimName = "bench"
	homeName  = "idc"
	cloudName = "rented"
	poolName  = "general"
	offering  = cloudName + "-" + poolName
	workspace = "bench"
)

var poolLabels = map[string]string{"regionpool.io/pool": claimName}

// decision measures how long it takes from unmet demand, as fleet sees it, until
// the call that orders the node arrives at the cloud. The elastic cluster is
// warm, and nodes come and are filled all the time. Each step is one more replica
// that only fits on a node of its own.
func decision(ctx context.Context, r *run) (outcome, error) {
	tiny, err := stack.NewMember(homeName, 1, "1", "2Gi", "110")
	if err != nil {
		return outcome{}, err
	}
	e, err := startStack(ctx, r, "decision", stack.Options{
		WithoutCloud: true, Members: []stack.Member{tiny, {Name: cloudName}},
		Parts: map[stack.Part]stack.PartOptions{
			// The cloud's clock runs sixty times as fast.
			stack.Provider: {Args: []string{"--poll-in-progress=200ms", "--list-lag=500ms"}},
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
	if err := claim(ctx, e); err != nil {
		return outcome{}, fmt.Errorf("cannot make the elastic cluster: %w", err)
	}
	done()

	done = r.log.Step("%d step-ups of demand", warmUp+steps)
	var begin time.Time
	random := rand.New(rand.NewPCG(r.seed, 0))
	workloads := []*appsv1.Deployment{}
	for i := range warmUp + steps {
		if i == warmUp {
			begin = time.Now()
		}
		had := ordered(sim, time.Time{})
		if err := stepUp(ctx, e.karmada, random, &workloads); err != nil {
			return outcome{}, err
		}
		err := poll(ctx, 5*time.Millisecond, stepTimeout, func(context.Context) (string, error) {
			if ordered(sim, time.Time{}) > had {
				return "", nil
			}
			return fmt.Sprintf("step %d: no call for more than %d nodes", i, had), nil
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
	seconds, unanswered := latencies(records, sim.Requests.List(requestlog.Filter{Since: begin, Mutating: true}), begin)
	p99 := quantile(seconds, 0.99)
	return outcome{
		met: len(seconds) >= minDecisions && unanswered == 0 && p99 <= maxDecisionSeconds,
		cases: []Case{
			ours("p50", quantile(seconds, 0.5)),
			ours("p99", p99),
			ours("max", quantile(seconds, 1)),
			ours("decisions (count)", float64(len(seconds))),
			ours("decisions without a call (count)", float64(unanswered)),
		},
	}, nil
}

// claim a region with a warm elastic cluster, and wait for it.
func claim(ctx context.Context, e *environment) error {
	c := object("platform.regionpool.io/v1alpha1", "RegionPool", stack.PlatformNamespace, claimName)
	c.Object["spec"] = map[string]any{
		"federation": map[string]any{"providerConfigRef": map[string]any{"name": stack.KarmadaConfig}},
		"selfBuilt":  []any{map[string]any{"name": homeName, "kubeconfigSecretRef": map[string]any{"name": homeName}}},
		"elastic": []any{map[string]any{
			"name": cloudName, "warm": true,
			"providerConfigRef": map[string]any{"name": stack.CloudConfig},
			"ack":               map[string]any{"region": "cn-shanghai", "vpcId": "vpc-1", "vSwitchIds": []any{"vsw-1"}},
			"nodePools":         []any{map[string]any{"name": poolName, "instanceTypes": []any{"ecs.g7.large"}, "max": int64(2 * (warmUp + steps))}},
		}},
		"workloads": map[string]any{"matchLabels": map[string]any{"regionpool.io/pool": claimName}},
	}
	if err := manifests.Apply(ctx, e.host, c); err != nil {
		return err
	}
	return poll(ctx, 200*time.Millisecond, warmTimeout, func(ctx context.Context) (string, error) {
		np := &ackv1alpha1.NodePool{}
		if err := e.host.Get(ctx, types.NamespacedName{Namespace: stack.PlatformNamespace, Name: claimName + "-" + offering}, np); err != nil {
			return "", err
		}
		m := &federationv1alpha1.Member{}
		if err := e.host.Get(ctx, types.NamespacedName{Namespace: stack.PlatformNamespace, Name: claimName + "-" + cloudName}, m); err != nil {
			return "", err
		}
		for kind, c := range map[string]xpv2.Condition{"NodePool": np.GetCondition(xpv2.TypeReady), "Member": m.GetCondition(xpv2.TypeReady)} {
			if c.Status != corev1.ConditionTrue {
				return fmt.Sprintf("the %s is not ready: %s %s", kind, c.Reason, c.Message), nil
			}
		}
		return "", nil
	})
}

// stepUp adds one replica: as often as not to a workload that is there, or as a
// new one.
func stepUp(ctx context.Context, c client.Client, random *rand.Rand, workloads *[]*appsv1.Deployment) error {
	if n := len(*workloads); n > 0 && random.IntN(2) == 0 {
		d := (*workloads)[random.IntN(n)]
		was := d.DeepCopy()
		d.Spec.Replicas = ptr.To(*d.Spec.Replicas + 1)
		if err := c.Patch(ctx, d, client.MergeFrom(was)); err != nil {
			return fmt.Errorf("cannot scale %s: %w", d.Name, err)
		}
		return nil
	}
	d := deployment(workspace, fmt.Sprintf("w-%d", len(*workloads)), poolLabels, 1, corev1.PodSpec{Containers: []corev1.Container{container(corev1.ResourceList{
		// More than the self-built member has, and than half a node.
		corev1.ResourceCPU:    *resource.NewMilliQuantity(1100+10*random.Int64N(40), resource.DecimalSI),
		corev1.ResourceMemory: *resource.NewQuantity((256+64*random.Int64N(40))<<20, resource.BinarySI),
	})}})
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

// ordered is the highest number of nodes that was called for.
func ordered(sim *simulator, since time.Time) int {
	highest := 0
	for _, c := range sim.Requests.List(requestlog.Filter{Since: since, Action: "ModifyClusterNodePool"}) {
		if sizes(c) {
			highest = max(highest, *c.Desired)
		}
	}
	return highest
}

// sizes says whether a call sets the number of nodes.
func sizes(c requestlog.Entry) bool { return c.Verified && c.Desired != nil }

// latencies pairs decisions for more nodes with the first call that asks for at
// least as many. They are sorted. Unanswered decisions have no such call.
func latencies(records []record, calls []requestlog.Entry, begin time.Time) (seconds []float64, unanswered int) {
	for _, d := range records {
		if d.To <= d.From || d.UnmetSeen.Before(begin) {
			continue
		}
		i := slices.IndexFunc(calls, func(c requestlog.Entry) bool {
			return sizes(c) && !c.Time.Before(d.UnmetSeen) && *c.Desired >= d.To
		})
		if i < 0 {
			unanswered++
			continue
		}
		seconds = append(seconds, calls[i].Time.Sub(d.UnmetSeen).Seconds())
	}
	slices.Sort(seconds)
	return seconds, unanswered
}
