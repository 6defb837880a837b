package virtualnodepool

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/crossplane/crossplane-runtime/v2/pkg/errors"
	"github.com/crossplane/crossplane-runtime/v2/pkg/meta"
	"github.com/crossplane/crossplane-runtime/v2/pkg/reconciler/managed"
	xpv2 "github.com/crossplane/crossplane/apis/v2/core/v2"

	"regionpool.io/provider-regionpool/apis/tke/v1alpha1"
	elasticv1alpha1 "regionpool.io/provider-regionpool/apis/v1alpha1"
	"regionpool.io/provider-regionpool/internal/clients/cloud"
	"regionpool.io/provider-regionpool/internal/clients/kube"
	"regionpool.io/provider-regionpool/internal/clients/tke"
	"regionpool.io/provider-regionpool/internal/controller/elastic"
	"regionpool.io/provider-regionpool/internal/controller/lifecycle"
	tkecontroller "regionpool.io/provider-regionpool/internal/controller/tke"
)

// taintVendor is on all super nodes, whatever a pool asks for.
const taintVendor = "eks.tke.cloud.tencent.com/eklet"

// phaseDeleting is the phase of a virtual node that goes.
const phaseDeleting = "Deleting"

// external is a VirtualNodePool at the cloud, for one reconcile.
type external struct {
	*elastic.Base
	// api is nil if the region is not known because there never was a cluster.
	api tke.API
	// cluster of the pool, or nil if it is gone.
	cluster *v1alpha1.Cluster

	// observed in this reconcile.
	observed *tke.VirtualNodePool
	nodes    []tke.VirtualNode
	todo     todo
	deletion elastic.Deletion
	// handover of what runs on the nodes.
	handover elastic.Handover
}

// todo is what Update has to do, one thing at a time.
type todo struct {
	// add a node in each of these subnets.
	add []string
	// configure labels or taints.
	configure *tke.VirtualNodePoolChange
}

func (t todo) String() string {
	switch {
	case t.configure != nil:
		return "configure labels and taints"
	case len(t.add) > 0:
		return "add virtual nodes in " + strings.Join(t.add, ", ")
	}
	return ""
}

// clusterID of the pool, also when the Cluster is gone.
func (e *external) clusterID(cr *v1alpha1.VirtualNodePool) string {
	if e.cluster != nil {
		if id := meta.GetExternalName(e.cluster); id != "" {
			return id
		}
	}
	return cr.Status.AtProvider.ClusterID
}

