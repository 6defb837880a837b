package member

import (
	"context"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	clusterv1alpha1 "github.com/karmada-io/karmada/pkg/apis/cluster/v1alpha1"
	corev1 "k8s.io/api/core/v1"
	kerrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/crossplane/crossplane-runtime/v2/pkg/errors"
	"github.com/crossplane/crossplane-runtime/v2/pkg/reconciler/managed"
	"github.com/crossplane/crossplane-runtime/v2/pkg/resource"
	xpv2 "github.com/crossplane/crossplane/apis/v2/core/v2"

	"regionpool.io/provider-regionpool/apis/federation/v1alpha1"
	"regionpool.io/provider-regionpool/internal/clients/karmada"
)

func TestConnect(t *testing.T) {
	c := &connector{connect: func(context.Context, resource.ModernManaged) (*karmada.Conn, error) { return nil, errBoom }}
	if _, err := c.Connect(context.Background(), newMember()); !errors.Is(err, errBoom) {
		t.Errorf("Connect(...): want %v, got %v", errBoom, err)
	}
	c.connect = func(context.Context, resource.ModernManaged) (*karmada.Conn, error) {
		return karmada.NewConn(fake.NewClientBuilder().Build()), nil
	}
	if _, err := c.Connect(context.Background(), newMember()); err != nil {
		t.Errorf("Connect(...): %v", err)
	}
}

