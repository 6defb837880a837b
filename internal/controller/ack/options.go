// Package ack holds what the controllers of the ack group have in common.
package ack

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/crossplane/crossplane-runtime/v2/pkg/errors"
	"github.com/crossplane/crossplane-runtime/v2/pkg/meta"
	"github.com/crossplane/crossplane-runtime/v2/pkg/resource"

	"regionpool.io/provider-regionpool/apis/ack/v1alpha1"
	federationv1alpha1 "regionpool.io/provider-regionpool/apis/federation/v1alpha1"
	pcv1alpha1 "regionpool.io/provider-regionpool/apis/v1alpha1"
	"regionpool.io/provider-regionpool/internal/clients/ack"
	"regionpool.io/provider-regionpool/internal/clients/cloud"
	"regionpool.io/provider-regionpool/internal/clients/kube"
	"regionpool.io/provider-regionpool/internal/controller/lifecycle"
)

// A ResolveFn finds the configuration and the credentials of a managed
// resource.
type ResolveFn func(ctx context.Context, kube client.Client, mg resource.ModernManaged) (*pcv1alpha1.ProviderConfigSpec, []byte, error)

// A ClientFn makes a client of ACK for a region.
type ClientFn func(spec *pcv1alpha1.ProviderConfigSpec, raw []byte, region string) (ack.API, error)

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
	// Client of ACK.
	Client ClientFn
	// Kubeconfigs of the clusters.
	Kubeconfigs *ack.Kubeconfigs
	// Kube has clients of the clusters.
	Kube *kube.Clients
}

// KeyKubeconfig of the connection secret of a Cluster.
const KeyKubeconfig = "kubeconfig"

// operationTimeout is when an operation is no longer waited for. The longest,
// the creation of a cluster, takes 20 minutes on a bad day.
const operationTimeout = 2 * time.Hour

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

// Operation asks how far an operation has come. It returns nil when it is over,
// and an error if it failed. A running one is watched, and the resource is
// reconciled the moment it ends.
func (o *Options) Operation(ctx context.Context, api ack.API, p *lifecycle.Poller, nn types.NamespacedName, op *v1alpha1.Operation) (*v1alpha1.Operation, *cloud.Error) {
	if op == nil || op.TaskID == "" || o.Clock.Since(op.StartedAt.Time) > operationTimeout {
		p.Forget(nn)
		return nil, nil
	}
	t, err := api.GetTask(ctx, op.TaskID)
	if cloud.Is(err, cloud.Gone) {
		p.Forget(nn)
		return nil, nil
	}
	if err == nil && t.Done() {
		p.Forget(nn)
		if t.Failed() {
			return nil, ack.TaskError(op.Type, t)
		}
		return nil, nil
	}
	op = op.DeepCopy()
	if err == nil {
		op.Stage = t.Stage
	}
	task := op.TaskID
	p.Watch(nn, task, func(ctx context.Context) (bool, error) {
		t, err := api.GetTask(cloud.Background(ctx), task)
		if err != nil {
			return cloud.Is(err, cloud.Gone), err
		}
		return t.Done(), nil
	})
	return op, nil
}

// ClusterClient is a client of the cluster itself. It fails if ACK has no
// kubeconfig for us, not if the cluster does not answer.
func (o *Options) ClusterClient(ctx context.Context, api ack.API, host client.Client, cr *v1alpha1.Cluster) (kubernetes.Interface, error) {
	kc, err := o.Kubeconfig(ctx, api, host, cr)
	if err != nil {
		return nil, err
	}
	return o.Kube.For(kc.Config)
}

// Kubeconfig of a cluster: the one in memory, or the published one, so that a
// restart needs no new one, or a new one.
func (o *Options) Kubeconfig(ctx context.Context, api ack.API, host client.Client, cr *v1alpha1.Cluster) (ack.Kubeconfig, error) {
	id := meta.GetExternalName(cr)
	ref, expires := cr.GetWriteConnectionSecretToReference(), cr.Status.AtProvider.KubeconfigExpiresAt
	if ref != nil && expires != nil && !o.Kubeconfigs.Has(id) {
		s := &corev1.Secret{}
		err := host.Get(ctx, types.NamespacedName{Namespace: cr.GetNamespace(), Name: ref.Name}, s)
		if err == nil && metav1.IsControlledBy(s, cr) {
			o.Kubeconfigs.Seed(id, ack.Kubeconfig{Config: s.Data[KeyKubeconfig], Expires: expires.Time})
		}
	}
	return o.Kubeconfigs.Get(ctx, api, id, !cr.Spec.ForProvider.EndpointPublicAccess)
}

// NewOperation that starts now, or nil if the cloud made no task of it.
func (o *Options) NewOperation(kind, task string) *v1alpha1.Operation {
	if task == "" {
		return nil
	}
	return &v1alpha1.Operation{Type: kind, TaskID: task, StartedAt: metav1.NewTime(o.Clock.Now())}
}

// Silent reports whether the API server of a cluster that goes has not answered
// for so long that its deletion goes on without it. The condition keeps since
// when: an API server that is away for a moment late in a long drain is not.
func (o *Options) Silent(mg resource.Managed) bool {
	c := mg.GetCondition(lifecycle.TypeDeletionBlocked)
	return c.Reason == lifecycle.ReasonNoAnswer && o.Clock.Since(c.LastTransitionTime.Time) > 6*o.Patience
}

// Members of the federation that are the cluster, or may be before it is gone,
// by name. One that was created after the cluster was deleted does not join it:
// it waits for the next cluster of that name. The cluster must not wait for it.
func Members(ctx context.Context, c client.Reader, namespace, cluster string, deleted *metav1.Time) ([]federationv1alpha1.Member, error) {
	l := &federationv1alpha1.MemberList{}
	if err := c.List(ctx, l, client.InNamespace(namespace)); err != nil {
		return nil, errors.Wrap(err, "cannot list Members")
	}
	return slices.DeleteFunc(l.Items, func(m federationv1alpha1.Member) bool {
		next := deleted != nil && m.GetCreationTimestamp().After(deleted.Time)
		return next || ClusterOfMember(&m) != cluster
	}), nil
}

// ClusterOfMember is the name of the ack Cluster that a Member is, or empty.
func ClusterOfMember(m *federationv1alpha1.Member) string {
	ref := m.Spec.ForProvider.ClusterRef
	if ref == nil || ref.Kind != v1alpha1.ClusterKind || ref.APIVersion != v1alpha1.SchemeGroupVersion.String() {
		return ""
	}
	return ref.Name
}
