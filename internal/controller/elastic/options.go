// Package elastic holds what the controllers of rented clusters and node pools
// have in common, whatever the cloud. The kinds themselves are in the packages
// cluster and nodepool below it; a cloud brings a driver for each.
package elastic

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/crossplane/crossplane-runtime/v2/pkg/errors"
	"github.com/crossplane/crossplane-runtime/v2/pkg/resource"
	xpv2 "github.com/crossplane/crossplane/apis/v2/core/v2"

	"regionpool.io/provider-regionpool/apis/v1alpha1"
	"regionpool.io/provider-regionpool/internal/clients/kube"
	"regionpool.io/provider-regionpool/internal/controller/lifecycle"
)

// A ResolveFn finds the configuration and the credentials of a managed
// resource.
type ResolveFn func(ctx context.Context, kube client.Client, mg resource.ModernManaged) (*v1alpha1.ProviderConfigSpec, []byte, error)

// Options of the controllers, shared by all of them.
type Options struct {
	// PollInProgress is how often to look while something is under way.
	PollInProgress time.Duration
	// ListLag is how long lists may lag behind writes.
	ListLag time.Duration
	// Recheck is how long an error that needs a person is believed.
	Recheck time.Duration
	// Patience with what should be quick, before a condition says that it is
	// not: machines that do not come, an API server that does not answer.
	Patience time.Duration
	// Clock of everything that waits.
	Clock clock.WithTicker
	// Resolve credentials.
	Resolve ResolveFn
	// Kubeconfigs of the clusters.
	Kubeconfigs *kube.Kubeconfigs
	// Kube has clients of the clusters.
	Kube *kube.Clients
}

// Keys of the connection secret of a Cluster.
const (
	KeyKubeconfig = "kubeconfig"
	KeyEndpoint   = "endpoint"
)

// Name at the cloud of what a managed resource creates.
func Name(o metav1.Object) string {
	uid := string(o.GetUID())
	return "rp-" + uid[:min(len(uid), 8)]
}

// Tags of what a managed resource creates: its own, and the owner tag.
func Tags(o metav1.Object, tags map[string]string) map[string]string {
	all := maps.Clone(tags)
	if all == nil {
		all = map[string]string{}
	}
	all[v1alpha1.TagOwner] = string(o.GetUID())
	return all
}

// Owned reports whether a thing at the cloud carries the tag of the resource.
func Owned(o metav1.Object, tags map[string]string) bool {
	return o.GetUID() != "" && tags[v1alpha1.TagOwner] == string(o.GetUID())
}

// NotOwned is the error of changes to things without our tag.
func NotOwned(o metav1.Object, what, id string) error {
	return errors.Errorf("%s %s does not carry the tag %s=%s: add it to hand the %s over, or set spec.managementPolicies to [Observe]", what, id, v1alpha1.TagOwner, o.GetUID(), what)
}

// HoldKey of terminal errors: another spec may mend them.
func HoldKey(o metav1.Object, action string) string {
	return fmt.Sprintf("%s/%d", action, o.GetGeneration())
}

// Silent reports whether the API server of a cluster that goes has not answered
// for so long that its deletion goes on without it. The condition keeps since
// when: an API server that is away for a moment late in a long drain is not.
func (o *Options) Silent(mg resource.Managed) bool {
	return o.BlockedFor(mg, lifecycle.ReasonNoAnswer) > 6*o.Patience
}

// BlockedFor is how long a deletion has been blocked for one reason.
func (o *Options) BlockedFor(mg resource.Managed, reason xpv2.ConditionReason) time.Duration {
	c := mg.GetCondition(lifecycle.TypeDeletionBlocked)
	if c.Reason != reason {
		return 0
	}
	return o.Clock.Since(c.LastTransitionTime.Time)
}

// Names for a person, in one line.
func Names(all []string) string {
	const limit = 5
	if n := len(all); n > limit {
		return strings.Join(all[:limit], ", ") + fmt.Sprintf(" and %d more", n-limit)
	}
	return strings.Join(all, ", ")
}
