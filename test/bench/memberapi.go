package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	nodev1 "k8s.io/api/node/v1"
	policyv1 "k8s.io/api/policy/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer/protobuf"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
)

// memberAPI serves a generated region as its members' API servers would, to
// clients that stream lists (WatchList, on by default since client-go 1.35) in
// protobuf: the only way in which a large member is read. It keeps no object.
type memberAPI struct {
	region *region
	server *http.Server
	addr   string

	mu      sync.Mutex
	streams map[string]chan<- []byte
}

// served are the kinds besides nodes and pods that a member's cache watches. The
// region has none of them.
var served = map[string]runtime.Object{
	"nodes": &corev1.Node{}, "pods": &corev1.Pod{}, "namespaces": &corev1.Namespace{}, "services": &corev1.Service{},
	"replicationcontrollers": &corev1.ReplicationController{}, "replicasets": &appsv1.ReplicaSet{}, "statefulsets": &appsv1.StatefulSet{},
	"persistentvolumes": &corev1.PersistentVolume{}, "persistentvolumeclaims": &corev1.PersistentVolumeClaim{}, "limitranges": &corev1.LimitRange{},
	"storageclasses": &storagev1.StorageClass{}, "csinodes": &storagev1.CSINode{}, "csidrivers": &storagev1.CSIDriver{},
	"csistoragecapacities": &storagev1.CSIStorageCapacity{}, "volumeattachments": &storagev1.VolumeAttachment{},
	"poddisruptionbudgets": &policyv1.PodDisruptionBudget{}, "runtimeclasses": &nodev1.RuntimeClass{}, "priorityclasses": &schedulingv1.PriorityClass{},
}

func serveRegion(r *region) (*memberAPI, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("cannot listen: %w", err)
	}
	a := &memberAPI{region: r, addr: "http://" + l.Addr().String(), streams: map[string]chan<- []byte{}}
	a.server = &http.Server{Handler: a}
	go func() { _ = a.server.Serve(l) }()
	return a, nil
}

func (a *memberAPI) close() { _ = a.server.Close() }

// config of member m.
func (a *memberAPI) config(m int) *rest.Config {
	return &rest.Config{Host: a.addr + "/" + strconv.Itoa(m)}
}

// ServeHTTP implements http.Handler for paths /<member>/api...
func (a *memberAPI) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	parts := strings.Split(strings.Trim(req.URL.Path, "/"), "/")
	m, err := strconv.Atoi(parts[0])
	kind := parts[len(parts)-1]
	example, ok := served[kind]
	if err != nil || !ok || req.URL.Query().Get("watch") == "" {
		http.NotFound(w, req)
		return
	}
	w.Header().Set("Content-Type", runtime.ContentTypeProtobuf+";stream=watch")
	s := &stream{w: w}
	switch kind {
	case "nodes":
		for i := range a.region.nodes {
			s.send(watch.Added, a.region.node(m, i))
		}
	case "pods":
		a.region.pods(m, func(p *corev1.Pod) { s.send(watch.Added, p) })
	}
	s.send(watch.Bookmark, bookmark(example))
	s.flush()
	frames := make(chan []byte)
	a.mu.Lock()
	a.streams[streamKey(m, kind)] = frames
	a.mu.Unlock()
	for s.err == nil {
		select {
		case f := <-frames:
			s.write(f)
			s.flush()
		case <-req.Context().Done():
			return
		}
	}
}

func streamKey(m int, kind string) string { return fmt.Sprintf("%d/%s", m, kind) }

// change sends a frame to who watches the kind in member m, once they have it
// all.
func (a *memberAPI) change(m int, kind string, frame []byte) {
	a.mu.Lock()
	c := a.streams[streamKey(m, kind)]
	a.mu.Unlock()
	c <- frame
}

// bookmark ends a streamed list.
func bookmark(example runtime.Object) runtime.Object {
	o := example.DeepCopyObject()
	kinds, _, err := scheme.Scheme.ObjectKinds(o)
	if err != nil {
		panic(err)
	}
	o.GetObjectKind().SetGroupVersionKind(kinds[0])
	acc, err := meta.Accessor(o)
	if err != nil {
		panic(err)
	}
	acc.SetResourceVersion("3000000")
	acc.SetAnnotations(map[string]string{metav1.InitialEventsAnnotationKey: "true"})
	return o
}

// A stream of watch events to one client.
type stream struct {
	w   http.ResponseWriter
	err error
}

func (s *stream) send(t watch.EventType, o runtime.Object) {
	f, err := frame(t, o)
	if err != nil {
		s.err = err
	}
	s.write(f)
}

func (s *stream) write(f []byte) {
	if s.err == nil {
		_, s.err = s.w.Write(f)
	}
}

func (s *stream) flush() {
	if f, ok := s.w.(http.Flusher); ok {
		f.Flush()
	}
}

var wire = protobuf.NewSerializer(scheme.Scheme, scheme.Scheme)

// frame encodes a watch event as kube-apiserver does: a length, and the event
// in protobuf with the object in Kubernetes' envelope.
func frame(t watch.EventType, o runtime.Object) ([]byte, error) {
	if o.GetObjectKind().GroupVersionKind() == (schema.GroupVersionKind{}) {
		return nil, fmt.Errorf("object of type %T does not say its kind", o)
	}
	var b bytes.Buffer
	if err := wire.Encode(o, &b); err != nil {
		return nil, fmt.Errorf("cannot encode object: %w", err)
	}
	e := metav1.WatchEvent{Type: string(t), Object: runtime.RawExtension{Raw: b.Bytes()}}
	out := make([]byte, 4+e.Size())
	binary.BigEndian.PutUint32(out, uint32(e.Size()))
	if _, err := e.MarshalTo(out[4:]); err != nil {
		return nil, fmt.Errorf("cannot encode event: %w", err)
	}
	return out, nil
}
