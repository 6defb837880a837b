package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	ackv1alpha1 "regionpool.io/provider-regionpool/apis/ack/v1alpha1"
	federationv1alpha1 "regionpool.io/provider-regionpool/apis/federation/v1alpha1"
	"regionpool.io/provider-regionpool/apis/v1alpha1"
	"regionpool.io/provider-regionpool/cluster/local/manifests"
	"regionpool.io/provider-regionpool/cluster/local/process"
	"regionpool.io/provider-regionpool/cluster/local/stack"
	"regionpool.io/provider-regionpool/test/cloudsim/requestlog"
)

const (
	// The 500 managed resources: the clusters' node pools included.
	restClusters        = 30
	restPoolsPerCluster = 9
	restPolicies        = 100
	restPlans           = 99
	restMembers         = 1
	restTotal           = restClusters*(1+restPoolsPerCluster) + restPolicies + restPlans + restMembers

	// restTimeout bounds how long the resources may take to become Ready, and
	// calm is how long they are then left alone before the measurement.
	restTimeout = 10 * time.Minute
	calm        = 75 * time.Second
	// watched is how long they are measured.
	watched = 2 * time.Minute

	// ticks of /proc/PID/stat in a second: USER_HZ is 100 on every Linux.
	ticks = 100
)

// managedKinds of the provider.
var managedKinds = []schema.GroupVersionKind{
	ackv1alpha1.ClusterGroupVersionKind,
	ackv1alpha1.NodePoolGroupVersionKind,
	federationv1alpha1.MemberGroupVersionKind,
	federationv1alpha1.PlacementPolicyGroupVersionKind,
	federationv1alpha1.CapacityPlanGroupVersionKind,
}

// watchedKinds are those and what else the provider writes on the host plane.
var watchedKinds = append([]schema.GroupVersionKind{
	v1alpha1.ProviderConfigUsageGroupVersionKind,
	v1alpha1.ClusterProviderConfigGroupVersionKind,
	corev1.SchemeGroupVersion.WithKind("Secret"),
	corev1.SchemeGroupVersion.WithKind("Event"),
}, managedKinds...)

