package member

import (
	"encoding/json"
	"maps"
	"slices"

	clusterv1alpha1 "github.com/karmada-io/karmada/pkg/apis/cluster/v1alpha1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"

	"github.com/crossplane/crossplane-runtime/v2/pkg/errors"
	xpmeta "github.com/crossplane/crossplane-runtime/v2/pkg/meta"

	"regionpool.io/provider-regionpool/apis/federation/v1alpha1"
	fleetv1alpha1 "regionpool.io/provider-regionpool/apis/fleet/v1alpha1"
	"regionpool.io/provider-regionpool/internal/clients/karmada"
)

const (
	// labelTier of a Karmada Cluster: SelfBuilt or Elastic.
	labelTier = "regionpool.io/tier"

	// annotationAccess is a digest of the kubeconfig the credentials were made
	// with. When it differs they are made again.
	annotationAccess = "regionpool.io/kubeconfig-digest"

	// annotationApplied remembers which labels and taints we set, so that those
	// of others stay and ours can go. The aggregated API has no server-side
	// apply for single taints: the list is atomic.
	annotationApplied = "regionpool.io/applied"
)

// taintRetaining keeps schedulers from placing anything new on a member that
// leaves with its replicas. It is not TaintDraining, which would make fleet
// move them away.
const taintRetaining = "federation.regionpool.io/retaining"

type applied struct {
	Labels []string       `json:"labels,omitempty"`
	Taints []corev1.Taint `json:"taints,omitempty"`
	// SchedulerConfiguration says that the annotation of that name is ours.
	SchedulerConfiguration bool `json:"schedulerConfiguration,omitempty"`
}

func secretName(id string) string { return "member-" + id }

func impersonatorName(id string) string { return "member-" + id + "-impersonator" }

func managedBy(mg *v1alpha1.Member) string { return mg.GetNamespace() + "/" + mg.GetName() }

// owner of a Karmada Cluster: the UID of the Member that joined it.
func owner(cl *clusterv1alpha1.Cluster) string {
	return cl.GetAnnotations()[karmada.AnnotationMemberUID]
}

func desiredLabels(mg *v1alpha1.Member) map[string]string {
	p := mg.Spec.ForProvider
	out := maps.Clone(p.Labels)
	if out == nil {
		out = map[string]string{}
	}
	if p.Pool != "" {
		out[fleetv1alpha1.LabelPool] = p.Pool
	}
	if p.Tier != "" {
		out[labelTier] = string(p.Tier)
	}
	return out
}

// merge brings a Karmada Cluster to what the Member says, and leaves alone what
// others, such as Karmada itself, have set.
func merge(cl *clusterv1alpha1.Cluster, mg *v1alpha1.Member) error {
	p := mg.Spec.ForProvider
	var was applied
	if s := cl.GetAnnotations()[annotationApplied]; s != "" {
		// What cannot be read counts as empty: then nothing is removed.
		_ = json.Unmarshal([]byte(s), &was)
	}
	labels := desiredLabels(mg)
	is := applied{Labels: slices.Sorted(maps.Keys(labels))}
	for _, k := range was.Labels {
		if _, ok := labels[k]; !ok {
			delete(cl.Labels, k)
		}
	}
	xpmeta.AddLabels(cl, labels)

	for _, t := range p.Taints {
		t.TimeAdded = nil
		is.Taints = append(is.Taints, t)
	}
	for _, t := range was.Taints {
		if !slices.ContainsFunc(is.Taints, func(o corev1.Taint) bool { return o.MatchTaint(&t) }) {
			cl.Spec.Taints = slices.DeleteFunc(cl.Spec.Taints, func(o corev1.Taint) bool { return o.MatchTaint(&t) })
		}
	}
	for _, t := range is.Taints {
		i := slices.IndexFunc(cl.Spec.Taints, func(o corev1.Taint) bool { return o.MatchTaint(&t) })
		if i < 0 {
			cl.Spec.Taints = append(cl.Spec.Taints, t)
			continue
		}
		cl.Spec.Taints[i].Value = t.Value
	}

	is.SchedulerConfiguration = p.SchedulerConfiguration != ""
	if is.SchedulerConfiguration {
		if err := checkScheduling(p.SchedulerConfiguration); err != nil {
			return err
		}
		xpmeta.AddAnnotations(cl, map[string]string{fleetv1alpha1.AnnotationSchedulerConfiguration: p.SchedulerConfiguration})
	} else if was.SchedulerConfiguration {
		xpmeta.RemoveAnnotations(cl, fleetv1alpha1.AnnotationSchedulerConfiguration)
	}

	cl.Spec.Provider = p.Provider
	cl.Spec.Region = p.Region
	cl.Spec.Zones = p.Zones

	b, err := json.Marshal(is)
	if err != nil {
		return errors.Wrap(err, "cannot encode what is applied to the Karmada Cluster")
	}
	xpmeta.AddAnnotations(cl, map[string]string{
		karmada.AnnotationMemberUID: string(mg.GetUID()),
		karmada.AnnotationManagedBy: managedBy(mg),
		annotationApplied:           string(b),
	})
	return nil
}

// mergeAccess brings the access of a Karmada Cluster to that of the Member.
func mergeAccess(cl *clusterv1alpha1.Cluster, a *access, id string) {
	cl.Spec.SyncMode = clusterv1alpha1.Push
	cl.Spec.APIEndpoint = a.config.Host
	cl.Spec.ID = id
	cl.Spec.InsecureSkipTLSVerification = a.config.Insecure
	cl.Spec.ProxyURL = a.proxy
	cl.Spec.SecretRef = &clusterv1alpha1.LocalSecretReference{Namespace: memberNamespace, Name: secretName(id)}
	cl.Spec.ImpersonatorSecretRef = &clusterv1alpha1.LocalSecretReference{Namespace: memberNamespace, Name: impersonatorName(id)}
	xpmeta.AddAnnotations(cl, map[string]string{annotationAccess: a.digest})
}

// upToDate says whether a Karmada Cluster is what the Member says. Without
// access, only what needs none is compared.
func upToDate(cl *clusterv1alpha1.Cluster, mg *v1alpha1.Member, a *access) (bool, error) {
	if a != nil && cl.GetAnnotations()[annotationAccess] != a.digest {
		return false, nil
	}
	want := cl.DeepCopy()
	if err := merge(want, mg); err != nil {
		return false, err
	}
	return equality.Semantic.DeepEqual(want, cl), nil
}

// taint adds a taint to a Karmada Cluster that leaves, and says whether it was
// missing.
func taint(cl *clusterv1alpha1.Cluster, key string) bool {
	t := corev1.Taint{Key: key, Effect: corev1.TaintEffectNoSchedule}
	if slices.ContainsFunc(cl.Spec.Taints, func(o corev1.Taint) bool { return o.MatchTaint(&t) }) {
		return false
	}
	cl.Spec.Taints = append(cl.Spec.Taints, t)
	return true
}
