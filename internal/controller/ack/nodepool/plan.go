package nodepool

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	kerrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/crossplane/crossplane-runtime/v2/pkg/errors"
	xpv2 "github.com/crossplane/crossplane/apis/v2/core/v2"

	"regionpool.io/provider-regionpool/apis/ack/v1alpha1"
	federationv1alpha1 "regionpool.io/provider-regionpool/apis/federation/v1alpha1"
	"regionpool.io/provider-regionpool/internal/clients/ack"
	"regionpool.io/provider-regionpool/internal/clients/cloud"
	ackcontroller "regionpool.io/provider-regionpool/internal/controller/ack"
)

// A wish for nodes.
type wish struct {
	nodes int32
	// release names the nodes to give back first.
	release []string
}

// wanted nodes. A plan that says nothing about the pool is no reason to change
// it: have is the number to stay at.
func wanted(ctx context.Context, c client.Reader, cr *v1alpha1.NodePool, have int32) (wish, error) {
	p := cr.Spec.ForProvider
	if p.Size != nil {
		return wish{nodes: clamp(*p.Size, p)}, nil
	}
	stay := wish{nodes: clamp(have, p)}
	if p.SizeFrom == nil {
		return stay, nil
	}
	plan := &federationv1alpha1.CapacityPlan{}
	err := c.Get(ctx, types.NamespacedName{Namespace: cr.GetNamespace(), Name: p.SizeFrom.CapacityPlanRef.Name}, plan)
	if kerrors.IsNotFound(err) {
		return stay, nil
	}
	if err != nil {
		return stay, errors.Wrapf(err, "cannot get CapacityPlan %q", p.SizeFrom.CapacityPlanRef.Name)
	}
	for _, o := range plan.Status.AtProvider.Offerings {
		if o.Name == p.SizeFrom.Offering {
			return wish{nodes: clamp(o.Nodes, p), release: o.Release}, nil
		}
	}
	return stay, nil
}

func clamp(n int32, p v1alpha1.NodePoolParameters) int32 {
	return min(max(n, p.Min), p.Max)
}

// A step towards what is wanted. There is one call to the cloud in each.
type step string

const (
	stepNone step = ""
	// stepConfigure changes anything but the number of nodes.
	stepConfigure step = "configure"
	// stepGrow orders all missing nodes in one call.
	stepGrow step = "grow"
	// stepLower takes back an order for nodes that never came.
	stepLower step = "lower"
	// stepShrink drains nodes and gives them back.
	stepShrink step = "shrink"
)

// A decision of what to do about a pool, and the size to call for.
type decision struct {
	step step
	size int32
	// excess nodes, when shrinking.
	excess int32
}

// decide the next step. Busy says that a task of ours is running.
func decide(np *ack.NodePool, n int32, busy, configure bool) decision {
	switch np.State {
	case ack.NodePoolActive:
	case ack.NodePoolScaling:
		// Demand that rises while nodes are on their way is ordered at once. A
		// refusal because of the state costs one call.
		if n > np.DesiredSize {
			return decision{step: stepGrow, size: n}
		}
		return decision{}
	default:
		return decision{}
	}
	if busy {
		if n > np.DesiredSize {
			return decision{step: stepGrow, size: n}
		}
		return decision{}
	}

	there := np.Total - np.Removing
	switch {
	case configure:
		return decision{step: stepConfigure}
	case n > np.DesiredSize:
		return decision{step: stepGrow, size: n}
	case n == np.DesiredSize:
		// Fewer nodes than that are the cloud's to bring, more its to take.
		return decision{}
	case there < np.DesiredSize:
		// Not below what is there: the cloud would choose what to remove, and
		// remove it without a drain.
		return decision{step: stepLower, size: max(n, there)}
	default:
		return decision{step: stepShrink, excess: there - n}
	}
}

// difference between the wanted configuration and what is. Nil if there is none.
func difference(cr *v1alpha1.NodePool, np *ack.NodePool) *ack.NodePoolChange {
	p := cr.Spec.ForProvider
	c, changed := &ack.NodePoolChange{}, false
	if !slices.Equal(p.InstanceTypes, np.InstanceTypes) {
		c.InstanceTypes, changed = p.InstanceTypes, true
	}
	if len(p.VSwitchIDs) > 0 && !sameSet(p.VSwitchIDs, np.VSwitchIDs) {
		c.VSwitchIDs, changed = p.VSwitchIDs, true
	}
	if p.MultiAZPolicy != "" && np.MultiAZPolicy != "" && p.MultiAZPolicy != np.MultiAZPolicy {
		c.MultiAZPolicy, changed = &p.MultiAZPolicy, true
	}
	if d := p.SystemDisk; d != nil {
		if d.Category != "" && np.DiskCategory != "" && d.Category != np.DiskCategory {
			c.DiskCategory, changed = &d.Category, true
		}
		if d.SizeGiB != 0 && np.DiskSizeGiB != 0 && d.SizeGiB != np.DiskSizeGiB {
			c.DiskSizeGiB, changed = &d.SizeGiB, true
		}
	}
	// ACK may add labels and tags of its own.
	if !contains(np.Labels, p.Labels) {
		c.Labels, changed = p.Labels, true
	}
	if tags := ackcontroller.Tags(cr, p.Tags); !contains(np.Tags, tags) {
		c.Tags, changed = tags, true
	}
	if !sameTaints(p.Taints, np.Taints) {
		c.Taints, changed = p.Taints, true
		if c.Taints == nil {
			c.Taints = []corev1.Taint{}
		}
	}
	if !changed {
		return nil
	}
	return c
}

