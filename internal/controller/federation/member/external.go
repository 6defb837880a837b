package member

import (
	"context"
	"fmt"
	"time"

	clusterv1alpha1 "github.com/karmada-io/karmada/pkg/apis/cluster/v1alpha1"
	karmadautil "github.com/karmada-io/karmada/pkg/util"
	corev1 "k8s.io/api/core/v1"
	kerrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/crossplane/crossplane-runtime/v2/pkg/errors"
	xpmeta "github.com/crossplane/crossplane-runtime/v2/pkg/meta"
	"github.com/crossplane/crossplane-runtime/v2/pkg/reconciler/managed"
	xpv2 "github.com/crossplane/crossplane/apis/v2/core/v2"

	"regionpool.io/provider-regionpool/apis/federation/v1alpha1"
	"regionpool.io/provider-regionpool/internal/clients/karmada"
	"regionpool.io/provider-regionpool/internal/controller/federation/reconcile"
)

const (
	// dialTimeout of calls to a member. A dead one must not hold a worker.
	dialTimeout = 5 * time.Second

	// lookGrace is how long Karmada may take to look at a new Cluster before
	// this is told.
	lookGrace = 15 * time.Second

	// lockAge after which credentials without a Karmada Cluster count as
	// leftovers of a Member that is no more.
	lockAge = time.Minute
)

// A dialer makes a client of a member.
type dialer func(cfg *rest.Config) (kubernetes.Interface, error)

func dial(cfg *rest.Config) (kubernetes.Interface, error) {
	cfg = rest.CopyConfig(cfg)
	cfg.Timeout = dialTimeout
	cfg.UserAgent = karmada.FieldOwner
	return kubernetes.NewForConfig(cfg)
}

// connector makes external clients of Members.
type connector struct {
	// kube reads Members and PlacementPolicies of the host plane.
	kube           client.Reader
	access         accessReader
	connect        karmada.ConnectFn
	dial           dialer
	clock          clock.PassiveClock
	requeuer       *karmada.Requeuer
	pollInProgress time.Duration
}

// Connect to the Karmada API of a Member.
func (c *connector) Connect(ctx context.Context, mg *v1alpha1.Member) (managed.TypedExternalClient[*v1alpha1.Member], error) {
	conn, err := c.connect(ctx, mg)
	if err != nil {
		return nil, err
	}
	if err := conn.WatchClusters(ctx); err != nil {
		return nil, errors.New("cannot watch Clusters in the Karmada API: " + karmada.Reason(err))
	}
	return &external{connector: c, conn: conn}, nil
}

// external joins a member to Karmada, and lets it leave.
type external struct {
	*connector
	conn *karmada.Conn
}

// Disconnect does nothing: the connection is shared.
func (e *external) Disconnect(context.Context) error { return nil }

// cluster returns the Karmada Cluster, or nil when it is proved absent.
func (e *external) cluster(ctx context.Context, r karmada.Getter, name string) (*clusterv1alpha1.Cluster, error) {
	cl := &clusterv1alpha1.Cluster{}
	err := r.Get(ctx, types.NamespacedName{Name: name}, cl)
	if kerrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, errors.Wrapf(err, "cannot get Karmada Cluster %q", name)
	}
	return cl, nil
}

