//go:build !kubernetes_protomessage_one_more_release

//lint:file-ignore SA1019 What is deprecated is still said by karmada-scheduler.

package estimator

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	workv1alpha2 "github.com/karmada-io/karmada/pkg/apis/work/v1alpha2"
	"github.com/karmada-io/karmada/pkg/estimator/pb"
	"google.golang.org/grpc/mem"
	corev1 "k8s.io/api/core/v1"
)

// TestCodec: a replica is understood whichever way a version of karmada-scheduler
// describes it, and what is no message is no answer rather than an error.
func TestCodec(t *testing.T) {
	affinity := &corev1.NodeSelector{NodeSelectorTerms: []corev1.NodeSelectorTerm{{MatchExpressions: []corev1.NodeSelectorRequirement{{Key: "zone", Operator: corev1.NodeSelectorOpExists}}}}}
	tolerations := []corev1.Toleration{{Key: "t", Operator: corev1.TolerationOpExists}, {Key: "u", Operator: corev1.TolerationOpEqual, Value: "v"}}
	both := func() *pb.MaxAvailableReplicasRequest {
		c := (&pb.NodeClaim{NodeSelector: map[string]string{"disk": "ssd"}}).MustSetNodeAffinity(affinity).MustSetTolerations(tolerations)
		r := (&pb.ReplicaRequirements{NodeClaim: c, Namespace: "ns", PriorityClassName: "high"}).MustSetResourceRequest(list("cpu", "1", string(gpu), "2"))
		return &pb.MaxAvailableReplicasRequest{Cluster: "a", ReplicaRequirements: r}
	}
	want := &workv1alpha2.ReplicaRequirements{
		Namespace: "ns", PriorityClassName: "high", ResourceRequest: list("cpu", "1", string(gpu), "2"),
		NodeClaim: &workv1alpha2.NodeClaim{NodeSelector: map[string]string{"disk": "ssd"}, HardNodeAffinity: affinity, Tolerations: tolerations},
	}
	cases := map[string]struct {
		reason string
		change func(*pb.ReplicaRequirements)
	}{
		"1.17": {reason: "As messages of Kubernetes", change: func(r *pb.ReplicaRequirements) {
			r.ResourceRequestBytes, r.NodeClaim.NodeAffinityBytes, r.NodeClaim.TolerationsBytes = nil, nil, nil
		}},
		"1.18": {reason: "As messages and as their bytes", change: func(*pb.ReplicaRequirements) {}},
		"1.19": {reason: "As bytes", change: func(r *pb.ReplicaRequirements) {
			r.ResourceRequest, r.NodeClaim.NodeAffinity, r.NodeClaim.Tolerations = nil, nil, nil
		}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			req := both()
			tc.change(req.ReplicaRequirements)
			data, err := handCodec{}.Marshal(req)
			if err != nil {
				t.Fatal(err)
			}
			got := &replicasRequest{}
			if err := (codec{}).Unmarshal(data, got); err != nil || got.err != nil {
				t.Fatalf("\n%s\nUnmarshal(...): %v, %v", tc.reason, err, got.err)
			}
			if diff := cmp.Diff(want, got.needs); diff != "" || got.cluster != "a" {
				t.Errorf("\n%s\nUnmarshal(...): cluster %q, -want, +got:\n%s", tc.reason, got.cluster, diff)
			}
			// However it is cut or spoiled, it is no reason to fail.
			raw := data.Materialize()
			for i := range raw {
				spoiled := append(raw[:i:i], 0xff)
				spoiled = append(spoiled, raw[i:]...)
				for _, b := range [][]byte{raw[:i], spoiled} {
					for _, v := range []any{&replicasRequest{}, &setsRequest{}, &unschedulableRequest{}} {
						if err := (codec{}).Unmarshal(mem.BufferSlice{mem.SliceBuffer(b)}, v); err != nil {
							t.Fatalf("\nA spoiled request is no error\nUnmarshal(...): %v", err)
						}
					}
				}
			}
		})
	}
	got := &replicasRequest{}
	if err := (codec{}).Unmarshal(mem.BufferSlice{mem.SliceBuffer([]byte{0xff})}, got); err != nil || got.err == nil {
		t.Errorf("\nWhat is wrong with a request is kept\nUnmarshal(...): %v, %v", err, got.err)
	}
}
