package simulation

import (
	"math/bits"
	"reflect"
	"strings"

	corev1 "k8s.io/api/core/v1"
	fwk "k8s.io/kube-scheduler/framework"
)

// The bounds of what images of a container are worth, as in
// k8s.io/kubernetes/pkg/scheduler/framework/plugins/imagelocality.
const (
	leastImage = 23 << 20
	mostImage  = 1000 << 20
)

// imageStates are the images of a node. The map is never changed, only replaced.
type imageStates map[string]*fwk.ImageStateSummary

func (s imageStates) same(o imageStates) bool {
	return reflect.ValueOf(s).Pointer() == reflect.ValueOf(o).Pointer()
}

// An imageIndex tells which nodes may have an image, by its name: those whose
// slots have their bits set. Nodes that had it once stay.
type imageIndex struct {
	read   reader
	byName map[string][]uint64
}

// withImage calls fn with the place in the order and the slot of each node that
// may have the named image.
func (v *view) withImage(name string, fn func(i int32, s *slot)) {
	x := &v.images
	if x.byName == nil {
		x.byName = map[string][]uint64{}
	}
	// It cannot fail.
	_ = v.news(&x.read, func(_ int, at int32) error {
		s := &v.slots[at]
		have := imageStates(s.now.info.ImageStates)
		if s.indexed.same(have) {
			return nil
		}
		s.indexed = have
		for name := range have {
			set := x.byName[name]
			if more := int(at)/64 + 1 - len(set); more > 0 {
				set = append(set, make([]uint64, more)...)
				x.byName[name] = set
			}
			set[at/64] |= 1 << (at % 64)
		}
		return nil
	})
	for k, word := range x.byName[name] {
		for ; word != 0; word &= word - 1 {
			at := int32(k*64 + bits.TrailingZeros64(word))
			if i := v.slots[at].index; int(i) < len(v.order) && v.order[i] == at {
				fn(i, &v.slots[at])
			}
		}
	}
}

// scoreImages returns the scores of ImageLocality for all nodes, weighted, or nil
// if all are zero. It follows Score of
// k8s.io/kubernetes/pkg/scheduler/framework/plugins/imagelocality, which looks for
// each image on each node.
func (v *view) scoreImages(pod *corev1.Pod, weight int64) []int64 {
	nodes := float64(len(v.order))
	var sums []int64
	containers := int64(0)
	for _, cs := range [][]corev1.Container{pod.Spec.InitContainers, pod.Spec.Containers} {
		containers += int64(len(cs))
		for i := range cs {
			name := cs[i].Image
			if strings.LastIndex(name, ":") <= strings.LastIndex(name, "/") {
				name += ":latest"
			}
			v.withImage(name, func(i int32, s *slot) {
				if state, ok := s.now.info.ImageStates[name]; ok {
					if sums == nil {
						sums = v.ints.take(len(v.order))
					}
					sums[i] += int64(float64(state.Size) * (float64(state.NumNodes) / nodes))
				}
			})
		}
	}
	most := mostImage * containers
	for i, sum := range sums {
		sums[i] = fwk.MaxNodeScore * (min(max(sum, leastImage), most) - leastImage) / (most - leastImage) * weight
	}
	return sums
}
