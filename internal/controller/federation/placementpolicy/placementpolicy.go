// Package placementpolicy hands workloads to the scheduler of a pool by policies
// of Karmada.
package placementpolicy

import (
	"context"
	"fmt"
	"strings"
	"time"

	policyv1alpha1 "github.com/karmada-io/karmada/pkg/apis/policy/v1alpha1"
	workv1alpha2 "github.com/karmada-io/karmada/pkg/apis/work/v1alpha2"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/crossplane/crossplane-runtime/v2/pkg/controller"
	"github.com/crossplane/crossplane-runtime/v2/pkg/errors"
	xpmeta "github.com/crossplane/crossplane-runtime/v2/pkg/meta"
	"github.com/crossplane/crossplane-runtime/v2/pkg/reconciler/managed"
	xpv2 "github.com/crossplane/crossplane/apis/v2/core/v2"

	"regionpool.io/provider-regionpool/apis/federation/v1alpha1"
	"regionpool.io/provider-regionpool/internal/clients/karmada"
	"regionpool.io/provider-regionpool/internal/controller/federation/reconcile"
)

const (
	reasonMembers  xpv2.ConditionReason = "WaitsForMembers"
	reasonConflict xpv2.ConditionReason = "Conflict"

	pageSize = 500
)

// Setup adds a controller of PlacementPolicies to the manager.
func Setup(mgr ctrl.Manager, o controller.Options, fo reconcile.Options) error {
	c := &connector{kube: mgr.GetClient(), connect: fo.Connect, requeuer: fo.Requeuer, pollInProgress: fo.PollInProgress}
	return reconcile.Setup(mgr, o, fo, &v1alpha1.PlacementPolicy{}, &v1alpha1.PlacementPolicyList{}, v1alpha1.PlacementPolicyGroupVersionKind,
		managed.WithTypedExternalConnector(c),
		func(b *builder.Builder) *builder.Builder {
			return b.Watches(&v1alpha1.Member{}, reconcile.Waiting(mgr.GetClient(), &v1alpha1.PlacementPolicyList{}), builder.WithPredicates(reconcile.Deleted()))
		})
}

// connector makes external clients of PlacementPolicies.
type connector struct {
	kube           client.Reader
	connect        karmada.ConnectFn
	requeuer       *karmada.Requeuer
	pollInProgress time.Duration
}

// Connect to the Karmada API of a PlacementPolicy.
func (c *connector) Connect(ctx context.Context, mg *v1alpha1.PlacementPolicy) (managed.TypedExternalClient[*v1alpha1.PlacementPolicy], error) {
	conn, err := c.connect(ctx, mg)
	if err != nil {
		return nil, err
	}
	return &external{connector: c, conn: conn}, nil
}

// external writes the policies of a pool.
type external struct {
	*connector
	conn *karmada.Conn
}

// Disconnect does nothing: the connection is shared.
func (e *external) Disconnect(context.Context) error { return nil }

// what a policy is, in errors.
func what(name string) string { return fmt.Sprintf("ClusterPropagationPolicy %q", name) }

// get a policy, or nil when it is proved absent.
func (e *external) get(ctx context.Context, name string) (*policyv1alpha1.ClusterPropagationPolicy, error) {
	return reconcile.Get[policyv1alpha1.ClusterPropagationPolicy](ctx, e.conn.Live, name, what(name))
}

// Observe the policies.
func (e *external) Observe(ctx context.Context, mg *v1alpha1.PlacementPolicy) (managed.ExternalObservation, error) {
	name := reconcile.ExternalName(mg)
	main, err := e.get(ctx, name)
	if err != nil {
		return managed.ExternalObservation{}, err
	}
	comp, err := e.get(ctx, companionsName(name))
	if err != nil {
		return managed.ExternalObservation{}, err
	}

	if xpmeta.WasDeleted(mg) {
		exists := main != nil && reconcile.Ours(main, mg) || comp != nil && reconcile.Ours(comp, mg)
		return managed.ExternalObservation{ResourceExists: exists}, nil
	}
	if reconcile.ObserveOnly(mg) {
		if main == nil {
			return managed.ExternalObservation{}, nil
		}
		mg.SetConditions(xpv2.Available())
		return managed.ExternalObservation{ResourceExists: true, ResourceUpToDate: true}, e.count(ctx, mg, main)
	}
	for _, cpp := range []*policyv1alpha1.ClusterPropagationPolicy{main, comp} {
		switch {
		case cpp == nil:
		case !reconcile.Ours(cpp, mg):
			err := reconcile.NotOurs(cpp, what(cpp.GetName()), "PlacementPolicy")
			mg.SetConditions(reconcile.NotReady(reasonConflict, err.Error()))
			return managed.ExternalObservation{}, err
		case cpp.GetDeletionTimestamp() != nil:
			// It is written again when Karmada has let go of it.
			mg.SetConditions(xpv2.Creating())
			e.requeuer.After(reconcile.Key(mg), e.pollInProgress)
			return managed.ExternalObservation{ResourceExists: true, ResourceUpToDate: true}, nil
		}
	}
	if main == nil {
		return managed.ExternalObservation{}, nil
	}
	want, err := policies(mg)
	if err != nil {
		return managed.ExternalObservation{}, err
	}
	upToDate := len(want) > 1 || comp == nil
	for i, got := range []*policyv1alpha1.ClusterPropagationPolicy{main, comp}[:len(want)] {
		same := false
		if got != nil {
			if same, err = karmada.Covers(got, want[i]); err != nil {
				return managed.ExternalObservation{}, err
			}
		}
		upToDate = upToDate && same
	}
	if err := e.count(ctx, mg, main); err != nil {
		return managed.ExternalObservation{}, err
	}
	mg.SetConditions(xpv2.Available())
	return managed.ExternalObservation{ResourceExists: true, ResourceUpToDate: upToDate}, nil
}

