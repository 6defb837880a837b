package simulation

import (
	corev1 "k8s.io/api/core/v1"
)

// A topology tells by a label of the nodes which of them belong together.
type topology struct {
	values map[string]int32
	// of has the domain of each slot, for the node that was looked at.
	of []domainOf
	// read what moved, and the domains since the order was last another one.
	read      reader
	domains   *domains
	reordered int
}

type domainOf struct {
	node   *corev1.Node
	domain int32
	// labelled is false if the node does not have the label. The domain is then
	// that of the empty value.
	labelled bool
}

// topology returns the domains of a topology key, up to date.
func (v *view) topology(key string) *topology {
	t, ok := v.topologies[key]
	if !ok {
		t = &topology{values: map[string]int32{}}
		v.topologies[key] = t
	}
	if len(t.of) < len(v.slots) {
		t.of = append(t.of, make([]domainOf, len(v.slots)-len(t.of))...)
	}
	// It cannot fail.
	_ = v.news(&t.read, func(_ int, at int32) error {
		node := v.slots[at].node
		if t.of[at].node == node {
			return nil
		}
		value, labelled := node.Labels[key]
		d, ok := t.values[value]
		if !ok {
			d = int32(len(t.values))
			t.values[value] = d
		}
		if was := t.of[at]; was.domain != d || was.labelled != labelled || was.node == nil {
			t.domains = nil
		}
		t.of[at] = domainOf{node: node, domain: d, labelled: labelled}
		return nil
	})
	return t
}

// A domains is a topology as runs read it: by the index of a node in the fork.
// They may not change it.
type domains struct {
	key string
	// of has the domain of each node, -1 if it lacks the label.
	of []int32
	// members has the nodes of each domain.
	members [][]int32
	// unlabelled is the domain of the empty value, to which nodes without the
	// label belong where they count.
	unlabelled int32
}

// domains returns the domains of a topology key.
func (v *view) domains(key string) *domains {
	t := v.topology(key)
	if t.domains != nil && t.reordered == v.reordered {
		return t.domains
	}
	d := &domains{key: key, of: make([]int32, len(v.order)), members: make([][]int32, len(t.values)), unlabelled: -1}
	sizes := make([]int32, len(t.values))
	for i, at := range v.order {
		o := &t.of[at]
		d.of[i] = o.domain
		if !o.labelled {
			d.of[i], d.unlabelled = -1, o.domain
			continue
		}
		sizes[o.domain]++
	}
	room := make([]int32, len(v.order))
	for k, n := range sizes {
		d.members[k], room = room[:0:n], room[n:]
	}
	for i, k := range d.of {
		if k >= 0 {
			d.members[k] = append(d.members[k], int32(i))
		}
	}
	t.domains, t.reordered = d, v.reordered
	return d
}

// num returns the number of domains.
func (d *domains) num() int { return len(d.members) }
