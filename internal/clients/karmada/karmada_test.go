package karmada

import (
	"context"
	"crypto/x509"
	"fmt"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	clusterv1alpha1 "github.com/karmada-io/karmada/pkg/apis/cluster/v1alpha1"
	policyv1alpha1 "github.com/karmada-io/karmada/pkg/apis/policy/v1alpha1"
	kerrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	toolscache "k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/crossplane/crossplane-runtime/v2/pkg/errors"
	"github.com/crossplane/crossplane-runtime/v2/pkg/logging"
	"github.com/crossplane/crossplane-runtime/v2/pkg/resource"
	xpv2 "github.com/crossplane/crossplane/apis/v2/core/v2"

	federationv1alpha1 "regionpool.io/provider-regionpool/apis/federation/v1alpha1"
	"regionpool.io/provider-regionpool/apis/v1alpha1"
)

const leak = "s3cr3t-t0k3n"

func kubeconfig(cluster, user string) []byte {
	return []byte(fmt.Sprintf(`apiVersion: v1
kind: Config
current-context: c
contexts: [{name: c, context: {cluster: c, user: u}}]
clusters: [{name: c, cluster: {%s}}]
users: [{name: u, user: {%s}}]
`, cluster, user))
}

func TestParseKubeconfig(t *testing.T) {
	server := "server: https://127.0.0.1:1"
	cases := map[string]struct {
		reason string
		in     []byte
		want   string
	}{
		"Good":        {reason: "A token will do", in: kubeconfig(server, "token: "+leak)},
		"Empty":       {reason: "Nothing is said to be empty", want: "empty"},
		"Garbage":     {reason: "What is no YAML is not quoted", in: []byte("{" + leak + ": [" + leak), want: "no kubeconfig"},
		"WrongType":   {reason: "What is of a wrong type is not quoted", in: []byte("apiVersion: v1\nkind: Config\nusers: " + leak), want: "no kubeconfig"},
		"NoContext":   {reason: "A current context is needed", in: []byte("apiVersion: v1\nkind: Config\ncurrent-context: " + leak), want: "current-context"},
		"NoServer":    {reason: "So is a server", in: kubeconfig("", "token: "+leak), want: "server"},
		"Exec":        {reason: "No program is run", in: kubeconfig(server, "exec: {apiVersion: client.authentication.k8s.io/v1, command: "+leak+", interactiveMode: Never}"), want: "runs a program"},
		"TokenFile":   {reason: "No file of the pod is read", in: kubeconfig(server, "tokenFile: /"+leak), want: "files"},
		"CAFile":      {reason: "Not even a certificate", in: kubeconfig(server+", certificate-authority: /"+leak, "token: x"), want: "certificate-authority"},
		"BadCA":       {reason: "Certificates are looked at", in: kubeconfig(server+", certificate-authority-data: czNjcjN0LXQwazNu", "token: x"), want: "certificates"},
		"KeyFile":     {reason: "No key of the pod is read", in: kubeconfig(server, "client-certificate: /a, client-key: /"+leak), want: "files"},
		"BadUserCert": {reason: "A broken certificate is not quoted", in: kubeconfig(server, "client-certificate-data: czNjcjN0LXQwazNu, client-key-data: czNjcjN0LXQwazNu"), want: "certificates"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := ParseKubeconfig(tc.in)
			got := ""
			if err != nil {
				got = err.Error()
			}
			if (tc.want == "") != (err == nil) || !strings.Contains(got, tc.want) {
				t.Errorf("\nReason: %s\nParseKubeconfig(...): want %q, got %q", tc.reason, tc.want, got)
			}
			if strings.Contains(got, leak) || strings.Contains(got, "czNjcjN0LXQwazNu") {
				t.Errorf("ParseKubeconfig(...) leaks: %s", got)
			}
		})
	}
}

func TestReason(t *testing.T) {
	cases := map[string]struct {
		err  error
		want string
	}{
		"None":         {},
		"Unauthorized": {err: kerrors.NewUnauthorized(leak), want: "the API server does not accept the credentials (401)"},
		"Forbidden":    {err: errors.Wrap(kerrors.NewForbidden(schema.GroupResource{}, leak, nil), "x"), want: "the credentials do not permit what is needed (403)"},
		"Refused":      {err: &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}, want: "the API server refuses connections"},
		"DNS":          {err: &net.DNSError{Name: leak}, want: "the name of the API server is unknown"},
		"Certificate":  {err: x509.UnknownAuthorityError{}, want: "the certificate of the API server is not trusted"},
		"Timeout":      {err: context.DeadlineExceeded, want: "the API server did not answer in time"},
		"Other":        {err: errors.New(leak), want: "the API server cannot be reached"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, Reason(tc.err)); diff != "" {
				t.Errorf("Reason(...): -want, +got:\n%s", diff)
			}
		})
	}
}

