package estimator

import (
	"fmt"
	"time"

	workv1alpha2 "github.com/karmada-io/karmada/pkg/apis/work/v1alpha2"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"regionpool.io/provider-regionpool/internal/fleet/controller"
	"regionpool.io/provider-regionpool/internal/fleet/scheduler"
)

// The messages of pkg/estimator/pb/estimator.proto, read and written by hand: the
// code that is generated from it needs Kubernetes types to be protobuf messages,
// which since 1.35 they are only in a build with the tag
// kubernetes_protomessage_one_more_release. Without it that code panics. Karmada
// 1.18 is built with the tag.
//
// What is said twice, as a message of Kubernetes and as the bytes of one, is the
// same on the wire but for the number of the field: karmada-scheduler 1.17 says
// only the first, 1.18 both, 1.19 only the second.

// A codec reads requests and writes answers.
type codec struct{}

var _ encoding.CodecV2 = codec{}

// Name implements encoding.CodecV2.
func (codec) Name() string { return "proto" }

// Marshal implements encoding.CodecV2.
func (codec) Marshal(v any) (mem.BufferSlice, error) {
	a, ok := v.(*response)
	if !ok {
		return nil, fmt.Errorf("cannot write a %T", v)
	}
	b := protowire.AppendTag(nil, 1, protowire.VarintType)
	return mem.BufferSlice{mem.SliceBuffer(protowire.AppendVarint(b, uint64(int64(a.n))))}, nil
}

// Unmarshal implements encoding.CodecV2. A request that cannot be read is not
// refused but answered, so what is wrong with it is kept.
func (codec) Unmarshal(data mem.BufferSlice, v any) error {
	b := data.Materialize()
	switch r := v.(type) {
	case *replicasRequest:
		r.err = r.read(b)
	case *setsRequest:
		r.err = r.read(b)
	case *unschedulableRequest:
		r.err = r.read(b)
	default:
		return fmt.Errorf("cannot read a %T", v)
	}
	return nil
}

// A response to any request.
type response struct {
	n int32
}

// A replicasRequest is MaxAvailableReplicasRequest.
type replicasRequest struct {
	cluster string
	needs   *workv1alpha2.ReplicaRequirements
	assumed []assumption
	err     error
}

// A setsRequest is MaxAvailableComponentSetsRequest.
type setsRequest struct {
	cluster    string
	namespace  string
	components []workv1alpha2.Component
	assumed    []assumption
	err        error
}

// An unschedulableRequest is UnschedulableReplicasRequest.
type unschedulableRequest struct {
	cluster   string
	ref       workv1alpha2.ObjectReference
	threshold time.Duration
	err       error
}

// An assumption is AssumedWorkload.
type assumption struct {
	namespace  string
	components []workv1alpha2.Component
}

// fields calls fn for each field of a message: with its bytes, or its number.
func fields(b []byte, fn func(field protowire.Number, b []byte, n uint64) error) error {
	for len(b) > 0 {
		field, kind, size := protowire.ConsumeTag(b)
		if size < 0 {
			return fmt.Errorf("cannot read a request: %w", protowire.ParseError(size))
		}
		b = b[size:]
		var value []byte
		var n uint64
		switch kind {
		case protowire.BytesType:
			value, size = protowire.ConsumeBytes(b)
		case protowire.VarintType:
			n, size = protowire.ConsumeVarint(b)
		default:
			size = protowire.ConsumeFieldValue(field, kind, b)
		}
		if size < 0 {
			return fmt.Errorf("cannot read a request: %w", protowire.ParseError(size))
		}
		b = b[size:]
		if err := fn(field, value, n); err != nil {
			return err
		}
	}
	return nil
}

func (r *replicasRequest) read(b []byte) error {
	return fields(b, func(f protowire.Number, b []byte, _ uint64) (err error) {
		switch f {
		case 1:
			r.cluster = string(b)
		case 2:
			r.needs, err = readReplica(b)
		case 3:
			r.assumed, err = appendRead(r.assumed, b, readAssumption)
		}
		return err
	})
}

func (r *setsRequest) read(b []byte) error {
	return fields(b, func(f protowire.Number, b []byte, _ uint64) (err error) {
		switch f {
		case 1:
			r.cluster = string(b)
		case 2:
			r.components, err = appendRead(r.components, b, readComponent)
		case 3:
			r.namespace = string(b)
		case 4:
			r.assumed, err = appendRead(r.assumed, b, readAssumption)
		}
		return err
	})
}

func (r *unschedulableRequest) read(b []byte) error {
	return fields(b, func(f protowire.Number, b []byte, n uint64) error {
		switch f {
		case 1:
			r.cluster = string(b)
		case 2:
			return fields(b, func(f protowire.Number, b []byte, _ uint64) error {
				switch f {
				case 1:
					r.ref.APIVersion = string(b)
				case 2:
					r.ref.Kind = string(b)
				case 3:
					r.ref.Namespace = string(b)
				case 4:
					r.ref.Name = string(b)
				}
				return nil
			})
		case 3:
			r.threshold = time.Duration(n)
		}
		return nil
	})
}

