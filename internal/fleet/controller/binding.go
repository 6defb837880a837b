package controller

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	policyv1alpha1 "github.com/karmada-io/karmada/pkg/apis/policy/v1alpha1"
	workv1alpha2 "github.com/karmada-io/karmada/pkg/apis/work/v1alpha2"
	karmadautil "github.com/karmada-io/karmada/pkg/util"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	fleetv1alpha1 "regionpool.io/provider-regionpool/apis/fleet/v1alpha1"
	"regionpool.io/provider-regionpool/internal/fleet/scheduler"
	"regionpool.io/provider-regionpool/internal/snapshot"
)

// AnnotationPlacement is where a binding keeps what later rounds must know:
// since when there has been room at home, when a move began.
const AnnotationPlacement = "fleet.regionpool.io/placement"

// A binding is a ResourceBinding or a ClusterResourceBinding.
type binding struct {
	client.Object
	spec   *workv1alpha2.ResourceBindingSpec
	status *workv1alpha2.ResourceBindingStatus
	// read is what was decoded of it already, or nil.
	read *reading
	// expected says that it is what a flight makes of it, see flights.
	expected bool
}

// A reading is what is encoded in a binding, which rounds look at each time. It
// is not changed.
type reading struct {
	version   string
	placement string
	state     scheduler.State
	reported  map[string]scheduler.Reported
}

// readings keeps the readings of bindings by their ID.
type readings map[string]*reading

// of returns a binding with its reading.
func (r readings) of(b binding) binding {
	id, version := b.id(), string(b.GetUID())+"/"+b.GetResourceVersion()
	if have := r[id]; have == nil || have.version != version {
		r[id] = &reading{version: version, placement: b.placement(), state: b.state(), reported: b.reported()}
	}
	b.read = r[id]
	return b
}

func bindingOf(o client.Object) binding {
	switch b := o.(type) {
	case *workv1alpha2.ResourceBinding:
		return binding{Object: b, spec: &b.Spec, status: &b.Status}
	case *workv1alpha2.ClusterResourceBinding:
		return binding{Object: b, spec: &b.Spec, status: &b.Status}
	}
	return binding{}
}

// copy returns a binding that may be changed.
func (b binding) copy() binding {
	return bindingOf(b.DeepCopyObject().(client.Object))
}

// id of the binding: namespace/name, or /name.
func (b binding) id() string { return b.GetNamespace() + "/" + b.GetName() }

// ours reports whether fleet divides the binding. Bindings without a permanent
// id are not complete yet: Karmada's webhook has not seen them.
func (b binding) ours() bool {
	l := b.GetLabels()
	return b.spec.SchedulerName == fleetv1alpha1.SchedulerName && b.GetDeletionTimestamp() == nil &&
		(l[policyv1alpha1.PropagationPolicyPermanentIDLabel] != "" || l[policyv1alpha1.ClusterPropagationPolicyPermanentIDLabel] != "" || l[workv1alpha2.BindingManagedByLabel] != "")
}

func (b binding) pool() string {
	return b.GetAnnotations()[policyv1alpha1.ClusterPropagationPolicyAnnotation]
}

// placement as Karmada keeps it in the annotation of what was applied.
func (b binding) placement() string {
	if b.read != nil {
		return b.read.placement
	}
	// What was decoded from JSON can be encoded.
	raw, _ := json.Marshal(b.spec.Placement)
	return string(raw)
}

func (b binding) state() scheduler.State {
	if b.read != nil {
		return b.read.state
	}
	s := scheduler.State{}
	if raw := b.GetAnnotations()[AnnotationPlacement]; raw != "" {
		// What cannot be read is forgotten: delays start anew.
		if err := json.Unmarshal([]byte(raw), &s); err != nil {
			return scheduler.State{}
		}
	}
	return s
}

// reported is what the members' control planes said. The fields are those that
// Karmada collects of Deployments, StatefulSets, ReplicaSets and Jobs.
func (b binding) reported() map[string]scheduler.Reported {
	if b.read != nil {
		return b.read.reported
	}
	out := map[string]scheduler.Reported{}
	for _, s := range b.status.AggregatedStatus {
		if s.Status == nil {
			continue
		}
		var st struct {
			ReadyReplicas int32 `json:"readyReplicas"`
			Succeeded     int32 `json:"succeeded"`
			Conditions    []struct {
				Type   string `json:"type"`
				Status string `json:"status"`
			} `json:"conditions"`
		}
		if json.Unmarshal(s.Status.Raw, &st) != nil {
			st.ReadyReplicas, st.Succeeded, st.Conditions = 0, 0, nil
		}
		r := scheduler.Reported{Ready: st.ReadyReplicas, Succeeded: st.Succeeded}
		for _, c := range st.Conditions {
			ended := c.Type == string(batchv1.JobComplete) || c.Type == string(batchv1.JobFailed)
			r.Finished = r.Finished || ended && c.Status == string(corev1.ConditionTrue) && b.spec.Resource.Kind == "Job"
		}
		if b.grouped() {
			b.reportedGang(&r, &s)
		}
		out[s.ClusterName] = r
	}
	return out
}

