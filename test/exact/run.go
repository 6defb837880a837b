package exact

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	kerrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"regionpool.io/provider-regionpool/internal/simulation"
	"regionpool.io/provider-regionpool/internal/snapshot"
)

const (
	batchLabel = "batch"

	settleTimeout = 60 * time.Second
	watchTimeout  = 20 * time.Second
	// lateQuiet is how long nothing may happen to pods that are tried again when
	// what they wait for comes.
	lateQuiet = 1500 * time.Millisecond

	writers = 8
)

// A Report says what came of one batch.
type Report struct {
	Batch *Batch
	// Real and Simulated are the numbers of pods that found a place.
	Real, Simulated int
	// Problems are the disagreements.
	Problems []string
}

// Run runs a world's batches one after the other and calls report for each. A
// batch that the API server refuses as invalid is left out.
func (p *Plane) Run(ctx context.Context, w *World, report func(Report)) error {
	err := p.populate(ctx, w)
	for i := 0; i < len(w.Batches) && err == nil; i++ {
		var r *Report
		if r, err = p.batch(ctx, w, &w.Batches[i]); err == nil && r != nil {
			report(*r)
		}
	}
	if err = errors.Join(err, p.clear(context.WithoutCancel(ctx))); err != nil {
		return fmt.Errorf("cannot run world %d: %w", w.Seed, err)
	}
	return nil
}

// populate creates the world and waits until kube-scheduler knows all of it.
func (p *Plane) populate(ctx context.Context, w *World) error {
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(writers)
	for _, n := range w.Nodes {
		g.Go(func() error {
			_, err := p.client.CoreV1().Nodes().Create(gctx, n, metav1.CreateOptions{})
			return err
		})
	}
	for _, o := range w.CSINodes {
		g.Go(func() error {
			_, err := p.client.StorageV1().CSINodes().Create(gctx, o, metav1.CreateOptions{})
			return err
		})
	}
	for _, o := range w.Volumes {
		g.Go(func() error {
			v, err := p.client.CoreV1().PersistentVolumes().Create(gctx, o, metav1.CreateOptions{})
			if err != nil {
				return err
			}
			v.Status.Phase = corev1.VolumeAvailable
			if _, err = p.client.CoreV1().PersistentVolumes().UpdateStatus(gctx, v, metav1.UpdateOptions{}); kerrors.IsConflict(err) {
				// The controller was faster.
				return nil
			}
			return err
		})
	}
	for _, o := range w.Claims {
		g.Go(func() error {
			_, err := p.client.CoreV1().PersistentVolumeClaims(o.Namespace).Create(gctx, o, metav1.CreateOptions{})
			return err
		})
	}
	for _, o := range w.Pods {
		g.Go(func() error {
			_, err := p.client.CoreV1().Pods(o.Namespace).Create(gctx, o, metav1.CreateOptions{})
			if kerrors.IsInvalid(err) {
				return nil
			}
			return err
		})
	}
	for i := range w.Batches {
		g.Go(func() error { return p.own(gctx, &w.Batches[i]) })
	}
	g.Go(func() error { return p.createDevices(gctx, w) })
	if err := g.Wait(); err != nil {
		return fmt.Errorf("cannot create what is in it: %w", err)
	}
	for _, o := range w.Claims {
		err := wait(ctx, watchTimeout, "claim "+o.Name+" is bound", func(ctx context.Context) (bool, error) {
			c, err := p.client.CoreV1().PersistentVolumeClaims(o.Namespace).Get(ctx, o.Name, metav1.GetOptions{})
			return err == nil && c.Status.Phase == corev1.ClaimBound, err
		})
		if err != nil {
			return err
		}
	}
	if err := p.fence(ctx, fmt.Sprintf("w%d-%s", w.Seed, fence)); err != nil {
		return err
	}
	return p.preempt(ctx, w)
}

// own creates the ReplicaSet that owns the pods of a batch, for their default
// spreading. No controller looks at it.
func (p *Plane) own(ctx context.Context, b *Batch) error {
	only := map[string]string{batchLabel: b.Name}
	_, err := p.client.AppsV1().ReplicaSets(b.Namespace).Create(ctx, &appsv1.ReplicaSet{
		ObjectMeta: metav1.ObjectMeta{Name: b.Name},
		Spec: appsv1.ReplicaSetSpec{
			Replicas: ptr.To(int32(0)), Selector: &metav1.LabelSelector{MatchLabels: only},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: only},
				Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "example.org/web:1"}}},
			},
		},
	}, metav1.CreateOptions{})
	return err
}