func TestObserve(t *testing.T) {
	type want struct {
		o     managed.ExternalObservation
		err   error
		ready xpv2.ConditionReason
		// says is part of the condition or of the error.
		says string
	}
	absent := managed.ExternalObservation{}
	exists := managed.ExternalObservation{ResourceExists: true}
	good := managed.ExternalObservation{ResourceExists: true, ResourceUpToDate: true}
	idcA := secret("idc-a", kubeconfig("https://idc-a:6443"))
	refused := &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}

	cases := map[string]struct {
		reason string
		mg     *v1alpha1.Member
		world  worldOptions
		want   want
	}{
		"Joinable": {
			reason: "A member whose API answers is joined",
			mg:     newMember(),
			world:  worldOptions{host: []client.Object{idcA}},
			want:   want{o: absent},
		},
		"NoSecret": {
			reason: "Without the Secret it waits, names the field, and creates nothing",
			mg:     newMember(),
			want:   want{o: good, ready: reasonWaiting, says: fieldKubeconfig},
		},
		"Garbage": {
			reason: "Garbage is an error that names the field",
			mg:     newMember(),
			world:  worldOptions{host: []client.Object{secret("idc-a", []byte("{"+secretToken+": ["+secretToken))}},
			want:   want{err: cmpopts.AnyError, ready: reasonInvalid, says: fieldKubeconfig},
		},
		"Exec": {
			reason: "A kubeconfig that would run a program is refused",
			mg:     newMember(),
			world: worldOptions{host: []client.Object{secret("idc-a", []byte(strings.Replace(string(kubeconfig("https://x")),
				"token: "+secretToken, "exec: {apiVersion: client.authentication.k8s.io/v1, command: /bin/"+secretToken+", interactiveMode: Never}", 1)))}},
			want: want{err: cmpopts.AnyError, ready: reasonInvalid, says: "runs a program"},
		},
		"Forbidden": {
			reason: "Credentials that do not suffice are an error that names the field and the mend",
			mg:     newMember(),
			world:  worldOptions{host: []client.Object{idcA}, memberErr: kerrors.NewForbidden(schema.GroupResource{Resource: "namespaces"}, "kube-system", errors.New(secretToken))},
			want:   want{err: cmpopts.AnyError, ready: reasonRefused, says: fieldKubeconfig},
		},
		"Unreachable": {
			reason: "An API that does not answer yet is waited for",
			mg:     newMember(),
			world:  worldOptions{host: []client.Object{idcA}, memberErr: refused},
			want:   want{o: good, ready: reasonUnreachable, says: "refuses connections"},
		},
		"CloudClusterAbsent": {
			reason: "A reference to nothing is named",
			mg:     newMember(ofCloud),
			want:   want{o: good, ready: reasonWaiting, says: fieldCluster},
		},
		"CloudClusterCreating": {
			reason: "A cloud cluster that has no kubeconfig yet is waited for",
			mg:     newMember(ofCloud),
			world:  worldOptions{host: []client.Object{cloudCluster()}},
			want:   want{o: good, ready: reasonWaiting, says: `"shanghai-ack"`},
		},
		"CloudCluster": {
			reason: "It is joined as soon as its API answers",
			mg:     newMember(ofCloud),
			world:  worldOptions{host: []client.Object{cloudCluster(), secret("shanghai-ack-kubeconfig", kubeconfig("https://ack"))}},
			want:   want{o: absent},
		},
		"Ready": {
			reason: "It is Available when the Karmada Cluster is Ready",
			mg:     newMember(),
			world:  worldOptions{host: []client.Object{idcA}, karmada: []client.Object{karmadaCluster()}},
			want:   want{o: good, ready: xpv2.ReasonAvailable},
		},
		"NotReady": {
			reason: "It is not when Karmada does not reach it",
			mg:     newMember(),
			world:  worldOptions{host: []client.Object{idcA}, karmada: []client.Object{karmadaCluster(ready(false))}},
			want:   want{o: good, ready: reasonNotReady, says: "ClusterNotReachable"},
		},
		"New": {
			reason: "That Karmada has yet to look at it is nothing to tell",
			mg:     newMember(),
			world:  worldOptions{host: []client.Object{idcA}, karmada: []client.Object{karmadaCluster(unseen(0))}},
			want:   want{o: good, ready: xpv2.ReasonCreating},
		},
		"Unseen": {
			reason: "That Karmada does not look at it is",
			mg:     newMember(),
			world:  worldOptions{host: []client.Object{idcA}, karmada: []client.Object{karmadaCluster(unseen(time.Minute))}},
			want:   want{o: good, ready: reasonNotReady, says: "Karmada has not looked"},
		},
		"KubeconfigGone": {
			reason: "A member that has joined needs the kubeconfig no more",
			mg:     newMember(),
			world:  worldOptions{karmada: []client.Object{karmadaCluster()}},
			want:   want{o: good, ready: xpv2.ReasonAvailable},
		},
		"Rotated": {
			reason: "With another kubeconfig the credentials are made anew",
			mg:     newMember(),
			world:  worldOptions{host: []client.Object{secret("idc-a", kubeconfig("https://other"))}, karmada: []client.Object{karmadaCluster()}},
			want:   want{o: exists, ready: xpv2.ReasonAvailable},
		},
		"LabelsChanged": {
			reason: "Changed labels are brought to Karmada",
			mg:     newMember(func(mg *v1alpha1.Member) { mg.Spec.ForProvider.Labels = map[string]string{"a": "b"} }),
			world:  worldOptions{host: []client.Object{idcA}, karmada: []client.Object{karmadaCluster()}},
			want:   want{o: exists, ready: xpv2.ReasonAvailable},
		},
		"OtherTaints": {
			reason: "Taints that Karmada sets are no difference",
			mg:     newMember(),
			world: worldOptions{host: []client.Object{idcA}, karmada: []client.Object{karmadaCluster(func(cl *clusterv1alpha1.Cluster) {
				cl.Spec.Taints = []corev1.Taint{{Key: clusterv1alpha1.TaintClusterNotReady, Effect: corev1.TaintEffectNoSchedule}}
			})}},
			want: want{o: good, ready: xpv2.ReasonAvailable},
		},
		"NameTaken": {
			reason: "A Karmada Cluster of another Member is refused, and the condition says whose it is",
			mg:     newMember(),
			world:  worldOptions{host: []client.Object{idcA}, karmada: []client.Object{karmadaCluster(ownedBy("uid-other"))}},
			want:   want{err: cmpopts.AnyError, ready: reasonConflict, says: "other/member"},
		},
		"ClusterTaken": {
			reason: "A cluster that has joined under another name is refused, and the condition says which",
			mg:     newMember(),
			world: worldOptions{host: []client.Object{idcA}, karmada: []client.Object{karmadaCluster(ownedBy("uid-other"), func(cl *clusterv1alpha1.Cluster) {
				cl.Name = "idc-b"
			})}},
			want: want{err: cmpopts.AnyError, ready: reasonConflict, says: `"idc-b"`},
		},
		"Adoptable": {
			reason: "The same cluster, joined by hand, is adopted",
			mg:     newMember(),
			world: worldOptions{host: []client.Object{idcA}, karmada: []client.Object{karmadaCluster(func(cl *clusterv1alpha1.Cluster) {
				cl.Annotations = nil
			})}},
			want: want{o: exists, ready: xpv2.ReasonAvailable},
		},
		"ObserveOnly": {
			reason: "A Cluster of someone else can be observed",
			mg: newMember(func(mg *v1alpha1.Member) {
				mg.Spec.ManagementPolicies = xpv2.ManagementPolicies{xpv2.ManagementActionObserve}
			}),
			world: worldOptions{karmada: []client.Object{karmadaCluster(ownedBy("uid-other"))}},
			want:  want{o: good, ready: xpv2.ReasonAvailable},
		},
		"DeletedByOthers": {
			reason: "A Karmada Cluster that someone else deletes is waited for",
			mg:     newMember(),
			world:  worldOptions{host: []client.Object{idcA}, karmada: []client.Object{karmadaCluster(terminating(start))}},
			want:   want{o: good, ready: reasonNotReady},
		},
		"Leaving": {
			reason: "While it leaves it exists, and whether it is Ready is left to the reconciler",
			mg:     newMember(deleted),
			world:  worldOptions{karmada: []client.Object{karmadaCluster()}},
			want:   want{o: exists},
		},
		"LeavingNotOurs": {
			reason: "A Karmada Cluster of another Member does not hold it",
			mg:     newMember(deleted),
			world:  worldOptions{karmada: []client.Object{karmadaCluster(ownedBy("uid-other"))}},
			want:   want{o: absent},
		},
		"Left": {
			reason: "A dead member does not hold it",
			mg:     newMember(deleted),
			world:  worldOptions{host: []client.Object{idcA}, memberErr: refused},
			want:   want{o: absent},
		},
		"Error": {
			reason: "Errors of Karmada prove nothing",
			mg:     newMember(),
			world: worldOptions{host: []client.Object{idcA}, funcs: interceptor.Funcs{Get: func(context.Context, client.WithWatch, client.ObjectKey, client.Object, ...client.GetOption) error {
				return errBoom
			}}},
			want: want{err: errBoom},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, tc.world)
			o, err := w.e.Observe(context.Background(), tc.mg)
			c := tc.mg.GetCondition(xpv2.TypeReady)
			said := c.Message
			if err != nil {
				said += " " + err.Error()
			}
			got := want{o: o, err: err, ready: c.Reason}
			if strings.Contains(said, tc.want.says) {
				got.says = tc.want.says
			} else {
				got.says = said
			}
			if diff := cmp.Diff(tc.want, got, cmp.AllowUnexported(want{}), cmpopts.EquateErrors()); diff != "" {
				t.Errorf("\nReason: %s\nObserve(...): -want, +got:\n%s", tc.reason, diff)
			}
			if strings.Contains(said, secretToken) {
				t.Errorf("Observe(...) leaks the kubeconfig: %s", said)
			}
		})
	}
}

