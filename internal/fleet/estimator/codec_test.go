//go:build !kubernetes_protomessage_one_more_release

//lint:file-ignore SA1019 What is deprecated is still said by karmada-scheduler.

package estimator

import (
	"fmt"

	"github.com/karmada-io/karmada/pkg/estimator/pb"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
)

// Karmada's client writes requests with code that needs the build tag
// kubernetes_protomessage_one_more_release, by which Karmada is built. So that
// the tests need no tag, they write them by hand. With
//
//	go test -tags kubernetes_protomessage_one_more_release ./internal/fleet/estimator
//
// the same tests use Karmada's own code, and karmada-scheduler does in
// test/estimator.
func init() { encoding.RegisterCodecV2(handCodec{}) }

type handCodec struct{}

func (handCodec) Name() string { return "proto" }

func (handCodec) Marshal(v any) (mem.BufferSlice, error) {
	var b []byte
	switch r := v.(type) {
	case *pb.MaxAvailableReplicasRequest:
		b = text(b, 1, r.Cluster)
		if q := r.ReplicaRequirements; q != nil {
			b = message(b, 2, replica(q))
		}
		for _, a := range r.AssumedWorkloads {
			b = message(b, 3, workloadOf(a))
		}
	case *pb.MaxAvailableComponentSetsRequest:
		b = text(b, 1, r.Cluster)
		for _, c := range r.Components {
			b = message(b, 2, componentOf(c))
		}
		b = text(b, 3, r.Namespace)
		for _, a := range r.AssumedWorkloads {
			b = message(b, 4, workloadOf(a))
		}
	case *pb.UnschedulableReplicasRequest:
		b = text(b, 1, r.Cluster)
		o := r.Resource
		b = message(b, 2, text(text(text(text(nil, 1, o.ApiVersion), 2, o.Kind), 3, o.Namespace), 4, o.Name))
		b = number(b, 3, uint64(r.UnschedulableThreshold))
	default:
		return nil, fmt.Errorf("unexpected %T", v)
	}
	return mem.BufferSlice{mem.SliceBuffer(b)}, nil
}

func (handCodec) Unmarshal(data mem.BufferSlice, v any) error {
	n := int32(0)
	err := fields(data.Materialize(), func(f protowire.Number, _ []byte, v uint64) error {
		if f == 1 {
			n = int32(v)
		}
		return nil
	})
	switch r := v.(type) {
	case *pb.MaxAvailableReplicasResponse:
		r.MaxReplicas = n
	case *pb.MaxAvailableComponentSetsResponse:
		r.MaxSets = n
	case *pb.UnschedulableReplicasResponse:
		r.UnschedulableReplicas = n
	default:
		return fmt.Errorf("unexpected %T", v)
	}
	return err
}

func message(b []byte, f protowire.Number, v []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(b, f, protowire.BytesType), v)
}

func text(b []byte, f protowire.Number, v string) []byte { return message(b, f, []byte(v)) }

func number(b []byte, f protowire.Number, v uint64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(b, f, protowire.VarintType), v)
}

func must(b []byte, err error) []byte {
	if err != nil {
		panic(err)
	}
	return b
}

func replica(r *pb.ReplicaRequirements) []byte {
	var b []byte
	if r.NodeClaim != nil {
		b = message(b, 1, claim(r.NodeClaim))
	}
	for k, v := range r.ResourceRequest {
		b = message(b, 2, message(text(nil, 1, k), 2, must(v.Marshal())))
	}
	b = text(text(b, 3, r.Namespace), 4, r.PriorityClassName)
	for k, v := range r.ResourceRequestBytes {
		b = message(b, 5, message(text(nil, 1, k), 2, v))
	}
	return b
}

func claim(c *pb.NodeClaim) []byte {
	var b []byte
	if c.NodeAffinity != nil {
		b = message(b, 1, must(c.NodeAffinity.Marshal()))
	}
	for k, v := range c.NodeSelector {
		b = message(b, 2, text(text(nil, 1, k), 2, v))
	}
	for _, t := range c.Tolerations {
		b = message(b, 3, must(t.Marshal()))
	}
	if len(c.NodeAffinityBytes) > 0 {
		b = message(b, 4, c.NodeAffinityBytes)
	}
	for _, t := range c.TolerationsBytes {
		b = message(b, 5, t)
	}
	return b
}

func componentOf(c *pb.Component) []byte {
	b := text(nil, 1, c.Name)
	if r := c.ReplicaRequirements; r != nil {
		var q []byte
		if r.NodeClaim != nil {
			q = message(q, 1, claim(r.NodeClaim))
		}
		for k, v := range r.ResourceRequest {
			q = message(q, 2, message(text(nil, 1, k), 2, must(v.Marshal())))
		}
		q = text(q, 3, r.PriorityClassName)
		for k, v := range r.ResourceRequestBytes {
			q = message(q, 4, message(text(nil, 1, k), 2, v))
		}
		b = message(b, 2, q)
	}
	return number(b, 3, uint64(c.Replicas))
}

func workloadOf(a *pb.AssumedWorkload) []byte {
	b := text(nil, 1, a.Namespace)
	for _, c := range a.Components {
		b = message(b, 2, componentOf(c))
	}
	return b
}
