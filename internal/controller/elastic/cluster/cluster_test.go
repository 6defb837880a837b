package cluster

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"
	kerrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	k8sfake "k8s.io/client-go/kubernetes/fake"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	k8stesting "k8s.io/client-go/testing"
	testclock "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/crossplane/crossplane-runtime/v2/pkg/errors"
	"github.com/crossplane/crossplane-runtime/v2/pkg/event"
	"github.com/crossplane/crossplane-runtime/v2/pkg/meta"
	"github.com/crossplane/crossplane-runtime/v2/pkg/reconciler/managed"
	"github.com/crossplane/crossplane-runtime/v2/pkg/resource"
	xpv2 "github.com/crossplane/crossplane/apis/v2/core/v2"

	"regionpool.io/provider-regionpool/apis"
	"regionpool.io/provider-regionpool/apis/ack/v1alpha1"
	federationv1alpha1 "regionpool.io/provider-regionpool/apis/federation/v1alpha1"
	pcv1alpha1 "regionpool.io/provider-regionpool/apis/v1alpha1"
	"regionpool.io/provider-regionpool/internal/clients/cloud"
	"regionpool.io/provider-regionpool/internal/clients/kube"
	"regionpool.io/provider-regionpool/internal/controller/elastic"
	"regionpool.io/provider-regionpool/internal/controller/lifecycle"
)

var now = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

const uid = "0123456789abcdef"

var ours = map[string]string{pcv1alpha1.TagOwner: uid}

type modifier func(*v1alpha1.Cluster)

func cluster(ms ...modifier) *v1alpha1.Cluster {
	cidr := "10.0.0.0/16"
	cr := &v1alpha1.Cluster{
		ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "c", UID: uid, Generation: 1},
		Spec: v1alpha1.ClusterSpec{ForProvider: v1alpha1.ClusterParameters{
			Region: "cn-test", VPCID: "vpc-1", VSwitchIDs: []string{"vsw-1"}, ContainerCIDR: &cidr,
		}},
	}
	for _, m := range ms {
		m(cr)
	}
	return cr
}

func named(cr *v1alpha1.Cluster) { meta.SetExternalName(cr, "c1") }

func deleted(cr *v1alpha1.Cluster) {
	at := metav1.NewTime(now.Add(-time.Minute))
	cr.DeletionTimestamp, cr.Finalizers = &at, []string{"finalizer.managedresource.crossplane.io"}
}

func created(cr *v1alpha1.Cluster) {
	meta.SetExternalCreatePending(cr, now.Add(-time.Hour))
	meta.SetExternalCreateSucceeded(cr, now.Add(-time.Hour))
}

// unanswered since some time ago.
func unanswered(ago time.Duration) modifier {
	return func(cr *v1alpha1.Cluster) {
		c := lifecycle.DeletionBlocked(lifecycle.ReasonNoAnswer, "The cluster cannot be asked for its load balancers and volumes: its API server does not answer")
		c.LastTransitionTime = metav1.NewTime(now.Add(-ago))
		cr.SetConditions(c)
	}
}

func protected(cr *v1alpha1.Cluster) { cr.Spec.ForProvider.DeletionProtection = true }

// kind of the clusters under test. They are ACK's, but nothing else is.
func kind(open OpenFn) *Kind {
	return &Kind{
		GVK: v1alpha1.ClusterGroupVersionKind,
		Pools: []Pool{{
			GVK:         v1alpha1.NodePoolGroupVersionKind,
			List:        func() resource.ManagedList { return &v1alpha1.NodePoolList{} },
			ClusterName: func(o client.Object) string { return o.(*v1alpha1.NodePool).GetClusterName() },
		}},
		Open: open,
	}
}

func gone(string) (*State, error) { return nil, nil }

func state(p elastic.Phase, ms ...func(*State)) func(string) (*State, error) {
	return func(id string) (*State, error) {
		cl := &State{ID: id, Phase: p, Word: string(p), Tags: ours}
		for _, m := range ms {
			m(cl)
		}
		return cl, nil
	}
}