func TestJoin(t *testing.T) {
	ctx := context.Background()
	host := []client.Object{secret("idc-a", kubeconfig("https://idc-a:6443"))}
	w := newWorld(t, worldOptions{host: host})
	mg := newMember(func(mg *v1alpha1.Member) {
		mg.Spec.ForProvider.Labels = map[string]string{"a": "b"}
		mg.Spec.ForProvider.Taints = []corev1.Taint{{Key: "x", Effect: corev1.TaintEffectNoSchedule}}
		mg.Spec.ForProvider.Provider, mg.Spec.ForProvider.Region, mg.Spec.ForProvider.Zones = "idc", "cn", []string{"z"}
	})
	// Twice: a crash before the result was kept repeats it.
	for range 2 {
		if _, err := w.e.Create(ctx, mg); err != nil {
			t.Fatal(err)
		}
	}
	cl := get(t, w.karmada, &clusterv1alpha1.Cluster{ObjectMeta: metav1.ObjectMeta{Name: "idc-a"}})
	want := clusterv1alpha1.ClusterSpec{
		ID: id, SyncMode: clusterv1alpha1.Push, APIEndpoint: "https://idc-a:6443",
		SecretRef:             &clusterv1alpha1.LocalSecretReference{Namespace: memberNamespace, Name: secretName(id)},
		ImpersonatorSecretRef: &clusterv1alpha1.LocalSecretReference{Namespace: memberNamespace, Name: impersonatorName(id)},
		Provider:              "idc", Region: "cn", Zones: []string{"z"},
		Taints: []corev1.Taint{{Key: "x", Effect: corev1.TaintEffectNoSchedule}},
	}
	if diff := cmp.Diff(want, cl.Spec); diff != "" {
		t.Errorf("Create(...): Karmada Cluster: -want, +got:\n%s", diff)
	}
	if diff := cmp.Diff(map[string]string{"a": "b", "regionpool.io/pool": pool, labelTier: "SelfBuilt"}, cl.Labels); diff != "" {
		t.Errorf("Create(...): labels: -want, +got:\n%s", diff)
	}
	s := get(t, w.karmada, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: memberNamespace, Name: secretName(id)}})
	if diff := cmp.Diff(map[string][]byte{"token": []byte("token-of-karmada-idc-a"), "caBundle": {}}, s.Data, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("Create(...): credentials: -want, +got:\n%s", diff)
	}
	if _, ok := s.Data["caBundle"]; !ok {
		t.Error("Create(...): Karmada refuses credentials without a caBundle key")
	}

	// A second Member with the same cluster finds it taken.
	other := newMember(func(mg *v1alpha1.Member) {
		mg.UID, mg.Name = "uid-other", "other"
		mg.Annotations = map[string]string{"crossplane.io/external-name": "idc-z"}
	})
	if _, err := w.e.Create(ctx, other); err == nil {
		t.Error("Create(...): a cluster was joined twice")
	}

	// And with the Karmada Cluster not yet there, it finds the credentials taken.
	w2 := newWorld(t, worldOptions{host: host})
	if _, err := w2.e.writeSecret(ctx, other, secretName(id), nil); err != nil {
		t.Fatal(err)
	}
	lock := get(t, w2.karmada, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: memberNamespace, Name: secretName(id)}})
	lock.CreationTimestamp = metav1.NewTime(start)
	if err := w2.karmada.Update(ctx, lock); err != nil {
		t.Fatal(err)
	}
	if _, err := w2.e.Create(ctx, mg); err == nil {
		t.Error("Create(...): a cluster that is being joined was joined twice")
	}
	w2.after(lockAge + 1)
	for range 2 {
		_, _ = w2.e.Create(ctx, mg)
	}
	if get(t, w2.karmada, &clusterv1alpha1.Cluster{ObjectMeta: metav1.ObjectMeta{Name: "idc-a"}}) == nil {
		t.Error("Create(...): leftovers of a Member that is no more hold the cluster for ever")
	}
}

