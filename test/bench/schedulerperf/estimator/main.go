// Command estimator counts with the node estimator of Karmada's
// scheduler-estimator, in its own process and without gRPC. It reads a cluster
// from standard input and writes what it counted, and how long that took, to
// standard output, both as JSON.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"time"

	"github.com/karmada-io/karmada/cmd/scheduler-estimator/app/options"
	"github.com/karmada-io/karmada/pkg/estimator/pb"
	"github.com/karmada-io/karmada/pkg/estimator/server"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/runtime/schema"
	discoveryfake "k8s.io/client-go/discovery/fake"
	dynamicfake "k8s.io/client-go/dynamic/fake"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/kubernetes/scheme"
	clienttesting "k8s.io/client-go/testing"
)

// A Problem is a cluster, and what each of the pods to count requests.
type Problem struct {
	Nodes   []*corev1.Node      `json:"nodes"`
	Pods    []*corev1.Pod       `json:"pods"`
	Request corev1.ResourceList `json:"request"`
	// Runs of which the best counts.
	Runs int `json:"runs"`
}

// A Result is how many fit, and the seconds of the best run.
type Result struct {
	Count   int     `json:"count"`
	Seconds float64 `json:"seconds"`
}

func main() {
	if err := command(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func command(ctx context.Context) error {
	var p Problem
	if err := json.NewDecoder(os.Stdin).Decode(&p); err != nil {
		return fmt.Errorf("cannot read the problem: %w", err)
	}
	dynamic := dynamicfake.NewSimpleDynamicClientWithCustomListKinds(scheme.Scheme, map[schema.GroupVersionResource]string{})
	es, err := server.NewEstimatorServer(ctx, fake.NewClientset(), dynamic, &discoveryfake.FakeDiscovery{Fake: &clienttesting.Fake{}}, &options.Options{ClusterName: "member", Parallelism: 2})
	if err != nil {
		return fmt.Errorf("cannot make the estimator: %w", err)
	}
	for _, n := range p.Nodes {
		es.Cache.AddNode(n)
	}
	for _, pod := range p.Pods {
		if err := es.Cache.AddPod(pod); err != nil {
			return fmt.Errorf("cannot add pod %q: %w", pod.Name, err)
		}
	}
	request := map[string]*resource.Quantity{}
	for name, q := range p.Request {
		request[string(name)] = &q
	}
	var out Result
	for i := range p.Runs + 1 {
		began := time.Now()
		n, err := es.EstimateReplicas(ctx, "default/measured", &pb.MaxAvailableReplicasRequest{
			Cluster: "member", ReplicaRequirements: &pb.ReplicaRequirements{ResourceRequest: request, Namespace: "default"},
		})
		if err != nil {
			return fmt.Errorf("cannot estimate: %w", err)
		}
		// The first run only warms.
		if took := time.Since(began).Seconds(); i > 0 && (out.Seconds == 0 || took < out.Seconds) {
			out = Result{Count: int(n), Seconds: took}
		}
	}
	if err := json.NewEncoder(os.Stdout).Encode(out); err != nil {
		return fmt.Errorf("cannot write the result: %w", err)
	}
	return nil
}
