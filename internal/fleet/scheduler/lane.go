package scheduler

import (
	"slices"

	fwk "k8s.io/kube-scheduler/framework"
	v1helper "k8s.io/kubernetes/pkg/apis/core/v1/helper"

	corev1 "k8s.io/api/core/v1"

	"regionpool.io/provider-regionpool/internal/simulation"
	"regionpool.io/provider-regionpool/internal/snapshot"
)

// A lane is a member with what a batch puts on it, in the order in which its
// kube-scheduler will see the pods. What is on its fork follows where the search
// stands, so that replicas which two placements share are simulated once.
type lane struct {
	*member
	// mark is before the batch.
	mark snapshot.Mark
	root *spot
	// on are the steps on the fork, marks the states before each.
	on    []*spot
	marks []snapshot.Mark
	// gifted nodes have devices, with how many pods are there before the batch.
	gifted map[string]int
	// hole is what a hole costs, by the pool of the batch to which it is worth most.
	hole int64
}

// A spot is a point that a search reaches in a lane: the root, or n replicas of
// an entry on top of another spot. What is found out about it is kept.
type spot struct {
	up    *spot
	depth int
	entry int
	n     int32
	// pods are the replicas, each with its node; nil before they are simulated.
	pods []*corev1.Pod
	next map[[2]int32]*spot
	// rooms that were looked for, by entry.
	rooms map[int]room
	// holes that are broken; nil if that is not known.
	holes *int64
	// Not all replicas have a place on the way to a bad spot.
	bad bool
}

// A room is n replicas that have a place, of as many as were asked for. They have
// pods unless they were only counted.
type room struct {
	n, asked int32
	pods     []*corev1.Pod
}

func newLane(m *member) *lane {
	l := &lane{member: m, mark: m.fork.Mark(), root: &spot{}, gifted: map[string]int{}}
	for _, name := range m.Snapshot.WithDevices() {
		if ni := m.fork.Node(name); ni != nil && len(devices(ni)) > 0 && takesPods(ni) && !m.isVirtual(ni) {
			l.gifted[name] = len(ni.GetPods())
		}
	}
	return l
}

// devices that a node has free, by resource.
func devices(ni fwk.NodeInfo) map[corev1.ResourceName]int64 {
	var out map[corev1.ResourceName]int64
	used := ni.GetRequested().GetScalarResources()
	for name, n := range ni.GetAllocatable().GetScalarResources() {
		if n -= used[name]; n > 0 && v1helper.IsExtendedResourceName(name) {
			if out == nil {
				out = map[corev1.ResourceName]int64{}
			}
			out[name] = n
		}
	}
	return out
}

// step returns the spot with n replicas of an entry on top of another.
func (s *spot) step(entry int, n int32) *spot {
	if n == 0 {
		return s
	}
	key := [2]int32{int32(entry), n}
	t, ok := s.next[key]
	if !ok {
		t = &spot{up: s, depth: s.depth + 1, entry: entry, n: n, bad: s.bad}
		if s.next == nil {
			s.next = map[[2]int32]*spot{}
		}
		s.next[key] = t
	}
	if known := s.rooms[entry].pods; t.pods == nil && len(known) >= int(n) {
		// Replicas are placed one after the other: the first ones go where they
		// went when there were more.
		t.pods = known[:n]
	}
	return t
}

// back takes all but the first n steps off the fork.
func (l *lane) back(n int) {
	if n < len(l.on) {
		l.fork.Revert(l.marks[n])
		l.fork.Commit(l.marks[n])
		l.on, l.marks = l.on[:n], l.marks[:n]
	}
}

// stand puts on the fork what leads to a spot. It is not ok if not all replicas
// have a place.
func (j *joint) stand(l *lane, s *spot) (bool, error) {
	if s.bad {
		return false, nil
	}
	var path []*spot
	t := s
	for t.up != nil && (t.depth > len(l.on) || l.on[t.depth-1] != t) {
		path = append(path, t)
		t = t.up
	}
	l.back(t.depth)
	for _, t := range slices.Backward(path) {
		l.on, l.marks = append(l.on, t), append(l.marks, l.fork.Mark())
		ok, err := j.put(l, t)
		if err != nil {
			return false, err
		}
		if !ok {
			l.back(len(l.on) - 1)
			t.bad, s.bad = true, true
			return false, nil
		}
	}
	return true, nil
}

// put the replicas of a spot on the fork. Claims have to be simulated again,
// since more than pods changes.
func (j *joint) put(l *lane, s *spot) (bool, error) {
	e := j.entries[s.entry]
	if s.pods == nil || e.claims {
		res, err := j.r.simulated(e.work, l.member, s.n)
		s.pods = res.Pods
		return res.Placed == int(s.n), err
	}
	for _, p := range s.pods {
		if err := l.fork.AddPod(p.Spec.NodeName, p); err != nil {
			return false, err
		}
	}
	return true, nil
}

// room returns how many of n replicas of an entry have a place on a spot. It is
// not ok if the spot is bad. If they are only counted, their places have to be
// found when a step is taken with some of them.
func (j *joint) room(l *lane, s *spot, entry int, n int32, count bool) (int32, bool, error) {
	if known, ok := s.rooms[entry]; ok && (known.asked >= n || known.n < known.asked) && (count || len(known.pods) == int(known.n)) {
		return min(n, known.n), true, nil
	}
	if ok, err := j.stand(l, s); !ok || err != nil {
		return 0, false, err
	}
	var res simulation.Result
	var err error
	if count {
		res, err = j.r.room(j.entries[entry].work, l.member, n)
	} else {
		mark := l.fork.Mark()
		res, err = j.r.simulated(j.entries[entry].work, l.member, n)
		l.fork.Revert(mark)
		l.fork.Commit(mark)
	}
	if err != nil {
		return 0, false, err
	}
	if s.rooms == nil {
		s.rooms = map[int]room{}
	}
	s.rooms[entry] = room{int32(res.Placed), n, res.Pods}
	return int32(res.Placed), true, nil
}

// holes returns how many nodes with free devices have got replicas that need
// none of them on the way to a spot. It is not ok if the spot is bad.
func (j *joint) holes(l *lane, s *spot) (int64, bool, error) {
	if s.holes != nil {
		return *s.holes, true, nil
	}
	if ok, err := j.stand(l, s); !ok || err != nil {
		return 0, false, err
	}
	n := int64(0)
	for name, before := range l.gifted {
		ni := l.fork.Node(name)
		free := devices(ni)
		if len(free) == 0 {
			continue
		}
		for _, pi := range ni.GetPods()[before:] {
			if !uses(pi.GetPod(), free) {
				n++
				break
			}
		}
	}
	s.holes = &n
	return n, true, nil
}

// uses reports whether a pod needs one of the devices.
func uses(p *corev1.Pod, devices map[corev1.ResourceName]int64) bool {
	need := requested(&p.Spec)
	for name := range devices {
		if q := need[name]; !q.IsZero() {
			return true
		}
	}
	return false
}