// atRest measures what the provider costs while nothing happens.
func atRest(ctx context.Context, r *run) (outcome, error) {
	home, err := stack.NewMember(homeName, 2, "8", "32Gi", "110")
	if err != nil {
		return outcome{}, err
	}
	e, err := startStack(ctx, r, "provider-at-rest", stack.Options{
		WithoutCloud: true, Members: []stack.Member{home, {Name: cloudName}},
		Parts: map[stack.Part]stack.PartOptions{
			stack.Function: {Disabled: true},
			// As in production, except for what only matters before the rest.
			stack.Provider: {Args: []string{"--list-lag=500ms"}},
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
	out, err := rests(ctx, r, e, sim)
	return out, errors.Join(err, e.close())
}

func rests(ctx context.Context, r *run, e *environment, sim *simulator) (outcome, error) {
	if err := sim.configure(ctx, e.host); err != nil {
		return outcome{}, err
	}
	done := r.log.Step("%d managed resources are ready", restTotal)
	if err := manifests.Apply(ctx, e.host, restResources()...); err != nil {
		return outcome{}, err
	}
	if err := poll(ctx, 2*time.Second, restTimeout, func(ctx context.Context) (string, error) { return notReady(ctx, e.host) }); err != nil {
		return outcome{}, fmt.Errorf("cannot make the managed resources: %w", err)
	}
	done()
	if err := sleep(ctx, calm); err != nil {
		return outcome{}, err
	}

	was, err := look(ctx, e)
	if err != nil {
		return outcome{}, err
	}
	if err := sleep(ctx, watched); err != nil {
		return outcome{}, err
	}
	is, err := look(ctx, e)
	if err != nil {
		return outcome{}, err
	}
	calls := len(sim.Requests.List(requestlog.Filter{Since: was.at})) - len(sim.Requests.List(requestlog.Filter{Since: is.at}))
	passed := is.at.Sub(was.at)
	changed := is.changedSince(was)
	for _, what := range changed[:min(len(changed), 10)] {
		r.log.Printf("changed at rest: %s", what)
	}
	hostWrites, karmadaWrites := is.hostWrites-was.hostWrites, is.karmadaWrites-was.karmadaWrites
	return outcome{
		met: hostWrites == 0 && karmadaWrites == 0 && len(changed) == 0,
		cases: []Case{
			ours("managed resources (count)", restTotal),
			ours("CPU (cores)", (is.cpu-was.cpu).Seconds()/passed.Seconds()),
			ours("RSS (MiB)", float64(is.rss)/(1<<20)),
			ours("calls to the cloud in a minute (count)", float64(calls)/passed.Minutes()),
			ours("writes to the host's API server in two minutes (count)", hostWrites),
			ours("writes to Karmada's API server in two minutes (count)", karmadaWrites),
			ours("objects changed in two minutes (count)", float64(len(changed))),
		},
	}, nil
}

// restResources are clusters with a node pool of one node and empty ones, and
// policies and plans of as many pools.
func restResources() []*unstructured.Unstructured {
	var out []*unstructured.Unstructured
	add := func(gvk schema.GroupVersionKind, name, config string, forProvider map[string]any) map[string]any {
		u := object(gvk.GroupVersion().String(), gvk.Kind, stack.PlatformNamespace, name)
		spec := map[string]any{
			"providerConfigRef": map[string]any{"kind": "ClusterProviderConfig", "name": config},
			"forProvider":       forProvider,
		}
		u.Object["spec"] = spec
		out = append(out, u)
		return spec
	}
	for i := range restClusters {
		cluster := fmt.Sprintf("cluster-%d", i)
		spec := add(ackv1alpha1.ClusterGroupVersionKind, cluster, stack.CloudConfig, map[string]any{
			"region": "cn-shanghai", "vpcId": "vpc-1", "vSwitchIds": []any{"vsw-1"}, "containerCIDR": "10.0.0.0/16",
		})
		spec["writeConnectionSecretToRef"] = map[string]any{"name": cluster + "-kubeconfig"}
		for j := range restPoolsPerCluster {
			size := int64(0)
			if j == 0 {
				size = 1
			}
			add(ackv1alpha1.NodePoolGroupVersionKind, fmt.Sprintf("%s-%d", cluster, j), stack.CloudConfig, map[string]any{
				"clusterRef": map[string]any{"name": cluster}, "instanceTypes": []any{"ecs.g7.large"}, "size": size,
			})
		}
	}
	add(federationv1alpha1.MemberGroupVersionKind, homeName, stack.KarmadaConfig, map[string]any{
		"kubeconfigSecretRef": map[string]any{"name": homeName},
	})
	for i := range restPolicies {
		name := fmt.Sprintf("pool-%d", i)
		add(federationv1alpha1.PlacementPolicyGroupVersionKind, name, stack.KarmadaConfig, map[string]any{
			"pool":      name,
			"workloads": map[string]any{"matchLabels": map[string]any{"regionpool.io/pool": name}},
			"tiers":     []any{map[string]any{"name": "self-built", "members": []any{homeName}}},
		})
	}
	for i := range restPlans {
		add(federationv1alpha1.CapacityPlanGroupVersionKind, fmt.Sprintf("pool-%d", i), stack.KarmadaConfig, map[string]any{
			"members": []any{map[string]any{"name": homeName}},
		})
	}
	return out
}

// notReady names a managed resource that is not Ready, and how many there are.
func notReady(ctx context.Context, c client.Client) (string, error) {
	waiting, total, example := 0, 0, ""
	for _, gvk := range managedKinds {
		l := &unstructured.UnstructuredList{}
		l.SetGroupVersionKind(gvk)
		if err := c.List(ctx, l, client.InNamespace(stack.PlatformNamespace)); err != nil {
			return "", fmt.Errorf("cannot list %s: %w", gvk.Kind, err)
		}
		for i := range l.Items {
			total++
			ready, synced := condition(&l.Items[i], "Ready"), condition(&l.Items[i], "Synced")
			if ready["status"] == "True" && synced["status"] == "True" {
				continue
			}
			waiting++
			example = fmt.Sprintf("%s %s: Ready: %v %v, Synced: %v %v", gvk.Kind, l.Items[i].GetName(), ready["reason"], ready["message"], synced["reason"], synced["message"])
		}
	}
	switch {
	case waiting > 0:
		return fmt.Sprintf("%d are not ready, such as %s", waiting, example), nil
	case total < restTotal:
		return fmt.Sprintf("there are only %d", total), nil
	}
	return "", nil
}

func condition(u *unstructured.Unstructured, kind string) map[string]any {
	cs, _, _ := unstructured.NestedSlice(u.Object, "status", "conditions")
	for _, c := range cs {
		if m, ok := c.(map[string]any); ok && m["type"] == kind {
			return m
		}
	}
	return nil
}

// A sight is what was seen of the provider at a time.
type sight struct {
	at  time.Time
	cpu time.Duration
	rss int64
	// writes by the provider since it started.
	hostWrites, karmadaWrites float64
	// versions of all objects, whoever wrote them.
	versions map[string]string
}

func look(ctx context.Context, e *environment) (sight, error) {
	s := sight{at: time.Now(), versions: map[string]string{}}
	pid := e.Process(string(stack.Provider)).PID()
	var err error
	if s.cpu, err = cpuTime(pid); err != nil {
		return s, err
	}
	s.rss = process.RSS(pid)
	if s.hostWrites, err = writes(ctx, e, e.RESTConfig(stack.Host)); err != nil {
		return s, err
	}
	if s.karmadaWrites, err = writes(ctx, e, e.RESTConfig(stack.Karmada)); err != nil {
		return s, err
	}
	for _, gvk := range watchedKinds {
		l := &metav1.PartialObjectMetadataList{}
		l.SetGroupVersionKind(gvk)
		if err := e.host.List(ctx, l); err != nil {
			return s, fmt.Errorf("cannot list %s: %w", gvk.Kind, err)
		}
		for _, o := range l.Items {
			s.versions[gvk.Kind+" "+o.Namespace+"/"+o.Name] = o.ResourceVersion
		}
	}
	return s, nil
}

// changedSince names the objects that are new or changed.
func (s sight) changedSince(was sight) []string {
	var out []string
	for key, version := range s.versions {
		if was.versions[key] != version {
			out = append(out, key)
		}
	}
	return out
}

// requestMetric is client-go's count of requests: host, method and number. The
// labels are in the order of their names.
var requestMetric = regexp.MustCompile(`^rest_client_requests_total\{code="[^"]*",host="([^"]*)",method="([^"]*)"\} (\S+)$`)

// writes the provider has made to an API server, by its own count.
func writes(ctx context.Context, e *environment, to *rest.Config) (float64, error) {
	u, err := url.Parse(to.Host)
	if err != nil {
		return 0, fmt.Errorf("cannot parse address of an API server: %w", err)
	}
	b, err := e.get(ctx, stack.Provider, "/metrics")
	if err != nil {
		return 0, err
	}
	sum := 0.0
	for _, line := range strings.Split(string(b), "\n") {
		m := requestMetric.FindStringSubmatch(line)
		if m == nil || m[1] != u.Host || m[2] == http.MethodGet {
			continue
		}
		n, err := strconv.ParseFloat(m[3], 64)
		if err != nil {
			return 0, fmt.Errorf("cannot parse the provider's metrics: %w", err)
		}
		sum += n
	}
	return sum, nil
}

// cpuTime a process has used so far.
func cpuTime(pid int) (time.Duration, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, fmt.Errorf("cannot read the state of the provider: %w", err)
	}
	// The command, in parentheses, may hold spaces. The state follows it, field
	// 3; utime and stime are fields 14 and 15.
	f := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
	if len(f) < 13 {
		return 0, errors.New("cannot parse the state of the provider")
	}
	sum := 0.0
	for _, t := range f[11:13] {
		n, err := strconv.ParseFloat(t, 64)
		if err != nil {
			return 0, fmt.Errorf("cannot parse the state of the provider: %w", err)
		}
		sum += n
	}
	return time.Duration(sum / ticks * float64(time.Second)), nil
}
