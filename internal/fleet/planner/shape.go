package planner

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
)

// A Shape is a node that does not exist yet, and the daemon pods that would run
// on it.
type Shape struct {
	Node    *corev1.Node
	Daemons []*corev1.Pod
}

// Shapes returns the nodes that would come if count more of an offering were
// ordered, as plans picture them. Of the input only the plan, the memory and the
// snapshots of the members are looked at. An error says that the plan has no
// such offering of real nodes, or contradicts itself.
func Shapes(in Input, name string, count int) ([]Shape, error) {
	p := &plan{in: in, memory: in.Memory.clone(), members: map[string]*member{}, offerings: map[string]*offering{}, reserved: map[string]*reserved{}}
	if err := p.load(); err != nil {
		return nil, err
	}
	o := p.offerings[name]
	if o == nil || o.Virtual != nil {
		return nil, fmt.Errorf("plan %s has no offering %q of nodes", in.Plan.Name, name)
	}
	out := make([]Shape, 0, count)
	for i := range count {
		n, daemons := p.templateAt(o, i)
		out = append(out, Shape{Node: n, Daemons: daemons})
	}
	return out, nil
}
