package exact

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	resourcev1 "k8s.io/api/resource/v1"
	kerrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"regionpool.io/provider-regionpool/internal/snapshot"
)

const (
	// Devices of nodes, and devices that nodes of a zone have in common.
	classBoard = "board"
	classLink  = "link"

	driverBoard = "board.example.org"
	driverLink  = "link.example.org"
)

func deviceClasses() []*resourcev1.DeviceClass {
	var out []*resourcev1.DeviceClass
	for name, driver := range map[string]string{classBoard: driverBoard, classLink: driverLink} {
		out = append(out, &resourcev1.DeviceClass{
			ObjectMeta: metav1.ObjectMeta{Name: name},
			Spec:       resourcev1.DeviceClassSpec{Selectors: cel("device.driver == %q", driver)},
		})
	}
	return out
}

func cel(format string, args ...any) []resourcev1.DeviceSelector {
	return []resourcev1.DeviceSelector{{CEL: &resourcev1.CELDeviceSelector{Expression: fmt.Sprintf(format, args...)}}}
}

// devices gives a world devices on most of the nodes and in the zones.
func (d dice) devices(w *World) {
	slice := func(name, driver string, n int) *resourcev1.ResourceSlice {
		s := &resourcev1.ResourceSlice{
			ObjectMeta: metav1.ObjectMeta{Name: name},
			Spec:       resourcev1.ResourceSliceSpec{Driver: driver, Pool: resourcev1.ResourcePool{Name: name, Generation: 1, ResourceSliceCount: 1}},
		}
		for i := range n {
			s.Spec.Devices = append(s.Spec.Devices, resourcev1.Device{
				Name:       fmt.Sprintf("d%d", i),
				Attributes: map[resourcev1.QualifiedName]resourcev1.DeviceAttribute{"model": {StringValue: ptr.To(d.of("a", "b"))}},
				Capacity:   map[resourcev1.QualifiedName]resourcev1.DeviceCapacity{"memory": {Value: resource.MustParse(d.of("40Gi", "80Gi"))}},
			})
		}
		w.Slices = append(w.Slices, s)
		return s
	}
	for _, n := range w.Nodes {
		if !d.one(4) {
			slice(n.Name, driverBoard, d.between(1, 6)).Spec.NodeName = &n.Name
		}
	}
	for i := range 3 {
		slice(fmt.Sprintf("w%d-z%d", w.Seed, i), driverLink, d.between(1, 8)).Spec.NodeSelector = inZone(fmt.Sprintf("z%d", i))
	}
}

// claims gives a batch that needs devices a claim, or a template of claims.
func (d dice) claims(b *Batch) {
	source := corev1.PodResourceClaim{Name: "dev"}
	meta := metav1.ObjectMeta{Namespace: b.Namespace, Name: b.Name}
	switch {
	case b.Has(OwnDevices):
		spec, zonal := d.deviceClaim()
		b.ClaimTemplate = &resourcev1.ResourceClaimTemplate{ObjectMeta: meta, Spec: resourcev1.ResourceClaimTemplateSpec{Spec: spec}}
		source.ResourceClaimTemplateName = &b.Name
		b.Ordered = b.Ordered || zonal && len(coupled(b)) > 0
	case b.Has(SharedDevice):
		spec, _ := d.deviceClaim()
		b.Claim = &resourcev1.ResourceClaim{ObjectMeta: meta, Spec: spec}
		source.ResourceClaimName = &b.Name
		// Where the first pod goes, all others follow.
		b.Ordered = true
	default:
		return
	}
	spec := &b.Template.Spec
	spec.ResourceClaims = []corev1.PodResourceClaim{source}
	spec.Containers[0].Resources.Claims = []corev1.ResourceClaim{{Name: source.Name}}
}

