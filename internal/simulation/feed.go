package simulation

import (
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	resourcev1 "k8s.io/api/resource/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"

	"regionpool.io/provider-regionpool/internal/snapshot"
)

// A feed is a shared informer without a watch: it holds the objects of one kind
// that it is given, and tells its handlers of changes at once. The plugins of a
// kube-scheduler framework read through it what a fork holds.
type feed struct {
	// The rest of the interface is about running a watch, which nobody asks of
	// a feed.
	cache.SharedIndexInformer

	indexer  cache.Indexer
	handlers []cache.ResourceEventHandler

	base *snapshot.Set
}

func newFeed() *feed {
	return &feed{indexer: cache.NewIndexer(cache.MetaNamespaceKeyFunc, cache.Indexers{cache.NamespaceIndex: cache.MetaNamespaceIndexFunc})}
}

// replace makes the feed hold the base and, in the place of objects of the same
// name or on top, the extra objects.
func (f *feed) replace(base *snapshot.Set, extra []snapshot.Object) {
	want := make(map[string]snapshot.Object, len(base.Items())+len(extra))
	for _, o := range base.Items() {
		want[key(o)] = o
	}
	for _, o := range extra {
		want[key(o)] = o
	}
	for _, have := range f.indexer.List() {
		o := have.(snapshot.Object)
		if want[key(o)] == nil {
			f.remove(o)
		}
	}
	for _, o := range want {
		f.put(o)
	}
	f.base = base
}

func key(o snapshot.Object) string {
	if o.GetNamespace() == "" {
		return o.GetName()
	}
	return o.GetNamespace() + "/" + o.GetName()
}

func (f *feed) put(o snapshot.Object) {
	old, ok, _ := f.indexer.GetByKey(key(o))
	if ok && old == any(o) {
		return
	}
	_ = f.indexer.Update(o)
	for _, h := range f.handlers {
		// Assume caches keep the newest version they ever saw; what a fork has
		// can be older, or have no version.
		if ok {
			h.OnDelete(old)
		}
		h.OnAdd(o, false)
	}
}

func (f *feed) remove(o snapshot.Object) {
	old, ok, _ := f.indexer.GetByKey(key(o))
	if !ok {
		return
	}
	_ = f.indexer.Delete(old)
	for _, h := range f.handlers {
		h.OnDelete(old)
	}
}

// AddEventHandler implements cache.SharedInformer.
func (f *feed) AddEventHandler(h cache.ResourceEventHandler) (cache.ResourceEventHandlerRegistration, error) {
	f.handlers = append(f.handlers, h)
	for _, o := range f.indexer.List() {
		h.OnAdd(o, true)
	}
	return f, nil
}

// AddEventHandlerWithResyncPeriod implements cache.SharedInformer. A feed does
// not resync.
func (f *feed) AddEventHandlerWithResyncPeriod(h cache.ResourceEventHandler, _ time.Duration) (cache.ResourceEventHandlerRegistration, error) {
	return f.AddEventHandler(h)
}

// AddEventHandlerWithOptions implements cache.SharedInformer.
func (f *feed) AddEventHandlerWithOptions(h cache.ResourceEventHandler, _ cache.HandlerOptions) (cache.ResourceEventHandlerRegistration, error) {
	return f.AddEventHandler(h)
}

// GetStore implements cache.SharedInformer.
func (f *feed) GetStore() cache.Store { return f.indexer }

// GetIndexer implements cache.SharedIndexInformer.
func (f *feed) GetIndexer() cache.Indexer { return f.indexer }

// AddIndexers implements cache.SharedIndexInformer.
func (f *feed) AddIndexers(i cache.Indexers) error { return f.indexer.AddIndexers(i) }

// SetTransform implements cache.SharedInformer.
func (f *feed) SetTransform(cache.TransformFunc) error { return nil }

// HasSynced implements cache.SharedInformer.
func (f *feed) HasSynced() bool { return true }

