package choice

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"k8s.io/utils/ptr"

	fleetv1alpha1 "regionpool.io/provider-regionpool/apis/fleet/v1alpha1"
	elasticv1alpha1 "regionpool.io/provider-regionpool/apis/v1alpha1"
	"regionpool.io/provider-regionpool/internal/fleet/planner"
	"regionpool.io/provider-regionpool/internal/fleet/scheduler"
	"regionpool.io/provider-regionpool/internal/simulation"
	"regionpool.io/provider-regionpool/internal/snapshot"
)

const (
	classLabel = "class"
	taintKey   = "special"
	gpu        = corev1.ResourceName("nvidia.com/gpu")
)

func hundredths(n int) resource.Quantity {
	return *resource.NewMilliQuantity(int64(n)*10, resource.DecimalSI)
}

func sizes(cpu, mib, gpus int64) corev1.ResourceList {
	out := corev1.ResourceList{
		corev1.ResourceCPU:    *resource.NewMilliQuantity(cpu, resource.DecimalSI),
		corev1.ResourceMemory: *resource.NewQuantity(mib<<20, resource.BinarySI),
	}
	if gpus > 0 {
		out[gpu] = *resource.NewQuantity(gpus, resource.DecimalSI)
	}
	return out
}

// Plan asks the planner, and returns the nodes that it wants.
func Plan(ctx context.Context, c *Case, s simulation.Simulator) ([]int, planner.Output, error) {
	now := time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)
	in := planner.Input{Now: now, SeenAt: now, Simulator: s, Settings: planner.DefaultSettings, Members: map[string]planner.Member{}, Plan: &fleetv1alpha1.CapacityPlan{}}
	spec := &in.Plan.Spec
	spec.Weights = fleetv1alpha1.Weights{
		Price: ptr.To(hundredths(c.Price)), Wait: ptr.To(hundredths(c.Wait)),
		Interruption: ptr.To(hundredths(c.Interruption)), Spread: ptr.To(hundredths(c.Spread)),
	}
	for i, cl := range c.Clusters {
		fee := hundredths(cl.Fee)
		m := fleetv1alpha1.PlanMember{Name: fmt.Sprintf("c%d", i), Tier: 1, Elastic: true, HourlyCost: &fee}
		state := planner.Member{}
		if cl.Exists {
			empty, err := snapshot.New(nil, nil)
			if err != nil {
				return nil, planner.Output{}, fmt.Errorf("cannot make an empty cluster: %w", err)
			}
			state = planner.Member{State: scheduler.Serving, Snapshot: empty, Fork: empty.Fork(), Simulator: s}
			m.Warm = true
		}
		spec.Members = append(spec.Members, m)
		in.Members[m.Name] = state
	}
	for i, o := range c.Offerings {
		f := fleetv1alpha1.Offering{
			Name: fmt.Sprintf("o%d", i), Member: fmt.Sprintf("c%d", o.Cluster), Allocatable: sizes(o.MilliCPU, o.MiB, o.GPU), HourlyPrice: hundredths(o.Price), Max: int32(o.Max),
			StartSeconds: int32(o.StartMinutes * 60), Labels: map[string]string{classLabel: o.Class}, CapacityType: elasticv1alpha1.CapacityOnDemand,
		}
		if o.Spot {
			f.CapacityType = elasticv1alpha1.CapacitySpot
		}
		for _, z := range o.Zones {
			f.Zones = append(f.Zones, zoneNames[z])
		}
		if o.Tainted {
			f.Taints = []corev1.Taint{{Key: taintKey, Effect: corev1.TaintEffectNoSchedule}}
		}
		if o.OutOfStock {
			spec.Market.Offerings = append(spec.Market.Offerings, fleetv1alpha1.OfferingMarket{
				Name: f.Name, Unavailable: true, Shortages: []elasticv1alpha1.Shortage{{Reason: "OutOfStock", Since: metav1.NewTime(now)}},
			})
		}
		spec.Offerings = append(spec.Offerings, f)
	}
	limit := func(n int) *int32 {
		if n < 0 {
			return nil
		}
		v := int32(n)
		return &v
	}
	spec.Limits.Nodes, spec.Limits.Clusters = limit(c.MaxNodes), limit(c.MaxClusters)
	if c.MaxMoney >= 0 {
		q := hundredths(c.MaxMoney)
		spec.Limits.HourlyCost = &q
	}
	for i, w := range c.Workloads {
		pod := corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "i", Resources: corev1.ResourceRequirements{Requests: sizes(w.MilliCPU, w.MiB, w.GPU)}}}}
		if w.GPU > 0 {
			pod.Containers[0].Resources.Limits = corev1.ResourceList{gpu: *resource.NewQuantity(w.GPU, resource.DecimalSI)}
		}
		if w.Class != "" {
			pod.NodeSelector = map[string]string{classLabel: w.Class}
		}
		if w.Tolerates {
			pod.Tolerations = []corev1.Toleration{{Key: taintKey, Operator: corev1.TolerationOpExists}}
		}
		meta := metav1.ObjectMeta{Labels: map[string]string{"app": fmt.Sprintf("w%d", i)}}
		if w.Apart {
			pod.Affinity = &corev1.Affinity{PodAntiAffinity: &corev1.PodAntiAffinity{RequiredDuringSchedulingIgnoredDuringExecution: []corev1.PodAffinityTerm{{
				TopologyKey: corev1.LabelHostname, LabelSelector: &metav1.LabelSelector{MatchLabels: meta.Labels},
			}}}}
		}
		in.Demands = append(in.Demands, scheduler.Demand{
			Binding: fmt.Sprintf("default/w%d", i), Count: int32(w.Replicas), Template: &scheduler.Template{Namespace: "default", Spec: corev1.PodTemplateSpec{ObjectMeta: meta, Spec: pod}},
			Workload: snapshot.WorkloadKey{Namespace: "default", Kind: "Deployment", Name: fmt.Sprintf("w%d", i)},
		})
	}
	out, err := planner.Make(ctx, in)
	if err != nil {
		return nil, out, fmt.Errorf("cannot plan: %w", err)
	}
	nodes := make([]int, len(c.Offerings))
	for _, o := range out.Status.Offerings {
		var i int
		if _, err := fmt.Sscanf(o.Name, "o%d", &i); err != nil {
			return nil, out, fmt.Errorf("the plan has an offering %q: %w", o.Name, err)
		}
		nodes[i] = int(o.Nodes)
	}
	return nodes, out, nil
}

