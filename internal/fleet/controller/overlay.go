package controller

import (
	"strconv"
	"sync"

	"sigs.k8s.io/controller-runtime/pkg/client"
)

// An overlay remembers what was written until the cache shows it, so that a
// round does not decide on what an earlier one changed already. Resource
// versions of one API server are ordered numbers. It is safe for concurrent use.
type overlay struct {
	mu      sync.Mutex
	written map[string]client.Object
}

func newOverlay() *overlay { return &overlay{written: map[string]client.Object{}} }

// put remembers an object that was written.
func (o *overlay) put(key string, obj client.Object) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.written[key] = obj
}

// latest returns the newer of the cached and the written object.
func (o *overlay) latest(key string, cached client.Object) client.Object {
	o.mu.Lock()
	defer o.mu.Unlock()
	w, ok := o.written[key]
	if !ok {
		return cached
	}
	if w.GetUID() == cached.GetUID() && older(cached, w) {
		return w
	}
	delete(o.written, key)
	return cached
}

// keep forgets all objects but those of the supplied keys.
func (o *overlay) keep(keys map[string]bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for k := range o.written {
		if !keys[k] {
			delete(o.written, k)
		}
	}
}

func older(a, b client.Object) bool {
	x, err1 := strconv.ParseUint(a.GetResourceVersion(), 10, 64)
	y, err2 := strconv.ParseUint(b.GetResourceVersion(), 10, 64)
	return err1 == nil && err2 == nil && x < y
}
