// Package estimator serves Karmada's estimator API for all members of all pools,
// from the snapshots and the simulation by which fleet places workloads itself,
// so that those who keep karmada-scheduler get answers that are as exact.
//
// # What an answer is
//
// The number of replicas that a member has room for, beyond all that is promised
// already: the pods that run or are leaving, the pods that wait there and have a
// place, the replicas that some binding assigns to it and that are not seen there
// yet, and what a reservation holds for others. Nor is it more than the
// ResourceQuotas of the namespace admit there. karmada-scheduler adds what the
// workload has there itself.
//
// The pod is made from the workload's own template, which the request names in
// its metadata, and not only from the requests, node affinity and tolerations
// that the request carries.
//
// # What is never done
//
// No call fails, and none takes longer than the time it was given: when one
// estimator of a binding's clusters fails, karmada-scheduler ignores those of all
// of them. A member of which nothing is known is answered with -1, by which
// karmada-scheduler ignores the answer for that member alone.
package estimator

import (
	"context"
	"errors"
	"fmt"
	"net"
	"runtime"
	"runtime/debug"
	"sync"
	"time"

	"github.com/go-logr/logr"
	clusterv1alpha1 "github.com/karmada-io/karmada/pkg/apis/cluster/v1alpha1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	fleetv1alpha1 "regionpool.io/provider-regionpool/apis/fleet/v1alpha1"
	"regionpool.io/provider-regionpool/internal/fleet/scheduler"
	"regionpool.io/provider-regionpool/internal/snapshot"
)

const (
	// Unknown is the answer that says that there is none
	// (UnauthenticReplica of Karmada's pkg/estimator/client).
	Unknown = -1

	// DefaultBudget is how long an answer may take. karmada-scheduler waits
	// three seconds by default (--scheduler-estimator-timeout).
	DefaultBudget = 2 * time.Second

	// most is the largest number of replicas that is counted, since each of them
	// is simulated, and of a workload that wants few, many or manyTimes what it
	// wants. Members with more room than that are the same to karmada-scheduler:
	// they get equal shares of what it divides by room.
	most      = 10000
	many      = 1000
	manyTimes = 100

	// shutdownGrace is how long calls under way may take when fleet ends.
	shutdownGrace = time.Second
)

// Options of an Estimator.
type Options struct {
	// Members that are told of.
	Members *snapshot.Registry
	// Client reads clusters and plans from a cache; Live reads workloads, which
	// are not in one; Cache tells of bindings.
	Client client.Reader
	Live   client.Reader
	Cache  cache.Informers
	// Held returns what reservations hold in a member; nil if there are none.
	Held func(member string) []scheduler.HeldRoom

	// Address to listen on, as host:port.
	Address string
	// CertDir is a folder with tls.crt and tls.key, by which the connection is
	// encrypted, and maybe ca.crt, of which clients must then have a
	// certificate. Without a folder it is neither.
	CertDir string
	// Budget is how long an answer may take; DefaultBudget if zero. A caller
	// that gives less gets its answer sooner.
	Budget time.Duration

	Log   logr.Logger
	Clock clock.WithTicker
}

// An Estimator answers how many replicas fit into members. It implements
// manager.Runnable, and runs on the leader only: no other fleet has snapshots.
type Estimator struct {
	Options

	assignments *assignments
	templates   *templates

	// slots bound how many answers are worked out at a time. They are all of
	// the processors' work, and each keeps its replicas in memory.
	slots chan struct{}

	mu    sync.Mutex
	rooms map[string]*room
}

// New returns an Estimator.
func New(o Options) *Estimator {
	if o.Budget == 0 {
		o.Budget = DefaultBudget
	}
	if o.Clock == nil {
		o.Clock = clock.RealClock{}
	}
	t := newTemplates(o.Live, o.Clock)
	return &Estimator{
		Options:     o,
		assignments: newAssignments(t.forget),
		templates:   t,
		slots:       make(chan struct{}, max(2, runtime.GOMAXPROCS(0))),
		rooms:       map[string]*room{},
	}
}

// NeedLeaderElection implements manager.LeaderElectionRunnable.
func (e *Estimator) NeedLeaderElection() bool { return true }

