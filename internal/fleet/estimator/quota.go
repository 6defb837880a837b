package estimator

import (
	"context"
	"math"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	quotav1 "k8s.io/apiserver/pkg/quota/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
	toolscache "k8s.io/client-go/tools/cache"
	quotacore "k8s.io/kubernetes/pkg/quota/v1/evaluator/core"
	"k8s.io/utils/clock"
)

// quotaPatience is how long the ResourceQuotas of a member may take to be read.
// A member that does not show them, because its credentials are too weak, is
// estimated without.
const quotaPatience = 500 * time.Millisecond

// podUsage says what of a quota a pod uses, as a member's API server does. It
// lists nothing.
var podUsage = quotacore.NewPodEvaluator(nil, clock.RealClock{})

// quotas follow the ResourceQuotas of a member.
type quotas struct {
	lister corelisters.ResourceQuotaLister
	synced toolscache.InformerSynced
	// patience ends when it is not waited for them any more.
	patience context.Context
	stop     func()
}

func watchQuotas(c kubernetes.Interface) *quotas {
	ctx, cancel := context.WithCancel(context.Background())
	patience, over := context.WithTimeout(ctx, quotaPatience)
	f := informers.NewSharedInformerFactory(c, 0)
	inf := f.Core().V1().ResourceQuotas()
	q := &quotas{lister: inf.Lister(), synced: inf.Informer().HasSynced, patience: patience}
	q.stop = func() { over(); cancel(); f.Shutdown() }
	f.Start(ctx.Done())
	return q
}

// Counted are so many pods that are alike.
type counted struct {
	pod *corev1.Pod
	n   int
}

// admits returns how many sets of pods of one namespace its quotas admit beyond
// what is promised to others, at most limit. Quotas are what they were a moment
// ago: pods that were made since then may be missing in them.
func (q *quotas) admits(set, promised []counted, limit int) int {
	if !q.synced() {
		toolscache.WaitForCacheSync(q.patience.Done(), q.synced)
	}
	namespace := set[0].pod.Namespace
	// It cannot fail: it reads a cache by an index that is there.
	all, _ := q.lister.ResourceQuotas(namespace).List(labels.Everything())
	for _, rq := range all {
		if limit = min(limit, admits(rq, set, promised)); limit == 0 {
			break
		}
	}
	return limit
}

// admits returns how many sets one quota admits.
func admits(rq *corev1.ResourceQuota, set, promised []counted) int {
	names := quotav1.ResourceNames(rq.Status.Hard)
	for _, c := range set {
		matches, err := podUsage.Matches(rq, c.pod)
		if err == nil && matches && podUsage.Constraints(quotav1.Intersection(names, podUsage.MatchingResources(names)), c.pod) != nil {
			// The quota is about what the pod does not say.
			return 0
		}
	}
	used := quotav1.Add(rq.Status.Used, usage(rq, promised))
	out := math.MaxInt
	for name, each := range quotav1.Mask(usage(rq, set), names) {
		if each.IsZero() {
			continue
		}
		left := rq.Status.Hard[name].DeepCopy()
		left.Sub(used[name])
		n := left.AsApproximateFloat64()/each.AsApproximateFloat64() + 1e-9
		out = min(out, int(max(0, min(n, math.MaxInt32))))
	}
	return out
}

// usage of a quota by those pods that it is about.
func usage(rq *corev1.ResourceQuota, pods []counted) corev1.ResourceList {
	out := corev1.ResourceList{}
	for _, c := range pods {
		if c.pod.Namespace != rq.Namespace || c.n <= 0 {
			continue
		}
		matches, err := podUsage.Matches(rq, c.pod)
		if err != nil || !matches {
			continue
		}
		each, err := podUsage.Usage(c.pod)
		if err != nil {
			continue
		}
		for name, q := range each {
			q.Mul(int64(c.n))
			sum := out[name]
			sum.Add(q)
			out[name] = sum
		}
	}
	return out
}
