package controller

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/go-logr/logr"
	clusterv1alpha1 "github.com/karmada-io/karmada/pkg/apis/cluster/v1alpha1"
	karmadautil "github.com/karmada-io/karmada/pkg/util"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	fleetv1alpha1 "regionpool.io/provider-regionpool/apis/fleet/v1alpha1"
	"regionpool.io/provider-regionpool/internal/simulation"
	"regionpool.io/provider-regionpool/internal/snapshot"
)

const (
	// syncPatience is how long a member that answers may send nothing before it
	// has shown all it has, until decisions are made without it, and syncLimit
	// how long it may take in all: a large fleet reads millions of pods.
	syncPatience = 30 * time.Second
	syncLimit    = 10 * time.Minute
	// credentialsCheck is how often the credentials of a member that does not
	// answer are read again.
	credentialsCheck = 10 * time.Second
	// connectAgain is how soon a member that cannot be watched is tried again.
	connectAgain = time.Second
)

// A ConnectFn returns how to reach the API of a member.
type ConnectFn func(ctx context.Context, c *clusterv1alpha1.Cluster) (*rest.Config, error)

// ConnectWith reads the endpoint from a Karmada Cluster and the credentials from
// the secret it refers to, as Karmada's own controllers do.
func ConnectWith(r client.Reader) ConnectFn {
	return func(ctx context.Context, c *clusterv1alpha1.Cluster) (*rest.Config, error) {
		cfg, err := karmadautil.BuildClusterConfig(c.Name,
			func(string) (*clusterv1alpha1.Cluster, error) { return c, nil },
			func(ns, name string) (*corev1.Secret, error) {
				s := &corev1.Secret{}
				return s, r.Get(ctx, client.ObjectKey{Namespace: ns, Name: name}, s)
			})
		if err != nil {
			return nil, fmt.Errorf("cannot find out how to reach member %q: %w", c.Name, err)
		}
		return cfg, nil
	}
}

// members keeps a snapshot member and a simulator for each cluster that some
// pool uses.
type members struct {
	registry *snapshot.Registry
	connect  ConnectFn
	clock    clock.WithTicker
	log      logr.Logger
	// events may be nil.
	events events.EventRecorder
	byName map[string]*liveMember
	// failed has when a member could not be watched.
	failed map[string]time.Time
}

type liveMember struct {
	*snapshot.Member
	simulator *simulation.Scheduler
	// configuration of its kube-scheduler that the simulator was asked for, and
	// why it cannot be simulated, if so.
	configuration string
	misconfigured string
	// warm says that the simulator has read all that the member has.
	warm bool
	// uid and generation of the Karmada Cluster, and a digest of its
	// credentials, that the member was made for.
	uid        string
	generation int64
	digest     string
	started    time.Time
	checked    time.Time
}

func newMembers(fn ConnectFn, c clock.WithTicker, l logr.Logger, e events.EventRecorder) *members {
	return &members{registry: snapshot.NewRegistry(), connect: fn, clock: c, log: l, events: e, byName: map[string]*liveMember{}, failed: map[string]time.Time{}}
}

// ensure makes the members exactly those of the supplied clusters.
func (m *members) ensure(ctx context.Context, wanted map[string]*cluster) {
	for name := range m.byName {
		if c := wanted[name]; c == nil || !c.exists {
			m.stop(name)
		}
	}
	for name := range m.failed {
		if c := wanted[name]; c == nil || !c.exists {
			delete(m.failed, name)
		}
	}
	for name, c := range wanted {
		if !c.exists {
			continue
		}
		have := m.byName[name]
		if have != nil {
			m.reconfigure(have, c)
		}
		fresh := have != nil && have.uid == string(c.UID) && have.generation == c.Generation
		if fresh && (have.Contact().Reachable || m.clock.Since(have.checked) < credentialsCheck) {
			continue
		}
		if have != nil {
			have.checked = m.clock.Now()
		}
		if at, ok := m.failed[name]; ok && m.clock.Since(at) < connectAgain {
			continue
		}
		if c.Spec.SecretRef == nil || c.Spec.APIEndpoint == "" {
			continue
		}
		delete(m.failed, name)
		cfg, err := m.configOf(ctx, c)
		if err != nil {
			m.failed[name] = m.clock.Now()
			m.log.Info("Cannot watch member", "member", name, "reason", err.Error())
			continue
		}
		d := digest(cfg)
		if have != nil && have.uid == string(c.UID) && have.digest == d {
			have.generation = c.Generation
			continue
		}
		m.stop(name)
		if err := m.start(ctx, c, cfg, d); err != nil {
			m.failed[name] = m.clock.Now()
			m.log.Info("Cannot watch member", "member", name, "reason", err.Error())
		}
	}
}