// Start serves until the context ends.
func (e *Estimator) Start(ctx context.Context) error {
	defer e.closeRooms()
	unwatch, err := e.assignments.watch(ctx, e.Cache)
	if err != nil || ctx.Err() != nil {
		return err
	}
	defer unwatch()
	creds, err := credentialsOf(e.CertDir)
	if err != nil {
		return err
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", e.Address)
	if err != nil {
		return fmt.Errorf("cannot listen for karmada-scheduler: %w", err)
	}
	return e.serve(ctx, l, creds)
}

// serve on a listener until the context ends.
func (e *Estimator) serve(ctx context.Context, l net.Listener, creds credentials.TransportCredentials) error {
	s := grpc.NewServer(grpc.Creds(creds), grpc.ForceServerCodecV2(codec{}))
	s.RegisterService(&service, e)
	e.Log.Info("Serving estimates", "address", l.Addr().String(), "encrypted", e.CertDir != "")
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	select {
	case err := <-served:
		return fmt.Errorf("cannot serve estimates: %w", err)
	case <-ctx.Done():
	}
	stopped := make(chan struct{})
	go func() { s.GracefulStop(); close(stopped) }()
	select {
	case <-stopped:
	case <-time.After(shutdownGrace):
		s.Stop()
	}
	return nil
}

// errUnknown is why there is no answer. It is no failure.
type errUnknown string

func (e errUnknown) Error() string { return string(e) }

// An outcome of a call, as metrics name it.
const (
	outcomeExact   = "exact"
	outcomeAtLeast = "at_least"
	outcomeUnknown = "unknown"
)

// An estimate is how many fit; maybe more do.
type estimate struct {
	n       int32
	atLeast bool
}

// answer has a question about a member answered in time: it is prepared, and then
// asked under the lock of the member's room. It returns Unknown where there is no
// answer.
func (e *Estimator) answer(ctx context.Context, method, name string, prepare func(context.Context) error, ask func(context.Context, *room) (estimate, error)) int32 {
	began := e.Clock.Now()
	budget := e.Budget
	if until, ok := ctx.Deadline(); ok {
		// The way back takes time, too.
		budget = min(budget, until.Sub(began)*9/10)
	}
	// What is counted when the work must end is an answer, so it ends earlier.
	work, cancel := context.WithTimeout(ctx, budget*3/4)
	defer cancel()
	limit, cancelLimit := context.WithTimeout(ctx, budget)
	defer cancelLimit()

	type result struct {
		estimate
		err error
	}
	done := make(chan result, 1)
	go func() {
		r := result{}
		defer func() {
			// What a plugin does not expect must not end fleet.
			if p := recover(); p != nil {
				e.dropRoom(name)
				r.err = fmt.Errorf("cannot simulate: %v\n%s", p, debug.Stack())
			}
			done <- r
		}()
		r.estimate, r.err = e.work(work, name, prepare, ask)
	}()
	r := result{err: errUnknown("there was no time")}
	select {
	case r = <-done:
	case <-limit.Done():
	}

	outcome := outcomeExact
	switch {
	case r.err != nil:
		outcome, r.n = outcomeUnknown, Unknown
		var unknown errUnknown
		if errors.As(r.err, &unknown) || work.Err() != nil {
			e.Log.V(1).Info("No estimate", "method", method, "member", name, "object", objectOf(ctx).String(), "reason", r.err.Error())
		} else {
			e.Log.Error(r.err, "Cannot estimate", "method", method, "member", name, "object", objectOf(ctx).String())
		}
	case r.atLeast:
		outcome = outcomeAtLeast
	}
	estimates.WithLabelValues(method, outcome).Inc()
	estimateSeconds.WithLabelValues(method).Observe(e.Clock.Since(began).Seconds())
	return r.n
}

// work answers a question about a member of which something is known.
func (e *Estimator) work(ctx context.Context, name string, prepare func(context.Context) error, ask func(context.Context, *room) (estimate, error)) (estimate, error) {
	m, ok := e.Members.Get(name)
	if !ok {
		return estimate{}, errUnknown("it is not a member of a pool")
	}
	if !m.Synced() {
		return estimate{}, errUnknown("it is not known yet what it has")
	}
	if !m.Contact().Reachable {
		return estimate{}, errUnknown("its API does not answer")
	}
	c := &clusterv1alpha1.Cluster{}
	if err := e.Client.Get(ctx, client.ObjectKey{Name: name}, c); err != nil {
		if apierrors.IsNotFound(err) {
			return estimate{}, errUnknown("it has left the federation")
		}
		return estimate{}, fmt.Errorf("cannot read cluster %q: %w", name, err)
	}
	if !meta.IsStatusConditionTrue(c.Status.Conditions, clusterv1alpha1.ClusterConditionReady) {
		return estimate{}, errUnknown("Karmada does not find it ready")
	}
	if err := prepare(ctx); err != nil {
		return estimate{}, err
	}
	r, err := e.room(m, c.Annotations[fleetv1alpha1.AnnotationSchedulerConfiguration])
	if err != nil {
		return estimate{}, err
	}
	for _, s := range []chan struct{}{r.lock, e.slots} {
		select {
		case s <- struct{}{}:
			defer func() { <-s }()
		case <-ctx.Done():
			return estimate{}, errUnknown("there was no time")
		}
	}
	r.leaving = c.DeletionTimestamp != nil || draining(c)
	return ask(ctx, r)
}

// draining members get nothing more.
func draining(c *clusterv1alpha1.Cluster) bool {
	for i := range c.Spec.Taints {
		if c.Spec.Taints[i].Key == fleetv1alpha1.TaintDraining {
			return true
		}
	}
	return false
}

// room returns the room of a member, and forgets rooms whose members are gone.
func (e *Estimator) room(m *snapshot.Member, configuration string) (*room, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for name, r := range e.rooms {
		if have, ok := e.Members.Get(name); !ok || have != r.member {
			delete(e.rooms, name)
			go r.close()
		}
	}
	r, ok := e.rooms[m.Name()]
	if ok && r.configuration == configuration {
		return r, nil
	}
	if ok {
		delete(e.rooms, m.Name())
		go r.close()
	}
	r, err := newRoom(m, configuration)
	if err != nil {
		return nil, err
	}
	e.rooms[m.Name()] = r
	return r, nil
}

// dropRoom forgets a room that may be in disorder.
func (e *Estimator) dropRoom(name string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if r, ok := e.rooms[name]; ok {
		delete(e.rooms, name)
		go r.close()
	}
}

func (e *Estimator) closeRooms() {
	e.mu.Lock()
	defer e.mu.Unlock()
	for name, r := range e.rooms {
		delete(e.rooms, name)
		go r.close()
	}
}