// selects reports whether a placement allows a cluster: all tiers of it do.
func selects(p *policyv1alpha1.Placement, c *cluster) bool {
	if p == nil {
		return true
	}
	if p.ClusterAffinity != nil {
		return karmadautil.ClusterMatches(&c.Cluster, *p.ClusterAffinity)
	}
	if len(p.ClusterAffinities) == 0 {
		return true
	}
	return slices.ContainsFunc(p.ClusterAffinities, func(t policyv1alpha1.ClusterAffinityTerm) bool {
		return karmadautil.ClusterMatches(&c.Cluster, t.ClusterAffinity) ||
			slices.ContainsFunc(t.OverflowAffinities, func(o policyv1alpha1.OverflowClusterAffinity) bool {
				return karmadautil.ClusterMatches(&c.Cluster, o.ClusterAffinity)
			})
	})
}

// refused says which clusters may get no replicas of the binding.
func (b binding) refused(clusters []*cluster) map[string]string {
	out := map[string]string{}
	for _, c := range clusters {
		switch {
		case b.spec.ClusterInGracefulEvictionTasks(c.Name):
			out[c.Name] = "the workload is being evicted from it"
		case !selects(b.spec.Placement, c):
			out[c.Name] = "the placement does not select it"
		case c.lacks(b.spec.Resource.APIVersion, b.spec.Resource.Kind):
			out[c.Name] = fmt.Sprintf("it does not serve %s %s", b.spec.Resource.APIVersion, b.spec.Resource.Kind)
		default:
			if t := c.untolerated(b.spec.Placement); t != "" {
				out[c.Name] = "it has the taint " + t
			}
		}
	}
	return out
}

// refusals of a round. Most bindings of a pool have the same ones, which are
// looked for once.
type refusals map[refusalKey]map[string]string

type refusalKey struct{ pool, placement, apiVersion, kind string }

// of returns which clusters of its pool may get no replicas of a binding.
func (r refusals) of(b binding, clusters []*cluster) map[string]string {
	if len(b.spec.GracefulEvictionTasks) > 0 {
		return b.refused(clusters)
	}
	k := refusalKey{pool: b.pool(), placement: b.placement(), apiVersion: b.spec.Resource.APIVersion, kind: b.spec.Resource.Kind}
	out, ok := r[k]
	if !ok {
		out = b.refused(clusters)
		r[k] = out
	}
	return out
}

// model translates a binding for a round.
func (b binding) model(t *template, refused map[string]string) scheduler.Binding {
	out := scheduler.Binding{
		ID:       b.id(),
		Pool:     b.pool(),
		Workload: snapshot.WorkloadKey{Namespace: b.spec.Resource.Namespace, Kind: b.spec.Resource.Kind, Name: b.spec.Resource.Name},
		// Whether a bare pod is Ready elsewhere is not known: it has no
		// controller by which it would be recognized.
		Movable:  b.spec.Resource.Kind != "Job" && b.spec.Resource.Kind != "Pod",
		Priority: b.spec.SchedulePriorityValue(),
		Created:  b.GetCreationTimestamp().Time,
		Replicas: b.spec.Replicas,
		Assigned: map[string]int32{},
		Refused:  refused,
		Reported: b.reported(),
		State:    b.state(),
		// Of what could not be read yet it is not known either whether it has
		// replicas, or goes to every member.
		Held:     b.spec.SchedulingSuspended() || t.pods == nil && (b.sliced() || !t.retryAt.IsZero() && !b.spec.IsWorkload() && !b.gang(t)),
		Problem:  t.problem,
		Template: t.pods,
		Together: t.together,
	}
	out.Divided = b.spec.IsWorkload() || t.divided
	if b.gang(t) {
		out.Divided, out.Gang, out.Movable, out.Replicas = true, true, false, 1
	}
	if t.slices > 0 {
		out.Divided, out.Movable, out.Replicas = true, false, t.slices
	}
	for _, c := range b.spec.Clusters {
		out.Assigned[c.Name] += b.share(t, c)
	}
	last := b.status.LastScheduledTime
	if last != nil {
		out.LastScheduled = last.Time
	}
	if at := b.spec.RescheduleTriggeredAt; at != nil {
		out.Rebalance = last == nil || at.After(last.Time)
	}
	return out
}

// encode a state for the annotation; a zero state is empty.
func encode(s scheduler.State) (string, error) {
	if s.IsZero() {
		return "", nil
	}
	for _, t := range []**time.Time{&s.RoomSince, &s.GrownSince, &s.ExcessSince, &s.NotBefore, &s.SettlingSince} {
		if *t != nil {
			u := (*t).UTC()
			*t = &u
		}
	}
	raw, err := json.Marshal(s)
	if err != nil {
		return "", fmt.Errorf("cannot encode the state of a placement: %w", err)
	}
	return string(raw), nil
}

func withAnnotation(o client.Object, key, value string) {
	a := maps.Clone(o.GetAnnotations())
	if a == nil {
		a = map[string]string{}
	}
	if value == "" {
		delete(a, key)
	} else {
		a[key] = value
	}
	o.SetAnnotations(a)
}
