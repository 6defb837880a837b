package cluster

import (
	"context"
	"fmt"
	"time"

	kerrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/crossplane/crossplane-runtime/v2/pkg/errors"
	"github.com/crossplane/crossplane-runtime/v2/pkg/meta"
	"github.com/crossplane/crossplane-runtime/v2/pkg/reconciler/managed"
	xpv2 "github.com/crossplane/crossplane/apis/v2/core/v2"

	"regionpool.io/provider-regionpool/internal/clients/cloud"
	"regionpool.io/provider-regionpool/internal/clients/kube"
	"regionpool.io/provider-regionpool/internal/controller/elastic"
	"regionpool.io/provider-regionpool/internal/controller/lifecycle"
)

// Parts of a cluster that all clouds have.
const (
	partProtection = "deletionProtection"
	partTags       = "tags"
)

// external is a Cluster at the cloud, for one reconcile.
type external struct {
	*elastic.Base
	kind  *Kind
	cloud Driver

	// observed in this reconcile.
	observed *State
	taskErr  *cloud.Error
	deletion elastic.Deletion
}

// find clusters with our name and tag.
func (e *external) find(cr elastic.Cluster) lifecycle.FindFn {
	return func(ctx context.Context) ([]lifecycle.Candidate, error) {
		all, err := e.cloud.Find(ctx)
		return elastic.Ours(cr, all), err
	}
}

func (e *external) Observe(ctx context.Context, cr elastic.Cluster) (managed.ExternalObservation, error) {
	o, err := e.observe(ctx, cr)
	e.Mendable(cr, err)
	return o, err
}

func (e *external) observe(ctx context.Context, cr elastic.Cluster) (managed.ExternalObservation, error) {
	if named, o, err := e.Named(ctx, cr, e.find(cr)); !named || err != nil {
		return o, err
	}

	s, err := e.cloud.Get(ctx, meta.GetExternalName(cr))
	if err != nil {
		return managed.ExternalObservation{}, errors.Wrap(err, "cannot describe the cluster")
	}
	if s == nil {
		return e.gone(ctx, cr)
	}
	if meta.WasDeleted(cr) && !elastic.Owned(cr, s.Tags) && meta.GetExternalCreatePending(cr).IsZero() {
		// It was imported and never handed over: forget it.
		return managed.ExternalObservation{}, nil
	}
	e.observed = s
	e.see(ctx, cr, s)

	if meta.WasDeleted(cr) {
		return elastic.Waiting, nil
	}

	details := managed.ConnectionDetails{}
	switch {
	case s.Phase == elastic.PhaseBuilding:
		cr.SetConditions(xpv2.Creating())
	case s.Phase == elastic.PhaseFailed:
		e.failed(cr)
	case s.Phase == elastic.PhaseDeleting:
		cr.SetConditions(lifecycle.NotReady(xpv2.ReasonUnavailable, "The cluster is being deleted at the cloud, not by this resource"))
	case !s.Phase.Usable():
		cr.SetConditions(lifecycle.NotReady(xpv2.ReasonUnavailable, fmt.Sprintf("The cluster is in state %q", s.Word)))
	case s.NoEndpoint != "":
		cr.SetConditions(lifecycle.NotReady(xpv2.ReasonUnavailable, s.NoEndpoint))
	default:
		details = e.connect(ctx, cr, s)
	}

	if s.Pending {
		e.Pace.After(cr, 2*e.PollInProgress)
	}
	diff := ""
	if s.Phase == elastic.PhaseRunning && cr.GetObservation().Operation == nil {
		diff = difference(cr, s)
	}
	if diff != "" {
		if err, left := e.Holds.Held(cr.GetUID(), elastic.HoldKey(cr, "update")); err != nil {
			e.Pace.After(cr, left)
			return managed.ExternalObservation{}, err
		}
	}
	return managed.ExternalObservation{ResourceExists: true, ResourceUpToDate: diff == "", Diff: diff, ConnectionDetails: details}, nil
}

// see writes down what the cloud says.
func (e *external) see(ctx context.Context, cr elastic.Cluster, s *State) {
	at := cr.GetObservation()
	op := elastic.Operation(cr, at.ID, s.ID, at.Operation)
	at.ID, at.State, at.KubernetesVersion, at.APIEndpoint = s.ID, s.Word, s.Version, s.Endpoint
	at.SecurityGroupID, at.DeletionProtection = s.SecurityGroupID, s.DeletionProtection
	at.Operation, e.taskErr = e.Track(ctx, e.cloud, e.Poller, client.ObjectKeyFromObject(cr), op)
}

// failed keeps the reason that the task gave when it ended.
func (e *external) failed(cr elastic.Cluster) {
	msg := "The cloud could not build the cluster, which may be billed nevertheless: delete this resource to release it"
	if e.taskErr != nil {
		msg = e.taskErr.Error() + ". " + msg
	} else if c := cr.GetCondition(xpv2.TypeReady); c.Reason == elastic.ReasonFailed {
		msg = c.Message
	}
	cr.SetConditions(lifecycle.NotReady(elastic.ReasonFailed, msg))
}