// count the bindings that follow the policy, by their metadata alone.
func (e *external) count(ctx context.Context, mg *v1alpha1.PlacementPolicy, main *policyv1alpha1.ClusterPropagationPolicy) error {
	id := main.GetLabels()[policyv1alpha1.ClusterPropagationPolicyPermanentIDLabel]
	mg.Status.AtProvider.Bindings = 0
	if id == "" {
		return nil
	}
	l := &metav1.PartialObjectMetadataList{}
	l.SetGroupVersionKind(schema.GroupVersion(workv1alpha2.GroupVersion).WithKind(workv1alpha2.ResourceKindResourceBinding + "List"))
	token := ""
	for {
		err := e.conn.Live.List(ctx, l, client.MatchingLabels{policyv1alpha1.ClusterPropagationPolicyPermanentIDLabel: id}, client.Limit(pageSize), client.Continue(token))
		if err != nil {
			return errors.Wrap(err, "cannot list ResourceBindings")
		}
		mg.Status.AtProvider.Bindings += int32(len(l.Items))
		if token = l.GetContinue(); token == "" {
			return nil
		}
	}
}

// Create the policies.
func (e *external) Create(ctx context.Context, mg *v1alpha1.PlacementPolicy) (managed.ExternalCreation, error) {
	return managed.ExternalCreation{}, e.apply(ctx, mg)
}

// Update the policies.
func (e *external) Update(ctx context.Context, mg *v1alpha1.PlacementPolicy) (managed.ExternalUpdate, error) {
	return managed.ExternalUpdate{}, e.apply(ctx, mg)
}

func (e *external) apply(ctx context.Context, mg *v1alpha1.PlacementPolicy) error {
	want, err := policies(mg)
	if err != nil {
		return err
	}
	for _, cpp := range want {
		// Apply would overwrite a policy that someone else has made since we
		// observed.
		got, err := e.get(ctx, cpp.GetName())
		if err != nil {
			return err
		}
		if got != nil && !reconcile.Ours(got, mg) {
			return reconcile.NotOurs(got, what(cpp.GetName()), "PlacementPolicy")
		}
		if got != nil && got.Spec.SchedulerName != cpp.Spec.SchedulerName {
			// Karmada refuses to change the scheduler. Without the policy the
			// bindings and replicas stay as they are until the new one claims
			// them.
			if err := e.remove(ctx, mg, cpp.GetName()); err != nil {
				return err
			}
			e.requeuer.After(reconcile.Key(mg), e.pollInProgress)
			continue
		}
		if err := karmada.Apply(ctx, e.conn.Client, cpp); err != nil {
			return errors.Wrapf(err, "cannot apply ClusterPropagationPolicy %q", cpp.GetName())
		}
	}
	if len(want) == 1 {
		return e.remove(ctx, mg, companionsName(reconcile.ExternalName(mg)))
	}
	return nil
}

// Delete the policies, once no Member needs them to find other places for its
// replicas. Karmada keeps bindings, and what they run, without their policy.
func (e *external) Delete(ctx context.Context, mg *v1alpha1.PlacementPolicy) (managed.ExternalDelete, error) {
	e.requeuer.After(reconcile.Key(mg), e.pollInProgress)
	names, err := reconcile.DrainMembers(ctx, e.kube, mg.GetNamespace(), mg.Spec.ForProvider.Pool)
	if err != nil {
		return managed.ExternalDelete{}, err
	}
	if len(names) > 0 {
		mg.SetConditions(reconcile.DeletionBlocked(reasonMembers, "Waits for Members that drain: "+strings.Join(names, ", ")))
		return managed.ExternalDelete{}, nil
	}
	mg.SetConditions(reconcile.DeletionGoesOn())
	// The workloads are released first: nobody places them any more.
	if err := e.remove(ctx, mg, reconcile.ExternalName(mg)); err != nil {
		return managed.ExternalDelete{}, err
	}
	return managed.ExternalDelete{}, e.remove(ctx, mg, companionsName(reconcile.ExternalName(mg)))
}

// remove a policy if it is ours.
func (e *external) remove(ctx context.Context, mg *v1alpha1.PlacementPolicy, name string) error {
	cpp, err := e.get(ctx, name)
	if err != nil || cpp == nil || !reconcile.Ours(cpp, mg) || cpp.GetDeletionTimestamp() != nil {
		return err
	}
	return reconcile.Delete(ctx, e.conn.Client, cpp, what(name))
}
