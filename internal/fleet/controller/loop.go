// Package controller runs the fleet: it watches bindings, clusters, plans and
// the members themselves, makes a round of the scheduler and the planner
// whenever one of them changes, and writes what they decided.
package controller

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	clusterv1alpha1 "github.com/karmada-io/karmada/pkg/apis/cluster/v1alpha1"
	policyv1alpha1 "github.com/karmada-io/karmada/pkg/apis/policy/v1alpha1"
	workv1alpha2 "github.com/karmada-io/karmada/pkg/apis/work/v1alpha2"
	"k8s.io/apimachinery/pkg/types"
	toolscache "k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	fleetv1alpha1 "regionpool.io/provider-regionpool/apis/fleet/v1alpha1"
	"regionpool.io/provider-regionpool/internal/fleet/planner"
	"regionpool.io/provider-regionpool/internal/fleet/scheduler"
	"regionpool.io/provider-regionpool/internal/fleet/whatif"
	"regionpool.io/provider-regionpool/internal/simulation"
)

const (
	// coalesce is how long changes are gathered before a round at least, and
	// breath how long at most. In between it is as long as the last round took to
	// decide, and three times what is beyond easy: while bindings come by the
	// hundred, rounds that follow each other at once would decide about a few each,
	// and take the processor from Karmada, which makes them.
	coalesce = 15 * time.Millisecond
	easy     = 250 * time.Millisecond
	breath   = time.Second
	// slow is how long the fleet goes without a round at most.
	slow = 30 * time.Second
	// retryAfter is how soon a round follows one that failed in part.
	retryAfter = 500 * time.Millisecond
	// statusInterval is how often counts are written at most. What somebody
	// acts on is written at once. Each write travels to the claim, whose circuit
	// breaker in Crossplane grants one event in two seconds (2 tokens an update,
	// 1 token a second by default), to claim and plan together.
	statusInterval = 5 * time.Second
)

// FieldOwner of the fleet's writes.
const FieldOwner = "regionpool-fleet"

// Options of a Fleet.
type Options struct {
	// Client of the Karmada API. Its reads come from the cache; Live reads
	// what is not cached: workloads and secrets.
	Client client.Client
	Live   client.Reader
	Cache  cache.Informers
	// Connect says how to reach members. The default is ConnectWith(Live).
	Connect   ConnectFn
	Events    events.EventRecorder
	Log       logr.Logger
	Clock     clock.WithTicker
	Decisions *Decisions
	Scheduler scheduler.Settings
	Planner   planner.Settings
	// AllClusters are watched, also those that no pool uses, so that there are
	// estimates for them.
	AllClusters bool
	// Name of the fleets of which this is one: those that serve the same pools, and
	// elect one of them. Without it nothing finds out that others serve them too.
	Name string
	// Pools that this fleet serves, by name; none for all. Those that share
	// members belong to one fleet: two would promise the same room.
	Pools []string
}

// A Fleet is the loop that places workloads and plans capacity. It implements
// manager.Runnable, and runs on the leader only.
type Fleet struct {
	Options

	members   *members
	templates *templates
	steerer   *steerer
	simulator *simulation.Scheduler

	bindings, plans, reservations, policies *overlay
	flights                                 *flights
	readings                                readings
	// claims of pools that this fleet serves, or should, by name.
	claims map[string]*claim

	trigger chan struct{}
	// kicked has when the first change came that no round has seen.
	kicked chan time.Time

	// statusWritten says when the status of a plan was last written,
	// reservationWritten that of a reservation, policyWritten when a policy was,
	// and policyRetry when one that could not be is tried again.
	statusWritten, reservationWritten, policyWritten, policyRetry map[string]time.Time
	// baselines of reservations, by their UID and the binding, also those that
	// could not be written yet.
	baselines map[types.UID]map[string]int32
	// took is how long the last round took to decide.
	took time.Duration
	// held is what reservations hold.
	held atomic.Pointer[[]scheduler.HeldRoom]
	// seen is what the last round saw, for questions.
	seen atomic.Pointer[whatif.World]
	// policySights has for what the policies of workloads were found right.
	policySights map[string]policySight
}

// New returns a Fleet. An error says that no simulator could be made.
func New(o Options) (*Fleet, error) {
	sim, err := simulation.New()
	if err != nil {
		return nil, fmt.Errorf("cannot make a simulator: %w", err)
	}
	if o.Connect == nil {
		o.Connect = ConnectWith(o.Live)
	}
	if o.Clock == nil {
		o.Clock = clock.RealClock{}
	}
	if o.Decisions == nil {
		o.Decisions = &Decisions{}
	}
	return &Fleet{
		Options:       o,
		members:       newMembers(o.Connect, o.Clock, o.Log, o.Events),
		templates:     newTemplates(o.Live, o.Clock),
		steerer:       newSteerer(o.Clock, o.Log),
		bindings:      newOverlay(),
		plans:         newOverlay(),
		reservations:  newOverlay(),
		policies:      newOverlay(),
		flights:       newFlights(),
		readings:      readings{},
		claims:        map[string]*claim{},
		simulator:     sim,
		trigger:       make(chan struct{}, 1),
		kicked:        make(chan time.Time, 1),
		statusWritten: map[string]time.Time{}, reservationWritten: map[string]time.Time{}, policyWritten: map[string]time.Time{}, policyRetry: map[string]time.Time{},
		policySights: map[string]policySight{}, baselines: map[types.UID]map[string]int32{},
	}, nil
}

