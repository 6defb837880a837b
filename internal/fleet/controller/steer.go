package controller

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/utils/clock"

	"regionpool.io/provider-regionpool/internal/fleet/scheduler"
	"regionpool.io/provider-regionpool/internal/snapshot"
)

// steerAgain is how soon a pod that still has no deletion cost gets it again.
const steerAgain = 10 * time.Second

// taintVirtual is put on virtual nodes. The affinity by which pods prefer real
// ones is not enough: an empty, huge node often wins by what it has free and by
// the spreading over nodes. With this taint they lose 300 of the 1,100 points
// that kube-scheduler's default plugins give at most, beside the 200 for the
// affinity.
var taintVirtual = corev1.Taint{Key: "regionpool.io/virtual", Effect: corev1.TaintEffectPreferNoSchedule}

// A steerer gives pods on virtual nodes, and on nodes that leave, the deletion
// cost by which their ReplicaSet deletes them before others, and virtual nodes
// the taint by which they are the last choice. It writes beside the rounds, which do not wait for
// members.
type steerer struct {
	clock clock.PassiveClock
	log   logr.Logger
	slots chan struct{}

	mu sync.Mutex
	// tried has when a pod was written last.
	tried map[types.UID]time.Time
}

func newSteerer(c clock.PassiveClock, l logr.Logger) *steerer {
	return &steerer{clock: c, log: l, slots: make(chan struct{}, 32), tried: map[types.UID]time.Time{}}
}

// steer gives the pods of the supplied workloads on virtual nodes of a member,
// and on those that leave, their deletion cost. One that its author chose stays.
func (s *steerer) steer(ctx context.Context, c kubernetes.Interface, snap *snapshot.Snapshot, vs []scheduler.Virtual, ours func() map[snapshot.WorkloadKey]bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.clock.Now()
	for _, ni := range snap.Nodes() {
		n := ni.Node()
		virtual := scheduler.OfferingOf(n, vs) != ""
		if !virtual && !scheduler.Leaves(n) {
			continue
		}
		if virtual && !isTainted(n) {
			s.once(ctx, types.UID("node/"+n.Name), now, func(ctx context.Context) error { return setTaint(ctx, c, n.Name) })
		}
		for _, pi := range ni.GetPods() {
			p := pi.GetPod()
			k, ok := snapshot.WorkloadOf(p)
			if _, has := p.Annotations[corev1.PodDeletionCost]; has || !ok || !ours()[k] || p.DeletionTimestamp != nil {
				continue
			}
			s.once(ctx, p.UID, now, func(ctx context.Context) error { return setDeletionCost(ctx, c, p) })
		}
	}
	maps.DeleteFunc(s.tried, func(_ types.UID, at time.Time) bool { return now.Sub(at) > 2*steerAgain })
}

// once starts to write an object, unless that was tried a moment ago.
func (s *steerer) once(ctx context.Context, id types.UID, now time.Time, fn func(context.Context) error) {
	if at, ok := s.tried[id]; ok && now.Sub(at) < steerAgain {
		return
	}
	s.tried[id] = now
	go func() {
		select {
		case s.slots <- struct{}{}:
		case <-ctx.Done():
			return
		}
		defer func() { <-s.slots }()
		wctx, cancel := context.WithTimeout(ctx, readTimeout)
		defer cancel()
		if err := fn(wctx); err != nil && ctx.Err() == nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
			s.log.Info("Cannot steer pods to real nodes", "reason", err.Error())
		}
	}()
}

func isTainted(n *corev1.Node) bool {
	return slices.ContainsFunc(n.Spec.Taints, func(t corev1.Taint) bool { return t.Key == taintVirtual.Key })
}

// setTaint puts the taint on a node.
func setTaint(ctx context.Context, c kubernetes.Interface, name string) error {
	n, err := c.CoreV1().Nodes().Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return fmt.Errorf("cannot get node %s: %w", name, err)
	}
	if isTainted(n) {
		return nil
	}
	n.Spec.Taints = append(n.Spec.Taints, taintVirtual)
	if _, err := c.CoreV1().Nodes().Update(ctx, n, metav1.UpdateOptions{FieldManager: FieldOwner}); err != nil {
		return fmt.Errorf("cannot taint node %s: %w", name, err)
	}
	return nil
}

// setDeletionCost writes the annotation of a pod, unless it is another by now.
func setDeletionCost(ctx context.Context, c kubernetes.Interface, p *corev1.Pod) error {
	raw, err := json.Marshal(map[string]any{"metadata": map[string]any{
		"uid": p.UID, "annotations": map[string]string{corev1.PodDeletionCost: scheduler.DeletionCost},
	}})
	if err != nil {
		return fmt.Errorf("cannot encode a patch: %w", err)
	}
	if _, err := c.CoreV1().Pods(p.Namespace).Patch(ctx, p.Name, types.MergePatchType, raw, metav1.PatchOptions{FieldManager: FieldOwner}); err != nil {
		return fmt.Errorf("cannot set the deletion cost of pod %s/%s: %w", p.Namespace, p.Name, err)
	}
	return nil
}

// steer looks at all members that are rented: only these have virtual nodes, and
// nodes that leave.
func (f *Fleet) steer(ctx context.Context, v *view) {
	vs := map[string][]scheduler.Virtual{}
	for i := range v.input.Pools {
		p := &v.input.Pools[i]
		of := byMember(p.Virtual)
		for _, m := range p.Members {
			if m.Elastic {
				vs[m.Name] = append(vs[m.Name], of[m.Name]...)
			}
		}
	}
	ours := sync.OnceValue(func() map[snapshot.WorkloadKey]bool {
		out := map[snapshot.WorkloadKey]bool{}
		for i := range v.input.Bindings {
			b := &v.input.Bindings[i]
			if k := b.Workload; k.Kind == "Deployment" || k.Kind == "ReplicaSet" {
				out[k] = true
			}
		}
		return out
	})
	for name, of := range vs {
		if live := f.members.byName[name]; live != nil && live.Contact().Reachable {
			f.steerer.steer(ctx, live.Client(), live.Snapshot(), of, ours)
		}
	}
}
