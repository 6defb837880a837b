package snapshot

import corev1 "k8s.io/api/core/v1"

// An Edit is a cluster that can be changed, for questions. Snapshots of it share
// what did not change between them, so that one costs a pointer for each node. It
// is not safe for concurrent use.
type Edit struct {
	content *content
	objects *Objects
}

// Edit returns a copy of the snapshot that can be changed. It costs about as much
// as New.
func (s *Snapshot) Edit() *Edit {
	e := &Edit{content: newContent(), objects: s.objects}
	for _, ni := range s.nodes {
		e.content.setNode(ni.Node())
	}
	for _, ni := range s.nodes {
		for _, pi := range ni.GetPods() {
			e.content.setPod(pi.GetPod())
		}
	}
	for _, p := range s.pending {
		e.content.setPod(p)
	}
	return e
}

// SetNode adds or replaces a node.
func (e *Edit) SetNode(n *corev1.Node) { e.content.setNode(n) }

// DeleteNode removes a node, with the pods on it.
func (e *Edit) DeleteNode(name string) {
	if n, ok := e.content.nodes[name]; ok {
		for _, pi := range n.info.GetPods() {
			e.content.deletePod(pi.GetPod().UID)
		}
	}
	e.content.deleteNode(name)
}

// SetPod adds or replaces a pod, which is known by its UID.
func (e *Edit) SetPod(p *corev1.Pod) { e.content.setPod(withUID(p)) }

// DeletePod removes a pod.
func (e *Edit) DeletePod(p *corev1.Pod) { e.content.deletePod(withUID(p).UID) }

// PodsOf returns the pods of a workload, oldest first.
func (e *Edit) PodsOf(k WorkloadKey) []*corev1.Pod { return e.content.podsOf(k) }

// Put adds objects, or replaces those of the same names. An error says that one
// is of a type snapshots do not hold; none is added then.
func (e *Edit) Put(objs ...Object) error { return e.change(objs, false) }

// Remove removes the objects of the names of those supplied.
func (e *Edit) Remove(objs ...Object) error { return e.change(objs, true) }

func (e *Edit) change(objs []Object, remove bool) error {
	with, err := NewObjects(objs...)
	if err != nil {
		return err
	}
	out := &Objects{}
	for k := range with.sets {
		var before *Set
		if e.objects != nil {
			before = e.objects.sets[k]
		}
		if with.sets[k] == nil {
			out.sets[k] = before
			continue
		}
		var items []Object
		for _, o := range before.Items() {
			if with.sets[k].Get(o.GetNamespace(), o.GetName()) == nil {
				items = append(items, o)
			}
		}
		if !remove {
			items = append(items, with.sets[k].items...)
		}
		if len(items) > 0 {
			out.sets[k] = newSet(items)
		}
	}
	e.objects = out
	return nil
}

// Snapshot returns what there is now.
func (e *Edit) Snapshot() *Snapshot { return e.content.snapshot(e.objects) }
