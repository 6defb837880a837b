package scheduler

import (
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"

	"regionpool.io/provider-regionpool/internal/snapshot"
)

// reserve puts on the forks what is promised already: first the pods that wait
// in a member, in the order of its kube-scheduler's queue, then the replicas
// that were assigned to it and are not seen there yet.
func (r *round) reserve() error {
	var byWorkload map[snapshot.WorkloadKey]*work
	for _, m := range r.members {
		if !m.usable() || len(m.Snapshot.Pending()) == 0 {
			continue
		}
		if byWorkload == nil {
			byWorkload = make(map[snapshot.WorkloadKey]*work, len(r.work))
			for _, w := range r.work {
				byWorkload[w.Workload] = w
			}
		}
		if err := r.reservePending(m, byWorkload); err != nil {
			return err
		}
	}
	for _, w := range r.active {
		if w.Template == nil || !w.Divided {
			continue
		}
		for _, name := range sorted(w.target) {
			m := r.members[name]
			if m == nil || !m.usable() {
				continue
			}
			if w.Template.Grouped() {
				if err := r.bookGroups(w, m); err != nil {
					return err
				}
				continue
			}
			pods, _ := w.seen(m)
			unseen := w.target[name] - w.Reported[name].Succeeded - pods
			if unseen <= 0 || w.Reported[name].Finished {
				continue
			}
			// What does not fit is found out when the pods are there: until
			// then the room may only seem taken, by pods that are leaving.
			if err := r.book(w, m, unseen); err != nil {
				return err
			}
		}
	}
	return nil
}

// A batch is pods that are alike.
type batch struct {
	workload snapshot.WorkloadKey
	hash     string
	pods     []*corev1.Pod
}

// batches groups pods of one template that follow each other. Pods that no
// controller made, and those of stateful sets, whose volumes differ, stay
// alone.
func batches(pods []*corev1.Pod) []batch {
	var out []batch
	for _, p := range pods {
		if p.DeletionTimestamp != nil || len(p.Spec.SchedulingGates) > 0 {
			continue
		}
		k, owned := snapshot.WorkloadOf(p)
		hash := p.Labels["pod-template-hash"]
		if n := len(out); n > 0 && owned && hash != "" && out[n-1].workload == k && out[n-1].hash == hash {
			out[n-1].pods = append(out[n-1].pods, p)
			continue
		}
		out = append(out, batch{workload: k, hash: hash, pods: []*corev1.Pod{p}})
	}
	return out
}

func (r *round) reservePending(m *member, byWorkload map[snapshot.WorkloadKey]*work) error {
	for _, b := range batches(m.Snapshot.Pending()) {
		mark := m.fork.Mark()
		res, err := m.Simulator.Place(r.ctx, m.fork, b.pods[0], len(b.pods))
		if err != nil && r.ctx.Err() == nil {
			// Their own kube-scheduler cannot place them either.
			m.fork.Revert(mark)
			m.fork.Commit(mark)
			continue
		}
		m.fork.Commit(mark)
		if err != nil {
			return fmt.Errorf("cannot simulate waiting pods of %s/%s in %s: %w", b.workload.Namespace, b.workload.Name, m.Name, err)
		}
		left := len(b.pods) - res.Placed
		w := byWorkload[b.workload]
		if w != nil && !w.rests {
			w.bound[m.Name] += m.onVirtualNodes(res)
		}
		// The pods of a stateful set have an order: cutting one cuts the last,
		// not the one that waits.
		if left <= 0 || w == nil || !w.restartable() || b.workload.Kind == "StatefulSet" {
			continue
		}
		old := 0
		for _, p := range b.pods {
			since, ok := unschedulableSince(p)
			if !ok {
				continue
			}
			if due := since.Add(r.in.Settings.StuckAfter); due.After(r.in.Now) {
				r.wake(due)
			} else {
				old++
			}
		}
		// Where as many have a node as are assigned, it is a rollout that waits,
		// and to assign fewer would take away one that runs.
		missing := w.target[m.Name] - w.whole(int32(m.Snapshot.Workload(w.Workload).Scheduled)) - w.stuck[m.Name]
		if n := min(int32(left), int32(old), missing); n > 0 {
			w.stuck[m.Name] += n
		}
	}
	return nil
}

// unschedulableSince tells since when a member's kube-scheduler says that a pod
// has no place.
func unschedulableSince(p *corev1.Pod) (time.Time, bool) {
	for i := range p.Status.Conditions {
		c := &p.Status.Conditions[i]
		if c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse && c.Reason == corev1.PodReasonUnschedulable {
			return c.LastTransitionTime.Time, true
		}
	}
	return time.Time{}, false
}