func sameSet(a, b []string) bool {
	return slices.Equal(slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b)))
}

func contains(have, want map[string]string) bool {
	for k, v := range want {
		if w, ok := have[k]; !ok || w != v {
			return false
		}
	}
	return true
}

func sameTaints(a, b []corev1.Taint) bool {
	text := func(ts []corev1.Taint) []string {
		all := make([]string, 0, len(ts))
		for _, t := range ts {
			all = append(all, fmt.Sprintf("%s=%s:%s", t.Key, t.Value, t.Effect))
		}
		return all
	}
	return sameSet(text(a), text(b))
}

// Reasons of CapacityAvailable.
const (
	reasonFilled     xpv2.ConditionReason = "Filled"
	reasonOnItsWay   xpv2.ConditionReason = "OnItsWay"
	reasonOutOfStock xpv2.ConditionReason = "OutOfStock"
	reasonQuota      xpv2.ConditionReason = "QuotaExceeded"
	reasonStalled    xpv2.ConditionReason = "Stalled"
	reasonFailed     xpv2.ConditionReason = "Failed"
)

// capacity tells whether the cloud has the machines that were ordered. That it
// has not is no error of the call that ordered them: the task fails, or nothing
// comes. ACK goes on trying.
func capacity(cr *v1alpha1.NodePool, np *ack.NodePool, failed error, now time.Time, patience time.Duration) *xpv2.Condition {
	was := cr.GetCondition(v1alpha1.TypeCapacityAvailable)
	missing := min(np.DesiredSize, cr.Status.AtProvider.Wanted) - (np.Total - np.Removing)
	cond := func(s corev1.ConditionStatus, r xpv2.ConditionReason, msg string) *xpv2.Condition {
		return &xpv2.Condition{Type: v1alpha1.TypeCapacityAvailable, Status: s, LastTransitionTime: metav1.NewTime(now), Reason: r, Message: msg}
	}
	switch {
	case missing <= 0 && was.Status == corev1.ConditionFalse && np.DesiredSize < cr.Status.AtProvider.Wanted:
		// The order itself was refused: nothing is on its way, nor is enough there.
		return nil
	case missing <= 0:
		if was.Status == corev1.ConditionTrue || (np.DesiredSize == 0 && was.Reason == "") {
			return nil
		}
		return cond(corev1.ConditionTrue, reasonFilled, "")
	case failed != nil:
		return cond(corev1.ConditionFalse, reasonOf(failed), where(cr, failed.Error()))
	case was.Status == corev1.ConditionFalse:
		return nil
	case was.Reason != reasonOnItsWay:
		// The time of this change is when the waiting began.
		return cond(corev1.ConditionUnknown, reasonOnItsWay, "")
	case now.Sub(was.LastTransitionTime.Time) > patience && cr.Status.AtProvider.Operation == nil:
		return cond(corev1.ConditionFalse, reasonStalled, where(cr, "machines were ordered and do not come"))
	default:
		return nil
	}
}

func reasonOf(err error) xpv2.ConditionReason {
	switch cloud.ClassOf(err) {
	case cloud.OutOfStock:
		return reasonOutOfStock
	case cloud.Quota:
		return reasonQuota
	default:
		return reasonFailed
	}
}

var (
	instanceType = regexp.MustCompile(`\becs\.[a-z0-9-]+\.[a-z0-9]+\b`)
	zone         = regexp.MustCompile(`\b[a-z]{2}-[a-z]+(-\d+)?-[a-z]\b`)
)

// where machines are missing: what the cloud named, or else what was asked for.
func where(cr *v1alpha1.NodePool, msg string) string {
	if !instanceType.MatchString(msg) {
		msg += "; instance types " + strings.Join(cr.Spec.ForProvider.InstanceTypes, ", ")
	}
	if !zone.MatchString(msg) {
		if vs := cr.Spec.ForProvider.VSwitchIDs; len(vs) > 0 {
			msg += "; vSwitches " + strings.Join(vs, ", ")
		} else {
			msg += "; vSwitches of the cluster"
		}
	}
	return msg
}
