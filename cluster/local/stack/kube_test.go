package stack

import (
	"context"
	"os"
	"os/signal"
	"path/filepath"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/utils/ptr"

	"regionpool.io/provider-regionpool/cluster/local/binaries"
	"regionpool.io/provider-regionpool/cluster/local/etcd"
	"regionpool.io/provider-regionpool/cluster/local/kube"
	"regionpool.io/provider-regionpool/cluster/local/process"
	"regionpool.io/provider-regionpool/cluster/local/progress"
)

// TestControlPlane runs one real control plane with kwok: a node comes, a
// Deployment with a volume becomes Ready, all of it is stopped, and no process
// is left.
func TestControlPlane(t *testing.T) {
	if testing.Short() {
		t.Skip("starts real servers")
	}
	ctx, cancel := signal.NotifyContext(t.Context(), os.Interrupt)
	defer cancel()
	ctx, cancel = context.WithTimeout(ctx, 20*time.Minute)
	defer cancel()

	dir := t.TempDir()
	bins, err := binaries.Ensure(ctx, filepath.Join(dir, "binaries"), progress.New(os.Stderr), "etcd", "kubernetes", "kwok")
	if err != nil {
		t.Fatalf("binaries.Ensure(...): %v", err)
	}
	procs, err := process.NewGroup(filepath.Join(dir, "logs"))
	if err != nil {
		t.Fatalf("process.NewGroup(...): %v", err)
	}
	t.Cleanup(procs.Stop)

	begin := time.Now()
	server, err := etcd.Start(ctx, etcd.Options{Dir: dir, Binaries: bins, Procs: procs})
	if err != nil {
		t.Fatalf("etcd.Start(...): %v", err)
	}
	cp, err := kube.Start(ctx, kube.Options{
		Name: "test", Dir: filepath.Join(dir, "test"), Etcd: server.URL(), Binaries: bins, Procs: procs,
		Controllers: kube.MemberControllers, Scheduler: true, Kwok: true,
	})
	if err != nil {
		t.Fatalf("kube.Start(...): %v", err)
	}
	t.Logf("control plane ready after %s", time.Since(begin))

	if err := cp.AddNode(ctx, kube.Node{Name: "node-0", Capacity: corev1.ResourceList{
		corev1.ResourceCPU:    resource.MustParse("8"),
		corev1.ResourceMemory: resource.MustParse("32Gi"),
		corev1.ResourcePods:   resource.MustParse("110"),
	}}); err != nil {
		t.Fatalf("cp.AddNode(...): %v", err)
	}
	if err := cp.WaitNode(ctx, "node-0"); err != nil {
		t.Fatalf("cp.WaitNode(...): %v", err)
	}
	if err := cp.AddStorageClass(ctx); err != nil {
		t.Fatalf("cp.AddStorageClass(...): %v", err)
	}
	t.Logf("node ready after %s", time.Since(begin))

	claim := &corev1.PersistentVolumeClaim{
		ObjectMeta: metav1.ObjectMeta{Name: "data"},
		Spec: corev1.PersistentVolumeClaimSpec{
			AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
			Resources:   corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")}},
		},
	}
	if _, err := cp.Client().CoreV1().PersistentVolumeClaims("default").Create(ctx, claim, metav1.CreateOptions{}); err != nil {
		t.Fatalf("Create(PersistentVolumeClaim): %v", err)
	}
	labels := map[string]string{"app": "web"}
	deployment := &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: "web"},
		Spec: appsv1.DeploymentSpec{
			Replicas: ptr.To[int32](2),
			Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec: corev1.PodSpec{
					Containers: []corev1.Container{{Name: "web", Image: "web"}},
					Volumes: []corev1.Volume{{Name: "data", VolumeSource: corev1.VolumeSource{
						PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "data"},
					}}},
				},
			},
		},
	}
	if _, err := cp.Client().AppsV1().Deployments("default").Create(ctx, deployment, metav1.CreateOptions{}); err != nil {
		t.Fatalf("Create(Deployment): %v", err)
	}
	err = wait.PollUntilContextTimeout(ctx, 100*time.Millisecond, 30*time.Second, true, func(ctx context.Context) (bool, error) {
		d, err := cp.Client().AppsV1().Deployments("default").Get(ctx, "web", metav1.GetOptions{})
		return err == nil && d.Status.ReadyReplicas == 2, err
	})
	if err != nil {
		t.Fatalf("Deployment did not become ready: %v", err)
	}
	t.Logf("deployment ready after %s", time.Since(begin))

	ids := identities(t, procs)
	if len(ids) != 5 {
		t.Errorf("want etcd and 4 processes of the control plane, got %d processes", len(ids))
	}
	if err := cp.RemoveNode(ctx, "node-0"); err != nil {
		t.Errorf("cp.RemoveNode(...): %v", err)
	}
	begin = time.Now()
	if err := cp.Stop(ctx); err != nil {
		t.Errorf("cp.Stop(...): %v", err)
	}
	procs.Stop()
	t.Logf("stopped in %s", time.Since(begin))
	for name, id := range ids {
		if id.Alive() {
			t.Errorf("%s still runs as process %d", name, id.PID)
		}
	}
}

// identities returns the processes of a group, which must all run.
func identities(t *testing.T, procs *process.Group) map[string]process.ID {
	t.Helper()
	ids := map[string]process.ID{}
	for _, p := range procs.Processes() {
		id, err := process.IdentityOf(p.PID())
		if err != nil {
			t.Errorf("process.IdentityOf(%s): %v", p.Name(), err)
			continue
		}
		ids[p.Name()] = id
	}
	return ids
}