// A Verdict on what the planner chose.
type Verdict struct {
	Case    Case
	Planned *Answer
	Optimum *Answer
	// Problem is why the planner's choice is not as good; empty if it is.
	Problem string
}

// Ratio of the planner's cost to the optimum. It is 1 where both are nothing.
func (v *Verdict) Ratio() float64 {
	if v.Optimum.Cost == 0 {
		return 1
	}
	return float64(v.Planned.Cost) / float64(v.Optimum.Cost)
}

// Compare the planner with the optimum, on the case of a seed.
func Compare(ctx context.Context, seed uint64, s simulation.Simulator) (*Verdict, error) {
	v := &Verdict{Case: Generate(seed)}
	nodes, _, err := Plan(ctx, &v.Case, s)
	if err != nil {
		return nil, err
	}
	v.Optimum = Optimum(&v.Case)
	planned, ok := Judge(&v.Case, nodes)
	v.Planned = planned
	switch {
	case !ok:
		v.Planned = &Answer{Nodes: nodes}
		v.Problem = fmt.Sprintf("nodes %v pass a limit", nodes)
	case v.Optimum.better(planned):
		v.Problem = fmt.Sprintf("nodes %v place %v for %d, the optimum %v places %v for %d", nodes, planned.Placed, planned.Cost, v.Optimum.Nodes, v.Optimum.Placed, v.Optimum.Cost)
	case planned.better(v.Optimum):
		v.Problem = fmt.Sprintf("nodes %v are better than the optimum %v: the search is wrong", nodes, v.Optimum.Nodes)
	}
	return v, nil
}

// Short reports whether some replicas have no place even in the optimum.
func (v *Verdict) Short() bool {
	for i, w := range v.Case.Workloads {
		if v.Optimum.Placed[i] < w.Replicas {
			return true
		}
	}
	return false
}
