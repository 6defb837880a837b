package estimator

import (
	"context"
	"fmt"
	"strings"

	karmadautil "github.com/karmada-io/karmada/pkg/util"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
)

// serviceName of pkg/estimator/service/service.proto. The code that is generated
// from it is not used for the reason given at codec, and because it shares its
// package with a mock, which would bring a test framework into fleet.
const serviceName = "github.com.karmada_io.karmada.pkg.estimator.service.Estimator"

// server is what the service does.
type server interface {
	maxAvailableReplicas(context.Context, *replicasRequest) *response
	maxAvailableComponentSets(context.Context, *setsRequest) *response
	getUnschedulableReplicas(context.Context, *unschedulableRequest) *response
}

var service = grpc.ServiceDesc{
	ServiceName: serviceName,
	HandlerType: (*server)(nil),
	Methods: []grpc.MethodDesc{
		method("MaxAvailableReplicas", server.maxAvailableReplicas),
		method("MaxAvailableComponentSets", server.maxAvailableComponentSets),
		method("GetUnschedulableReplicas", server.getUnschedulableReplicas),
	},
	Metadata: "pkg/estimator/service/service.proto",
}

func method[Req any](name string, call func(server, context.Context, *Req) *response) grpc.MethodDesc {
	return grpc.MethodDesc{MethodName: name, Handler: func(srv any, ctx context.Context, dec func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
		in := new(Req)
		if err := dec(in); err != nil {
			return nil, err
		}
		return call(srv.(server), ctx, in), nil
	}}
}

// An object is what karmada-scheduler says of a workload in the metadata of a
// request. It does not say of which API group it is.
type object struct {
	kind, namespace, name string
}

func (o object) String() string { return fmt.Sprintf("%s %s/%s", o.kind, o.namespace, o.name) }

// objectOf reads the metadata of a request, which is written as
// "kind=%s, name=%s/%s" (calAvailableReplicas of pkg/scheduler/core/util.go).
func objectOf(ctx context.Context) object {
	for _, raw := range metadata.ValueFromIncomingContext(ctx, string(karmadautil.ContextKeyObject)) {
		kind, key, ok := strings.Cut(raw, ", name=")
		kind, isKind := strings.CutPrefix(kind, "kind=")
		namespace, name, isKey := strings.Cut(key, "/")
		if ok && isKind && isKey {
			return object{kind: kind, namespace: namespace, name: name}
		}
	}
	return object{}
}
