// Package stack runs the real thing on one machine, as plain processes: the
// host plane with Crossplane, the workload plane with Karmada, self-built member
// clusters with kwok nodes, the cloud simulator, and our own programs.
//
// A stack belongs to the program that started it and ends with it, however it
// ends. Several stacks can run at the same time.
package stack

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"
	"k8s.io/client-go/rest"

	"regionpool.io/provider-regionpool/cluster/local/binaries"
	"regionpool.io/provider-regionpool/cluster/local/etcd"
	"regionpool.io/provider-regionpool/cluster/local/kube"
	"regionpool.io/provider-regionpool/cluster/local/pki"
	"regionpool.io/provider-regionpool/cluster/local/ports"
	"regionpool.io/provider-regionpool/cluster/local/process"
	"regionpool.io/provider-regionpool/cluster/local/progress"
)

// Names of the planes. Members are planes too, under their own names.
const (
	Host    = "host"
	Karmada = "karmada"
)

// A Stack is a running stack.
type Stack struct {
	o    Options
	log  *progress.Log
	bins *binaries.Set
	own  *ownBuild
	etcd *etcd.Server

	// procs holds all children. No others may be started once it is stopped.
	procs *process.Group

	// ca is the authority of everything that must trust each other: the host
	// plane, Karmada and the function. Members have their own, as in real life.
	ca *pki.CA

	mu     sync.Mutex
	planes []*kube.ControlPlane
	ports  []int
	cloud  Cloud

	// functionAddress is where our function listens.
	functionAddress string
}