func newExternal(t *testing.T, api Driver, member kubernetes.Interface, objs ...client.Object) *external {
	t.Helper()
	s := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, apis.AddToScheme} {
		if err := add(s); err != nil {
			t.Fatal(err)
		}
	}
	c := testclock.NewFakeClock(now)
	return &external{
		Base: &elastic.Base{
			Options: &elastic.Options{
				PollInProgress: time.Second, ListLag: 15 * time.Second, Recheck: time.Minute, Patience: time.Minute, Clock: c,
				Kubeconfigs: kube.NewKubeconfigs(c),
				Kube:        kube.NewClients(c, func([]byte) (kubernetes.Interface, error) { return member, nil }),
			},
			What: "cluster", Host: fake.NewClientBuilder().WithScheme(s).WithObjects(objs...).Build(),
			Poller: &lifecycle.Poller{Clock: c}, Pace: &lifecycle.Pace{}, Holds: &lifecycle.Holds{Recheck: time.Minute, Clock: c},
			Record: event.NewNopRecorder(), Began: func() time.Time { return time.Time{} },
		},
		kind: kind(nil), cloud: api,
	}
}

// member is an API server that answers.
func member(objs ...runtime.Object) *k8sfake.Clientset {
	return k8sfake.NewClientset(append(objs, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: metav1.NamespaceSystem}})...)
}

// deaf is an API server that does not.
func deaf() *k8sfake.Clientset {
	k := k8sfake.NewClientset()
	k.PrependReactor("*", "*", func(k8stesting.Action) (bool, runtime.Object, error) {
		return true, nil, kerrors.NewServiceUnavailable("no")
	})
	return k
}

