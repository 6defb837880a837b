package nodepool

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/crossplane/crossplane-runtime/v2/pkg/meta"
	xpv2 "github.com/crossplane/crossplane/apis/v2/core/v2"

	"regionpool.io/provider-regionpool/apis/v1alpha1"
	"regionpool.io/provider-regionpool/internal/clients/cloud"
	"regionpool.io/provider-regionpool/internal/controller/elastic"
)

// Reasons of shortages, in the status.
const (
	ShortOutOfStock = "OutOfStock"
	ShortQuota      = "Quota"
	ShortReclaimed  = "Reclaimed"
)

// Reasons of CapacityAvailable.
const (
	reasonFilled     xpv2.ConditionReason = "Filled"
	reasonOnItsWay   xpv2.ConditionReason = "OnItsWay"
	reasonOutOfStock xpv2.ConditionReason = "OutOfStock"
	reasonQuota      xpv2.ConditionReason = "QuotaExceeded"
	reasonReclaimed  xpv2.ConditionReason = "Reclaimed"
	reasonStalled    xpv2.ConditionReason = "Stalled"
	reasonFailed     xpv2.ConditionReason = "Failed"
)

// A lack of machines: why, in words, and what of it goes into the status.
type lack struct {
	reason  xpv2.ConditionReason
	message string
	short   *v1alpha1.Shortage
}

// key to sort by. What cannot be had comes before other failures.
func (l *lack) key() string {
	if l.short == nil {
		return "~" + l.message
	}
	return l.short.Reason + " " + l.short.InstanceType + " " + l.short.Zone
}

// lackOf machines that an error of the cloud tells of.
func (e *external) lackOf(cr elastic.NodePool, err error) *lack {
	l := &lack{reason: reasonFailed}
	sh := e.cloud.Shortage(err)
	switch cloud.ClassOf(err) {
	case cloud.OutOfStock:
		l.reason, sh.Reason = reasonOutOfStock, ShortOutOfStock
	case cloud.Quota:
		l.reason, sh.Reason = reasonQuota, ShortQuota
	default:
		sh.Reason = ""
	}
	l.message = e.where(cr, err.Error(), sh)
	if sh.Reason != "" {
		sh.Message = err.Error()
		l.short = &sh
	}
	return l
}

// where machines are missing: what the cloud named, or else what was asked for.
func (e *external) where(cr elastic.NodePool, msg string, sh v1alpha1.Shortage) string {
	if sh.InstanceType == "" {
		msg += "; instance types " + strings.Join(cr.GetInstanceTypes(), ", ")
	} else if !strings.Contains(msg, sh.InstanceType) {
		msg += "; instance type " + sh.InstanceType
	}
	if sh.Zone == "" {
		msg += "; " + e.cloud.Places()
	} else if !strings.Contains(msg, sh.Zone) {
		msg += "; zone " + sh.Zone
	}
	return msg
}

// account for the machines that were ordered: whether they come, what the cloud
// does not have, and what it will take back. That it does not have them is no
// error of the call that ordered them: the task fails, or an activity of the
// scaling group does, or nothing comes.
func (e *external) account(ctx context.Context, cr elastic.NodePool, s *State) {
	at := cr.GetObservation()
	missing := min(s.Desired, at.Wanted) - s.there()

	var lacks []lack
	if e.taskErr != nil && missing > 0 {
		lacks = append(lacks, *e.lackOf(cr, e.taskErr))
	}
	if missing > 0 && !meta.WasDeleted(cr) {
		// No answer is no news: the pool can be scaled without it.
		list, err := e.cloud.Shortages(ctx, s, e.since(cr))
		e.unheard = err
		for i := range list {
			l := lack{reason: reasonFailed, message: e.where(cr, list[i].Message, list[i])}
			switch list[i].Reason {
			case ShortOutOfStock:
				l.reason, l.short = reasonOutOfStock, &list[i]
			case ShortQuota:
				l.reason, l.short = reasonQuota, &list[i]
			}
			lacks = append(lacks, l)
		}
	}
	if !meta.WasDeleted(cr) {
		for _, name := range slices.Sorted(maps.Keys(e.noticed)) {
			sh := e.noticed[name]
			sh.Reason = ShortReclaimed
			lacks = append(lacks, lack{reason: reasonReclaimed, message: e.where(cr, sh.Message, sh), short: &sh})
		}
	}

	// The condition has the first, which should not be another one each time.
	slices.SortStableFunc(lacks, func(a, b lack) int { return strings.Compare(a.key(), b.key()) })

	if c := e.capacity(cr, s, lacks); c != nil {
		cr.SetConditions(*c)
	}
	refused := s.Desired < at.Wanted
	if missing <= 0 && len(lacks) == 0 && !refused {
		at.Shortages = nil
	}
	e.note(cr, lacks)
}

