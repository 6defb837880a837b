package exact

import (
	"context"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
)

// nominatedQuiet is how long kube-scheduler may have nothing to say about pods
// that evict others before they are taken as decided.
const nominatedQuiet = time.Second

// nominated gives a world pods that fill nodes and take for ever to stop, and
// others that evict them and wait.
func (d dice) nominated(w *World) {
	for _, p := range w.Pods {
		// No kubelet says that they have stopped.
		p.Spec.TerminationGracePeriodSeconds = ptr.To(int64(3600))
	}
	for i, n := range w.Nodes {
		if d.one(3) {
			continue
		}
		share := func(lo, hi int) corev1.ResourceList {
			cpu := n.Status.Allocatable.Cpu().MilliValue()
			return list("cpu", fmt.Sprintf("%dm", cpu*int64(d.between(lo, hi))/100))
		}
		pod := func(name, class string, requests corev1.ResourceList) *corev1.Pod {
			return &corev1.Pod{
				ObjectMeta: metav1.ObjectMeta{Namespace: namespaceOther, Name: name},
				Spec: corev1.PodSpec{
					PriorityClassName: class, TerminationGracePeriodSeconds: ptr.To(int64(3600)),
					Containers: []corev1.Container{{Name: "c", Image: "example.org/web:1", Resources: corev1.ResourceRequirements{Requests: requests}}},
				},
			}
		}
		victim := pod(fmt.Sprintf("w%d-victim%02d", w.Seed, i), classLow, share(40, 70))
		victim.Spec.NodeName = n.Name
		w.Pods = append(w.Pods, victim)
		if d.one(2) {
			w.Preemptors = append(w.Preemptors, pod(fmt.Sprintf("w%d-preemptor%02d", w.Seed, i), classHigh, share(60, 90)))
		}
	}
}

// preemption returns a world of two nodes of which pods of low priority have
// half, and a batch of four pods of a class that would fill both.
func preemption(name, class string) *World {
	w := &World{}
	pod := func(name, class string) *corev1.Pod {
		return &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespaceWork, Name: name, Labels: map[string]string{"app": "web"}},
			Spec: corev1.PodSpec{
				PriorityClassName: class, TerminationGracePeriodSeconds: ptr.To(int64(0)),
				Containers: []corev1.Container{{Name: "c", Image: "example.org/web:1", Resources: corev1.ResourceRequirements{Requests: list("cpu", "2")}}},
			},
		}
	}
	for i := range 2 {
		n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("preempt-n%d", i)}}
		n.Status.Capacity = list("cpu", "4", "memory", "8Gi", "pods", "10")
		n.Status.Allocatable = n.Status.Capacity
		low := pod(fmt.Sprintf("preempt-low%d", i), classLow)
		low.Spec.NodeName = n.Name
		w.Nodes, w.Pods = append(w.Nodes, n), append(w.Pods, low)
	}
	p := pod("", class)
	w.Batches = []Batch{{
		Name: "preempt-" + strings.ToLower(name), Families: []Family{Priority}, Namespace: namespaceWork, Replicas: 4,
		Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: p.Labels}, Spec: p.Spec},
	}}
	return w
}

// preempt creates the pods that evict others, and waits until kube-scheduler has
// promised them nodes. Those to which it has promised none are deleted, or they
// would evict the batches.
func (p *Plane) preempt(ctx context.Context, w *World) error {
	pods := p.client.CoreV1().Pods(namespaceOther)
	for _, o := range w.Preemptors {
		if _, err := pods.Create(ctx, o, metav1.CreateOptions{}); err != nil {
			return fmt.Errorf("cannot create pod %s: %w", o.Name, err)
		}
	}
	if len(w.Preemptors) == 0 {
		return nil
	}
	last, since := "", time.Now()
	err := wait(ctx, settleTimeout, "kube-scheduler decided on whom to evict", func(ctx context.Context) (bool, error) {
		now := ""
		decided := true
		for _, o := range w.Preemptors {
			o, err := pods.Get(ctx, o.Name, metav1.GetOptions{})
			if err != nil {
				return false, err
			}
			now += fmt.Sprintln(o.Spec.NodeName, o.Status.NominatedNodeName)
			decided = decided && (o.Spec.NodeName != "" || said(o) != "")
		}
		if now != last {
			last, since = now, time.Now()
		}
		return decided && time.Since(since) > nominatedQuiet, nil
	})
	if err != nil {
		return err
	}
	for _, o := range w.Preemptors {
		o, err := pods.Get(ctx, o.Name, metav1.GetOptions{})
		if err == nil && o.Spec.NodeName == "" && o.Status.NominatedNodeName == "" {
			err = pods.Delete(ctx, o.Name, *atOnce())
		}
		if err != nil {
			return fmt.Errorf("cannot delete pod that was promised no node: %w", err)
		}
	}
	return nil
}
