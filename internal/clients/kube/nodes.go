package kube

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	kerrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	"github.com/crossplane/crossplane-runtime/v2/pkg/errors"
)

// IsReady reports whether the kubelet of a node is fine.
func IsReady(n *corev1.Node) bool {
	for _, c := range n.Status.Conditions {
		if c.Type == corev1.NodeReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

// Condition of a node that is True, as a text, or nothing.
func Condition(n *corev1.Node, t corev1.NodeConditionType) string {
	for _, c := range n.Status.Conditions {
		if c.Type == t && c.Status == corev1.ConditionTrue {
			return cmp.Or(c.Message, c.Reason, string(t))
		}
	}
	return ""
}

// IsVirtual reports whether a node is no machine: pods on it are billed one by
// one. It knows ACK's virtual nodes and TKE's super nodes.
func IsVirtual(n *corev1.Node) bool {
	return n.Labels["type"] == "virtual-kubelet" || n.Labels[corev1.LabelInstanceTypeStable] == "eklet"
}

// InstanceID of a node, from a provider id such as "cn-shanghai.i-1". It is
// empty if the node has none yet.
func InstanceID(n *corev1.Node) string {
	id := n.Spec.ProviderID
	if i := strings.LastIndexAny(id, "./"); i >= 0 {
		id = id[i+1:]
	}
	return id
}

// Nodes of a cluster by label. An empty selector selects all.
func Nodes(ctx context.Context, k kubernetes.Interface, selector string) ([]corev1.Node, error) {
	// Served from the watch cache of the API server.
	l, err := k.CoreV1().Nodes().List(ctx, metav1.ListOptions{LabelSelector: selector, ResourceVersion: "0"})
	if err != nil {
		return nil, errors.Wrap(err, "cannot list nodes")
	}
	return l.Items, nil
}

// Pods on a node that keep it from being empty: not those of DaemonSets, not
// static ones, not finished ones.
func Pods(ctx context.Context, k kubernetes.Interface, node string) ([]corev1.Pod, error) {
	l, err := k.CoreV1().Pods("").List(ctx, metav1.ListOptions{FieldSelector: fields.OneTermEqualSelector("spec.nodeName", node).String()})
	if err != nil {
		return nil, errors.Wrapf(err, "cannot list the pods of node %q", node)
	}
	return slices.DeleteFunc(l.Items, func(p corev1.Pod) bool {
		if p.Spec.NodeName != node || p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed {
			return true
		}
		if _, static := p.Annotations[corev1.MirrorPodAnnotationKey]; static {
			return true
		}
		owner := metav1.GetControllerOf(&p)
		return owner != nil && owner.Kind == "DaemonSet"
	}), nil
}

// Cordon a node and say why by a taint of this key and value. A node that is gone
// is no error.
func Cordon(ctx context.Context, k kubernetes.Interface, node *corev1.Node, taint, value string) error {
	why := corev1.Taint{Key: taint, Value: value, Effect: corev1.TaintEffectNoSchedule}
	if node.Spec.Unschedulable && slices.ContainsFunc(node.Spec.Taints, func(t corev1.Taint) bool { return t.Key == taint && t.Value == value }) {
		return nil
	}
	taints := slices.DeleteFunc(slices.Clone(node.Spec.Taints), func(t corev1.Taint) bool { return t.Key == taint })
	return patchScheduling(ctx, k, node, true, append(taints, why))
}

// Uncordon a node that was cordoned with the taint of this key. Others are left
// alone: somebody else has cordoned them.
func Uncordon(ctx context.Context, k kubernetes.Interface, node *corev1.Node, taint string) error {
	taints := slices.DeleteFunc(slices.Clone(node.Spec.Taints), func(t corev1.Taint) bool { return t.Key == taint })
	if len(taints) == len(node.Spec.Taints) {
		return nil
	}
	return patchScheduling(ctx, k, node, false, taints)
}

func patchScheduling(ctx context.Context, k kubernetes.Interface, node *corev1.Node, unschedulable bool, taints []corev1.Taint) error {
	// The version guards the list of taints against other writers.
	b, err := json.Marshal(map[string]any{
		"metadata": map[string]any{"resourceVersion": node.ResourceVersion},
		"spec":     map[string]any{"unschedulable": unschedulable, "taints": taints},
	})
	if err != nil {
		return err
	}
	_, err = k.CoreV1().Nodes().Patch(ctx, node.Name, types.MergePatchType, b, metav1.PatchOptions{})
	if kerrors.IsNotFound(err) {
		return nil
	}
	return errors.Wrapf(err, "cannot cordon or uncordon node %q", node.Name)
}

// A Drain is the outcome of one pass over the pods of a node.
type Drain struct {
	// Left are the pods that are still there, users' pods and pods of
	// kube-system.
	Left, SystemLeft int
	// Kept of Left are those that were to be kept.
	Kept int
	// BlockedBy says which pods may not be evicted now, and why.
	BlockedBy string
}

// maxNamed bounds the number of pods that a text names.
const maxNamed = 3

// Evict the pods of a node through the eviction API, so that budgets hold. It
// does not wait: call it again until nothing is left. On a node that is not
// ready nobody is there to end an evicted pod: it counts as gone when its time
// is over. Users' pods to keep are not evicted, unless their node is not ready.
func Evict(ctx context.Context, k kubernetes.Interface, node string, ready bool, now time.Time, keep func(*corev1.Pod) bool) (Drain, error) {
	pods, err := Pods(ctx, k, node)
	if err != nil {
		return Drain{}, err
	}
	slices.SortFunc(pods, func(a, b corev1.Pod) int {
		return strings.Compare(a.Namespace+"/"+a.Name, b.Namespace+"/"+b.Name)
	})

	d := Drain{}
	var blocked []string
	for i := range pods {
		p := &pods[i]
		if !ready && p.DeletionTimestamp != nil && now.After(p.DeletionTimestamp.Time) {
			continue
		}
		system := p.Namespace == metav1.NamespaceSystem
		if system {
			d.SystemLeft++
		} else {
			d.Left++
		}
		if p.DeletionTimestamp != nil {
			continue
		}
		if !system && ready && keep(p) {
			d.Kept++
			continue
		}
		err := k.PolicyV1().Evictions(p.Namespace).Evict(ctx, &policyv1.Eviction{
			ObjectMeta:    metav1.ObjectMeta{Namespace: p.Namespace, Name: p.Name},
			DeleteOptions: &metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &p.UID}},
		})
		switch {
		case err == nil, kerrors.IsNotFound(err), kerrors.IsConflict(err):
		case kerrors.IsTooManyRequests(err):
			blocked = append(blocked, fmt.Sprintf("%s/%s%s", p.Namespace, p.Name, budget(err)))
		default:
			return d, errors.Wrapf(err, "cannot evict pod %s/%s", p.Namespace, p.Name)
		}
	}
	if n := len(blocked); n > maxNamed {
		blocked = append(blocked[:maxNamed], fmt.Sprintf("and %d more", n-maxNamed))
	}
	if len(blocked) > 0 {
		d.BlockedBy = "pods protected by a PodDisruptionBudget: " + strings.Join(blocked, ", ")
	}
	return d, nil
}

// budget that forbids an eviction, if the API server names it.
func budget(err error) string {
	var s kerrors.APIStatus
	if !errors.As(err, &s) || s.Status().Details == nil {
		return ""
	}
	for _, c := range s.Status().Details.Causes {
		if c.Type != policyv1.DisruptionBudgetCause {
			continue
		}
		// "The disruption budget NAME needs N healthy pods and has M currently"
		words := strings.Fields(c.Message)
		if len(words) > 3 && words[2] == "budget" {
			return fmt.Sprintf(" (%s)", words[3])
		}
	}
	return ""
}