// since when machines have been waited for.
func (e *external) since(cr elastic.NodePool) time.Time {
	was := cr.GetCondition(v1alpha1.TypeCapacityAvailable)
	switch {
	case was.Status == corev1.ConditionFalse, was.Reason == reasonOnItsWay:
		return was.LastTransitionTime.Time
	case was.Reason == "" && !meta.GetExternalCreatePending(cr).IsZero():
		// A new pool comes with its nodes.
		return meta.GetExternalCreatePending(cr)
	default:
		return e.Clock.Now()
	}
}

// note shortages in the status, each with the time when it was first seen.
func (e *external) note(cr elastic.NodePool, lacks []lack) {
	at := cr.GetObservation()
	for _, l := range lacks {
		if l.short == nil {
			continue
		}
		i := slices.IndexFunc(at.Shortages, func(o v1alpha1.Shortage) bool {
			return o.InstanceType == l.short.InstanceType && o.Zone == l.short.Zone && o.Reason == l.short.Reason
		})
		if i >= 0 {
			at.Shortages[i].Message = l.short.Message
			continue
		}
		sh := *l.short
		sh.Since = metav1.NewTime(e.Clock.Now().Truncate(time.Second))
		at.Shortages = append(at.Shortages, sh)
	}
}

// refused calls tell of a shortage as well.
func (e *external) refused(cr elastic.NodePool, err error) {
	if !cloud.Is(err, cloud.Quota, cloud.OutOfStock) || e.cloud == nil {
		return
	}
	l := e.lackOf(cr, err)
	cr.SetConditions(xpv2.Condition{
		Type: v1alpha1.TypeCapacityAvailable, Status: corev1.ConditionFalse, LastTransitionTime: metav1.NewTime(e.Clock.Now()),
		Reason: l.reason, Message: l.message,
	})
	e.note(cr, []lack{*l})
}

// onItsWay says that machines were ordered. A shortage that is known is not
// over by that.
func onItsWay(cr elastic.NodePool, at time.Time) {
	was := cr.GetCondition(v1alpha1.TypeCapacityAvailable)
	if was.Status == corev1.ConditionFalse || was.Reason == reasonOnItsWay {
		return
	}
	cr.SetConditions(xpv2.Condition{
		Type: v1alpha1.TypeCapacityAvailable, Status: corev1.ConditionUnknown, LastTransitionTime: metav1.NewTime(at), Reason: reasonOnItsWay,
	})
}

// capacity tells whether the cloud has the machines that were ordered, or
// nothing if that has not changed.
func (e *external) capacity(cr elastic.NodePool, s *State, lacks []lack) *xpv2.Condition {
	at, now := cr.GetObservation(), e.Clock.Now()
	was := cr.GetCondition(v1alpha1.TypeCapacityAvailable)
	missing := min(s.Desired, at.Wanted) - s.there()
	cond := func(s corev1.ConditionStatus, r xpv2.ConditionReason, msg string, at time.Time) *xpv2.Condition {
		return &xpv2.Condition{Type: v1alpha1.TypeCapacityAvailable, Status: s, LastTransitionTime: metav1.NewTime(at), Reason: r, Message: msg}
	}
	switch {
	case len(lacks) > 0:
		return cond(corev1.ConditionFalse, lacks[0].reason, lacks[0].message, now)
	case missing <= 0 && was.Status == corev1.ConditionFalse && s.Desired < at.Wanted:
		// The order itself was refused: nothing is on its way, nor is enough there.
		return nil
	case missing <= 0:
		if was.Status == corev1.ConditionTrue || (s.Desired == 0 && was.Reason == "") {
			return nil
		}
		return cond(corev1.ConditionTrue, reasonFilled, "", now)
	case was.Status == corev1.ConditionFalse:
		return nil
	case was.Reason != reasonOnItsWay:
		// The time of this change is when the waiting began.
		return cond(corev1.ConditionUnknown, reasonOnItsWay, "", e.since(cr))
	case now.Sub(was.LastTransitionTime.Time) > e.Patience && at.Operation == nil:
		msg := "machines were ordered and do not come"
		if e.unheard != nil {
			msg += ", and the scaling group cannot be asked why: " + e.unheard.Error()
		}
		return cond(corev1.ConditionFalse, reasonStalled, e.where(cr, msg, v1alpha1.Shortage{}), now)
	default:
		return nil
	}
}