// deviceClaim returns what a claim asks for, and whether a zone has it.
func (d dice) deviceClaim() (resourcev1.ResourceClaimSpec, bool) {
	exactly := func(class string, n int, s []resourcev1.DeviceSelector) *resourcev1.ExactDeviceRequest {
		return &resourcev1.ExactDeviceRequest{DeviceClassName: class, AllocationMode: resourcev1.DeviceAllocationModeExactCount, Count: int64(n), Selectors: s}
	}
	request := func(name string, e *resourcev1.ExactDeviceRequest) resourcev1.DeviceRequest {
		return resourcev1.DeviceRequest{Name: name, Exactly: e}
	}
	model := func(m string) []resourcev1.DeviceSelector {
		return cel("device.attributes[%q].model == %q", driverBoard, m)
	}
	claim := func(rs ...resourcev1.DeviceRequest) resourcev1.ResourceClaimSpec {
		return resourcev1.ResourceClaimSpec{Devices: resourcev1.DeviceClaim{Requests: rs}}
	}
	switch d.IntN(7) {
	case 0:
		return claim(request("any", exactly(classBoard, d.between(1, 2), nil))), false
	case 1:
		large := cel("device.capacity[%q].memory.compareTo(quantity(%q)) >= 0", driverBoard, "80Gi")
		return claim(request("large", exactly(classBoard, 1, large))), false
	case 2:
		return claim(request("any", exactly(classBoard, 1, nil)), request("a", exactly(classBoard, 1, model("a")))), false
	case 3:
		sub := func(name string, n int, m string) resourcev1.DeviceSubRequest {
			return resourcev1.DeviceSubRequest{Name: name, DeviceClassName: classBoard, AllocationMode: resourcev1.DeviceAllocationModeExactCount, Count: int64(n), Selectors: model(m)}
		}
		return claim(resourcev1.DeviceRequest{Name: "first", FirstAvailable: []resourcev1.DeviceSubRequest{sub("one", 1, "a"), sub("two", 2, "b")}}), false
	case 4:
		all := &resourcev1.ExactDeviceRequest{DeviceClassName: classBoard, AllocationMode: resourcev1.DeviceAllocationModeAll, Selectors: model("b")}
		return claim(request("all", all)), false
	case 5:
		spec := claim(request("pair", exactly(classBoard, 2, nil)))
		spec.Devices.Constraints = []resourcev1.DeviceConstraint{{MatchAttribute: ptr.To(resourcev1.FullyQualifiedName(driverBoard + "/model"))}}
		return spec, false
	}
	return claim(request("link", exactly(classLink, 1, nil))), true
}

// createDevices creates the slices of a world, and what its batches claim.
func (p *Plane) createDevices(ctx context.Context, w *World) error {
	api := p.client.ResourceV1()
	var errs []error
	for _, o := range w.Slices {
		_, err := api.ResourceSlices().Create(ctx, o, metav1.CreateOptions{})
		errs = append(errs, err)
	}
	for i := range w.Batches {
		if t := w.Batches[i].ClaimTemplate; t != nil {
			_, err := api.ResourceClaimTemplates(t.Namespace).Create(ctx, t, metav1.CreateOptions{})
			errs = append(errs, err)
		}
		if c := w.Batches[i].Claim; c != nil {
			_, err := api.ResourceClaims(c.Namespace).Create(ctx, c, metav1.CreateOptions{})
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// clearDevices deletes the devices of a world and all claims. Those that are
// allocated would stay until a controller has seen that their pods are gone.
func (p *Plane) clearDevices(ctx context.Context) error {
	api := p.client.ResourceV1()
	err := api.ResourceSlices().DeleteCollection(ctx, *atOnce(), metav1.ListOptions{})
	for _, ns := range namespaces {
		err = errors.Join(err, api.ResourceClaimTemplates(ns).DeleteCollection(ctx, *atOnce(), metav1.ListOptions{}))
	}
	if err != nil {
		return err
	}
	return wait(ctx, watchTimeout, "all resource claims are gone", func(ctx context.Context) (bool, error) {
		l, err := api.ResourceClaims(metav1.NamespaceAll).List(ctx, metav1.ListOptions{})
		if err != nil || len(l.Items) == 0 {
			return err == nil, err
		}
		for i := range l.Items {
			c := &l.Items[i]
			_, err := api.ResourceClaims(c.Namespace).Patch(ctx, c.Name, types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`), metav1.PatchOptions{})
			if err == nil {
				err = api.ResourceClaims(c.Namespace).Delete(ctx, c.Name, *atOnce())
			}
			if err != nil && !kerrors.IsNotFound(err) && !kerrors.IsConflict(err) {
				return false, err
			}
		}
		time.Sleep(20 * time.Millisecond)
		return false, nil
	})
}

// release gives back the devices that only this pod has.
func release(f *snapshot.Fork, pod *corev1.Pod) error {
	for _, s := range pod.Status.ResourceClaimStatuses {
		c, ok := f.Object(snapshot.ResourceClaims, pod.Namespace, ptr.Deref(s.ResourceClaimName, "")).(*resourcev1.ResourceClaim)
		if !ok {
			continue
		}
		c = c.DeepCopy()
		c.Status = resourcev1.ResourceClaimStatus{}
		if err := f.AddObject(c); err != nil {
			return err
		}
	}
	return nil
}

// allocated says what devices claims have.
func allocated(s *snapshot.Snapshot) []string {
	var out []string
	for _, o := range s.Objects().Set(snapshot.ResourceClaims).Items() {
		c := o.(*resourcev1.ResourceClaim)
		if c.Status.Allocation == nil {
			continue
		}
		line := c.Namespace + "/" + c.Name
		for _, r := range c.Status.Allocation.Devices.Results {
			line += " " + r.Pool + "/" + r.Device
		}
		out = append(out, line)
	}
	slices.Sort(out)
	return out
}
