package demo

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	kerrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"regionpool.io/provider-regionpool/test/cloudsim/ledger"
	"regionpool.io/provider-regionpool/test/cloudsim/requestlog"
	"regionpool.io/provider-regionpool/test/cloudsim/stock"
	"regionpool.io/provider-regionpool/test/observer"
)

const (
	pollInterval = 100 * time.Millisecond
	// bookInterval is how often the cloud's books are read.
	bookInterval = 300 * time.Millisecond
	// quiet is how long a figure must stay as it is to be taken for final: longer
	// than the stabilization window, after which more may move.
	quiet = 3500 * time.Millisecond
)

// A cloud is asked what it did and what it bills.
type cloud interface {
	Ledger(ctx context.Context) (ledger.Report, error)
	Requests(ctx context.Context, f requestlog.Filter) ([]requestlog.Entry, error)
	SetStock(ctx context.Context, it stock.Item) error
}

// A story is the demo while it runs. It drives the region as its users do, by
// writing the claim and the workloads, and looks at it from outside.
type story struct {
	screen   *screen
	host     client.Client
	karmada  client.Client
	observer *observer.Observer
	cloud    cloud
	claim    *unstructured.Unstructured
	// burst is the emergency claim.
	burst *unstructured.Unstructured
	// clouds of the claim, in its order.
	clouds []rental
	// decided returns what fleet says it decided.
	decided func(ctx context.Context) ([]planned, error)

	mu    sync.Mutex
	books ledger.Report
	calls []requestlog.Entry
	phase string

	facts facts
}

// A step of the story.
type step struct {
	name  string
	title string
	// within is the deadline of the step.
	within time.Duration
	do     func(ctx context.Context) error
}

func (s *story) steps() []step {
	return []step{
		{"claim", "Act one. A platform team declares its region", 60 * time.Second, s.declare},
		{"normal", "Three services at their normal size", 30 * time.Second, s.deploy},
		{"order", "Demand rises tenfold", 15 * time.Second, s.surge},
		{"join", "A cluster is being built in the cloud", 60 * time.Second, s.join},
		{"grow", "Nodes and replicas come up in the cloud", 40 * time.Second, s.grow},
		{"home", "Room at home: replicas move back", 40 * time.Second, s.moveHome},
		{"calm", "Demand falls", 30 * time.Second, s.calm},
		{"drain", "Empty nodes are given back", 40 * time.Second, s.drain},
		{"release", "The empty cluster is given back", 90 * time.Second, s.release},
		{"soldout", "Act two. Demand rises again, and the first cloud sells out", 90 * time.Second, s.sellOut},
		{"takeover", "The second cloud takes over", 90 * time.Second, s.takeOver},
		{"reserve", "An emergency claim guarantees more", 60 * time.Second, s.reserve},
		{"use", "The guarantee is used", 30 * time.Second, s.use},
		{"calm2", "Demand falls for good", 60 * time.Second, s.calmAgain},
		{"release2", "Both clouds are given back", 120 * time.Second, s.releaseBoth},
		{"goodbye", "The claim is deleted", 90 * time.Second, s.goodbye},
	}
}

// follow reads the cloud's books and draws until the context ends.
func (s *story) follow(ctx context.Context) {
	books := time.NewTicker(bookInterval)
	defer books.Stop()
	frames := time.NewTicker(frameInterval)
	defer frames.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-books.C:
			// The next reading makes up for one that failed.
			_ = s.readBooks(ctx)
		case <-frames.C:
			s.screen.show(s.picture())
		}
	}
}