// Observe a Member.
func (e *external) Observe(ctx context.Context, mg *v1alpha1.Member) (managed.ExternalObservation, error) {
	name := reconcile.ExternalName(mg)
	cl, err := e.cluster(ctx, e.conn, name)
	if err != nil {
		return managed.ExternalObservation{}, err
	}

	// The reconciler does not get here for a resource that is deleted without
	// its external resource (orphaned), so whoever is deleted here leaves.
	if xpmeta.WasDeleted(mg) {
		if cl != nil && owner(cl) == string(mg.GetUID()) {
			e.observe(mg, cl)
			return managed.ExternalObservation{ResourceExists: true}, nil
		}
		return managed.ExternalObservation{}, e.left(ctx, mg, cl == nil)
	}

	if cl == nil {
		mg.Status.AtProvider = v1alpha1.MemberObservation{}
		if reconcile.ObserveOnly(mg) {
			return managed.ExternalObservation{}, nil
		}
		return e.observeAbsent(ctx, mg)
	}

	e.observe(mg, cl)
	if reconcile.ObserveOnly(mg) {
		return managed.ExternalObservation{ResourceExists: true, ResourceUpToDate: true}, nil
	}

	if o := owner(cl); o != "" && o != string(mg.GetUID()) {
		return managed.ExternalObservation{}, e.conflict(mg, fmt.Sprintf("Karmada Cluster %q belongs to another Member (%s): delete that one or choose another external name", name, cl.GetAnnotations()[karmada.AnnotationManagedBy]))
	}
	if cl.GetDeletionTimestamp() != nil {
		mg.SetConditions(reconcile.NotReady(reasonNotReady, "Karmada Cluster is being deleted by someone else: it joins again when it is gone"))
		return managed.ExternalObservation{ResourceExists: true, ResourceUpToDate: true}, nil
	}

	a, err := e.access.read(ctx, mg)
	if ae := (*accessError)(nil); errors.As(err, &ae) {
		if !ae.waits {
			return managed.ExternalObservation{}, ae
		}
		// A member that has joined needs the kubeconfig no more.
		err = nil
	}
	if err != nil {
		return managed.ExternalObservation{}, err
	}
	ok, err := upToDate(cl, mg, a)
	return managed.ExternalObservation{ResourceExists: true, ResourceUpToDate: ok && owner(cl) != ""}, err
}

// observe copies what is worth knowing of a Karmada Cluster to the status.
func (e *external) observe(mg *v1alpha1.Member, cl *clusterv1alpha1.Cluster) {
	deleted := xpmeta.WasDeleted(mg)
	c := meta.FindStatusCondition(cl.Status.Conditions, clusterv1alpha1.ClusterConditionReady)
	if c == nil && !deleted && e.clock.Since(cl.GetCreationTimestamp().Time) < lookGrace {
		// This is what the reconciler says after a creation. To say it otherwise
		// for a moment would be one write more, which goes to the claim as well.
		mg.SetConditions(xpv2.Creating())
		return
	}
	o := &mg.Status.AtProvider
	o.ClusterID = cl.Spec.ID
	o.APIEndpoint = cl.Spec.APIEndpoint
	o.KubernetesVersion = cl.Status.KubernetesVersion
	switch {
	case deleted:
		// The reconciler says that it is being deleted. Anything else would turn
		// back and forth, and be written each time.
	case c == nil:
		mg.SetConditions(reconcile.NotReady(reasonNotReady, "Karmada has not looked at the cluster yet"))
	case c.Status == metav1.ConditionTrue:
		mg.SetConditions(xpv2.Available())
	default:
		mg.SetConditions(reconcile.NotReady(reasonNotReady, "Karmada says: "+c.Reason))
	}
}

// observeAbsent decides whether a member can join. While it cannot for reasons
// that will pass, it is reported as existing and up to date: an attempt to
// create it would write to the host plane each time.
func (e *external) observeAbsent(ctx context.Context, mg *v1alpha1.Member) (managed.ExternalObservation, error) {
	_, _, _, err := e.joinable(ctx, mg)
	var ae *accessError
	switch {
	case errors.As(err, &ae):
		mg.SetConditions(reconcile.NotReady(ae.reason, ae.message))
		if ae.waits {
			return managed.ExternalObservation{ResourceExists: true, ResourceUpToDate: true}, nil
		}
		return managed.ExternalObservation{}, ae
	case err != nil:
		return managed.ExternalObservation{}, err
	}
	return managed.ExternalObservation{}, nil
}

// conflict sets the condition, and returns the error that says the same.
func (e *external) conflict(mg *v1alpha1.Member, message string) error {
	mg.SetConditions(reconcile.NotReady(reasonConflict, message))
	return errors.New(message)
}

