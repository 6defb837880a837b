package setup

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// A lateMapper knows no kind until it is told so.
type lateMapper struct {
	meta.RESTMapper
	ready atomic.Bool
}

func (m *lateMapper) RESTMapping(gk schema.GroupKind, versions ...string) (*meta.RESTMapping, error) {
	if !m.ready.Load() {
		return nil, &meta.NoKindMatchError{GroupKind: gk, SearchedVersions: versions}
	}
	return &meta.RESTMapping{GroupVersionKind: gk.WithVersion(versions[0])}, nil
}

func TestGate(t *testing.T) {
	a, b := schema.GroupVersionKind{Group: "g", Version: "v1", Kind: "A"}, schema.GroupVersionKind{Group: "g", Version: "v1", Kind: "B"}
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		m := &lateMapper{}
		g := NewGate(ctx, m)
		var calls atomic.Int32
		g.Register(func() { calls.Add(1) }, a, b)
		g.Set(a, true)
		g.Set(b, true)
		time.Sleep(time.Minute)
		if calls.Load() != 0 {
			t.Fatal("\nReason: the CRDs are established, but discovery does not list them yet\nRegister(...): called back")
		}
		m.ready.Store(true)
		time.Sleep(2 * discoveryInterval)
		if n := calls.Load(); n != 1 {
			t.Errorf("\nReason: both kinds are in discovery\nRegister(...): %d calls", n)
		}

		m.ready.Store(false)
		g.Register(func() { calls.Add(1) }, a)
		stop()
		synctest.Wait()
		m.ready.Store(true)
		time.Sleep(time.Minute)
		if n := calls.Load(); n != 1 {
			t.Errorf("\nReason: the context is done\nRegister(...): %d calls", n)
		}
	})
}