func (s *story) readBooks(ctx context.Context) error {
	l, err := s.cloud.Ledger(ctx)
	if err != nil {
		return fmt.Errorf("cannot read the cloud's books: %w", err)
	}
	calls, err := s.cloud.Requests(ctx, requestlog.Filter{})
	if err != nil {
		return fmt.Errorf("cannot read the cloud's request log: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.books, s.calls = l, calls
	return nil
}

func (s *story) seen() (ledger.Report, []requestlog.Entry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.books, s.calls
}

func (s *story) picture() picture {
	st := s.observer.State()
	s.mu.Lock()
	defer s.mu.Unlock()
	p := picture{phase: s.phase, own: st.Nodes.Own, cloud: st.Nodes.Cloud, hourly: s.books.HourlyNow, spent: s.books.CostTotal}
	for _, svc := range services {
		w := st.Workload(svc.name)
		p.services = append(p.services, bar{name: svc.name, desired: w.Desired, own: w.Own, cloud: w.Cloud, pending: w.Pending})
		p.known = p.known || w.Desired > 0
	}
	return p
}

// until polls until the condition holds. The condition says what it waits for.
func (s *story) until(ctx context.Context, holds func() (bool, string, error)) error {
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for {
		ok, waiting, err := holds()
		switch {
		case err != nil:
			return err
		case ok:
			return nil
		}
		select {
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.DeadlineExceeded) {
				return fmt.Errorf("still waiting for %s", waiting)
			}
			return ctx.Err()
		case <-tick.C:
		}
	}
}

func (s *story) declare(ctx context.Context) error {
	if err := ensureNamespace(ctx, s.host, s.claim.GetNamespace()); err != nil {
		return err
	}
	if err := apply(ctx, s.host, s.claim.DeepCopy()); err != nil {
		return err
	}
	s.screen.say("The platform team applies the claim %q: two clusters of its own, and one in each of two clouds that it may rent.", s.claim.GetName())
	if err := s.until(ctx, func() (bool, string, error) {
		p, err := typed(ctx, s.host, s.claimName())
		if err != nil {
			return false, "", fmt.Errorf("cannot read the claim: %w", err)
		}
		why := notReady(p)
		return why == "", "the claim: " + why, nil
	}); err != nil {
		return err
	}
	books, _ := s.seen()
	s.screen.say("The self-built clusters are in the federation. Nothing is rented: CNY %.2f an hour.", books.HourlyNow)
	return nil
}

func (s *story) deploy(ctx context.Context) error {
	if err := ensureNamespace(ctx, s.karmada, namespace); err != nil {
		return err
	}
	pool, _, err := unstructured.NestedStringMap(s.claim.Object, "spec", "workloads", "matchLabels")
	if err != nil {
		return fmt.Errorf("cannot read the labels the claim selects: %w", err)
	}
	for _, svc := range services {
		if err := apply(ctx, s.karmada, svc.objects(pool)...); err != nil {
			return err
		}
	}
	if err := s.until(ctx, s.allReady); err != nil {
		return err
	}
	for _, svc := range services {
		s.screen.say("Service %-8s %3d replicas of %s CPU, all at home.", svc.name, svc.replicas, svc.cpu)
	}
	return nil
}

func (s *story) surge(ctx context.Context) error {
	at := time.Now()
	s.screen.say("A campaign starts: %s needs %d replicas instead of %d.", surging, surgeDemand, normalDemand)
	if err := s.scale(ctx, surging, surgeDemand); err != nil {
		return err
	}
	if err := s.until(ctx, func() (bool, string, error) {
		return s.called(createCluster, at), "the order of a cloud cluster", s.readBooks(ctx)
	}); err != nil {
		return err
	}
	text := "A cluster is ordered in the cloud"
	if plans, err := s.decided(ctx); err == nil {
		_, calls := s.seen()
		if ds := answers(plans, calls, s.clouds); len(ds) > 0 {
			text += fmt.Sprintf(", %.2f s after the shortage was seen", ds[0].Seconds)
		}
	}
	s.screen.say("%s.", text)
	return nil
}

func (s *story) join(ctx context.Context) error {
	told := false
	return s.until(ctx, func() (bool, string, error) {
		st := s.observer.State()
		w := st.Workload(surging)
		if !told && w.NeededCloudReplicas > 0 && w.Own == w.Desired-w.NeededCloudReplicas {
			told = true
			s.screen.say("Home is full: %d replicas of %s run there, %d have no room.", w.Own, surging, w.Pending)
		}
		for _, m := range st.Members {
			if m.Cloud && m.Connected {
				s.screen.say("The cloud cluster %s runs and joined the federation, still without nodes.", m.Name)
				return true, "", nil
			}
		}
		return false, "the cloud cluster to join the federation", nil
	})
}

func (s *story) grow(ctx context.Context) error {
	nodes := 0
	if err := s.until(ctx, func() (bool, string, error) {
		if n := s.observer.State().Nodes.Cloud; n > nodes {
			nodes = n
			s.screen.say("%s in the cloud.", plural(n, "node is Ready", "nodes are Ready"))
		}
		return s.allReady()
	}); err != nil {
		return err
	}
	w := s.observer.State().Workload(surging)
	books, _ := s.seen()
	s.screen.say("All %d replicas of %s are Ready: %d at home, %d in the cloud, for CNY %.2f an hour.",
		w.Desired, surging, w.Own, w.Cloud, books.HourlyNow)
	return nil
}

func (s *story) moveHome(ctx context.Context) error {
	before := s.observer.State().Workload(surging).Cloud
	s.screen.say("%s needs only %d replicas now, so there is room at home again.", ebbing, ebbingTo)
	if err := s.scale(ctx, ebbing, ebbingTo); err != nil {
		return err
	}
	last, since := before, time.Now()
	if err := s.until(ctx, func() (bool, string, error) {
		w := s.observer.State().Workload(surging)
		if n := s.inCloud(w); n != last {
			last, since = n, time.Now()
		}
		ready, waiting, err := s.allReady()
		return ready && last < before && time.Since(since) > quiet, "replicas of " + surging + " to move home; " + waiting, err
	}); err != nil {
		return err
	}
	s.screen.say("%s of %s moved home, each after its substitute was Ready. %d are left in the cloud.",
		plural(before-last, "replica", "replicas"), surging, last)
	return nil
}

func (s *story) calm(ctx context.Context) error {
	w := s.observer.State().Workload(surging)
	// So many that home keeps what it runs if the cloud is left first.
	for _, n := range []int{max(w.Own-2, normalDemand), normalDemand} {
		s.screen.say("The campaign fades: %s needs %d replicas.", surging, n)
		if err := s.scale(ctx, surging, n); err != nil {
			return err
		}
		if err := s.until(ctx, func() (bool, string, error) {
			w := s.observer.State().Workload(surging)
			return w.Desired == n && s.inCloud(w) == 0 && w.Own == n,
				fmt.Sprintf("%d replicas at home and none in the cloud; there are %d and %d", n, w.Own, w.Cloud), nil
		}); err != nil {
			return err
		}
		if n > normalDemand {
			s.screen.say("The cloud is left first: all %d that are still wanted run at home.", n)
		}
	}
	return nil
}

func (s *story) drain(ctx context.Context) error {
	nodes := s.observer.State().Nodes.Cloud
	if err := s.until(ctx, func() (bool, string, error) {
		n := s.observer.State().Nodes.Cloud
		if n < nodes {
			s.screen.say("%s given back, %d left.", plural(nodes-n, "empty node is", "empty nodes are"), n)
		}
		nodes = n
		return n == 0, plural(n, "cloud node", "cloud nodes") + " to be given back", nil
	}); err != nil {
		return err
	}
	return nil
}

func (s *story) release(ctx context.Context) error {
	left := false
	if err := s.until(ctx, func() (bool, string, error) {
		if !left && s.rented() == "" {
			left = true
			s.screen.say("The cloud cluster has left the federation.")
		}
		if err := s.readBooks(ctx); err != nil {
			return false, "", err
		}
		books, _ := s.seen()
		return left && len(books.Live) == 0, "the cloud to be empty: " + orNothing(names(books.Live)), nil
	}); err != nil {
		return err
	}
	books, _ := s.seen()
	s.screen.say("The cluster is deleted and nothing is left in the cloud account. The surge cost CNY %.2f.", books.CostTotal)
	return nil
}

func (s *story) goodbye(ctx context.Context) error {
	s.screen.say("The platform team deletes the claim.")
	if err := s.host.Delete(ctx, s.claim.DeepCopy()); err != nil {
		return fmt.Errorf("cannot delete the claim: %w", err)
	}
	if err := s.until(ctx, func() (bool, string, error) {
		left, err := managedResources(ctx, s.host, s.claim.GetNamespace())
		if err != nil || len(left) > 0 {
			return false, "managed resources to go: " + orNothing(left), err
		}
		_, err = typed(ctx, s.host, s.claimName())
		return kerrors.IsNotFound(err), "the claim to go", client.IgnoreNotFound(err)
	}); err != nil {
		return err
	}
	s.screen.say("It is gone with everything it was made of. The services run on in the self-built clusters.")
	return nil
}

// allReady holds when every service has all its replicas Ready, and no more.
func (s *story) allReady() (bool, string, error) {
	st := s.observer.State()
	for _, svc := range services {
		w := st.Workload(svc.name)
		if w.Desired == 0 || w.Own+w.Cloud != w.Desired {
			return false, fmt.Sprintf("%s: %d replicas Ready of %d", svc.name, w.Own+w.Cloud, w.Desired), nil
		}
	}
	return true, "", nil
}

// rented is the name of the cloud cluster, if there is one.
func (s *story) rented() string {
	for _, m := range s.observer.State().Members {
		if m.Cloud {
			return m.Name
		}
	}
	return ""
}

// inCloud counts the pods of a workload in rented clusters.
func (s *story) inCloud(w observer.Workload) int {
	n := 0
	for _, r := range s.clouds {
		n += w.Pods[r.member]
	}
	return n
}

// called says whether a call was accepted since.
func (s *story) called(action string, since time.Time) bool {
	_, calls := s.seen()
	for _, c := range calls {
		if c.Action == action && c.Accepted && !c.Time.Before(since) {
			return true
		}
	}
	return false
}

func (s *story) scale(ctx context.Context, name string, replicas int) error {
	d := &appsv1.Deployment{}
	if err := s.karmada.Get(ctx, types.NamespacedName{Namespace: namespace, Name: name}, d); err != nil {
		return fmt.Errorf("cannot read %s: %w", name, err)
	}
	from := d.DeepCopy()
	d.Spec.Replicas = ptr.To(int32(replicas))
	if err := s.karmada.Patch(ctx, d, client.MergeFrom(from)); err != nil {
		return fmt.Errorf("cannot scale %s: %w", name, err)
	}
	return nil
}

func (s *story) claimName() types.NamespacedName {
	return types.NamespacedName{Namespace: s.claim.GetNamespace(), Name: s.claim.GetName()}
}

func names(objs []ledger.Object) []string {
	out := make([]string, 0, len(objs))
	for _, o := range objs {
		out = append(out, string(o.Kind)+" "+o.ID)
	}
	return out
}

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