// gone handles a cluster that the cloud says is not there.
func (e *external) gone(ctx context.Context, cr elastic.Cluster) (managed.ExternalObservation, error) {
	id := meta.GetExternalName(cr)
	cr.GetObservation().State = ""
	gone, err := e.Gone(ctx, cr, e.find(cr))
	if err != nil {
		return managed.ExternalObservation{}, err
	}
	if !gone {
		return elastic.Waiting, nil
	}
	if meta.WasDeleted(cr) && !meta.GetExternalCreatePending(cr).IsZero() {
		if left, err := e.remains(ctx, cr, id); err != nil || left {
			return elastic.Waiting, err
		}
	}
	e.Kubeconfigs.Forget(id)
	return managed.ExternalObservation{}, nil
}

// connect to the cluster: it is ready when its API server lets us in, which is
// later than the cloud says.
func (e *external) connect(ctx context.Context, cr elastic.Cluster, s *State) managed.ConnectionDetails {
	at := cr.GetObservation()
	details := managed.ConnectionDetails{}

	kc, err := e.Kubeconfig(ctx, e.Host, cr, e.fetch(s.ID))
	if err != nil {
		cr.SetConditions(lifecycle.NotReady(xpv2.ReasonUnavailable, "No kubeconfig yet: "+err.Error()))
		return details
	}
	details[elastic.KeyKubeconfig] = kc.Config
	if s.Endpoint != "" {
		details[elastic.KeyEndpoint] = []byte(s.Endpoint)
	}
	expires := metav1.NewTime(kc.Expires.Truncate(time.Second))
	if !expires.Equal(at.KubeconfigExpiresAt) {
		at.KubeconfigExpiresAt = &expires
	}

	k, err := e.Kube.For(kc.Config)
	if err == nil {
		err = kube.Answers(ctx, k)
	}
	switch {
	case err == nil:
		cr.SetConditions(xpv2.Available())
	case kerrors.IsUnauthorized(err):
		// Revoked at the cloud. The next pass fetches another.
		e.Kubeconfigs.Forget(s.ID)
		at.KubeconfigExpiresAt = nil
		cr.SetConditions(lifecycle.NotReady(xpv2.ReasonUnavailable, "The API server does not accept the kubeconfig: it is renewed"))
	default:
		cr.SetConditions(lifecycle.NotReady(xpv2.ReasonUnavailable, "The API server does not answer"))
	}
	return details
}

func (e *external) fetch(id string) kube.FetchFn {
	return func(ctx context.Context) (kube.Kubeconfig, error) { return e.cloud.Kubeconfig(ctx, id) }
}

// difference between what is wanted and what is, or nothing.
func difference(cr elastic.Cluster, s *State) string {
	if s.Differs != "" {
		return s.Differs
	}
	if cr.GetDeletionProtection() != s.DeletionProtection {
		return partProtection
	}
	for k, v := range elastic.Tags(cr, cr.GetTags()) {
		if s.Tags[k] != v {
			return partTags
		}
	}
	return ""
}

func (e *external) Create(ctx context.Context, cr elastic.Cluster) (managed.ExternalCreation, error) {
	return managed.ExternalCreation{}, e.Base.Create(ctx, cr, e.find(cr), e.cloud.Create)
}

func (e *external) Update(ctx context.Context, cr elastic.Cluster) (managed.ExternalUpdate, error) {
	s := e.observed
	if s == nil {
		return managed.ExternalUpdate{}, nil
	}
	if !elastic.Owned(cr, s.Tags) {
		return managed.ExternalUpdate{}, elastic.NotOwned(cr, e.What, s.ID)
	}
	var task string
	var err error
	switch difference(cr, s) {
	case "":
	case partProtection:
		task, err = e.cloud.Protect(ctx, s.ID, cr.GetDeletionProtection())
	case partTags:
		err = e.cloud.Tag(ctx, s.ID, elastic.Tags(cr, cr.GetTags()))
	default:
		task, err = e.cloud.Change(ctx, s)
	}
	if cloud.Is(err, cloud.WrongState) {
		// Something else is under way. The next poll tries again.
		return managed.ExternalUpdate{}, nil
	}
	if err == nil {
		cr.GetObservation().Operation = e.NewOperation("Modify", task)
		// Without a task nothing tells when it is done, and there may be more to do.
		e.Pace.After(cr, e.PollInProgress)
	}
	return managed.ExternalUpdate{}, e.Holds.Note(cr.GetUID(), elastic.HoldKey(cr, "update"), errors.Wrap(err, "cannot change the cluster"))
}

// Disconnect has nothing to do: clients are shared.
func (e *external) Disconnect(_ context.Context) error { return nil }
