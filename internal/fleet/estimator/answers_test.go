package estimator

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	workv1alpha2 "github.com/karmada-io/karmada/pkg/apis/work/v1alpha2"
	estimatorclient "github.com/karmada-io/karmada/pkg/estimator/client"
	"github.com/karmada-io/karmada/pkg/util/grpcconnection"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	kubefake "k8s.io/client-go/kubernetes/fake"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"regionpool.io/provider-regionpool/internal/snapshot"
)

func componentNeeds(name string, replicas int32, pairs ...string) workv1alpha2.Component {
	return workv1alpha2.Component{Name: name, Replicas: replicas, ReplicaRequirements: &workv1alpha2.ComponentReplicaRequirements{ResourceRequest: list(pairs...)}}
}

func TestMaxAvailableComponentSets(t *testing.T) {
	job := func(cs ...workv1alpha2.Component) *workv1alpha2.ResourceBinding {
		b := binding("train", workv1alpha2.TargetCluster{Name: "a"})
		b.Spec.Resource.APIVersion, b.Spec.Resource.Kind = "batch.volcano.sh/v1alpha1", "Job"
		b.Spec.Components = cs
		return b
	}
	head, worker := componentNeeds("head", 1, "cpu", "1"), componentNeeds("worker", 2, "cpu", "3")
	cases := map[string]struct {
		reason     string
		world      world
		components []workv1alpha2.Component
		assumed    []estimatorclient.AssumedWorkload
		want       map[string]int32
	}{
		"Whole": {
			reason:     "A set of one and twice three CPU: three nodes of eight have room for three of them, two for two",
			world:      world{members: map[string][]runtime.Object{"a": {node("n1"), node("n2"), node("n3")}, "b": {node("n1"), node("n2")}}},
			components: []workv1alpha2.Component{head, worker}, want: map[string]int32{"a": 3, "b": 2},
		},
		"Nothing": {
			reason:     "Where a component does not fit, no set does",
			world:      world{members: map[string][]runtime.Object{"a": {node("n1")}}},
			components: []workv1alpha2.Component{head, componentNeeds("worker", 1, string(gpu), "1")}, want: map[string]int32{"a": 0},
		},
		"Many": {
			reason:     "Many sets are counted",
			world:      world{members: map[string][]runtime.Object{"a": {node("n1"), node("n2")}}},
			components: []workv1alpha2.Component{componentNeeds("x", 2, "cpu", "100m"), componentNeeds("y", 1, "cpu", "50m")}, want: map[string]int32{"a": 64},
		},
		"Empty": {
			reason:     "A set of nothing",
			world:      world{members: map[string][]runtime.Object{"a": {node("n1")}}},
			components: []workv1alpha2.Component{componentNeeds("x", 0)}, want: map[string]int32{"a": Unknown},
		},
		"Assumed": {
			reason:     "A set that is assumed, and of which nothing is seen, has its room",
			world:      world{members: map[string][]runtime.Object{"a": {node("n1"), node("n2")}}, bindings: []*workv1alpha2.ResourceBinding{job(head, worker)}},
			components: []workv1alpha2.Component{head, worker}, assumed: []estimatorclient.AssumedWorkload{{Namespace: "default", Components: []workv1alpha2.Component{head, worker}}},
			want: map[string]int32{"a": 1},
		},
		"AssumedAndSeen": {
			reason: "One whose pods are there does not have it twice",
			world: world{
				members: map[string][]runtime.Object{"a": {node("n1"), node("n2"), pod("train", "p", "n1", "1", func(p *corev1.Pod) {
					p.OwnerReferences[0].APIVersion, p.OwnerReferences[0].Kind, p.OwnerReferences[0].Name = "batch.volcano.sh/v1alpha1", "Job", "train"
				})}},
				bindings: []*workv1alpha2.ResourceBinding{job(head, worker)},
			},
			components: []workv1alpha2.Component{head, worker}, assumed: []estimatorclient.AssumedWorkload{{Namespace: "default", Components: []workv1alpha2.Component{head, worker}}},
			want: map[string]int32{"a": 2},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			w := tc.world.start(t)
			assumed := map[string][]estimatorclient.AssumedWorkload{"a": tc.assumed}
			res, err := w.client.MaxAvailableComponentSets(t.Context(), estimatorclient.ComponentSetEstimationRequest{Clusters: w.clusters, Components: tc.components, Namespace: "default", AssumedWorkloads: assumed})
			if err != nil {
				t.Fatalf("\n%s\nMaxAvailableComponentSets(...): %v", tc.reason, err)
			}
			got := map[string]int32{}
			for _, r := range res {
				got[r.Name] = r.Sets
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("\n%s\nMaxAvailableComponentSets(...): -want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}

func TestGetUnschedulableReplicas(t *testing.T) {
	waiting := []runtime.Object{
		node("n1"), pod("web", "p1", "n1", "1"), pod("web", "p2", "", "9", unschedulable(time.Hour)), pod("web", "p3", "", "9", unschedulable(time.Hour)),
		pod("web", "p4", "", "9", unschedulable(time.Second)), pod("other", "p5", "", "9", unschedulable(time.Hour)),
	}
	ref := binding("web").Spec.Resource
	cases := map[string]struct {
		reason string
		world  world
		kind   string
		want   map[string]int32
	}{
		"Old": {
			reason: "Replicas that have had no place for a while are told",
			world:  world{members: map[string][]runtime.Object{"a": waiting}, bindings: []*workv1alpha2.ResourceBinding{binding("web", workv1alpha2.TargetCluster{Name: "a", Replicas: 4})}},
			kind:   "Deployment", want: map[string]int32{"a": 2},
		},
		"Rollout": {
			reason: "Where as many run as are assigned, it is a rollout that waits",
			world:  world{members: map[string][]runtime.Object{"a": waiting}, bindings: []*workv1alpha2.ResourceBinding{binding("web", workv1alpha2.TargetCluster{Name: "a", Replicas: 1})}},
			kind:   "Deployment", want: map[string]int32{"a": 0},
		},
		"Ordered": {
			reason: "Which replica of a StatefulSet would go is another question",
			world:  world{members: map[string][]runtime.Object{"a": waiting}}, kind: "StatefulSet", want: map[string]int32{"a": Unknown},
		},
		"Silent": {
			reason: "Of a member that does not answer nothing is known",
			world:  world{members: map[string][]runtime.Object{"a": waiting}, silent: map[string]bool{"a": true}}, kind: "Deployment", want: map[string]int32{"a": Unknown},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			w := tc.world.start(t)
			r := ref
			r.Kind = tc.kind
			got, err := w.client.GetUnschedulableReplicas(asking(t.Context(), tc.kind, "web"), []string{"a"}, &r, 5*time.Minute)
			if err != nil {
				t.Fatalf("\n%s\nGetUnschedulableReplicas(...): %v", tc.reason, err)
			}
			if diff := cmp.Diff(tc.want, byName(got)); diff != "" {
				t.Errorf("\n%s\nGetUnschedulableReplicas(...): -want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}

// TestBudget: whatever is asked, the answer is there in time, and it is what fits
// at least, or that nothing is known.
func TestBudget(t *testing.T) {
	var objs []runtime.Object
	for i := range 800 {
		objs = append(objs, node(fmt.Sprintf("n%d", i)))
	}
	cases := map[string]struct {
		reason          string
		budget, timeout time.Duration
		busy            bool
		known           bool
	}{
		"Budget": {reason: "What was counted within our own budget", budget: 2 * time.Second, known: true},
		"Caller": {reason: "What was counted before the caller's time is over", timeout: 2 * time.Second, known: true},
		"Busy":   {reason: "Nothing, if the member is not free in time", budget: 60 * time.Millisecond, busy: true},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			w := (&world{members: map[string][]runtime.Object{"a": objs}, budget: tc.budget, timeout: tc.timeout}).start(t)
			if _, err := w.client.MaxAvailableReplicas(t.Context(), estimatorclient.ReplicaEstimationRequest{Clusters: w.clusters, ReplicaRequirements: needs("cpu", "9")}); err != nil {
				t.Fatalf("\nThe first simulation loads the cluster\nMaxAvailableReplicas(...): %v", err)
			}
			if tc.busy {
				w.estimator.rooms["a"].lock <- struct{}{}
				defer func() { <-w.estimator.rooms["a"].lock }()
			}
			began := time.Now()
			got, err := w.client.MaxAvailableReplicas(t.Context(), estimatorclient.ReplicaEstimationRequest{Clusters: w.clusters})
			if err != nil {
				t.Fatalf("\n%s\nMaxAvailableReplicas(...): %v", tc.reason, err)
			}
			n := got[0].Replicas
			t.Logf("%d in %s", n, time.Since(began))
			if tc.known != (n > 0) || !tc.known && n != Unknown {
				t.Errorf("\n%s\nMaxAvailableReplicas(...): got %d", tc.reason, n)
			}
		})
	}
}

// TestChanges: an answer is of now, not of when the last question came.
func TestChanges(t *testing.T) {
	w := (&world{
		members: map[string][]runtime.Object{"a": {node("n1")}},
		objs:    []client.Object{deployment("web", "3"), deployment("db", "2")}, bindings: []*workv1alpha2.ResourceBinding{binding("web")},
	}).start(t)
	m, _ := w.estimator.Members.Get("a")
	pods := m.Client().CoreV1().Pods("default")
	assign := func(name string, n int32) func() {
		return func() {
			w.estimator.assignments.set(binding(name, workv1alpha2.TargetCluster{Name: "a", Replicas: n}))
		}
	}
	steps := []struct {
		reason string
		change func()
		want   int32
	}{
		{reason: "At first nothing is assigned", change: func() {}, want: 8},
		{reason: "A replica is", change: assign("web", 1), want: 5},
		{reason: "Another one is", change: assign("web", 2), want: 2},
		{reason: "A third has no place", change: assign("web", 3), want: 2},
		{reason: "One of another workload has", change: assign("db", 1), want: 0},
		{reason: "The first workload has fewer", change: assign("web", 1), want: 3},
		{reason: "Its pod is seen: it counts once", change: func() {
			if _, err := pods.Create(t.Context(), pod("web", "p1", "n1", "3"), metav1.CreateOptions{}); err != nil {
				t.Fatal(err)
			}
		}, want: 3},
		{reason: "The other workload is deleted", change: func() {
			w.estimator.assignments.delete(toolscache.DeletedFinalStateUnknown{Obj: binding("db")})
		}, want: 5},
		{reason: "The pod goes, and its replica is expected again", change: func() {
			if err := pods.Delete(t.Context(), "p1", metav1.DeleteOptions{}); err != nil {
				t.Fatal(err)
			}
		}, want: 5},
		{reason: "A node comes", change: func() {
			if _, err := m.Client().CoreV1().Nodes().Create(t.Context(), node("n2"), metav1.CreateOptions{}); err != nil {
				t.Fatal(err)
			}
		}, want: 13},
	}
	for _, s := range steps {
		s.change()
		var got int32
		for range 200 {
			res, err := w.client.MaxAvailableReplicas(t.Context(), estimatorclient.ReplicaEstimationRequest{Clusters: w.clusters, ReplicaRequirements: needs("cpu", "1")})
			if err != nil {
				t.Fatalf("\n%s\nMaxAvailableReplicas(...): %v", s.reason, err)
			}
			if got = res[0].Replicas; got == s.want {
				break
			}
			time.Sleep(10 * time.Millisecond)
		}
		if got != s.want {
			t.Errorf("\n%s\nMaxAvailableReplicas(...): want %d, got %d", s.reason, s.want, got)
		}
	}
	// A member that was made anew has a room of its own.
	old := w.estimator.rooms["a"]
	w.estimator.Members.Remove("a")
	w.member(w.estimator.Members, "a", []runtime.Object{node("n1"), node("n2"), node("n3")})
	res, err := w.client.MaxAvailableReplicas(t.Context(), estimatorclient.ReplicaEstimationRequest{Clusters: w.clusters, ReplicaRequirements: needs("cpu", "1")})
	if err != nil || res[0].Replicas != 21 || w.estimator.rooms["a"] == old {
		t.Errorf("\nA member that was made anew is another one\nMaxAvailableReplicas(...): want 21, got %v, %v", res, err)
	}
}

// TestPanic: what a plugin does not expect is no answer, and does not end fleet.
func TestPanic(t *testing.T) {
	w := (&world{members: map[string][]runtime.Object{"a": {node("n1")}}}).start(t)
	got := w.estimator.answer(t.Context(), "test", "a", func(context.Context) error { return nil }, func(context.Context, *room) (estimate, error) { panic("boom") })
	if got != Unknown {
		t.Errorf("\nA panic is no answer\nanswer(...): got %d", got)
	}
	res, err := w.client.MaxAvailableReplicas(t.Context(), estimatorclient.ReplicaEstimationRequest{Clusters: w.clusters, ReplicaRequirements: needs("cpu", "1")})
	if err != nil || res[0].Replicas != 8 {
		t.Errorf("\nThe next one is\nMaxAvailableReplicas(...): got %v, %v", res, err)
	}
}

func TestTLS(t *testing.T) {
	dir := t.TempDir()
	certs(t, dir)
	ca, cert, key := filepath.Join(dir, fileCA), filepath.Join(dir, fileCert), filepath.Join(dir, fileKey)
	w := (&world{
		members: map[string][]runtime.Object{"a": {node("n1")}}, certDir: dir,
		tls: grpcconnection.ClientConfig{ServerAuthCAFile: ca, CertFile: cert, KeyFile: key},
	}).start(t)
	res, err := w.client.MaxAvailableReplicas(t.Context(), estimatorclient.ReplicaEstimationRequest{Clusters: w.clusters, ReplicaRequirements: needs("cpu", "1")})
	if err != nil || res[0].Replicas != 8 {
		t.Errorf("\nA client with a certificate is answered\nMaxAvailableReplicas(...): got %v, %v", res, err)
	}

	creds, err := credentialsOf(dir)
	if err != nil {
		t.Fatal(err)
	}
	handshake := func(cfg *tls.Config) error {
		cfg.InsecureSkipVerify, cfg.NextProtos = true, []string{"h2"}
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = l.Close() }()
		go func() {
			c, err := tls.Dial("tcp", l.Addr().String(), cfg)
			if err == nil {
				_ = c.Handshake()
				_, _ = c.Read(make([]byte, 1))
			}
		}()
		c, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = c.Close() }()
		_, _, err = creds.ServerHandshake(c)
		return err
	}
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	if err := handshake(&tls.Config{Certificates: []tls.Certificate{pair}}); err != nil {
		t.Errorf("\nA client with a certificate may connect\nServerHandshake(...): %v", err)
	}
	if err := handshake(&tls.Config{}); err == nil {
		t.Error("\nA client without a certificate may not, where there is a ca.crt\nServerHandshake(...): no error")
	}
	if err := os.Remove(ca); err != nil {
		t.Fatal(err)
	}
	if err := handshake(&tls.Config{}); err != nil {
		t.Errorf("\nWithout a ca.crt every client may, and files are read anew\nServerHandshake(...): %v", err)
	}
	if _, err := credentialsOf(t.TempDir()); err == nil {
		t.Error("\nA folder without certificates is an error\ncredentialsOf(...): no error")
	}
}

// BenchmarkAnswer is the cost of a question about a member of 1,000 nodes with
// 20,000 pods, of which the answer is 2,000.
func BenchmarkAnswer(b *testing.B) {
	var nodes []*corev1.Node
	var pods []*corev1.Pod
	for i := range 1000 {
		n := node(fmt.Sprintf("n%d", i))
		nodes = append(nodes, n)
		for j := range 20 {
			pods = append(pods, pod("web", fmt.Sprintf("p%d-%d", i, j), n.Name, "200m"))
		}
	}
	s, err := snapshot.New(nodes, pods, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "default"}})
	if err != nil {
		b.Fatal(err)
	}
	r, err := newRoom(snapshot.NewMemberForClient("a", kubefake.NewClientset()), "")
	if err != nil {
		b.Fatal(err)
	}
	defer r.close()
	r.fork = s.Fork()
	cs := components("default", []workv1alpha2.Component{componentNeeds("c", 1, "cpu", "2")})
	for b.Loop() {
		got, err := r.count(b.Context(), cs[0].template, most)
		if err != nil || got.n != 2000 {
			b.Fatal(got, err)
		}
	}
}