func TestCovers(t *testing.T) {
	cpp := func(names []string, f ...func(*policyv1alpha1.ClusterPropagationPolicy)) *policyv1alpha1.ClusterPropagationPolicy {
		p := &policyv1alpha1.ClusterPropagationPolicy{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"a": "b"}}}
		p.Spec.Placement.ClusterAffinity = &policyv1alpha1.ClusterAffinity{ClusterNames: names}
		for _, m := range f {
			m(p)
		}
		return p
	}
	cases := map[string]struct {
		reason            string
		observed, desired *policyv1alpha1.ClusterPropagationPolicy
		want              bool
	}{
		"Same": {reason: "Equal objects are covered", observed: cpp([]string{"a"}), desired: cpp([]string{"a"}), want: true},
		"Defaulted": {
			reason:   "What others add does not matter",
			observed: cpp([]string{"a"}, func(p *policyv1alpha1.ClusterPropagationPolicy) { p.Labels["x"] = "y"; p.Spec.SchedulerName = "x" }),
			desired:  cpp([]string{"a"}),
			want:     true,
		},
		"List":  {reason: "A longer list does", observed: cpp([]string{"a", "b"}), desired: cpp([]string{"a"})},
		"Label": {reason: "So does a label", observed: cpp([]string{"a"}, func(p *policyv1alpha1.ClusterPropagationPolicy) { p.Labels = nil }), desired: cpp([]string{"a"})},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := Covers(tc.observed, tc.desired)
			if err != nil || got != tc.want {
				t.Errorf("\nReason: %s\nCovers(...): want %t, got %t, %v", tc.reason, tc.want, got, err)
			}
		})
	}
}

func TestConnections(t *testing.T) {
	ctx, stop := context.WithCancel(context.Background())
	c := NewConnections(logging.NewNopLogger(), Events{})
	a := kubeconfig("server: https://127.0.0.1:1", "token: a")

	if _, err := c.Get("k", []byte(leak)); err == nil || strings.Contains(err.Error(), leak) {
		t.Errorf("Get(...) of garbage: got %v", err)
	}
	one, err := c.Get("k", a)
	if err != nil {
		t.Fatal(err)
	}
	if two, err := c.Get("k", a); err != nil || two != one {
		t.Errorf("Get(...): the connection is not shared: %v", err)
	}
	if two, err := c.Get("other", a); err != nil || two == one {
		t.Errorf("Get(...): two ProviderConfigs share a connection: %v", err)
	}
	if two, err := c.Get("k", kubeconfig("server: https://127.0.0.1:1", "token: b")); err != nil || two == one {
		t.Errorf("Get(...): the connection outlives its credentials: %v", err)
	}
	stop()
	if err := c.Start(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Get("k", a); err == nil {
		t.Error("Get(...): a connection was made after the end")
	}
}

func TestNotify(t *testing.T) {
	q := workqueue.NewTypedRateLimitingQueue(workqueue.DefaultTypedControllerRateLimiter[reconcile.Request]())
	defer q.ShutDown()
	r := &Requeuer{}
	r.Now(types.NamespacedName{Name: "before-the-start"})
	if err := r.Start(context.Background(), q); err != nil {
		t.Fatal(err)
	}
	conn := &Conn{}
	cl := &clusterv1alpha1.Cluster{ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{AnnotationManagedBy: "ns/name"}}}
	conn.notify(r, &clusterv1alpha1.Cluster{})
	conn.notify(r, toolscache.DeletedFinalStateUnknown{Obj: cl})
	got, _ := q.Get()
	if diff := cmp.Diff(reconcile.Request{NamespacedName: types.NamespacedName{Namespace: "ns", Name: "name"}}, got); diff != "" {
		t.Errorf("notify(...): -want, +got:\n%s", diff)
	}
	q.Done(got)
	r.After(got.NamespacedName, time.Millisecond)
	if again, _ := q.Get(); again != got {
		t.Errorf("After(...): want %v, got %v", got, again)
	}
}

func TestClusterChanged(t *testing.T) {
	was := &clusterv1alpha1.Cluster{}
	is := was.DeepCopy()
	is.ResourceVersion = "2"
	is.Status.NodeSummary = &clusterv1alpha1.NodeSummary{TotalNum: 3}
	if clusterChanged(was, is) {
		t.Error("clusterChanged(...): a heartbeat counts as a change")
	}
	is.Status.Conditions = []metav1.Condition{{Type: clusterv1alpha1.ClusterConditionReady, Status: metav1.ConditionTrue}}
	if !clusterChanged(was, is) {
		t.Error("clusterChanged(...): a cluster that turns Ready does not count as changed")
	}
}

func TestNewConnectFn(t *testing.T) {
	boom := errors.New("boom")
	mg := &federationv1alpha1.Member{}
	mg.Spec.ProviderConfigReference = &xpv2.ProviderConfigReference{Kind: v1alpha1.ClusterProviderConfigKind, Name: "karmada"}
	cases := map[string]struct {
		reason  string
		resolve ResolveFn
		want    string
	}{
		"Unresolved": {
			reason: "Errors of the credentials are returned",
			resolve: func(context.Context, resource.ModernManaged) (*v1alpha1.ProviderConfigSpec, []byte, error) {
				return nil, nil, boom
			},
			want: "boom",
		},
		"WrongType": {
			reason: "A cloud account is no Karmada API",
			resolve: func(context.Context, resource.ModernManaged) (*v1alpha1.ProviderConfigSpec, []byte, error) {
				return &v1alpha1.ProviderConfigSpec{Type: v1alpha1.TypeAlibabaCloud}, []byte(leak), nil
			},
			want: "spec.providerConfigRef",
		},
		"Garbage": {
			reason: "Garbage is not quoted",
			resolve: func(context.Context, resource.ModernManaged) (*v1alpha1.ProviderConfigSpec, []byte, error) {
				return &v1alpha1.ProviderConfigSpec{Type: v1alpha1.TypeKarmada}, []byte(leak), nil
			},
			want: `ClusterProviderConfig "karmada"`,
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := NewConnectFn(tc.resolve, NewConnections(logging.NewNopLogger(), Events{}))(context.Background(), mg)
			if err == nil || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), leak) {
				t.Errorf("\nReason: %s\nConnect(...): want an error with %q, got %v", tc.reason, tc.want, err)
			}
		})
	}
}
