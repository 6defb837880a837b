package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"regionpool.io/provider-regionpool/cluster/local/kube"
	"regionpool.io/provider-regionpool/cluster/local/manifests"
	"regionpool.io/provider-regionpool/cluster/local/stack"
	"regionpool.io/provider-regionpool/test/cloudsim/ack"
	"regionpool.io/provider-regionpool/test/cloudsim/backend"
	"regionpool.io/provider-regionpool/test/cloudsim/clock"
	"regionpool.io/provider-regionpool/test/cloudsim/cloud"
	"regionpool.io/provider-regionpool/test/cloudsim/config"
)

// The account of the simulated cloud. It protects nothing.
const (
	accessKeyID     = "LTAIbench"
	accessKeySecret = "bench-secret"
)

// clockFactor is how much faster the cloud's clock runs.
const clockFactor = 60

// A simulator is the cloud inside this process. Its quotas are those of a large
// account, and it does not throttle: the benchmarks measure what the project
// does, not what it is refused.
type simulator struct {
	*cloud.Cloud
	url  string
	stop func()
}

// startCloud starts a simulator whose clusters are all the same control plane,
// so that many of them fit on one machine. Names of nodes are unique in it.
func startCloud(cp *kube.ControlPlane, seed uint64) (*simulator, error) {
	cfg := config.Default()
	cfg.Accounts = []config.Account{{
		AccessKeyID: accessKeyID, AccessKeySecret: accessKeySecret,
		Quotas: config.Quotas{Clusters: 1000, NodePools: 1000, NodesPerCluster: 5000},
	}}
	cfg.Throttle.QPS = 0
	cfg.Switches.CoreDNS = false
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("cannot configure the cloud: %w", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	v := clock.New(clockFactor)
	go v.Run(ctx)
	c := cloud.New(cfg, v, int64(seed), shared{cp: cp})
	ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		cancel()
		return nil, fmt.Errorf("cannot listen for the cloud: %w", err)
	}
	srv := &http.Server{Handler: ack.New(ctx, c, slog.New(slog.DiscardHandler)), ReadHeaderTimeout: 10 * time.Second}
	go srv.Serve(ln)
	return &simulator{Cloud: c, url: "http://" + ln.Addr().String(), stop: func() {
		_ = srv.Close()
		cancel()
	}}, nil
}

// configure lets the host plane reach the cloud by the name the stack uses.
func (s *simulator) configure(ctx context.Context, host client.Client) error {
	credentials, err := json.Marshal(map[string]string{"accessKeyId": accessKeyID, "accessKeySecret": accessKeySecret})
	if err != nil {
		return fmt.Errorf("cannot encode credentials of the cloud: %w", err)
	}
	secret := object("v1", "Secret", stack.SystemNamespace, stack.CloudConfig)
	secret.Object["stringData"] = map[string]any{"credentials": string(credentials)}
	pc := object("regionpool.io/v1alpha1", "ClusterProviderConfig", "", stack.CloudConfig)
	pc.Object["spec"] = map[string]any{
		"type": "AlibabaCloud",
		"credentials": map[string]any{
			"source":    "Secret",
			"secretRef": map[string]any{"namespace": stack.SystemNamespace, "name": stack.CloudConfig, "key": "credentials"},
		},
		"endpoint":  s.url,
		"rateLimit": map[string]any{"qps": int64(100), "burst": int64(200)},
	}
	return errors.Join(manifests.Apply(ctx, host, secret), manifests.Apply(ctx, host, pc))
}

// object without a spec. The namespace is left out if it is empty.
func object(apiVersion, kind, namespace, name string) *unstructured.Unstructured {
	u := &unstructured.Unstructured{Object: map[string]any{"apiVersion": apiVersion, "kind": kind}}
	u.SetNamespace(namespace)
	u.SetName(name)
	return u
}

// shared is a backend whose clusters are one control plane.
type shared struct{ cp *kube.ControlPlane }

func (s shared) Create(context.Context, backend.Spec, backend.Hooks) (backend.Cluster, error) {
	return sharedCluster(s), nil
}

// Blocking is true: nodes take a moment to become Ready.
func (s shared) Blocking() bool { return true }

type sharedCluster struct{ cp *kube.ControlPlane }

func (c sharedCluster) Endpoint() string { return c.cp.Endpoint() }

func (c sharedCluster) Kubeconfig(ttl time.Duration) ([]byte, time.Time, error) {
	return c.cp.Kubeconfig(), time.Now().Add(ttl), nil
}

func (c sharedCluster) AddNode(ctx context.Context, n backend.Node) error {
	err := c.cp.AddNode(ctx, kube.Node{
		Name: n.Name, Labels: n.Labels, Taints: n.Taints, ProviderID: n.ProviderID,
		Capacity: n.Capacity, Allocatable: n.Allocatable,
	})
	if err != nil {
		return err
	}
	return c.cp.WaitNode(ctx, n.Name)
}

func (c sharedCluster) RemoveNode(ctx context.Context, name string) error {
	return c.cp.RemoveNode(ctx, name)
}

// What the benchmarks never ask for, since the provider drains by itself.

func (c sharedCluster) SetNodeReady(context.Context, string, bool) error { return nil }

func (c sharedCluster) AddVirtualNode(context.Context, backend.Node) error { return nil }

func (c sharedCluster) SetPodStatus(context.Context, string, string, types.UID, corev1.PodStatus, ...backend.Event) error {
	return nil
}

func (c sharedCluster) SetNodeCondition(context.Context, string, corev1.NodeCondition, backend.Event) error {
	return nil
}

func (c sharedCluster) ChangeNode(context.Context, string, backend.Change) error { return nil }

func (c sharedCluster) Drain(context.Context, string) (int, string, error) { return 0, "", nil }

func (c sharedCluster) Uncordon(context.Context, string) error { return nil }

func (c sharedCluster) Delete(context.Context) error { return nil }
