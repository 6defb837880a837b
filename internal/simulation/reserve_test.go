package simulation

import (
	"context"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"regionpool.io/provider-regionpool/internal/snapshot"
)

// TestVolumesStayOnTheFork: a volume that a copy took is not there for those that
// come later, until the fork is taken back.
func TestVolumesStayOnTheFork(t *testing.T) {
	s := scheduler(t)
	local := storageClass("local", "kubernetes.io/no-provisioner")
	nodes := []*corev1.Node{node("a", label(zoneLabel, "z1")), node("b", label(zoneLabel, "z2"))}
	f := fork(t, nodes, nil, local, volume("v1", "local", "z1", ""), volume("v2", "local", "z1", ""), volume("v3", "local", "z2", ""))
	place := func(p *corev1.Pod, n, want int) Result {
		t.Helper()
		res, err := s.Place(context.Background(), f, p, n)
		if err != nil {
			t.Fatalf("Place(...): %v", err)
		}
		if res.Placed != want {
			t.Errorf("Place(...): want %d placed, got %d: %s", want, res.Placed, res.Message)
		}
		return res
	}
	m := f.Mark()
	first := place(pod(ownClaim("data", "local")), 2, 2)
	taken := map[string]bool{}
	for _, p := range first.Pods {
		c, ok := f.Object(snapshot.PersistentVolumeClaims, p.Namespace, p.Name+"-data").(*corev1.PersistentVolumeClaim)
		if !ok || c.Status.Phase != corev1.ClaimBound || taken[c.Spec.VolumeName] {
			t.Fatalf("The claim of %s has a volume of its own: got %v", p.Name, c)
		}
		taken[c.Spec.VolumeName] = true
		v := f.Object(snapshot.PersistentVolumes, "", c.Spec.VolumeName).(*corev1.PersistentVolume)
		if v.Spec.ClaimRef == nil || v.Spec.ClaimRef.Name != c.Name {
			t.Errorf("The volume of %s is claimed: got %v", p.Name, v.Spec.ClaimRef)
		}
	}
	place(pod(ownClaim("data", "local")), 2, 1)
	place(pod(ownClaim("data", "local")), 2, 0)
	f.Revert(m)
	place(pod(ownClaim("data", "local")), 5, 3)
}

// TestSharedVolumeStaysOnTheFork: a claim that several copies share is bound by
// the first for those that a later call places too.
func TestSharedVolumeStaysOnTheFork(t *testing.T) {
	s := scheduler(t)
	nodes := []*corev1.Node{node("a", label(zoneLabel, "z1")), node("b", label(zoneLabel, "z2"))}
	f := fork(t, nodes, nil, storageClass("local", "kubernetes.io/no-provisioner"), volume("v1", "local", "z2", ""), boundClaim("data", "local", ""))
	for range 2 {
		res, err := s.Place(context.Background(), f, pod(claim("data")), 1)
		if err != nil {
			t.Fatalf("Place(...): %v", err)
		}
		if res.Nodes["b"] != 1 {
			t.Errorf("Place(...): want a copy where the volume is, got %v: %s", res.Nodes, res.Message)
		}
	}
}