func TestUpdate(t *testing.T) {
	ctx := context.Background()
	w := newWorld(t, worldOptions{
		host: []client.Object{secret("idc-a", kubeconfig("https://idc-a:6443"))},
		karmada: []client.Object{karmadaCluster(func(cl *clusterv1alpha1.Cluster) {
			mg := newMember(func(mg *v1alpha1.Member) {
				mg.Spec.ForProvider.Labels = map[string]string{"old": "x"}
				mg.Spec.ForProvider.Taints = []corev1.Taint{{Key: "old", Effect: corev1.TaintEffectNoSchedule}}
			})
			if err := merge(cl, mg); err != nil {
				t.Fatal(err)
			}
			cl.Labels["theirs"] = "x"
			cl.Spec.Taints = append(cl.Spec.Taints, corev1.Taint{Key: "theirs", Effect: corev1.TaintEffectNoSchedule})
		})},
	})
	mg := newMember(func(mg *v1alpha1.Member) { mg.Spec.ForProvider.Labels = map[string]string{"new": "x"} })
	if _, err := w.e.Update(ctx, mg); err != nil {
		t.Fatal(err)
	}
	cl := get(t, w.karmada, &clusterv1alpha1.Cluster{ObjectMeta: metav1.ObjectMeta{Name: "idc-a"}})
	if diff := cmp.Diff(map[string]string{"new": "x", "theirs": "x", "regionpool.io/pool": pool, labelTier: "SelfBuilt"}, cl.Labels); diff != "" {
		t.Errorf("Update(...): labels: -want, +got:\n%s", diff)
	}
	if diff := cmp.Diff([]corev1.Taint{{Key: "theirs", Effect: corev1.TaintEffectNoSchedule}}, cl.Spec.Taints); diff != "" {
		t.Errorf("Update(...): taints: -want, +got:\n%s", diff)
	}

	// A new kubeconfig brings a new endpoint.
	if err := w.host.Update(ctx, secret("idc-a", kubeconfig("https://new"))); err != nil {
		t.Fatal(err)
	}
	if _, err := w.e.Update(ctx, mg); err != nil {
		t.Fatal(err)
	}
	cl = get(t, w.karmada, cl)
	if cl.Spec.APIEndpoint != "https://new" {
		t.Errorf("Update(...): want the new endpoint, got %q", cl.Spec.APIEndpoint)
	}
	if o, err := w.e.Observe(ctx, mg); err != nil || !o.ResourceUpToDate {
		t.Errorf("Observe(...) after Update(...): want up to date, got %+v, %v", o, err)
	}
}
