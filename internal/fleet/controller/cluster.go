package controller

import (
	"fmt"
	"slices"

	clusterv1alpha1 "github.com/karmada-io/karmada/pkg/apis/cluster/v1alpha1"
	policyv1alpha1 "github.com/karmada-io/karmada/pkg/apis/policy/v1alpha1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	fleetv1alpha1 "regionpool.io/provider-regionpool/apis/fleet/v1alpha1"
)

// A cluster is a Karmada Cluster, or a member of a plan that is none yet.
type cluster struct {
	clusterv1alpha1.Cluster
	exists bool
}

// absent is what a member of a pool will look like to a placement when it has
// joined.
func absent(name, pool string) *cluster {
	return &cluster{Cluster: clusterv1alpha1.Cluster{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{fleetv1alpha1.LabelPool: pool}}}}
}

func (c *cluster) ready() bool {
	return meta.IsStatusConditionTrue(c.Status.Conditions, clusterv1alpha1.ClusterConditionReady)
}

func (c *cluster) terminating() bool { return c.exists && c.DeletionTimestamp != nil }

func (c *cluster) draining() bool {
	return slices.ContainsFunc(c.Spec.Taints, func(t corev1.Taint) bool { return t.Key == fleetv1alpha1.TaintDraining })
}

// lacks reports whether the cluster is known not to serve an API.
func (c *cluster) lacks(apiVersion, kind string) bool {
	return c.exists && c.APIEnablement(schema.FromAPIVersionAndKind(apiVersion, kind)) == clusterv1alpha1.APIDisabled
}

// ownTaints say what a member's state says already.
var ownTaints = []string{fleetv1alpha1.TaintDraining, clusterv1alpha1.TaintClusterNotReady, clusterv1alpha1.TaintClusterUnreachable}

// untolerated returns a taint that a placement does not tolerate.
func (c *cluster) untolerated(p *policyv1alpha1.Placement) string {
	for i := range c.Spec.Taints {
		t := &c.Spec.Taints[i]
		if t.Effect == corev1.TaintEffectPreferNoSchedule || slices.Contains(ownTaints, t.Key) {
			continue
		}
		if p != nil && slices.ContainsFunc(p.ClusterTolerations, func(tol corev1.Toleration) bool { return tolerates(&tol, t) }) {
			continue
		}
		return fmt.Sprintf("%s:%s", t.Key, t.Effect)
	}
	return ""
}

// tolerates is the rule of Toleration.ToleratesTaint for the operators that a
// cluster toleration may have.
func tolerates(tol *corev1.Toleration, t *corev1.Taint) bool {
	if tol.Effect != "" && tol.Effect != t.Effect || tol.Key != "" && tol.Key != t.Key {
		return false
	}
	return tol.Operator == corev1.TolerationOpExists || tol.Key != "" && tol.Value == t.Value
}
