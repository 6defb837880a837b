package cluster

import (
	"context"
	"fmt"
	"strings"
	"time"

	kerrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/crossplane/crossplane-runtime/v2/pkg/errors"
	"github.com/crossplane/crossplane-runtime/v2/pkg/event"
	"github.com/crossplane/crossplane-runtime/v2/pkg/meta"
	"github.com/crossplane/crossplane-runtime/v2/pkg/reconciler/managed"
	xpv2 "github.com/crossplane/crossplane/apis/v2/core/v2"

	"regionpool.io/provider-regionpool/apis/ack/v1alpha1"
	"regionpool.io/provider-regionpool/internal/clients/ack"
	"regionpool.io/provider-regionpool/internal/clients/cloud"
	"regionpool.io/provider-regionpool/internal/clients/kube"
	ackcontroller "regionpool.io/provider-regionpool/internal/controller/ack"
	"regionpool.io/provider-regionpool/internal/controller/lifecycle"
)

// keyEndpoint of the connection secret.
const keyEndpoint = "endpoint"

// reasonFailed of Ready: ACK could not build the cluster.
const reasonFailed xpv2.ConditionReason = "Failed"

// external is a Cluster at the cloud, for one reconcile.
type external struct {
	*ackcontroller.Options
	api      ack.API
	kube     client.Client
	creation *lifecycle.Creation
	poller   *lifecycle.Poller
	pace     *lifecycle.Pace
	holds    *lifecycle.Holds
	record   event.Recorder

	// observed in this reconcile.
	observed *ack.Cluster
	taskErr  *cloud.Error
	// unasked says that the deletion goes on without the cluster's API server.
	unasked bool
}

// find clusters with our name and tag.
func (e *external) find(cr *v1alpha1.Cluster) lifecycle.FindFn {
	return func(ctx context.Context) ([]lifecycle.Candidate, error) {
		list, err := e.api.ListClusters(ctx, ackcontroller.Name(cr))
		if err != nil {
			return nil, err
		}
		var all []lifecycle.Candidate
		for _, cl := range list {
			if ackcontroller.Owned(cr, cl.Tags) {
				all = append(all, lifecycle.Candidate{ID: cl.ID, Created: cl.Created})
			}
		}
		return all, nil
	}
}

func (e *external) Observe(ctx context.Context, cr *v1alpha1.Cluster) (managed.ExternalObservation, error) {
	o, err := e.observe(ctx, cr)
	if cloud.Is(err, cloud.Unauthorised, cloud.Unreachable) {
		// Mended by a person, sooner than the back-off would find out.
		e.pace.After(cr, 6*e.PollInProgress)
	}
	return o, err
}

func (e *external) observe(ctx context.Context, cr *v1alpha1.Cluster) (managed.ExternalObservation, error) {
	waiting := managed.ExternalObservation{ResourceExists: true, ResourceUpToDate: true}

	if meta.GetExternalName(cr) == "" {
		if err, left := e.holds.Held(cr.GetUID(), ackcontroller.HoldKey(cr, "create")); err != nil && !meta.WasDeleted(cr) {
			cr.SetConditions(lifecycle.NotReady(reasonFailed, err.Error()))
			e.pace.After(cr, left)
			return managed.ExternalObservation{}, err
		}
		verdict, err := e.creation.Look(ctx, cr, e.find(cr))
		if err != nil {
			return managed.ExternalObservation{}, err
		}
		switch verdict {
		case lifecycle.Absent:
			return managed.ExternalObservation{}, nil
		case lifecycle.Waiting:
			cr.SetConditions(xpv2.Creating().WithMessage("It is not known whether the cloud has carried out the creation: waiting until its list must show it"))
			e.pace.After(cr, e.PollInProgress)
			return waiting, nil
		case lifecycle.Adopted:
		}
	}

	id := meta.GetExternalName(cr)
	cl, err := e.api.GetCluster(ctx, id)
	if cloud.IsCode(err, ack.CodeClusterNotFound) {
		return e.gone(ctx, cr, id)
	}
	if err != nil {
		return managed.ExternalObservation{}, errors.Wrap(err, "cannot describe the cluster")
	}
	if meta.WasDeleted(cr) && !ackcontroller.Owned(cr, cl.Tags) && meta.GetExternalCreatePending(cr).IsZero() {
		// It was imported and never handed over: forget it.
		return managed.ExternalObservation{}, nil
	}
	e.observed = cl
	e.see(ctx, cr, cl)

	if meta.WasDeleted(cr) {
		return waiting, nil
	}

	details := managed.ConnectionDetails{}
	switch cl.State {
	case ack.ClusterInitial:
		cr.SetConditions(xpv2.Creating())
	case ack.ClusterFailed:
		e.failed(cr)
	case ack.ClusterRunning, ack.ClusterUpdating, ack.ClusterScaling, ack.ClusterWaiting, "upgrading", "updating_failed", "upgrade_failed":
		details = e.connect(ctx, cr, cl)
	case ack.ClusterDeleting:
		cr.SetConditions(lifecycle.NotReady(xpv2.ReasonUnavailable, "The cluster is being deleted at the cloud, not by this resource"))
	default:
		cr.SetConditions(lifecycle.NotReady(xpv2.ReasonUnavailable, fmt.Sprintf("The cluster is in state %q", cl.State)))
	}

	diff := ""
	if cl.State == ack.ClusterRunning && cr.Status.AtProvider.Operation == nil {
		diff = difference(cr, cl)
	}
	if diff != "" {
		if err, left := e.holds.Held(cr.GetUID(), ackcontroller.HoldKey(cr, "update")); err != nil {
			e.pace.After(cr, left)
			return managed.ExternalObservation{}, err
		}
	}
	return managed.ExternalObservation{ResourceExists: true, ResourceUpToDate: diff == "", Diff: diff, ConnectionDetails: details}, nil
}

