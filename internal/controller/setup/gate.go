package setup

import (
	"context"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/crossplane/crossplane-runtime/v2/pkg/controller"
	"github.com/crossplane/crossplane-runtime/v2/pkg/gate"
)

// discoveryInterval is how often to look whether a kind is in discovery.
const discoveryInterval = 100 * time.Millisecond

// NewGate returns a gate that calls back when the kinds are known to the mapper as
// well. An API server establishes a CRD a moment before discovery lists it, and
// who starts a watch in between is told that there is no such kind. Nothing is
// called after ctx is done.
func NewGate(ctx context.Context, mapper meta.RESTMapper) controller.Gate {
	return &discovered{Gate: new(gate.Gate[schema.GroupVersionKind]), ctx: ctx, mapper: mapper}
}

type discovered struct {
	*gate.Gate[schema.GroupVersionKind]
	// Registrations have no context of their own.
	ctx    context.Context
	mapper meta.RESTMapper
}

// Register a callback. It runs on a goroutine of its own.
func (g *discovered) Register(callback func(), gvks ...schema.GroupVersionKind) {
	g.Gate.Register(func() {
		err := wait.PollUntilContextCancel(g.ctx, discoveryInterval, true, func(context.Context) (bool, error) {
			for _, gvk := range gvks {
				// Whatever the error is, only time helps.
				if _, err := g.mapper.RESTMapping(gvk.GroupKind(), gvk.Version); err != nil {
					return false, nil
				}
			}
			return true, nil
		})
		if err == nil {
			callback()
		}
	}, gvks...)
}