// change changes nodes before a batch comes.
func (p *Plane) change(ctx context.Context, b *Batch) error {
	nodes := p.client.CoreV1().Nodes()
	for _, c := range b.Changes {
		if c.By == nil {
			if err := nodes.Delete(ctx, c.Name, *atOnce()); err != nil && !kerrors.IsNotFound(err) {
				return fmt.Errorf("cannot delete node %s: %w", c.Name, err)
			}
			continue
		}
		n, err := nodes.Get(ctx, c.Name, metav1.GetOptions{})
		if kerrors.IsNotFound(err) {
			_, err = nodes.Create(ctx, c.By, metav1.CreateOptions{})
		} else if err == nil {
			n.Labels, n.Spec.Taints, n.Spec.Unschedulable = c.By.Labels, c.By.Spec.Taints, c.By.Spec.Unschedulable
			if n, err = nodes.Update(ctx, n, metav1.UpdateOptions{}); err == nil {
				n.Status = c.By.Status
				_, err = nodes.UpdateStatus(ctx, n, metav1.UpdateOptions{})
			}
		}
		if err != nil {
			return fmt.Errorf("cannot change node %s: %w", c.Name, err)
		}
	}
	if len(b.Changes) == 0 {
		return nil
	}
	return p.fence(ctx, b.Name+"-"+fence)
}

// fence adds a node after all others, on which nothing but one pod that only it takes can
// run. When the pod is there, kube-scheduler has seen all changes of nodes; the
// pods it sees in order anyway.
func (p *Plane) fence(ctx context.Context, name string) error {
	_, err := p.client.CoreV1().Nodes().Create(ctx, &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{worldLabel: name}},
		Spec:       corev1.NodeSpec{Taints: []corev1.Taint{{Key: fence, Effect: corev1.TaintEffectNoExecute}}},
		Status:     corev1.NodeStatus{Capacity: list("pods", "1"), Allocatable: list("pods", "1")},
	}, metav1.CreateOptions{})
	if err != nil {
		return fmt.Errorf("cannot create the last node: %w", err)
	}
	pods := p.client.CoreV1().Pods(metav1.NamespaceDefault)
	_, err = pods.Create(ctx, &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: corev1.PodSpec{
			NodeSelector:                  map[string]string{worldLabel: name},
			Tolerations:                   []corev1.Toleration{{Operator: corev1.TolerationOpExists}},
			TerminationGracePeriodSeconds: ptr.To(int64(0)),
			Containers:                    []corev1.Container{{Name: "c", Image: fence}},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		return fmt.Errorf("cannot create the pod of the last node: %w", err)
	}
	err = wait(ctx, watchTimeout, "kube-scheduler knows the last node", func(ctx context.Context) (bool, error) {
		o, err := pods.Get(ctx, name, metav1.GetOptions{})
		return err == nil && o.Spec.NodeName != "", err
	})
	if err != nil {
		return err
	}
	if err := pods.Delete(ctx, name, *atOnce()); err != nil {
		return fmt.Errorf("cannot delete the pod of the last node: %w", err)
	}
	return nil
}

// batch has the simulation and kube-scheduler place a batch.
func (p *Plane) batch(ctx context.Context, w *World, b *Batch) (*Report, error) {
	if err := p.change(ctx, b); err != nil {
		return nil, err
	}
	before, err := p.read(ctx, nothing)
	if err != nil {
		return nil, err
	}
	r := &Report{Batch: b}
	live, err := p.live(ctx, before)
	if err != nil {
		r.problem("before: %v", err)
	}
	owner := metav1.OwnerReference{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: b.Name, UID: types.UID(b.Name), Controller: ptr.To(true)}
	b.Template.Labels[batchLabel] = b.Name
	own := func(o *corev1.Pod, _ *corev1.PodTemplateSpec) {
		o.Name, o.OwnerReferences = b.Name, []metav1.OwnerReference{owner}
	}
	pod, err := simulation.NewPod(&b.Template, b.Namespace, before.Objects(), own)
	if err != nil {
		return nil, fmt.Errorf("cannot make a pod of batch %s: %w", b.Name, err)
	}
	want, err := p.simulator.Place(ctx, before.Fork(), pod, b.Replicas)
	if err != nil {
		return nil, fmt.Errorf("cannot simulate batch %s: %w", b.Name, err)
	}
	got, err := p.simulator.Place(ctx, live.Fork(), pod, b.Replicas)
	if err != nil {
		return nil, fmt.Errorf("cannot simulate batch %s on the member: %w", b.Name, err)
	}
	r.Simulated = want.Placed
	r.same(want, got, sameImages(before, live))
	n, err := p.simulator.Count(ctx, before.Fork(), pod, b.Replicas)
	if err != nil {
		return nil, fmt.Errorf("cannot count batch %s: %w", b.Name, err)
	}
	if n != want.Placed {
		r.problem("the simulation counts %d, and places %d", n, want.Placed)
	}

	if ok, err := p.create(ctx, b, owner); !ok || err != nil {
		return nil, err
	}
	if err := p.settle(ctx, b); err != nil {
		return nil, err
	}
	if err := p.judge(ctx, r, pod); err != nil {
		return nil, err
	}
	return r, p.dropWaiting(ctx, b)
}