// see writes down what the cloud says.
func (e *external) see(ctx context.Context, cr *v1alpha1.Cluster, cl *ack.Cluster) {
	at := &cr.Status.AtProvider
	op := at.Operation
	if at.ID != cl.ID {
		// The first look after Create, whose changes to the status are lost.
		op = lifecycle.LoadOperation[v1alpha1.Operation](cr)
	}
	at.ID, at.State, at.KubernetesVersion, at.APIEndpoint = cl.ID, cl.State, cl.Version, cl.Endpoint
	at.SecurityGroupID, at.DeletionProtection = cl.SecurityGroupID, cl.DeletionProtection
	at.Operation, e.taskErr = e.Operation(ctx, e.api, e.poller, client.ObjectKeyFromObject(cr), op)
}

// failed keeps the reason that the task gave when it ended.
func (e *external) failed(cr *v1alpha1.Cluster) {
	msg := "The cloud could not build the cluster, which may be billed nevertheless: delete this resource to release it"
	if e.taskErr != nil {
		msg = e.taskErr.Error() + ". " + msg
	} else if c := cr.GetCondition(xpv2.TypeReady); c.Reason == reasonFailed {
		msg = c.Message
	}
	cr.SetConditions(lifecycle.NotReady(reasonFailed, msg))
}

// gone handles a cluster that the cloud says is not there. That is believed when
// the list agrees.
func (e *external) gone(ctx context.Context, cr *v1alpha1.Cluster, id string) (managed.ExternalObservation, error) {
	list, err := e.find(cr)(ctx)
	if err != nil {
		return managed.ExternalObservation{}, errors.Wrap(err, "cannot confirm that the cluster is gone")
	}
	waiting := managed.ExternalObservation{ResourceExists: true, ResourceUpToDate: true}
	cr.Status.AtProvider.State = ""
	for _, c := range list {
		if c.ID == id {
			// The list lags behind.
			e.pace.After(cr, e.PollInProgress)
			return waiting, nil
		}
	}
	if len(list) > 0 {
		// One more that carries our tag. It is ours to use, or to delete.
		e.record.Event(cr, event.Warning("DuplicateFound", errors.Errorf("cluster %s is gone but %s carries the same tag", id, list[0].ID)))
		e.pace.After(cr, e.PollInProgress)
		return waiting, e.creation.Persist(ctx, cr, list[0].ID)
	}
	verdict, err := e.creation.Missing(ctx, cr, e.find(cr))
	if err != nil {
		return managed.ExternalObservation{}, errors.Wrap(err, "cannot confirm that the cluster is gone")
	}
	if verdict != lifecycle.Absent {
		// Not there yet.
		if !meta.WasDeleted(cr) {
			cr.SetConditions(xpv2.Creating())
		}
		e.pace.After(cr, e.PollInProgress)
		return waiting, nil
	}
	e.Kubeconfigs.Forget(id)
	e.poller.Forget(client.ObjectKeyFromObject(cr))
	return managed.ExternalObservation{}, nil
}

// connect to the cluster: it is ready when its API server lets us in, which is
// later than ACK says.
func (e *external) connect(ctx context.Context, cr *v1alpha1.Cluster, cl *ack.Cluster) managed.ConnectionDetails {
	at := &cr.Status.AtProvider
	details := managed.ConnectionDetails{}

	kc, err := e.Kubeconfig(ctx, e.api, e.kube, cr)
	if err != nil {
		cr.SetConditions(lifecycle.NotReady(xpv2.ReasonUnavailable, "No kubeconfig yet: "+err.Error()))
		return details
	}
	details[ackcontroller.KeyKubeconfig] = kc.Config
	if cl.Endpoint != "" {
		details[keyEndpoint] = []byte(cl.Endpoint)
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
		e.Kubeconfigs.Forget(cl.ID)
		at.KubeconfigExpiresAt = nil
		cr.SetConditions(lifecycle.NotReady(xpv2.ReasonUnavailable, "The API server does not accept the kubeconfig: it is renewed"))
	default:
		cr.SetConditions(lifecycle.NotReady(xpv2.ReasonUnavailable, "The API server does not answer"))
	}
	return details
}

