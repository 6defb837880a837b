package elastic

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/crossplane/crossplane-runtime/v2/pkg/errors"
	"github.com/crossplane/crossplane-runtime/v2/pkg/event"
	"github.com/crossplane/crossplane-runtime/v2/pkg/meta"
	"github.com/crossplane/crossplane-runtime/v2/pkg/resource"

	fleetv1alpha1 "regionpool.io/provider-regionpool/apis/fleet/v1alpha1"
	"regionpool.io/provider-regionpool/internal/controller/lifecycle"
)

// DefaultDrainTimeout of a pool without one.
const DefaultDrainTimeout = 15 * time.Minute

// siblingsGrace is how long a pool waits before it believes that it goes alone.
// The resources of a claim are deleted one after the other, in any order. Pods
// must not be evicted before their replicas have moved to other members.
const siblingsGrace = 5 * time.Second

// MembersFirst reports whether the deletion of a pool has to wait until its
// cluster has left the federation, and says so in the condition; and, if not,
// whether the cluster stays in it. The cluster is nil if it is gone.
func (b *Base) MembersFirst(ctx context.Context, cr resource.Managed, kind schema.GroupVersionKind, name string, cl Cluster) (wait, stays bool, err error) {
	var goes *metav1.Time
	if cl != nil {
		goes = cl.GetDeletionTimestamp()
	}
	members, err := Members(ctx, b.Host, kind, cr.GetNamespace(), name, goes)
	if err != nil {
		return true, false, err
	}
	var holding []string
	for i := range members {
		// If the cluster stays its Members do too, and only the pool goes.
		if cl == nil || meta.WasDeleted(cl) || meta.WasDeleted(&members[i]) {
			holding = append(holding, members[i].GetName())
		}
	}
	switch {
	case len(holding) > 0:
		cr.SetConditions(lifecycle.DeletionBlocked(lifecycle.ReasonWaiting, "Waiting until Member "+Names(holding)+" has left the federation"))
		return true, false, nil
	case len(members) > 0 && b.Clock.Since(cr.GetDeletionTimestamp().Time) < siblingsGrace:
		cr.SetConditions(lifecycle.DeletionBlocked(lifecycle.ReasonWaiting, "Waiting a moment, as the Cluster may be deleted as well"))
		return true, false, nil
	}
	return false, len(members) > 0 && !meta.WasDeleted(cl), nil
}

// A Handover of the replicas on the nodes of a pool that goes while its cluster
// stays in the federation: fleet gives them a place elsewhere, and takes away
// those here when the others are Ready. The zero value hands nothing over.
type Handover struct {
	// until when it is waited for.
	until time.Time
	over  bool
	// nodes that replicas still run on.
	nodes []string
}

// HandOver starts or continues the handover of a pool that is being deleted, if
// its cluster stays. Its time runs from begun on, when fleet could see which nodes
// go: zero if it cannot yet. When the time has just ended an event says so.
func (b *Base) HandOver(cr resource.Managed, stays bool, begun time.Time, timeout time.Duration) Handover {
	if !stays {
		return Handover{}
	}
	now := b.Clock.Now()
	if begun.IsZero() {
		begun = now
	}
	h := Handover{until: begun.Add(timeout)}
	h.over = now.After(h.until)
	if was := cr.GetCondition(lifecycle.TypeDeletionBlocked); h.over && was.Reason == lifecycle.ReasonHandover {
		b.Record.Event(cr, event.Warning("HandoverEnded", errors.Errorf("replicas have found no place elsewhere within %s and are evicted", timeout)))
	}
	return h
}

// Taint is the value of the taint of the nodes that go, by which fleet knows
// them.
func (h *Handover) Taint() string {
	if h.until.IsZero() {
		return ""
	}
	return fleetv1alpha1.ReleasingPool
}

// Keep reports whether a pod is not evicted yet. Of a ReplicaSet fleet can choose
// which pods go; those of other controllers are replaced only when they are gone.
func (h *Handover) Keep(p *corev1.Pod) bool {
	ref := metav1.GetControllerOfNoCopy(p)
	return !h.until.IsZero() && !h.over && ref != nil && ref.Kind == "ReplicaSet"
}

// Kept notes that pods were kept on a node.
func (h *Handover) Kept(node string) { h.nodes = append(h.nodes, node) }

// Waits reports whether pods were kept, and says so in the condition.
func (h *Handover) Waits(cr resource.Managed) bool {
	if len(h.nodes) == 0 {
		return false
	}
	cr.SetConditions(lifecycle.DeletionBlocked(lifecycle.ReasonHandover, fmt.Sprintf("Waiting until the replicas on %s run elsewhere; those that are left at %s are evicted", Names(h.nodes), h.until.UTC().Format(time.RFC3339))))
	return true
}