// joinable returns the means to join a member after it has made sure that
// nobody else has joined it. Errors are of type *accessError when the member
// cannot be reached.
func (e *external) joinable(ctx context.Context, mg *v1alpha1.Member) (*access, kubernetes.Interface, string, error) {
	a, err := e.access.read(ctx, mg)
	if err != nil {
		return nil, nil, "", err
	}
	c, err := e.dial(a.config)
	if err != nil {
		return nil, nil, "", a.refused(err)
	}
	id, err := clusterID(ctx, c)
	if err != nil {
		return nil, nil, "", a.refused(err)
	}
	name := reconcile.ExternalName(mg)
	l := &clusterv1alpha1.ClusterList{}
	if err := e.conn.Live.List(ctx, l); err != nil {
		return nil, nil, "", errors.Wrap(err, "cannot list Karmada Clusters")
	}
	for i := range l.Items {
		cl := &l.Items[i]
		by := cl.GetAnnotations()[karmada.AnnotationManagedBy]
		if by == "" {
			by = "not by a Member"
		}
		switch {
		case cl.Spec.ID == id && cl.GetName() != name:
			return nil, nil, "", e.conflict(mg, fmt.Sprintf("%s is a cluster that has joined already as Karmada Cluster %q (%s): a cluster can join only once", a.source, cl.GetName(), by))
		case cl.GetName() == name && owner(cl) != "" && owner(cl) != string(mg.GetUID()):
			return nil, nil, "", e.conflict(mg, fmt.Sprintf("Karmada Cluster %q belongs to another Member (%s): delete that one or choose another external name", name, by))
		case cl.GetName() == name && cl.Spec.ID != id:
			return nil, nil, "", e.conflict(mg, fmt.Sprintf("%s is not the cluster that has joined as Karmada Cluster %q: delete the Member to let the old one leave", a.source, name))
		}
	}
	return a, c, id, nil
}

// Create joins a member.
func (e *external) Create(ctx context.Context, mg *v1alpha1.Member) (managed.ExternalCreation, error) {
	return managed.ExternalCreation{}, e.join(ctx, mg)
}

// Update a member, or make its credentials anew.
func (e *external) Update(ctx context.Context, mg *v1alpha1.Member) (managed.ExternalUpdate, error) {
	cl, err := e.cluster(ctx, e.conn.Live, reconcile.ExternalName(mg))
	if err != nil {
		return managed.ExternalUpdate{}, err
	}
	if cl == nil {
		return managed.ExternalUpdate{}, errors.New("Karmada Cluster is gone: it joins again")
	}
	a, err := e.access.read(ctx, mg)
	if ae := (*accessError)(nil); errors.As(err, &ae) && ae.waits {
		err = nil
	}
	if err != nil {
		return managed.ExternalUpdate{}, err
	}
	if owner(cl) == "" || a != nil && cl.GetAnnotations()[annotationAccess] != a.digest {
		return managed.ExternalUpdate{}, e.join(ctx, mg)
	}
	if err := merge(cl, mg); err != nil {
		return managed.ExternalUpdate{}, err
	}
	return managed.ExternalUpdate{}, errors.Wrap(e.conn.Client.Update(ctx, cl), "cannot update the Karmada Cluster")
}