// difference between what is wanted and what is, or nothing.
func difference(cr *v1alpha1.Cluster, cl *ack.Cluster) string {
	if cr.Spec.ForProvider.DeletionProtection != cl.DeletionProtection {
		return "deletionProtection"
	}
	for k, v := range ackcontroller.Tags(cr, cr.Spec.ForProvider.Tags) {
		if cl.Tags[k] != v {
			return "tags"
		}
	}
	return ""
}

func (e *external) Create(ctx context.Context, cr *v1alpha1.Cluster) (managed.ExternalCreation, error) {
	err := e.creation.Create(ctx, cr, e.find(cr), func(ctx context.Context) (string, error) {
		out, err := e.api.CreateCluster(ctx, input(cr))
		if err != nil {
			return "", err
		}
		lifecycle.SaveOperation(cr, e.NewOperation("Create", out.TaskID))
		return out.ID, nil
	})
	if cloud.Is(err, cloud.Unauthorised, cloud.Unreachable) {
		e.pace.After(cr, 6*e.PollInProgress)
	}
	return managed.ExternalCreation{}, e.holds.Note(cr.GetUID(), ackcontroller.HoldKey(cr, "create"), err)
}

// Add-ons that a cluster needs, and one that ACK would install, with a load
// balancer to pay for.
const (
	addonFlannel = "flannel"
	addonTerway  = "terway-eniip"
	addonIngress = "nginx-ingress-controller"
)

// input of CreateCluster. There are no nodes in it: ACK would put them into a
// pool of its own. Deletion protection follows when the cluster runs: one that
// could not be built takes no changes, and could never be deleted.
func input(cr *v1alpha1.Cluster) ack.ClusterInput {
	p := cr.Spec.ForProvider
	in := ack.ClusterInput{
		Name: ackcontroller.Name(cr), VPCID: p.VPCID, VSwitchIDs: p.VSwitchIDs, PodVSwitchIDs: p.PodVSwitchIDs,
		ServiceCIDR: p.ServiceCIDR, NodeCIDRMask: p.NodeCIDRMask, Spec: p.ClusterSpec, KubernetesVersion: p.KubernetesVersion,
		PublicEndpoint: p.EndpointPublicAccess, SNATEntry: p.SNATEntry, Tags: ackcontroller.Tags(cr, p.Tags),
	}
	network := addonTerway
	if len(p.PodVSwitchIDs) == 0 {
		network = addonFlannel
		if p.ContainerCIDR != nil {
			in.ContainerCIDR = *p.ContainerCIDR
		}
	}

	named := map[string]bool{}
	for _, a := range p.Addons {
		named[a.Name] = true
		in.Addons = append(in.Addons, ack.Addon{Name: a.Name, Config: a.Config, Disabled: a.Disabled})
	}
	for _, a := range []ack.Addon{{Name: network}, {Name: "csi-plugin"}, {Name: "csi-provisioner"}, {Name: addonIngress, Disabled: true}} {
		if named[a.Name] || a.Name == addonTerway && named["terway"] {
			continue
		}
		in.Addons = append(in.Addons, a)
	}
	return in
}

func (e *external) Update(ctx context.Context, cr *v1alpha1.Cluster) (managed.ExternalUpdate, error) {
	cl := e.observed
	if cl == nil {
		return managed.ExternalUpdate{}, nil
	}
	if !ackcontroller.Owned(cr, cl.Tags) {
		return managed.ExternalUpdate{}, ackcontroller.NotOwned(cr, "cluster", cl.ID)
	}
	var err error
	if want := cr.Spec.ForProvider.DeletionProtection; want != cl.DeletionProtection {
		var task string
		task, err = e.api.SetDeletionProtection(ctx, cl.ID, want)
		if err == nil {
			cr.Status.AtProvider.Operation = e.NewOperation("Modify", task)
		}
	} else {
		err = e.api.TagCluster(ctx, cl.ID, ackcontroller.Tags(cr, cr.Spec.ForProvider.Tags))
	}
	if cloud.Is(err, cloud.WrongState) {
		// Something else is under way. The next poll tries again.
		return managed.ExternalUpdate{}, nil
	}
	return managed.ExternalUpdate{}, e.holds.Note(cr.GetUID(), ackcontroller.HoldKey(cr, "update"), errors.Wrap(err, "cannot change the cluster"))
}

// Disconnect has nothing to do: clients are shared.
func (e *external) Disconnect(_ context.Context) error { return nil }

// names for a person, in one line.
func names(all []string) string {
	const limit = 5
	if n := len(all); n > limit {
		return strings.Join(all[:limit], ", ") + fmt.Sprintf(" and %d more", n-limit)
	}
	return strings.Join(all, ", ")
}
