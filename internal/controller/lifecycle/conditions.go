package lifecycle

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	xpv2 "github.com/crossplane/crossplane/apis/v2/core/v2"
)

// TypeDeletionBlocked is the condition that is True while a resource that is
// being deleted waits. Its message says for what. Ready says only that it is
// being deleted.
const TypeDeletionBlocked xpv2.ConditionType = "DeletionBlocked"

// Reasons of DeletionBlocked.
const (
	// ReasonWaiting for other resources that must go first.
	ReasonWaiting xpv2.ConditionReason = "Waiting"
	// ReasonBlocked by something that does not go away by itself.
	ReasonBlocked xpv2.ConditionReason = "Blocked"
	// ReasonNoAnswer of an API server that has to be asked first. The time of
	// the condition is since when.
	ReasonNoAnswer xpv2.ConditionReason = "NoAnswer"
	// ReasonRemains of a thing that is gone itself. The time of the condition is
	// since when.
	ReasonRemains xpv2.ConditionReason = "Remains"
	// ReasonHandover of the replicas on the nodes of a pool to nodes elsewhere.
	ReasonHandover xpv2.ConditionReason = "Handover"
	// ReasonGoesOn means that it waits no longer.
	ReasonGoesOn xpv2.ConditionReason = "GoesOn"
)

// DeletionBlocked says why a deletion waits.
func DeletionBlocked(reason xpv2.ConditionReason, message string) xpv2.Condition {
	return xpv2.Condition{Type: TypeDeletionBlocked, Status: corev1.ConditionTrue, LastTransitionTime: metav1.Now(), Reason: reason, Message: message}
}

// DeletionGoesOn says that the cloud is at work.
func DeletionGoesOn(message string) xpv2.Condition {
	return xpv2.Condition{Type: TypeDeletionBlocked, Status: corev1.ConditionFalse, LastTransitionTime: metav1.Now(), Reason: ReasonGoesOn, Message: message}
}

// NotReady says why a resource is not ready.
func NotReady(reason xpv2.ConditionReason, message string) xpv2.Condition {
	return xpv2.Condition{Type: xpv2.TypeReady, Status: corev1.ConditionFalse, LastTransitionTime: metav1.Now(), Reason: reason, Message: message}
}