func TestObserve(t *testing.T) {
	kubeconfig := func() (kube.Kubeconfig, error) {
		return kube.Kubeconfig{Config: []byte("kc"), Expires: now.Add(72 * time.Hour)}, nil
	}
	type want struct {
		o     managed.ExternalObservation
		ready xpv2.ConditionReason
		class cloud.Class
	}
	cases := map[string]struct {
		reason string
		cr     *v1alpha1.Cluster
		api    *fakeDriver
		member *k8sfake.Clientset
		want   want
	}{
		"NeverCreated": {
			reason: "Nothing is asked about a cluster that was never created.",
			cr:     cluster(),
			api:    &fakeDriver{MockGet: func(string) (*State, error) { panic("called") }, MockFind: func() ([]elastic.Thing, error) { panic("called") }},
		},
		"Initial": {
			reason: "A cluster that is being built is not touched.",
			cr:     cluster(named, protected),
			api:    &fakeDriver{MockGet: state(elastic.PhaseBuilding)},
			want:   want{o: managed.ExternalObservation{ResourceExists: true, ResourceUpToDate: true, ConnectionDetails: managed.ConnectionDetails{}}, ready: xpv2.ReasonCreating},
		},
		"Running": {
			reason: "It is ready when its API server lets us in.",
			cr:     cluster(named),
			api:    &fakeDriver{MockGet: state(elastic.PhaseRunning), MockKubeconfig: kubeconfig},
			member: member(),
			want:   want{o: managed.ExternalObservation{ResourceExists: true, ResourceUpToDate: true, ConnectionDetails: managed.ConnectionDetails{"kubeconfig": []byte("kc")}}, ready: xpv2.ReasonAvailable},
		},
		"RunningDeaf": {
			reason: "Running is not ready while its API server does not answer.",
			cr:     cluster(named),
			api:    &fakeDriver{MockGet: state(elastic.PhaseRunning), MockKubeconfig: kubeconfig},
			member: deaf(),
			want:   want{o: managed.ExternalObservation{ResourceExists: true, ResourceUpToDate: true, ConnectionDetails: managed.ConnectionDetails{"kubeconfig": []byte("kc")}}, ready: xpv2.ReasonUnavailable},
		},
		"Differs": {
			reason: "Deletion protection is compared with what is read back.",
			cr:     cluster(named, protected),
			api:    &fakeDriver{MockGet: state(elastic.PhaseRunning), MockKubeconfig: kubeconfig},
			member: member(),
			want:   want{o: managed.ExternalObservation{ResourceExists: true, Diff: "deletionProtection", ConnectionDetails: managed.ConnectionDetails{"kubeconfig": []byte("kc")}}, ready: xpv2.ReasonAvailable},
		},
		"Failed": {
			reason: "A cluster that could not be built says so.",
			cr:     cluster(named),
			api:    &fakeDriver{MockGet: state(elastic.PhaseFailed)},
			want:   want{o: managed.ExternalObservation{ResourceExists: true, ResourceUpToDate: true, ConnectionDetails: managed.ConnectionDetails{}}, ready: elastic.ReasonFailed},
		},
		"Gone": {
			reason: "It is gone when code and list agree.",
			cr:     cluster(named, deleted),
			api:    &fakeDriver{MockGet: gone},
		},
		"GoneListLags": {
			reason: "A list that still shows it contradicts the code.",
			cr:     cluster(named, deleted),
			api: &fakeDriver{MockGet: gone, MockFind: func() ([]elastic.Thing, error) {
				return []elastic.Thing{{ID: "c1", Tags: ours}}, nil
			}},
			want: want{o: managed.ExternalObservation{ResourceExists: true, ResourceUpToDate: true}},
		},
		"GoneDuplicate": {
			reason: "One more with our tag is deleted as well.",
			cr:     cluster(named, deleted),
			api: &fakeDriver{MockGet: gone, MockFind: func() ([]elastic.Thing, error) {
				return []elastic.Thing{{ID: "c2", Tags: ours}}, nil
			}},
			want: want{o: managed.ExternalObservation{ResourceExists: true, ResourceUpToDate: true}},
		},
		"JustCreated": {
			reason: "Not found right after the creation is normal.",
			cr:     cluster(named, func(cr *v1alpha1.Cluster) { meta.SetExternalCreateSucceeded(cr, now) }),
			api:    &fakeDriver{MockGet: gone},
			want:   want{o: managed.ExternalObservation{ResourceExists: true, ResourceUpToDate: true}, ready: xpv2.ReasonCreating},
		},
		"JustCreatedDeleted": {
			reason: "It is no less normal if the cluster is deleted by then: it must not be forgotten.",
			cr:     cluster(named, deleted, func(cr *v1alpha1.Cluster) { meta.SetExternalCreateSucceeded(cr, now) }),
			api:    &fakeDriver{MockGet: gone},
			want:   want{o: managed.ExternalObservation{ResourceExists: true, ResourceUpToDate: true}},
		},
		"LostAndCreatedAgain": {
			reason: "If the answer to its successor's creation was lost, no third one is created.",
			cr: cluster(named, func(cr *v1alpha1.Cluster) {
				meta.AddAnnotations(cr, map[string]string{lifecycle.AnnotationCreateUnknown: now.Format(time.RFC3339Nano)})
			}),
			api:  &fakeDriver{MockGet: gone},
			want: want{o: managed.ExternalObservation{ResourceExists: true, ResourceUpToDate: true}, ready: xpv2.ReasonCreating},
		},
		"UntaggedDeleted": {
			reason: "A cluster that we created is not forgotten because its tag is missing.",
			cr:     cluster(named, deleted, created),
			api:    &fakeDriver{MockGet: state(elastic.PhaseRunning, func(cl *State) { cl.Tags = nil })},
			want:   want{o: managed.ExternalObservation{ResourceExists: true, ResourceUpToDate: true}},
		},
		"Unauthorised": {
			reason: "Wrong credentials are not absence.",
			cr:     cluster(named, deleted),
			api: &fakeDriver{MockGet: func(string) (*State, error) {
				return nil, &cloud.Error{Class: cloud.Unauthorised, Status: 403}
			}},
			want: want{class: cloud.Unauthorised},
		},
		"Unknown": {
			reason: "Nor is a failure of the cloud.",
			cr:     cluster(named, deleted),
			api: &fakeDriver{MockGet: func(string) (*State, error) {
				return nil, &cloud.Error{Class: cloud.Unknown, Status: 404}
			}},
			want: want{class: cloud.Unknown},
		},
		"ForeignDeleted": {
			reason: "An imported cluster without our tag is forgotten, not deleted.",
			cr:     cluster(named, deleted),
			api:    &fakeDriver{MockGet: state(elastic.PhaseRunning, func(cl *State) { cl.Tags = nil })},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			e := newExternal(t, tc.api, tc.member, tc.cr.DeepCopy())
			if err := e.Host.Get(context.Background(), client.ObjectKeyFromObject(tc.cr), tc.cr); err != nil {
				t.Fatal(err)
			}
			o, err := e.Observe(context.Background(), tc.cr)
			got := want{o: o, ready: tc.cr.GetCondition(xpv2.TypeReady).Reason, class: cloud.ClassOf(err)}
			if diff := cmp.Diff(tc.want, got, cmp.AllowUnexported(want{}), cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("\nReason: %s\nObserve(...): -want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}

func TestCreateOperation(t *testing.T) {
	api := &fakeDriver{
		MockCreate: func() (string, string, error) { return "c1", "T-1", nil },
		MockGet:    state(elastic.PhaseBuilding),
		MockTask:   func(string) (*elastic.Task, error) { return &elastic.Task{Stage: "CreateVM"}, nil },
	}
	cr := cluster()
	e := newExternal(t, api, nil, cr.DeepCopy())
	if _, err := e.Create(context.Background(), cr); err != nil || meta.GetExternalName(cr) != "c1" {
		t.Fatalf("Create(...): %v", err)
	}
	// Only annotations survive Create.
	cr.Status = v1alpha1.ClusterStatus{}
	if _, err := e.Observe(context.Background(), cr); err != nil {
		t.Fatal(err)
	}
	want := &pcv1alpha1.Operation{Type: "Create", TaskID: "T-1", Stage: "CreateVM", StartedAt: metav1.NewTime(now)}
	if diff := cmp.Diff(want, cr.Status.AtProvider.Operation); diff != "" {
		t.Errorf("\nReason: a restart resumes the task\nObserve(...): -want, +got:\n%s", diff)
	}
}

func TestCreateHeld(t *testing.T) {
	api := &fakeDriver{MockCreate: func() (string, string, error) {
		return "", "", &cloud.Error{Class: cloud.Invalid, Operation: "CreateCluster", Code: "InvalidParameter.VswitchIds", Field: "vSwitchIds", Status: 400}
	}}
	cr := cluster()
	e := newExternal(t, api, nil, cr.DeepCopy())
	if _, err := e.Create(context.Background(), cr); !cloud.Is(err, cloud.Invalid) {
		t.Fatalf("Create(...): %v", err)
	}
	if _, err := e.Observe(context.Background(), cr); !cloud.Is(err, cloud.Invalid) {
		t.Errorf("\nReason: what a person has to mend is not tried again at once\nObserve(...): %v", err)
	}
	cr.Generation++
	if o, err := e.Observe(context.Background(), cr); err != nil || o.ResourceExists {
		t.Errorf("\nReason: a new spec is tried at once\nObserve(...): %v, %v", o, err)
	}
}

func TestUpdate(t *testing.T) {
	cases := map[string]struct {
		reason string
		cl     *State
		want   []string
		err    bool
	}{
		"Protection": {reason: "One field travels in a call.", cl: &State{ID: "c1", Tags: ours}, want: []string{"Protect true"}},
		"Tags":       {reason: "Tags have their own call.", cl: &State{ID: "c1", Tags: ours, DeletionProtection: true}, want: []string{"Tag"}},
		"Foreign":    {reason: "What does not carry our tag is not touched.", cl: &State{ID: "c1"}, err: true},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			api := &fakeDriver{}
			e := newExternal(t, api, nil)
			e.observed = tc.cl
			_, err := e.Update(context.Background(), cluster(named, protected, func(cr *v1alpha1.Cluster) { cr.Spec.ForProvider.Tags = map[string]string{"team": "a"} }))
			if diff := cmp.Diff(tc.want, api.Calls); diff != "" || (err != nil) != tc.err {
				t.Errorf("\nReason: %s\nUpdate(...): %v, -want, +got:\n%s", tc.reason, err, diff)
			}
		})
	}
}

func TestDelete(t *testing.T) {
	lb := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "web", Name: "lb", Finalizers: []string{"service.kubernetes.io/load-balancer-cleanup"}}, Spec: corev1.ServiceSpec{Type: corev1.ServiceTypeLoadBalancer}}
	m := &federationv1alpha1.Member{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "m"}, Spec: federationv1alpha1.MemberSpec{ForProvider: federationv1alpha1.MemberParameters{
		ClusterRef: &federationv1alpha1.ClusterReference{APIVersion: v1alpha1.SchemeGroupVersion.String(), Kind: "Cluster", Name: "c"},
	}}}
	pool := &v1alpha1.NodePool{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "p", Annotations: map[string]string{meta.AnnotationKeyExternalName: "np1"}}, Spec: v1alpha1.NodePoolSpec{ForProvider: v1alpha1.NodePoolParameters{ClusterRef: corev1.LocalObjectReference{Name: "c"}}}}
	next := m.DeepCopy()
	next.CreationTimestamp = metav1.NewTime(now)
	untouched := pool.DeepCopy()
	untouched.Annotations = nil
	refused := untouched.DeepCopy()
	meta.SetExternalCreatePending(refused, now.Add(-time.Minute))
	meta.SetExternalCreateFailed(refused, now.Add(-time.Minute))
	running := func(string) (*elastic.Task, error) { return &elastic.Task{}, nil }
	operating := func(ago time.Duration) modifier {
		return func(cr *v1alpha1.Cluster) {
			cr.Status.AtProvider.ID = "c1"
			cr.Status.AtProvider.Operation = &pcv1alpha1.Operation{Type: "Modify", TaskID: "T-1", StartedAt: metav1.NewTime(now.Add(-ago))}
		}
	}
	refuse := func(c cloud.Class) func(string) (string, error) {
		return func(string) (string, error) {
			return "", &cloud.Error{Class: c, Operation: "DeleteCluster", Code: "Code", Message: "no", Status: 400}
		}
	}
	on := func(cl *State) { cl.DeletionProtection = true }
	waits := corev1.ConditionTrue
	goes := corev1.ConditionFalse
	type want struct {
		calls   []string
		blocked corev1.ConditionStatus
		class   cloud.Class
	}
	cases := map[string]struct {
		reason string
		cr     []modifier
		api    *fakeDriver
		member *k8sfake.Clientset
		objs   []client.Object
		want   want
	}{
		"Untagged":    {reason: "What does not carry our tag is not touched, nor forgotten.", cr: []modifier{created}, api: &fakeDriver{MockGet: state(elastic.PhaseRunning, func(cl *State) { cl.Tags = nil })}, member: member(), want: want{blocked: waits}},
		"NoAnswer":    {reason: "An API server that does not answer is waited for, however long the deletion has lasted.", api: &fakeDriver{MockGet: state(elastic.PhaseRunning)}, member: deaf(), want: want{blocked: waits}},
		"Silent":      {reason: "But not for ever.", cr: []modifier{unanswered(7 * time.Minute)}, api: &fakeDriver{MockGet: state(elastic.PhaseRunning)}, member: deaf(), want: want{blocked: waits, calls: []string{"Delete c1"}}},
		"PoolRefused": {reason: "A pool that was refused holds nothing up.", api: &fakeDriver{MockGet: state(elastic.PhaseRunning)}, member: member(), objs: []client.Object{refused}, want: want{blocked: goes, calls: []string{"Delete c1"}}},
		"Member":      {reason: "It leaves the federation first.", api: &fakeDriver{MockGet: state(elastic.PhaseRunning)}, member: member(lb), objs: []client.Object{m}, want: want{blocked: waits}},
		"NextMember":  {reason: "One that was created later waits for the next cluster, and is not waited for.", api: &fakeDriver{MockGet: state(elastic.PhaseRunning)}, member: member(), objs: []client.Object{next}, want: want{blocked: goes, calls: []string{"Delete c1"}}},
		"NodePool":    {reason: "Its node pools go first.", api: &fakeDriver{MockGet: state(elastic.PhaseRunning)}, member: member(), objs: []client.Object{pool}, want: want{blocked: waits}},
		"Untouched":   {reason: "A pool that was never created holds nothing up.", api: &fakeDriver{MockGet: state(elastic.PhaseRunning)}, member: member(), objs: []client.Object{untouched}, want: want{blocked: goes, calls: []string{"Delete c1"}}},
		"Service":     {reason: "Load balancers are given back first.", api: &fakeDriver{MockGet: state(elastic.PhaseRunning)}, member: member(lb.DeepCopy()), want: want{blocked: waits}},
		"Upgrading":   {reason: "In any state in which the cluster may work.", api: &fakeDriver{MockGet: state(elastic.PhaseChanging)}, member: member(lb.DeepCopy()), want: want{blocked: waits}},
		"Busy":        {reason: "A task of ours ends first.", cr: []modifier{operating(30 * time.Second)}, api: &fakeDriver{MockGet: state(elastic.PhaseRunning), MockTask: running}, member: member(), want: want{blocked: goes}},
		"Stuck":       {reason: "One that does not end holds nothing up.", cr: []modifier{operating(2 * time.Minute)}, api: &fakeDriver{MockGet: state(elastic.PhaseRunning), MockTask: running}, member: member(), want: want{blocked: goes, calls: []string{"Delete c1"}}},
		"Protection":  {reason: "Deletion protection is switched off first, alone.", api: &fakeDriver{MockGet: state(elastic.PhaseRunning, on)}, member: member(), want: want{blocked: goes, calls: []string{"Protect false"}}},
		"Refused":     {reason: "A refusal because of protection that was not visible is answered the same way.", api: &fakeDriver{MockGet: state(elastic.PhaseRunning), MockDelete: refuse(cloud.Protected)}, member: member(), want: want{blocked: goes, calls: []string{"Delete c1", "Protect false"}}},
		"Deletes":     {reason: "Then it goes.", api: &fakeDriver{MockGet: state(elastic.PhaseRunning)}, member: member(), want: want{blocked: goes, calls: []string{"Delete c1"}}},
		"Deleting":    {reason: "It is asked for once.", api: &fakeDriver{MockGet: state(elastic.PhaseDeleting)}, want: want{blocked: goes}},
		"WhileBuilt":  {reason: "A cluster that is being built can be deleted later.", api: &fakeDriver{MockGet: state(elastic.PhaseBuilding), MockDelete: refuse(cloud.WrongState)}, want: want{blocked: waits, calls: []string{"Delete c1"}}},
		"FailedBuild": {reason: "What could not be built is deleted, as it is billed.", api: &fakeDriver{MockGet: state(elastic.PhaseFailed)}, want: want{blocked: goes, calls: []string{"Delete c1"}}},
		"Again":       {reason: "A deletion that failed is repeated.", api: &fakeDriver{MockGet: state(elastic.PhaseDeleteFailed)}, want: want{blocked: goes, calls: []string{"Delete c1"}}},
		"Denied":      {reason: "Other errors are shown.", api: &fakeDriver{MockGet: state(elastic.PhaseFailed), MockDelete: refuse(cloud.Unauthorised)}, want: want{blocked: corev1.ConditionUnknown, class: cloud.Unauthorised, calls: []string{"Delete c1"}}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			cr := cluster(append(tc.cr, named, deleted)...)
			e := newExternal(t, tc.api, tc.member, append(tc.objs, cr.DeepCopy())...)
			o, err := e.Observe(context.Background(), cr)
			if err != nil || !o.ResourceExists {
				t.Fatalf("Observe(...): %v, %v", o, err)
			}
			_, err = e.Delete(context.Background(), cr)
			got := want{calls: tc.api.Calls, blocked: cr.GetCondition(lifecycle.TypeDeletionBlocked).Status, class: cloud.ClassOf(err)}
			if diff := cmp.Diff(tc.want, got, cmp.AllowUnexported(want{})); diff != "" {
				t.Errorf("\nReason: %s\nDelete(...): -want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}

func TestConnectWithoutCredentials(t *testing.T) {
	refused := func(cr *v1alpha1.Cluster) {
		meta.SetExternalCreatePending(cr, now.Add(-time.Minute))
		meta.SetExternalCreateFailed(cr, now)
	}
	errNone := errors.New("no credentials")
	cases := map[string]struct {
		reason string
		cr     *v1alpha1.Cluster
		want   error
	}{
		"Refused": {reason: "A cluster that was never built goes although its credentials went first.", cr: cluster(deleted, refused)},
		"Created": {reason: "One that was built needs them.", cr: cluster(deleted, named), want: errNone},
		"Lives":   {reason: "So does one that is to be built.", cr: cluster(), want: errNone},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			e := newExternal(t, nil, nil, tc.cr.DeepCopy())
			e.Resolve = func(context.Context, client.Client, resource.ModernManaged) (*pcv1alpha1.ProviderConfigSpec, []byte, error) {
				return nil, nil, errNone
			}
			c := NewConnector(kind(nil), e.Base)
			x, err := c.Connect(context.Background(), tc.cr)
			if diff := cmp.Diff(tc.want, err, cmpopts.EquateErrors()); diff != "" {
				t.Fatalf("\nReason: %s\nConnect(...): -want, +got:\n%s", tc.reason, diff)
			}
			if err != nil {
				return
			}
			if o, err := x.Observe(context.Background(), tc.cr); err != nil || o.ResourceExists {
				t.Errorf("\nReason: %s\nObserve(...): %+v, %v", tc.reason, o, err)
			}
		})
	}
}