func appendRead[T any](to []T, b []byte, read func([]byte) (T, error)) ([]T, error) {
	v, err := read(b)
	return append(to, v), err
}

func readAssumption(b []byte) (assumption, error) {
	out := assumption{}
	err := fields(b, func(f protowire.Number, b []byte, _ uint64) (err error) {
		switch f {
		case 1:
			out.namespace = string(b)
		case 2:
			out.components, err = appendRead(out.components, b, readComponent)
		}
		return err
	})
	return out, err
}

func readComponent(b []byte) (workv1alpha2.Component, error) {
	out := workv1alpha2.Component{}
	err := fields(b, func(f protowire.Number, b []byte, n uint64) error {
		switch f {
		case 1:
			out.Name = string(b)
		case 2:
			r, err := readNeeds(b, needFields{claim: 1, resources: 2, priority: 3, resourceBytes: 4})
			out.ReplicaRequirements = &workv1alpha2.ComponentReplicaRequirements{NodeClaim: r.NodeClaim, ResourceRequest: r.ResourceRequest, PriorityClassName: r.PriorityClassName}
			return err
		case 3:
			out.Replicas = int32(n)
		}
		return nil
	})
	return out, err
}

func readReplica(b []byte) (*workv1alpha2.ReplicaRequirements, error) {
	return readNeeds(b, needFields{claim: 1, resources: 2, namespace: 3, priority: 4, resourceBytes: 5})
}

// needFields are the numbers of the fields of ReplicaRequirements and of
// ComponentReplicaRequirements.
type needFields struct {
	claim, resources, namespace, priority, resourceBytes protowire.Number
}

func readNeeds(b []byte, is needFields) (*workv1alpha2.ReplicaRequirements, error) {
	out := &workv1alpha2.ReplicaRequirements{}
	err := fields(b, func(f protowire.Number, b []byte, _ uint64) (err error) {
		switch f {
		case is.claim:
			out.NodeClaim, err = readClaim(b)
		case is.resources, is.resourceBytes:
			name, value, err := readEntry(b)
			if err != nil {
				return err
			}
			q := resource.Quantity{}
			if err := q.Unmarshal(value); err != nil {
				return fmt.Errorf("cannot read how much %s a replica needs: %w", name, err)
			}
			if out.ResourceRequest == nil {
				out.ResourceRequest = corev1.ResourceList{}
			}
			out.ResourceRequest[corev1.ResourceName(name)] = q
		case is.namespace:
			out.Namespace = string(b)
		case is.priority:
			out.PriorityClassName = string(b)
		}
		return err
	})
	return out, err
}

// readEntry reads an entry of a map.
func readEntry(b []byte) (key string, value []byte, err error) {
	err = fields(b, func(f protowire.Number, b []byte, _ uint64) error {
		switch f {
		case 1:
			key = string(b)
		case 2:
			value = b
		}
		return nil
	})
	return key, value, err
}

func readClaim(b []byte) (*workv1alpha2.NodeClaim, error) {
	out := &workv1alpha2.NodeClaim{}
	var tolerations, asBytes []corev1.Toleration
	err := fields(b, func(f protowire.Number, b []byte, _ uint64) (err error) {
		switch f {
		case 1, 4:
			out.HardNodeAffinity = &corev1.NodeSelector{}
			if err := out.HardNodeAffinity.Unmarshal(b); err != nil {
				return fmt.Errorf("cannot read the node affinity of a replica: %w", err)
			}
		case 2:
			k, v, err := readEntry(b)
			if err != nil {
				return err
			}
			if out.NodeSelector == nil {
				out.NodeSelector = map[string]string{}
			}
			out.NodeSelector[k] = string(v)
		case 3:
			tolerations, err = appendRead(tolerations, b, readToleration)
		case 5:
			asBytes, err = appendRead(asBytes, b, readToleration)
		}
		return err
	})
	out.Tolerations = asBytes
	if len(asBytes) == 0 {
		out.Tolerations = tolerations
	}
	return out, err
}

func readToleration(b []byte) (corev1.Toleration, error) {
	t := corev1.Toleration{}
	if err := t.Unmarshal(b); err != nil {
		return t, fmt.Errorf("cannot read a toleration of a replica: %w", err)
	}
	return t, nil
}

// A component is some pods of a set that belong together.
type component struct {
	name     string
	replicas int32
	template *scheduler.Template
}

// components returns those of a set that have pods.
func components(namespace string, cs []workv1alpha2.Component) []component {
	out := make([]component, 0, len(cs))
	for i := range cs {
		c := &cs[i]
		if c.Replicas <= 0 {
			continue
		}
		var need *workv1alpha2.ReplicaRequirements
		if r := c.ReplicaRequirements; r != nil {
			need = &workv1alpha2.ReplicaRequirements{NodeClaim: r.NodeClaim, ResourceRequest: r.ResourceRequest, PriorityClassName: r.PriorityClassName}
		}
		out = append(out, component{name: c.Name, replicas: c.Replicas, template: controller.TemplateFor(namespace, need)})
	}
	return out
}
