// Command karpenter packs pods onto instance types with karpenter's
// provisioning scheduler. It reads a problem from standard input and writes what
// it took and what came out to standard output, both as JSON.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"runtime"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/record"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/log"

	v1 "sigs.k8s.io/karpenter/pkg/apis/v1"
	"sigs.k8s.io/karpenter/pkg/cloudprovider"
	fakecloud "sigs.k8s.io/karpenter/pkg/cloudprovider/fake"
	"sigs.k8s.io/karpenter/pkg/controllers/provisioning/scheduling"
	"sigs.k8s.io/karpenter/pkg/controllers/state"
	"sigs.k8s.io/karpenter/pkg/events"
	"sigs.k8s.io/karpenter/pkg/operator/injection"
	"sigs.k8s.io/karpenter/pkg/operator/logging"
	"sigs.k8s.io/karpenter/pkg/operator/options"
	requirements "sigs.k8s.io/karpenter/pkg/scheduling"
)

// A Problem is pods to place on instance types.
type Problem struct {
	Types  []Type  `json:"types"`
	Shapes []Shape `json:"shapes"`
}

// A Type of instances: what pods can use of one, and its price of an hour.
type Type struct {
	Name     string  `json:"name"`
	MilliCPU int64   `json:"milliCPU"`
	Memory   int64   `json:"memory"`
	Pods     int64   `json:"pods"`
	Price    float64 `json:"price"`
}

// A Shape is pods that are alike.
type Shape struct {
	MilliCPU int64 `json:"milliCPU"`
	Memory   int64 `json:"memory"`
	Count    int   `json:"count"`
}

// A Result is what came out.
type Result struct {
	Seconds float64 `json:"seconds"`
	// Bytes that were allocated, freed ones included.
	Bytes    uint64  `json:"bytes"`
	Nodes    int     `json:"nodes"`
	Cost     float64 `json:"cost"`
	Unplaced int     `json:"unplaced"`
}

const zone = "zone-1"

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run() error {
	log.SetLogger(logging.NopLogger)
	var p Problem
	if err := json.NewDecoder(os.Stdin).Decode(&p); err != nil {
		return fmt.Errorf("cannot read the problem: %w", err)
	}
	ctx := options.ToContext(injection.WithControllerName(context.Background(), "provisioner"), &options.Options{
		PreferencePolicy: options.PreferencePolicyRespect, MinValuesPolicy: options.MinValuesPolicyStrict, CPURequests: int64(1000 * runtime.NumCPU()),
	})
	pods := p.pods()
	s, err := scheduler(ctx, p.types(), pods)
	if err != nil {
		return err
	}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	began := time.Now()
	results, err := s.Solve(ctx, pods)
	if err != nil {
		return fmt.Errorf("cannot schedule: %w", err)
	}
	r := Result{Seconds: time.Since(began).Seconds(), Nodes: len(results.NewNodeClaims), Unplaced: len(results.PodErrors)}
	runtime.ReadMemStats(&after)
	r.Bytes = after.TotalAlloc - before.TotalAlloc
	for _, n := range results.NewNodeClaims {
		// Of the types that hold its pods the cheapest is launched.
		price := math.Inf(1)
		for _, it := range n.InstanceTypeOptions {
			price = min(price, it.Offerings.Cheapest().Price)
		}
		r.Cost += price
	}
	if err := json.NewEncoder(os.Stdout).Encode(r); err != nil {
		return fmt.Errorf("cannot write the result: %w", err)
	}
	return nil
}

func scheduler(ctx context.Context, its []*cloudprovider.InstanceType, pods []*corev1.Pod) (*scheduling.Scheduler, error) {
	pool := &v1.NodePool{
		ObjectMeta: metav1.ObjectMeta{Name: "pool"},
		Spec: v1.NodePoolSpec{Template: v1.NodeClaimTemplate{Spec: v1.NodeClaimTemplateSpec{
			NodeClassRef: &v1.NodeClassReference{Group: "bench", Kind: "Class", Name: "class"},
		}}},
	}
	byPool := map[string][]*cloudprovider.InstanceType{pool.Name: its}
	cloud := fakecloud.NewCloudProvider()
	cloud.InstanceTypes = its
	c := fake.NewClientBuilder().Build()
	cluster := state.NewCluster(clock.RealClock{}, c, cloud)
	topology, err := scheduling.NewTopology(ctx, c, cluster, nil, []*v1.NodePool{pool}, byPool, pods)
	if err != nil {
		return nil, fmt.Errorf("cannot make the topology: %w", err)
	}
	return scheduling.NewScheduler(ctx, c, []*v1.NodePool{pool}, cluster, nil, topology, byPool, nil,
		events.NewRecorder(&record.FakeRecorder{}), clock.RealClock{}, nil, scheduling.NumConcurrentReconciles(runtime.NumCPU())), nil
}

func (p *Problem) types() []*cloudprovider.InstanceType {
	var out []*cloudprovider.InstanceType
	for _, t := range p.Types {
		where := requirements.NewRequirements(
			requirements.NewRequirement(v1.CapacityTypeLabelKey, corev1.NodeSelectorOpIn, v1.CapacityTypeOnDemand),
			requirements.NewRequirement(corev1.LabelTopologyZone, corev1.NodeSelectorOpIn, zone),
		)
		out = append(out, &cloudprovider.InstanceType{
			Name: t.Name,
			Requirements: requirements.NewRequirements(
				requirements.NewRequirement(corev1.LabelInstanceTypeStable, corev1.NodeSelectorOpIn, t.Name),
				requirements.NewRequirement(corev1.LabelArchStable, corev1.NodeSelectorOpIn, "amd64"),
				requirements.NewRequirement(corev1.LabelOSStable, corev1.NodeSelectorOpIn, "linux"),
				requirements.NewRequirement(corev1.LabelTopologyZone, corev1.NodeSelectorOpIn, zone),
				requirements.NewRequirement(v1.CapacityTypeLabelKey, corev1.NodeSelectorOpIn, v1.CapacityTypeOnDemand),
			),
			Offerings: cloudprovider.Offerings{{Requirements: where, Price: t.Price, Available: true}},
			Capacity: corev1.ResourceList{
				corev1.ResourceCPU:    *resource.NewMilliQuantity(t.MilliCPU, resource.DecimalSI),
				corev1.ResourceMemory: *resource.NewQuantity(t.Memory, resource.BinarySI),
				corev1.ResourcePods:   *resource.NewQuantity(t.Pods, resource.DecimalSI),
			},
			Overhead: &cloudprovider.InstanceTypeOverhead{},
		})
	}
	return out
}

func (p *Problem) pods() []*corev1.Pod {
	var out []*corev1.Pod
	for i, s := range p.Shapes {
		for j := range s.Count {
			name := "pod-" + strconv.Itoa(i) + "-" + strconv.Itoa(j)
			out = append(out, &corev1.Pod{
				ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "default", UID: types.UID(name)},
				Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "i", Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{
					corev1.ResourceCPU:    *resource.NewMilliQuantity(s.MilliCPU, resource.DecimalSI),
					corev1.ResourceMemory: *resource.NewQuantity(s.Memory, resource.BinarySI),
				}}}}},
			})
		}
	}
	return out
}