// join makes service accounts in the member, hands their tokens to Karmada and
// creates or updates the Karmada Cluster. Each step can be repeated.
func (e *external) join(ctx context.Context, mg *v1alpha1.Member) error {
	name, uid := reconcile.ExternalName(mg), string(mg.GetUID())
	a, c, id, err := e.joinable(ctx, mg)
	if err != nil {
		return err
	}
	cr, err := mint(ctx, c, name, uid)
	if err != nil {
		if errors.Is(err, errNoToken) {
			return err
		}
		return a.refused(err)
	}

	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
		Name:   memberNamespace,
		Labels: map[string]string{karmadautil.KarmadaSystemLabel: karmadautil.KarmadaSystemLabelValue},
	}}
	if err := e.conn.Client.Create(ctx, ns); ignoreExists(err) != nil {
		return errors.Wrap(err, "cannot create the namespace of credentials in Karmada")
	}
	// The Secrets are named after the physical cluster, so that creating them is
	// also the lock that keeps two Members from joining it at the same time
	// under two names. They come before the Cluster because Karmada looks at
	// them at once, and then only after many seconds again.
	ca := a.config.CAData
	if ca == nil {
		ca = []byte{}
	}
	secret, err := e.writeSecret(ctx, mg, secretName(id), map[string][]byte{clusterv1alpha1.SecretTokenKey: cr.token, clusterv1alpha1.SecretCADataKey: ca})
	if err != nil {
		return err
	}
	impersonator, err := e.writeSecret(ctx, mg, impersonatorName(id), map[string][]byte{clusterv1alpha1.SecretTokenKey: cr.impersonator})
	if err != nil {
		return err
	}

	cl, err := e.cluster(ctx, e.conn.Live, name)
	if err != nil {
		return err
	}
	exists := cl != nil
	if !exists {
		cl = &clusterv1alpha1.Cluster{ObjectMeta: metav1.ObjectMeta{Name: name}}
	}
	if err := merge(cl, mg); err != nil {
		return err
	}
	mergeAccess(cl, a, id)
	if exists {
		err = e.conn.Client.Update(ctx, cl)
	} else {
		err = e.conn.Client.Create(ctx, cl)
	}
	if err != nil {
		return errors.Wrapf(err, "cannot write Karmada Cluster %q", name)
	}

	// The Secrets go with the Cluster.
	for _, s := range []*corev1.Secret{secret, impersonator} {
		if len(s.GetOwnerReferences()) == 1 && s.GetOwnerReferences()[0].UID == cl.GetUID() {
			continue
		}
		s.SetOwnerReferences([]metav1.OwnerReference{*metav1.NewControllerRef(cl, schema.GroupVersion(clusterv1alpha1.GroupVersion).WithKind("Cluster"))})
		if err := e.conn.Client.Update(ctx, s); err != nil {
			return errors.Wrap(err, "cannot make the Karmada Cluster own its credentials")
		}
	}
	return nil
}

// writeSecret creates or updates credentials in Karmada.
func (e *external) writeSecret(ctx context.Context, mg *v1alpha1.Member, name string, data map[string][]byte) (*corev1.Secret, error) {
	s := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{
			Namespace:   memberNamespace,
			Name:        name,
			Labels:      map[string]string{karmadautil.KarmadaSystemLabel: karmadautil.KarmadaSystemLabelValue, karmada.AnnotationMemberUID: string(mg.GetUID())},
			Annotations: map[string]string{karmada.AnnotationMemberUID: string(mg.GetUID()), karmada.AnnotationManagedBy: managedBy(mg)},
		},
		Data: data,
	}
	err := e.conn.Client.Create(ctx, s)
	if err == nil {
		return s, nil
	}
	if !kerrors.IsAlreadyExists(err) {
		return nil, errors.Wrap(err, "cannot write credentials of the member to Karmada")
	}
	old := &corev1.Secret{}
	if err := e.conn.Live.Get(ctx, client.ObjectKeyFromObject(s), old); err != nil {
		return nil, errors.Wrap(err, "cannot get credentials of the member from Karmada")
	}
	if o := old.GetAnnotations()[karmada.AnnotationMemberUID]; o != string(mg.GetUID()) {
		// joinable has seen that no Karmada Cluster uses them.
		if e.clock.Since(old.GetCreationTimestamp().Time) < lockAge {
			return nil, e.conflict(mg, fmt.Sprintf("the cluster is being joined by another Member (%s): a cluster can join only once", old.GetAnnotations()[karmada.AnnotationManagedBy]))
		}
		// Deleted, not overwritten: the age of the new one counts from now.
		if err := e.conn.Client.Delete(ctx, old, client.Preconditions{UID: &old.UID, ResourceVersion: &old.ResourceVersion}); err != nil {
			return nil, errors.Wrap(err, "cannot remove credentials of a Member that is no more")
		}
		return nil, errors.New("removed credentials of a Member that is no more: joining again")
	}
	old.Data, old.Labels, old.Annotations = s.Data, s.Labels, s.Annotations
	if err := e.conn.Client.Update(ctx, old); err != nil {
		return nil, errors.Wrap(err, "cannot update credentials of the member in Karmada")
	}
	return old, nil
}