// feeds are one feed for each kind, behind an informer factory.
type feeds struct {
	byKind  [snapshot.NumKinds]*feed
	factory informers.SharedInformerFactory

	// The extra objects that are loaded, with their serials, and those that a
	// single pod had of its own.
	extra   []snapshot.Object
	serials []int64
	own     []snapshot.Object
}

// fed are the kinds that plugins read.
var fed = map[snapshot.Kind]runtime.Object{
	snapshot.Namespaces:             &corev1.Namespace{},
	snapshot.Services:               &corev1.Service{},
	snapshot.ReplicationControllers: &corev1.ReplicationController{},
	snapshot.ReplicaSets:            &appsv1.ReplicaSet{},
	snapshot.StatefulSets:           &appsv1.StatefulSet{},
	snapshot.PersistentVolumes:      &corev1.PersistentVolume{},
	snapshot.PersistentVolumeClaims: &corev1.PersistentVolumeClaim{},
	snapshot.StorageClasses:         &storagev1.StorageClass{},
	snapshot.CSINodes:               &storagev1.CSINode{},
	snapshot.CSIDrivers:             &storagev1.CSIDriver{},
	snapshot.CSIStorageCapacities:   &storagev1.CSIStorageCapacity{},
	snapshot.VolumeAttachments:      &storagev1.VolumeAttachment{},
	snapshot.ResourceClaims:         &resourcev1.ResourceClaim{},
	snapshot.ResourceSlices:         &resourcev1.ResourceSlice{},
	snapshot.DeviceClasses:          &resourcev1.DeviceClass{},
}

// newFeeds returns empty feeds. Informers of kinds that are not fed stay empty:
// the factory has no client and is never started.
func newFeeds() *feeds {
	fs := &feeds{factory: informers.NewSharedInformerFactory(nil, 0)}
	for k, o := range fed {
		f := newFeed()
		fs.byKind[k] = f
		fs.factory.InformerFor(o, func(kubernetes.Interface, time.Duration) cache.SharedIndexInformer { return f })
	}
	return fs
}

// load makes the feeds hold the objects of a fork, and those that a pod has of
// its own. It costs what changed since the last load, nothing if nothing did.
func (fs *feeds) load(f *snapshot.Fork, own []snapshot.Object) {
	extra, serials := f.Extra(), f.ExtraSerials()
	keep := min(len(serials), len(fs.serials))
	for keep > 0 && serials[keep-1] != fs.serials[keep-1] {
		keep--
	}
	var replaced [snapshot.NumKinds]bool
	for k, fd := range fs.byKind {
		if fd == nil {
			continue
		}
		if base := f.Base().Objects().Set(snapshot.Kind(k)); fd.base != base {
			fd.replace(base, ofKind(extra, snapshot.Kind(k)))
			replaced[k] = true
		}
	}
	// What goes may have hidden another of its name.
	for _, gone := range [][]snapshot.Object{fs.own, fs.extra[keep:]} {
		for i := len(gone) - 1; i >= 0; i-- {
			o := gone[i]
			k, fd := fs.feedOf(o)
			if fd == nil || replaced[k] {
				continue
			}
			if now := f.Object(k, o.GetNamespace(), o.GetName()); now != nil {
				fd.put(now)
			} else {
				fd.remove(o)
			}
		}
	}
	for _, come := range [][]snapshot.Object{extra[keep:], own} {
		for _, o := range come {
			if _, fd := fs.feedOf(o); fd != nil {
				fd.put(o)
			}
		}
	}
	clear(fs.extra[keep:])
	fs.extra = append(fs.extra[:keep], extra[keep:]...)
	fs.serials = append(fs.serials[:keep], serials[keep:]...)
	fs.own = own
}

func (fs *feeds) feedOf(o snapshot.Object) (snapshot.Kind, *feed) {
	k, ok := snapshot.KindOf(o)
	if !ok {
		return k, nil
	}
	return k, fs.byKind[k]
}

func ofKind(objs []snapshot.Object, k snapshot.Kind) []snapshot.Object {
	var out []snapshot.Object
	for _, o := range objs {
		if ok, _ := snapshot.KindOf(o); ok == k {
			out = append(out, o)
		}
	}
	return out
}
