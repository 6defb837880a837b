package simulation

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"
	resourcev1 "k8s.io/api/resource/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"regionpool.io/provider-regionpool/internal/snapshot"
)

const gpuDriver = "gpu.example.org"

func deviceClass() *resourcev1.DeviceClass {
	return &resourcev1.DeviceClass{
		ObjectMeta: metav1.ObjectMeta{Name: "gpu"},
		Spec: resourcev1.DeviceClassSpec{Selectors: []resourcev1.DeviceSelector{{CEL: &resourcev1.CELDeviceSelector{
			Expression: fmt.Sprintf("device.driver == %q", gpuDriver),
		}}}},
	}
}

// devices are those of a node, each of a model.
func devices(node string, models ...string) *resourcev1.ResourceSlice {
	s := &resourcev1.ResourceSlice{
		ObjectMeta: metav1.ObjectMeta{Name: node},
		Spec: resourcev1.ResourceSliceSpec{
			Driver: gpuDriver, NodeName: &node,
			Pool: resourcev1.ResourcePool{Name: node, Generation: 1, ResourceSliceCount: 1},
		},
	}
	for i, m := range models {
		s.Spec.Devices = append(s.Spec.Devices, resourcev1.Device{
			Name: fmt.Sprintf("d%d", i), Attributes: map[resourcev1.QualifiedName]resourcev1.DeviceAttribute{"model": {StringValue: &m}},
		})
	}
	return s
}

// wants asks for a number of devices, of a model if that is not empty.
func wants(n int64, model string) resourcev1.ResourceClaimSpec {
	r := &resourcev1.ExactDeviceRequest{DeviceClassName: "gpu", AllocationMode: resourcev1.DeviceAllocationModeExactCount, Count: n}
	if model != "" {
		r.Selectors = []resourcev1.DeviceSelector{{CEL: &resourcev1.CELDeviceSelector{
			Expression: fmt.Sprintf("device.attributes[%q].model == %q", gpuDriver, model),
		}}}
	}
	return resourcev1.ResourceClaimSpec{Devices: resourcev1.DeviceClaim{Requests: []resourcev1.DeviceRequest{{Name: "r", Exactly: r}}}}
}

func claimTemplate(spec resourcev1.ResourceClaimSpec) *resourcev1.ResourceClaimTemplate {
	return &resourcev1.ResourceClaimTemplate{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "gpus"}, Spec: resourcev1.ResourceClaimTemplateSpec{Spec: spec}}
}

func sharedClaim(spec resourcev1.ResourceClaimSpec) *resourcev1.ResourceClaim {
	return &resourcev1.ResourceClaim{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "gpus", UID: "gpus", ResourceVersion: "7"}, Spec: spec}
}

// taken is a claim of a pod that runs.
func taken(node, device string) *resourcev1.ResourceClaim {
	c := sharedClaim(wants(1, ""))
	c.Name, c.UID = "taken-"+device, types.UID("taken-"+device)
	c.Status.Allocation = &resourcev1.AllocationResult{Devices: resourcev1.DeviceAllocationResult{Results: []resourcev1.DeviceRequestAllocationResult{{
		Request: "r", Driver: gpuDriver, Pool: node, Device: device,
	}}}}
	return c
}

func ownDevices(p *corev1.Pod) {
	p.Spec.ResourceClaims = []corev1.PodResourceClaim{{Name: "g", ResourceClaimTemplateName: ptr.To("gpus")}}
}

func sharedDevices(p *corev1.Pod) {
	p.Spec.ResourceClaims = []corev1.PodResourceClaim{{Name: "g", ResourceClaimName: ptr.To("gpus")}}
}