// NeedLeaderElection implements manager.LeaderElectionRunnable: there is one
// writer of assignments and plans.
func (f *Fleet) NeedLeaderElection() bool { return true }

// Kick asks for a round.
func (f *Fleet) Kick() {
	select {
	case f.kicked <- f.Clock.Now():
	default:
	}
	select {
	case f.trigger <- struct{}{}:
	default:
	}
}

// Start runs the loop until the context ends.
func (f *Fleet) Start(ctx context.Context) error {
	for _, o := range []client.Object{&workv1alpha2.ResourceBinding{}, &workv1alpha2.ClusterResourceBinding{}, &clusterv1alpha1.Cluster{}, &policyv1alpha1.OverridePolicy{}, &fleetv1alpha1.CapacityPlan{}, &fleetv1alpha1.CapacityReservation{}} {
		inf, err := f.Cache.GetInformer(ctx, o)
		if err != nil {
			return fmt.Errorf("cannot watch %T: %w", o, err)
		}
		reg, err := inf.AddEventHandler(toolscache.ResourceEventHandlerFuncs{
			AddFunc:    func(any) { f.Kick() },
			UpdateFunc: func(any, any) { f.Kick() },
			DeleteFunc: func(any) { f.Kick() },
		})
		if err != nil {
			return fmt.Errorf("cannot watch %T: %w", o, err)
		}
		defer func() {
			// It fails only if the informer has stopped already.
			_ = inf.RemoveEventHandler(reg)
		}()
		if !toolscache.WaitForCacheSync(ctx.Done(), inf.HasSynced) {
			return nil
		}
	}
	w := f.members.registry.Watch()
	defer w.Stop()
	defer f.members.stopAll()
	defer f.simulator.Close()
	defer f.flights.wg.Wait()
	go func() {
		for {
			select {
			case <-ctx.Done():
				return
			case <-w.C():
				w.Changed()
				f.Kick()
			}
		}
	}()
	f.Kick()
	f.run(ctx)
	return nil
}

func (f *Fleet) run(ctx context.Context) {
	timer := f.Clock.NewTimer(slow)
	defer timer.Stop()
	var ended time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case <-f.trigger:
			select {
			case <-ctx.Done():
				return
			case <-f.Clock.After(pause(f.took, f.Clock.Since(ended))):
			}
			// What came while we waited is in this round.
			select {
			case <-f.trigger:
			default:
			}
		case <-timer.C():
		}
		seen := f.Clock.Now()
		select {
		case seen = <-f.kicked:
		default:
		}
		wait, err := f.round(ctx, seen)
		err = errors.Join(err, f.flights.failed())
		ended = f.Clock.Now()
		if err != nil && ctx.Err() == nil {
			f.Log.Error(err, "Round failed")
			wait = min(wait, retryAfter)
		}
		if !timer.Stop() {
			select {
			case <-timer.C():
			default:
			}
		}
		timer.Reset(wait)
	}
}

// pause is how long to wait before a round, if the last one took so long to decide
// and ended so long ago.
func pause(took, ago time.Duration) time.Duration {
	return max(coalesce, min(took+2*max(0, took-easy), breath)-ago)
}

// Round makes one round and waits until its decisions are written. It returns
// how long nothing will change by time alone. Seen is when the change that led to
// it was seen.
func (f *Fleet) Round(ctx context.Context, seen time.Time) (time.Duration, error) {
	wait, err := f.round(ctx, seen)
	f.flights.wg.Wait()
	return wait, errors.Join(err, f.flights.failed())
}

// round makes a round and starts to write its decisions about bindings.
func (f *Fleet) round(ctx context.Context, seen time.Time) (time.Duration, error) {
	began := f.Clock.Now()
	v, err := f.view(ctx)
	if err != nil {
		return retryAfter, err
	}
	out, err := scheduler.Run(ctx, v.input)
	if err != nil {
		return retryAfter, fmt.Errorf("cannot place workloads: %w", err)
	}
	v.out = out
	f.held.Store(&out.HeldRooms)
	made, err := f.plan(ctx, v, seen)
	if err != nil {
		return retryAfter, err
	}
	f.seen.Store(v.world())
	f.took = f.Clock.Since(began)
	roundSeconds.Observe(f.took.Seconds())

	next := out.Next
	for _, p := range made {
		next = earlier(next, p.out.Next)
	}
	again, err := f.write(ctx, v, made, seen)
	f.steer(ctx, v)
	next = earlier(earlier(next, again), v.readAgain)
	if v.unsettled {
		next = earlier(next, f.Clock.Now().Add(retryAfter))
	}
	wait := slow
	if !next.IsZero() {
		wait = min(wait, max(next.Sub(f.Clock.Now()), time.Millisecond))
	}
	return wait, err
}

func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}
