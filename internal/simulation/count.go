package simulation

import (
	"context"
	"fmt"
	"math"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/kubernetes/pkg/scheduler/framework"
	pluginnames "k8s.io/kubernetes/pkg/scheduler/framework/plugins/names"

	"regionpool.io/provider-regionpool/internal/snapshot"
)

// count returns how many copies of the pod, up to limit, have a place, or -1 if
// that takes placing them. It may leave one of them on the fork.
func (e *engine) count(ctx context.Context, f *snapshot.Fork, pod *corev1.Pod, limit int) (int, error) {
	if limit <= 0 {
		return 0, nil
	}
	var refused Result
	p, err := e.prepare(f, pod, &refused)
	if p == nil || err != nil {
		return 0, err
	}
	template, _ := framework.NewPodInfo(pod)
	template.CalculateResource()
	r, err := e.newQuickRun(ctx, p, f, pod, template, false)
	if err != nil {
		return 0, fmt.Errorf("cannot count copies of pod %s/%s: %w", pod.Namespace, pod.Name, err)
	}
	switch {
	case r == nil:
		return -1, nil
	case r.pods == nil || !r.pods.decides():
		return r.room(ctx, pod, limit)
	}
	// Where the first of a series with affinity to itself goes depends on
	// scores, and with it where the others can.
	first, err := e.place(ctx, f, pod, 1)
	if err != nil || first.Placed == 0 || limit == 1 {
		return first.Placed, err
	}
	if r, err = e.newQuickRun(ctx, p, f, pod, template, false); err != nil || r == nil {
		return -1, err
	}
	n, err := r.room(ctx, pod, limit-1)
	if n >= 0 {
		n++
	}
	return n, err
}

// decides reports whether the first copy decides where others can go.
func (p *interPod) decides() bool { return len(p.affinity) > 0 && p.self && !p.attracted }

// room returns for how many copies there is room, at most limit, or -1 if that
// depends on the order in which they are placed.
func (r *quickRun) room(ctx context.Context, pod *corev1.Pod, limit int) (int, error) {
	each := int64(limit)
	if !r.skip.Has(pluginnames.NodePorts) && slices.Contains(r.profile.filter, pluginnames.NodePorts) {
		each = 1
	}
	exclusive := -1
	if r.pods != nil {
		for _, e := range r.pods.copy {
			if e.kind != repelled && e.kind != repels {
				continue
			}
			if exclusive >= 0 && exclusive != e.key {
				return -1, nil
			}
			exclusive = e.key
		}
	}
	if r.hard != nil && slices.ContainsFunc(r.hard.constraints, func(c hardConstraint) bool { return c.self }) {
		if len(r.hard.constraints) > 1 || exclusive >= 0 {
			return -1, nil
		}
		return r.spreadRoom(ctx, pod, &r.hard.constraints[0], each, int64(limit))
	}
	var total int64
	var taken []bool
	for i, at := range r.view.order {
		if total >= int64(limit) {
			break
		}
		if takes, err := r.takes(ctx, pod, i); err != nil {
			return 0, err
		} else if !takes || r.refuses(i) {
			continue
		}
		if exclusive >= 0 {
			k := r.pods.keys[exclusive].domains
			if d := k.of[i]; d >= 0 {
				if taken == nil {
					taken = r.view.bools.take(k.num())
				}
				if !taken[d] {
					taken[d] = true
					total++
				}
				continue
			}
		}
		total += r.fit.room(&r.view.slots[at].now, each)
	}
	return int(min(total, int64(limit))), nil
}

// spreadRoom is room with one constraint that copies of the pod count in. The
// lowest domain can always take one more while it has room; so the lowest count
// rises to that of the domain that is full first, and the others to the skew
// above it, in whatever order they are filled.
func (r *quickRun) spreadRoom(ctx context.Context, pod *corev1.Pod, c *hardConstraint, each, limit int64) (int, error) {
	room := make([]int64, len(c.counts))
	for i, d := range c.domains.of {
		takes, err := r.takes(ctx, pod, i)
		if err != nil {
			return 0, err
		}
		if !takes || d < 0 || r.pods != nil && r.pods.refuses(i) != "" {
			continue
		}
		if !c.counting[i] || c.maxSkew < 1 {
			return -1, nil
		}
		room[d] += r.fit.room(&r.view.slots[r.view.order[i]].now, each)
	}
	var floor int64
	if c.num >= int(c.minDomains) {
		floor = math.MaxInt32
		for d, ok := range c.present {
			if ok {
				floor = min(floor, c.counts[d]+room[d])
			}
		}
	}
	var total int64
	for d, n := range c.counts {
		total += max(0, min(room[d], floor+int64(c.maxSkew)-n))
	}
	return int(min(total, limit)), nil
}