// Start starts a stack, and returns when all of it is healthy. It reports what
// it does to the log, which may be nil. When it fails, or ctx ends before that,
// everything is stopped again. Afterwards ctx has no meaning for the stack: it
// runs until Close.
func Start(ctx context.Context, o Options, log *progress.Log) (*Stack, error) {
	if o.Dir == "" {
		return nil, errors.New("cannot start a stack without a folder")
	}
	if hint := inotifyHint("/proc"); hint != "" {
		log.Printf("%s", hint)
	}
	s := &Stack{o: o, log: log}
	if err := s.start(ctx); err != nil {
		log.Printf("stopping what was started")
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// Close stops the stack and waits until every process is gone. Only the logs
// are left.
func (s *Stack) Close() error {
	if s.procs != nil {
		s.procs.Stop()
	}
	var errs []error
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, cp := range s.planes {
		errs = append(errs, cp.Discard())
	}
	if s.etcd != nil {
		s.etcd.Release()
	}
	ports.Release(s.ports...)
	s.planes, s.ports, s.etcd = nil, nil, nil
	return errors.Join(append(errs, os.RemoveAll(s.dataDir()))...)
}

// Dir is the stack's folder.
func (s *Stack) Dir() string { return s.o.Dir }

// Binaries the stack runs.
func (s *Stack) Binaries() *binaries.Set { return s.bins }

// Plane returns a control plane: Host, Karmada, or a member by its name. It is
// nil if there is none. Clusters of the cloud are not among them.
func (s *Stack) Plane(name string) *kube.ControlPlane {
	for _, cp := range s.Planes() {
		if cp.Name() == name {
			return cp
		}
	}
	return nil
}

// Planes returns the control planes: Host and Karmada first, then the members.
func (s *Stack) Planes() []*kube.ControlPlane {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := slices.Clone(s.planes)
	order := []string{Host, Karmada}
	for _, m := range s.o.members() {
		order = append(order, m.Name)
	}
	slices.SortStableFunc(out, func(a, b *kube.ControlPlane) int {
		return slices.Index(order, a.Name()) - slices.Index(order, b.Name())
	})
	return out
}

// RESTConfig of the administrator of a plane, nil if there is none.
func (s *Stack) RESTConfig(plane string) *rest.Config {
	if cp := s.Plane(plane); cp != nil {
		return cp.RESTConfig()
	}
	return nil
}

// Process returns a process by name: "etcd", "crossplane",
// "karmada-controller-manager", "provider", "idc-a-kube-apiserver" and so on. It
// is nil if there is none.
func (s *Stack) Process(name string) *process.Process { return s.procs.Process(name) }

// Processes in the order they were started.
func (s *Stack) Processes() []*process.Process { return s.procs.Processes() }

// dataDir holds all that ends with the stack.
func (s *Stack) dataDir(elem ...string) string {
	return filepath.Join(append([]string{s.o.Dir, "data"}, elem...)...)
}

func (s *Stack) start(ctx context.Context) error {
	for _, dir := range []string{s.dataDir(), s.logDir()} {
		if err := os.RemoveAll(dir); err != nil {
			return fmt.Errorf("cannot remove what an earlier stack left: %w", err)
		}
	}
	if err := os.MkdirAll(s.dataDir(), 0o700); err != nil {
		return fmt.Errorf("cannot create folder of the stack: %w", err)
	}
	var err error
	if s.bins, err = binaries.Ensure(ctx, filepath.Join(s.o.Dir, "binaries"), s.log); err != nil {
		return err
	}
	if s.ca, err = pki.NewCA("provider-regionpool-local"); err != nil {
		return err
	}
	if s.procs, err = process.NewGroup(s.logDir()); err != nil {
		return err
	}

	g, gctx := errgroup.WithContext(ctx)
	s.own = buildOwn(gctx, g, s.o, filepath.Join(s.o.Dir, "bin"), s.log)

	done := s.log.Step("etcd is ready")
	if s.etcd, err = etcd.Start(gctx, etcd.Options{Dir: s.dataDir(), Binaries: s.bins, Procs: s.procs}); err == nil {
		done()
		if !s.o.WithoutHost {
			g.Go(func() error { return s.startHost(gctx) })
		}
		if !s.o.WithoutKarmada {
			g.Go(func() error { return s.startKarmada(gctx) })
		}
		g.Go(func() error { return s.startCloud(gctx) })
		for _, m := range s.o.members() {
			g.Go(func() error { return s.startMember(gctx, m) })
		}
	}
	if err := errors.Join(err, g.Wait()); err != nil {
		return err
	}
	return s.bootstrap(ctx)
}

func (s *Stack) logDir() string { return filepath.Join(s.o.Dir, "logs") }

// addPlane makes a plane known, also to Close.
func (s *Stack) addPlane(cp *kube.ControlPlane) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.planes = append(s.planes, cp)
}

// reservePorts reserves ports until Close.
func (s *Stack) reservePorts(n int) ([]int, error) {
	p, err := ports.ReserveN(n)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ports = append(s.ports, p...)
	return p, nil
}

// planeOptions are what all control planes of the stack have in common.
func (s *Stack) planeOptions(name string) kube.Options {
	return kube.Options{Name: name, Dir: s.dataDir(name), Etcd: s.etcd.URL(), Binaries: s.bins, Procs: s.procs}
}

// startMember starts a self-built cluster with its nodes.
func (s *Stack) startMember(ctx context.Context, m Member) error {
	done := s.log.Step("member %s is ready, with %d nodes", m.Name, m.Nodes)
	o := s.planeOptions(m.Name)
	if m.Idle {
		// Nobody would take the taint of a new node off.
		o.APIServerArgs = []string{"--disable-admission-plugins=TaintNodesByCondition"}
	} else {
		o.Controllers, o.Scheduler, o.Kwok = kube.MemberControllers, true, true
	}
	cp, err := kube.Start(ctx, o)
	if err != nil {
		return err
	}
	s.addPlane(cp)
	if err := cp.AddStorageClass(ctx); err != nil {
		return fmt.Errorf("cannot prepare member %s: %w", m.Name, err)
	}
	for _, n := range m.nodes() {
		if err := cp.AddNode(ctx, n); err != nil {
			return fmt.Errorf("cannot prepare member %s: %w", m.Name, err)
		}
	}
	if m.Idle {
		done()
		return nil
	}
	for _, n := range m.nodes() {
		if err := cp.WaitNode(ctx, n.Name); err != nil {
			return fmt.Errorf("cannot prepare member %s: %w", m.Name, err)
		}
	}
	done()
	return nil
}