// configOf reads how to reach a member. A round waits for it, so not for long.
func (m *members) configOf(ctx context.Context, c *cluster) (*rest.Config, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	return m.connect(ctx, &c.Cluster)
}

func (m *members) start(ctx context.Context, c *cluster, cfg *rest.Config, digest string) error {
	sim, err := simulation.New()
	if err != nil {
		return fmt.Errorf("cannot make a simulator for member %q: %w", c.Name, err)
	}
	sm, err := snapshot.NewMember(c.Name, cfg, snapshot.WithClock(m.clock))
	if err != nil {
		sim.Close()
		return err
	}
	if err := m.registry.Add(sm); err != nil {
		sim.Close()
		return err
	}
	now := m.clock.Now()
	m.byName[c.Name] = &liveMember{Member: sm, simulator: sim, uid: string(c.UID), generation: c.Generation, digest: digest, started: now, checked: now}
	m.reconfigure(m.byName[c.Name], c)
	sm.Start(ctx)
	m.log.Info("Watching member", "member", c.Name)
	return nil
}

// reconfigure makes the simulator of a member that of its kube-scheduler's
// configuration. If there cannot be one, the member keeps the one it has, with
// which nothing is placed.
func (m *members) reconfigure(have *liveMember, c *cluster) {
	raw := c.Annotations[fleetv1alpha1.AnnotationSchedulerConfiguration]
	if raw == have.configuration {
		return
	}
	have.configuration, have.misconfigured = raw, ""
	sim, err := simulation.NewFromYAML(raw)
	if err != nil {
		have.misconfigured = fmt.Sprintf("its scheduler configuration (annotation %s) cannot be simulated: %v", fleetv1alpha1.AnnotationSchedulerConfiguration, err)
		m.log.Info("Cannot simulate the scheduler configuration of member", "member", c.Name, "reason", err.Error())
		if m.events != nil {
			m.events.Eventf(&c.Cluster, nil, corev1.EventTypeWarning, "SchedulerConfiguration", "Simulate", "%s", clip(err.Error()))
		}
		return
	}
	have.simulator.Close()
	have.simulator, have.warm = sim, false
}

// look returns what the member has and the simulator that has read it: the first
// decision is not to wait for that.
func (m *liveMember) look() (*snapshot.Snapshot, *simulation.Scheduler) {
	s := m.Snapshot()
	if !m.warm && m.Synced() {
		// What cannot be read now will be when it is asked for.
		_ = m.simulator.Warm(s)
		m.warm = true
	}
	return s, m.simulator
}

func (m *members) stop(name string) {
	have := m.byName[name]
	if have == nil {
		return
	}
	m.registry.Remove(name)
	delete(m.byName, name)
	// Stopping waits for requests under way, which may hang.
	go func() {
		have.Stop()
		have.simulator.Close()
	}()
	m.log.Info("No longer watching member", "member", name)
}

func (m *members) stopAll() {
	for name := range m.byName {
		m.stop(name)
	}
}

// settled reports whether it is known what a member has, or that it does not
// answer. Nothing is decided about its pool before.
func (m *members) settled(c *cluster) bool {
	if !c.exists || c.terminating() {
		return true
	}
	have := m.byName[c.Name]
	if have == nil {
		return true
	}
	if have.Synced() {
		return true
	}
	contact := have.Contact()
	return !contact.Since.IsZero() && !contact.Reachable || m.clock.Since(have.started) > syncLimit ||
		m.clock.Since(have.started) > syncPatience && m.clock.Since(have.Heard()) > syncPatience
}

// digest tells configurations apart without keeping what is in them.
func digest(cfg *rest.Config) string {
	h := sha256.New()
	fmt.Fprintf(h, "%q %q %q %t", cfg.Host, cfg.BearerToken, cfg.CAData, cfg.Insecure)
	return hex.EncodeToString(h.Sum(nil))
}