// find pools with our name and our owner label: virtual pools have no tags.
func (e *external) find(cr *v1alpha1.VirtualNodePool) lifecycle.FindFn {
	return func(ctx context.Context) ([]lifecycle.Candidate, error) {
		if e.api == nil || e.clusterID(cr) == "" {
			return nil, errors.New(e.unbuildable(cr))
		}
		list, err := e.api.ListVirtualNodePools(ctx, e.clusterID(cr))
		if tkecontroller.Absent(err) {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		var all []elastic.Thing
		for _, p := range list {
			if p.Name == elastic.Name(cr) {
				all = append(all, elastic.Thing{ID: p.ID, Tags: p.Labels})
			}
		}
		return elastic.Ours(cr, all), nil
	}
}

func (e *external) Observe(ctx context.Context, cr *v1alpha1.VirtualNodePool) (managed.ExternalObservation, error) {
	o, err := e.observe(ctx, cr)
	e.Mendable(cr, err)
	return o, err
}

func (e *external) observe(ctx context.Context, cr *v1alpha1.VirtualNodePool) (managed.ExternalObservation, error) {
	if meta.GetExternalName(cr) == "" && !meta.WasDeleted(cr) {
		if msg := e.unbuildable(cr); msg != "" {
			cr.SetConditions(xpv2.Creating().WithMessage(msg))
			return elastic.Waiting, nil
		}
	}
	if named, o, err := e.Named(ctx, cr, e.find(cr)); !named || err != nil {
		return o, err
	}
	if e.clusterID(cr) == "" {
		if meta.WasDeleted(cr) && meta.GetExternalCreatePending(cr).IsZero() {
			// It was to be imported and was never seen.
			return managed.ExternalObservation{}, nil
		}
		cr.SetConditions(lifecycle.NotReady(xpv2.ReasonUnavailable, e.unbuildable(cr)))
		return elastic.Waiting, nil
	}

	list, err := e.api.ListVirtualNodePools(ctx, e.clusterID(cr))
	if tkecontroller.Absent(err) {
		return e.clusterGone(ctx, cr)
	}
	if err != nil {
		return managed.ExternalObservation{}, errors.Wrap(err, "cannot list the virtual node pools")
	}
	i := slices.IndexFunc(list, func(p tke.VirtualNodePool) bool { return p.ID == meta.GetExternalName(cr) })
	if i < 0 || list[i].State == tke.NodePoolDeleted {
		return e.gone(ctx, cr)
	}
	p := &list[i]
	if meta.WasDeleted(cr) && !elastic.Owned(cr, p.Labels) && meta.GetExternalCreatePending(cr).IsZero() {
		// It was imported and never handed over: forget it.
		return managed.ExternalObservation{}, nil
	}
	if e.nodes, err = e.api.ListVirtualNodes(ctx, e.clusterID(cr), p.ID); cloud.Is(err, cloud.Gone) {
		// Between the two calls. The next pass looks for the proof.
		e.Pace.After(cr, e.PollInProgress)
		return elastic.Waiting, nil
	}
	if err != nil {
		return managed.ExternalObservation{}, errors.Wrap(err, "cannot list the virtual nodes")
	}
	e.observed = p
	e.see(cr, p)
	if meta.WasDeleted(cr) {
		return elastic.Waiting, nil
	}
	e.ready(cr, p)

	e.todo = e.difference(cr, p)
	diff := e.todo.String()
	if diff != "" {
		if err, left := e.Holds.Held(cr.GetUID(), elastic.HoldKey(cr, diff)); err != nil {
			e.Pace.After(cr, left)
			return managed.ExternalObservation{}, err
		}
	}
	return managed.ExternalObservation{ResourceExists: true, ResourceUpToDate: diff == "", Diff: diff}, nil
}

// clusterGone handles a pool whose cluster is not there, says the list of
// clusters.
func (e *external) clusterGone(ctx context.Context, cr *v1alpha1.VirtualNodePool) (managed.ExternalObservation, error) {
	cr.Status.AtProvider.State, cr.Status.AtProvider.Nodes = "", nil
	// Asked once more, for the cluster itself.
	if _, err := e.api.GetCluster(ctx, e.clusterID(cr)); !tkecontroller.Absent(err) {
		return elastic.Waiting, errors.Wrap(err, "cannot confirm that the cluster is gone")
	}
	if !meta.WasDeleted(cr) {
		cr.SetConditions(lifecycle.NotReady(xpv2.ReasonUnavailable, "The cluster is gone"))
		return elastic.Waiting, nil
	}
	e.Poller.Forget(client.ObjectKeyFromObject(cr))
	return managed.ExternalObservation{}, nil
}

// gone handles a pool that the list does not show.
func (e *external) gone(ctx context.Context, cr *v1alpha1.VirtualNodePool) (managed.ExternalObservation, error) {
	cr.Status.AtProvider.State, cr.Status.AtProvider.Nodes = "", nil
	gone, err := e.Gone(ctx, cr, e.find(cr))
	if err != nil {
		return managed.ExternalObservation{}, err
	}
	if !gone {
		return elastic.Waiting, nil
	}
	if msg := e.unbuildable(cr); msg != "" && !meta.WasDeleted(cr) {
		cr.SetConditions(lifecycle.NotReady(xpv2.ReasonUnavailable, msg))
		return elastic.Waiting, nil
	}
	return managed.ExternalObservation{}, nil
}

// unbuildable says why the pool cannot be created now, or nothing.
func (e *external) unbuildable(cr *v1alpha1.VirtualNodePool) string {
	name := cr.Spec.ForProvider.ClusterRef.Name
	switch {
	case e.cluster == nil:
		return fmt.Sprintf("spec.forProvider.clusterRef: there is no Cluster %q: create it or correct the name", name)
	case meta.WasDeleted(e.cluster):
		return fmt.Sprintf("Cluster %q is being deleted", name)
	case meta.GetExternalName(e.cluster) == "":
		return fmt.Sprintf("Waiting until Cluster %q is created", name)
	}
	switch tkecontroller.Phase(e.cluster.Status.AtProvider.State) {
	case elastic.PhaseRunning, elastic.PhaseScaling:
		return ""
	default:
		return fmt.Sprintf("Waiting until Cluster %q is running", name)
	}
}

// see writes down what the cloud says.
func (e *external) see(cr *v1alpha1.VirtualNodePool, p *tke.VirtualNodePool) {
	at := &cr.Status.AtProvider
	at.ID, at.ClusterID, at.State = p.ID, e.clusterID(cr), p.State
	if e.cluster != nil {
		at.Region = e.cluster.Spec.ForProvider.Region
	}
	at.Nodes = nil
	for _, n := range e.nodes {
		at.Nodes = append(at.Nodes, n.Name)
	}
}

// ready if pods can start on a virtual node.
func (e *external) ready(cr *v1alpha1.VirtualNodePool, p *tke.VirtualNodePool) {
	running := slices.ContainsFunc(e.nodes, func(n tke.VirtualNode) bool { return n.Phase == tke.VirtualNodeRunning })
	switch {
	case p.State == tke.NodePoolDeleting:
		cr.SetConditions(lifecycle.NotReady(xpv2.ReasonUnavailable, fmt.Sprintf("The virtual node pool is in state %q, not because of this resource", p.State)))
	case running:
		cr.SetConditions(xpv2.Available())
	default:
		cr.SetConditions(xpv2.Creating().WithMessage("No virtual node is running yet"))
	}
}

// subnets that a virtual node is wanted in.
func (e *external) subnets(cr *v1alpha1.VirtualNodePool) []string {
	if s := cr.Spec.ForProvider.SubnetIDs; len(s) > 0 {
		return s
	}
	if e.cluster != nil {
		return []string{e.cluster.Spec.ForProvider.SubnetID}
	}
	return nil
}

// labels of the virtual nodes. The owner's is among them.
func labels(cr *v1alpha1.VirtualNodePool) map[string]string {
	return elastic.Tags(cr, cr.Spec.ForProvider.Labels)
}

// difference between what is wanted and what is there. Nodes in subnets that are
// not wanted any more stay: pods may run on them, and empty they cost nothing.
// The cloud does not show security groups: they are set when the pool is created.
func (e *external) difference(cr *v1alpha1.VirtualNodePool, p *tke.VirtualNodePool) todo {
	t := todo{}
	if p.State != tke.NodePoolNormal {
		return t
	}
	have := slices.DeleteFunc(slices.Clone(p.Taints), func(t corev1.Taint) bool { return t.Key == taintVendor })
	want := slices.DeleteFunc(slices.Clone(cr.Spec.ForProvider.Taints), func(t corev1.Taint) bool { return t.Key == taintVendor })
	c := &tke.VirtualNodePoolChange{}
	// The owner's label is not among them: it is how an imported pool is handed
	// over, by a person.
	if wanted := cr.Spec.ForProvider.Labels; !elastic.Contains(p.Labels, wanted) {
		// The cloud replaces all of them, and may have some of its own.
		c.Labels = maps.Clone(p.Labels)
		maps.Copy(c.Labels, wanted)
	}
	if !elastic.SameTaints(want, have) {
		c.Taints = slices.Clone(want)
		if c.Taints == nil {
			c.Taints = []corev1.Taint{}
		}
	}
	if c.Labels != nil || c.Taints != nil {
		t.configure = c
		return t
	}
	for _, s := range e.subnets(cr) {
		there := func(n tke.VirtualNode) bool { return n.SubnetID == s }
		if !slices.ContainsFunc(e.nodes, there) && !slices.Contains(t.add, s) {
			t.add = append(t.add, s)
		}
	}
	return t
}

func (e *external) Create(ctx context.Context, cr *v1alpha1.VirtualNodePool) (managed.ExternalCreation, error) {
	p := cr.Spec.ForProvider
	err := e.Base.Create(ctx, cr, e.find(cr), func(ctx context.Context) (string, string, error) {
		id, err := e.api.CreateVirtualNodePool(ctx, e.clusterID(cr), tke.VirtualNodePoolInput{
			Name: elastic.Name(cr), SubnetIDs: e.subnets(cr), SecurityGroupIDs: p.SecurityGroupIDs, Labels: labels(cr), Taints: p.Taints,
			Tags: elastic.Tags(cr, p.Tags),
		})
		return id, "", err
	})
	return managed.ExternalCreation{}, errors.Wrap(err, "cannot create the virtual node pool")
}

func (e *external) Update(ctx context.Context, cr *v1alpha1.VirtualNodePool) (managed.ExternalUpdate, error) {
	p := e.observed
	if p == nil {
		return managed.ExternalUpdate{}, nil
	}
	if !elastic.Owned(cr, p.Labels) {
		return managed.ExternalUpdate{}, notOwned(cr, p.ID)
	}
	var err error
	switch {
	case e.todo.configure != nil:
		err = errors.Wrap(e.api.ConfigureVirtualNodePool(ctx, e.clusterID(cr), p.ID, *e.todo.configure), "cannot configure the virtual node pool")
	case len(e.todo.add) > 0:
		// The cloud has one virtual node for a subnet and refuses a second: to ask
		// twice is safe.
		err = e.api.AddVirtualNodes(ctx, e.clusterID(cr), p.ID, e.todo.add, elastic.Tags(cr, cr.Spec.ForProvider.Tags))
		err = errors.Wrap(err, "cannot add virtual nodes")
	}
	e.Pace.After(cr, e.PollInProgress)
	if cloud.Is(err, cloud.WrongState) {
		return managed.ExternalUpdate{}, nil
	}
	return managed.ExternalUpdate{}, e.Holds.Note(cr.GetUID(), elastic.HoldKey(cr, e.todo.String()), err)
}

// notOwned is the error of changes to pools without our label.
func notOwned(cr *v1alpha1.VirtualNodePool, id string) error {
	return errors.Errorf("virtual node pool %s does not carry the label %s=%s: add it to hand the pool over, or set spec.managementPolicies to [Observe]", id, elasticv1alpha1.TagOwner, cr.GetUID())
}

// Disconnect does nothing.
func (e *external) Disconnect(context.Context) error { return nil }

// client of the cluster itself.
func (e *external) client(ctx context.Context, cr *v1alpha1.VirtualNodePool) (kubernetes.Interface, error) {
	return e.ClusterClient(ctx, e.Host, e.cluster, func(ctx context.Context) (kube.Kubeconfig, error) {
		return tkecontroller.FetchKubeconfig(ctx, e.api, e.clusterID(cr), e.cluster.Spec.ForProvider.EndpointPublicAccess)
	})
}