func TestPlaceDevices(t *testing.T) {
	nodes := []*corev1.Node{node("a"), node("b")}
	refused := func(nodes int, reason string) Result {
		return Result{
			Reasons: map[string]int{reason: nodes}, Plugins: map[string]int{"DynamicResources": nodes},
			Message: fmt.Sprintf("0/%d nodes are available: %s.", nodes, reason),
		}
	}
	no := "cannot allocate all claims"
	full := func(r Result) Result {
		r.Reasons, r.Plugins = map[string]int{no: 2}, map[string]int{"DynamicResources": 2}
		r.Message = "0/2 nodes are available: 2 " + no + "."
		return r
	}
	reserved := sharedClaim(wants(1, ""))
	reserved.Status.Allocation = &resourcev1.AllocationResult{}
	for i := range resourcev1.ResourceClaimReservedForMaxSize - 1 {
		reserved.Status.ReservedFor = append(reserved.Status.ReservedFor, resourcev1.ResourceClaimConsumerReference{Resource: "pods", Name: fmt.Sprint(i), UID: types.UID(fmt.Sprint(i))})
	}
	tooMany := `resourceclaim "gpus" is reserved for 256 pods, which is the most there can be`

	cases := map[string]struct {
		reason string
		objs   []snapshot.Object
		pod    *corev1.Pod
		n      int
		want   Result
	}{
		"Own": {
			reason: "Each copy has devices of its own, until there are no more.",
			objs:   []snapshot.Object{deviceClass(), claimTemplate(wants(1, "")), devices("a", "x", "x"), devices("b", "x")},
			pod:    pod(ownDevices), n: 5,
			want: full(Result{Placed: 3, Nodes: map[string]int{"a": 2, "b": 1}}),
		},
		"Several": {
			reason: "A device too few for a copy is a device that stays free.",
			objs:   []snapshot.Object{deviceClass(), claimTemplate(wants(2, "")), devices("a", "x", "x", "x"), devices("b", "x")},
			pod:    pod(ownDevices), n: 5,
			want: full(Result{Placed: 1, Nodes: map[string]int{"a": 1}}),
		},
		"Selected": {
			reason: "Only devices that a selector matches count.",
			objs:   []snapshot.Object{deviceClass(), claimTemplate(wants(1, "y")), devices("a", "x", "y"), devices("b", "x")},
			pod:    pod(ownDevices), n: 2,
			want: full(Result{Placed: 1, Nodes: map[string]int{"a": 1}}),
		},
		"Taken": {
			reason: "Devices of pods that run are taken.",
			objs:   []snapshot.Object{deviceClass(), claimTemplate(wants(1, "")), devices("a", "x", "x"), taken("a", "d1"), devices("b", "x"), taken("b", "d0")},
			pod:    pod(ownDevices), n: 2,
			want: full(Result{Placed: 1, Nodes: map[string]int{"a": 1}}),
		},
		"Shared": {
			reason: "The first copy decides where the devices of a shared claim are; the others follow it, up to what else the node has.",
			objs:   []snapshot.Object{deviceClass(), sharedClaim(wants(1, "")), devices("b", "x")},
			pod:    pod(sharedDevices, requests(corev1.ResourceCPU, "1")), n: 5,
			want: Result{
				Placed: 4, Nodes: map[string]int{"b": 4},
				Reasons: map[string]int{"Insufficient cpu": 1, "resourceclaim not available on the node": 1},
				Plugins: map[string]int{"NodeResourcesFit": 1, "DynamicResources": 1},
				Message: "0/2 nodes are available: 1 Insufficient cpu, 1 resourceclaim not available on the node.",
			},
		},
		"SharedByTooMany": {
			reason: "The API lets a claim be reserved for so many pods and no more.",
			objs:   []snapshot.Object{deviceClass(), reserved},
			pod:    pod(sharedDevices), n: 2,
			want: Result{
				Placed: 1, Nodes: map[string]int{"a": 1},
				Reasons: map[string]int{tooMany: 2}, Plugins: map[string]int{"DynamicResources": 2},
				Message: "0/2 nodes are available: " + tooMany + ".",
			},
		},
		"NoTemplate": {
			reason: "Where the template is missing, or dynamic resources are not served at all, no copy is placed.",
			pod:    pod(ownDevices), n: 1,
			want: refused(2, `there is no resource claim template "gpus"`),
		},
		"NoClaim": {
			reason: "Where the shared claim is missing no copy is placed.",
			pod:    pod(sharedDevices), n: 1,
			want: refused(2, `there is no resource claim "gpus"`),
		},
		"NoClass": {
			reason: "A claim of a class that does not exist cannot be allocated.",
			objs:   []snapshot.Object{claimTemplate(wants(1, "")), devices("a", "x")},
			pod:    pod(ownDevices), n: 1,
			want: refused(2, "request r: device class gpu does not exist"),
		},
	}
	s := scheduler(t)
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := s.Place(context.Background(), fork(t, nodes, nil, tc.objs...), tc.pod, tc.n)
			if err != nil {
				t.Fatalf("\nReason: %s\nPlace(...): %v", tc.reason, err)
			}
			if diff := cmp.Diff(tc.want, got, cmpopts.EquateEmpty(), cmpopts.IgnoreFields(Result{}, "Pods")); diff != "" {
				t.Errorf("\nReason: %s\nPlace(...): -want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}

// TestDevicesStayOnTheFork: what copies got is the fork's, not the framework's.
func TestDevicesStayOnTheFork(t *testing.T) {
	s := scheduler(t)
	nodes := []*corev1.Node{node("a")}
	objs := []snapshot.Object{deviceClass(), claimTemplate(wants(1, "")), devices("a", "x", "x", "x")}
	f, other := fork(t, nodes, nil, objs...), fork(t, nodes, nil, objs...)
	place := func(f *snapshot.Fork, want int) []string {
		t.Helper()
		res, err := s.Place(context.Background(), f, pod(ownDevices), 2)
		if err != nil {
			t.Fatalf("Place(...): %v", err)
		}
		if res.Placed != want {
			t.Errorf("Place(...): want %d placed, got %d: %s", want, res.Placed, res.Message)
		}
		var out []string
		for _, p := range res.Pods {
			c := f.Object(snapshot.ResourceClaims, p.Namespace, *p.Status.ResourceClaimStatuses[0].ResourceClaimName).(*resourcev1.ResourceClaim)
			if len(c.Status.ReservedFor) != 1 || c.Status.ReservedFor[0].UID != p.UID {
				t.Errorf("The claim of %s is reserved for %v", p.Name, c.Status.ReservedFor)
			}
			out = append(out, c.Status.Allocation.Devices.Results[0].Device)
		}
		return out
	}
	first := place(f, 2)
	m := f.Mark()
	second := place(f, 1)
	if all := slices.Sorted(slices.Values(slices.Concat(first, second))); !slices.Equal(all, []string{"d0", "d1", "d2"}) {
		t.Errorf("Every device is given away once: got %v", all)
	}
	place(other, 2)
	place(f, 0)
	f.Revert(m)
	if again := place(f, 1); !slices.Equal(again, second) {
		t.Errorf("What a Revert frees is free again: want %v, got %v", second, again)
	}
}

// TestOlderClaims: a fork of an older snapshot shows what was then.
func TestOlderClaims(t *testing.T) {
	s := scheduler(t)
	nodes := []*corev1.Node{node("a")}
	before := sharedClaim(wants(1, ""))
	after := before.DeepCopy()
	after.ResourceVersion = "8"
	after.Status.Allocation = taken("a", "d0").Status.Allocation
	for i, tc := range []struct {
		claim *resourcev1.ResourceClaim
		want  int
	}{{before, 1}, {after, 0}, {before, 1}} {
		f := fork(t, nodes, nil, deviceClass(), claimTemplate(wants(1, "")), devices("a", "x"), tc.claim)
		res, err := s.Place(context.Background(), f, pod(ownDevices), 1)
		if err != nil {
			t.Fatalf("Place(...): %v", err)
		}
		if res.Placed != tc.want {
			t.Errorf("Snapshot %d: want %d placed, got %d: %s", i, tc.want, res.Placed, res.Message)
		}
	}
}