func (r *Report) problem(format string, args ...any) {
	r.Problems = append(r.Problems, fmt.Sprintf(format, args...))
}

// create creates the pods of a batch. It returns false if the API server says
// that they are not valid.
func (p *Plane) create(ctx context.Context, b *Batch, owner metav1.OwnerReference) (bool, error) {
	pods := p.client.CoreV1().Pods(b.Namespace)
	create := func(ctx context.Context, i int) error {
		o := &corev1.Pod{ObjectMeta: *b.Template.ObjectMeta.DeepCopy(), Spec: *b.Template.Spec.DeepCopy()}
		o.Name, o.OwnerReferences = fmt.Sprintf("%s-%02d", b.Name, i), []metav1.OwnerReference{owner}
		_, err := pods.Create(ctx, o, metav1.CreateOptions{})
		return err
	}
	err := create(ctx, 0)
	if kerrors.IsInvalid(err) || kerrors.IsForbidden(err) {
		return false, nil
	}
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(writers)
	for i := 1; i < b.Replicas && err == nil; i++ {
		g.Go(func() error { return create(gctx, i) })
	}
	if err := errors.Join(err, g.Wait()); err != nil {
		return false, fmt.Errorf("cannot create pods of batch %s: %w", b.Name, err)
	}
	return true, nil
}

// settle waits until kube-scheduler said of every pod of a batch where it goes,
// or that it goes nowhere. Since the pods are alike and only take room from
// each other, it does not change its mind, except where they wait for something.
func (p *Plane) settle(ctx context.Context, b *Batch) error {
	k := snapshot.WorkloadKey{Namespace: b.Namespace, Kind: "ReplicaSet", Name: b.Name}
	var last snapshot.Counts
	since := time.Now()
	return wait(ctx, settleTimeout, "kube-scheduler decided on batch "+b.Name, func(context.Context) (bool, error) {
		n := p.member.Workload(k)
		if n != last {
			last, since = n, time.Now()
		}
		decided := n.Scheduled+n.Unschedulable+n.Gated == b.Replicas
		return decided && (!b.late() || n.Scheduled == b.Replicas || time.Since(since) > lateQuiet), nil
	})
}

// dropWaiting deletes the pods of a batch that found no place, so that they do
// not find one when the next batch runs.
func (p *Plane) dropWaiting(ctx context.Context, b *Batch) error {
	err := p.client.CoreV1().Pods(b.Namespace).DeleteCollection(ctx, *atOnce(), metav1.ListOptions{LabelSelector: batchLabel + "=" + b.Name, FieldSelector: "spec.nodeName="})
	if err != nil {
		return fmt.Errorf("cannot delete waiting pods: %w", err)
	}
	return nil
}

// atOnce are options to delete without a wait for a kubelet, of which there is
// none.
func atOnce() *metav1.DeleteOptions {
	return &metav1.DeleteOptions{GracePeriodSeconds: ptr.To(int64(0))}
}

// clear deletes everything that belongs to a world.
func (p *Plane) clear(ctx context.Context) error {
	core, all := p.client.CoreV1(), metav1.ListOptions{}
	var errs []error
	for _, ns := range append([]string{metav1.NamespaceDefault}, namespaces...) {
		errs = append(errs, core.Pods(ns).DeleteCollection(ctx, *atOnce(), all))
	}
	for _, ns := range namespaces {
		errs = append(errs, p.client.AppsV1().ReplicaSets(ns).DeleteCollection(ctx, *atOnce(), all))
	}
	errs = append(errs, core.Nodes().DeleteCollection(ctx, *atOnce(), all))
	claims, err := core.PersistentVolumeClaims(metav1.NamespaceAll).List(ctx, all)
	errs = append(errs, err)
	if err == nil && len(claims.Items) > 0 {
		for _, ns := range namespaces {
			errs = append(errs, core.PersistentVolumeClaims(ns).DeleteCollection(ctx, *atOnce(), all))
		}
	}
	errs = append(errs,
		core.PersistentVolumes().DeleteCollection(ctx, *atOnce(), all),
		p.client.StorageV1().CSINodes().DeleteCollection(ctx, *atOnce(), all),
		p.clearDevices(ctx))
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("cannot clear the cluster: %w", err)
	}
	return nil
}
