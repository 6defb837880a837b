// Package demo shows what a region pool does, on the local stack: a surge that
// the self-built clusters cannot hold, the cloud cluster that takes the rest,
// and the way back, until nothing is rented. Then a second surge, in which one
// cloud runs out of machines, another takes over, and an emergency claim
// guarantees more.
//
// The demo acts only as its users do. It writes the claim to the host plane and
// workloads to the workload plane, and looks at members and cloud from outside.
package demo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"regionpool.io/provider-regionpool/apis"
	platformv1alpha1 "regionpool.io/provider-regionpool/apis/platform/v1alpha1"
	"regionpool.io/provider-regionpool/cluster/local/binaries"
	"regionpool.io/provider-regionpool/cluster/local/progress"
	"regionpool.io/provider-regionpool/cluster/local/stack"
	"regionpool.io/provider-regionpool/test/cloudsim/simclient"
	"regionpool.io/provider-regionpool/test/observer"
)

const (
	// claimPath of the claim, in the checkout.
	claimPath = "examples/regionpool-two-clouds.yaml"

	// burstPath of the emergency claim, in the checkout.
	burstPath = "examples/emergency-burst.yaml"

	// outputPath of the report and the logs, in the checkout.
	outputPath = "_output/demo"

	// The self-built clusters.
	homeNodes  = 4
	homeCPU    = "16"
	homeMemory = "64Gi"
	homePods   = "110"

	requestTimeout = 5 * time.Second
)

// homeNames are the self-built members the claim names.
var homeNames = []string{"idc-a", "idc-b"}

// Options of a demo. The zero value tells the story on standard output.
type Options struct {
	// Out is where the story is told; os.Stdout if nil. On a terminal it is
	// drawn.
	Out io.Writer

	// Claim is the file of the claim, Burst that of the emergency claim; those in
	// examples if empty.
	Claim, Burst string

	// Dir for the report and the logs; _output/demo of the checkout if empty.
	Dir string
}

// ErrPromiseBroken is returned when the demo ran but did not show what it
// promises. What was broken has been told.
var ErrPromiseBroken = errors.New("a promise was broken")

// ErrInterrupted is returned when the demo was stopped before its end. Nothing
// runs any more then.
var ErrInterrupted = errors.New("interrupted: everything is stopped")

// Run runs the demo. It starts a stack of its own, and nothing is left of it
// when Run returns, except the report and the logs.
func Run(ctx context.Context, o Options) error {
	root, err := binaries.Root()
	if err != nil {
		return err
	}
	if o.Out == nil {
		o.Out = os.Stdout
	}
	if o.Dir == "" {
		o.Dir = filepath.Join(root, filepath.FromSlash(outputPath))
	}
	if o.Claim == "" {
		o.Claim = filepath.Join(root, filepath.FromSlash(claimPath))
	}
	if o.Burst == "" {
		o.Burst = filepath.Join(root, filepath.FromSlash(burstPath))
	}
	claim, err := readClaim(o.Claim)
	if err != nil {
		return err
	}
	burst, err := readBurst(o.Burst, claim)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(o.Dir, 0o750); err != nil {
		return fmt.Errorf("cannot create folder of the demo: %w", err)
	}
	unlock, err := lock(filepath.Join(o.Dir, "lock"))
	if err != nil {
		return err
	}
	defer unlock()
	report := filepath.Join(o.Dir, "report.json")
	if err := os.Remove(report); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("cannot remove the report of an earlier run: %w", err)
	}

	screen := newScreen(o.Out)
	screen.raw(intro(screen))
	begin := time.Now()
	home, err := homes()
	if err != nil {
		return err
	}
	st, err := stack.Start(ctx, stack.Options{
		Dir: filepath.Join(o.Dir, "stack"), Members: home,
		Parts: map[stack.Part]stack.PartOptions{
			// The cloud's clock runs sixty times as fast, so what is waited for
			// in its time is waited for as much shorter.
			stack.Provider: {Args: stack.Hurried(stack.Provider)},
		},
	}, progress.New(screen))
	if err != nil {
		return fmt.Errorf("cannot start the local stack: %w", err)
	}
	closed := sync.OnceValue(st.Close)
	defer closed()

	logs := filepath.Join(st.Dir(), "logs")
	silence, err := quieten(filepath.Join(logs, "demo.log"))
	if err != nil {
		return err
	}
	defer silence()

	clouds, err := rentals(claim, st.Cloud())
	if err != nil {
		return err
	}
	s, err := newStory(st, screen, claim, burst, clouds)
	if err != nil {
		return err
	}
	r := &Report{Phases: []Phase{{Name: "stack", Seconds: time.Since(begin).Seconds(), Reached: true}}}
	told := s.tell(ctx, r)
	if ctx.Err() != nil {
		screen.raw("\nStopping everything.\n")
		return errors.Join(ErrInterrupted, closed())
	}

	ended := time.Now()
	if err := closed(); err != nil {
		return fmt.Errorf("cannot stop the local stack: %w", err)
	}
	r.Phases = append(r.Phases, Phase{Name: "stop", Seconds: time.Since(ended).Seconds(), Reached: true})
	r.Seconds = time.Since(begin).Seconds()
	r.judge(s.facts)
	if err := r.write(report); err != nil {
		return err
	}
	screen.raw(verdict(screen, r, told, report, logs))
	if !r.OK {
		return ErrPromiseBroken
	}
	return nil
}

// newStory connects to a stack.
func newStory(st *stack.Stack, screen *screen, claim, burst *unstructured.Unstructured, clouds []rental) (*story, error) {
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), apis.AddToScheme(scheme), platformv1alpha1.AddToScheme(scheme)); err != nil {
		return nil, fmt.Errorf("cannot build scheme: %w", err)
	}
	host, err := client.New(st.RESTConfig(stack.Host), client.Options{Scheme: scheme})
	if err != nil {
		return nil, fmt.Errorf("cannot make client of the host plane: %w", err)
	}
	karmada, err := client.New(st.RESTConfig(stack.Karmada), client.Options{Scheme: scheme})
	if err != nil {
		return nil, fmt.Errorf("cannot make client of the workload plane: %w", err)
	}
	o := observer.Options{Karmada: st.RESTConfig(stack.Karmada), SelfBuilt: map[string]*rest.Config{}}
	for _, name := range homeNames {
		o.SelfBuilt[name] = st.RESTConfig(name)
	}
	obs, err := observer.New(o)
	if err != nil {
		return nil, err
	}
	if st.Cloud().AdminEndpoint == "" {
		return nil, errors.New("cannot run the demo without the cloud simulator")
	}
	fleet := st.Process(string(stack.Fleet))
	if fleet == nil {
		return nil, errors.New("cannot run the demo without fleet")
	}
	return &story{
		screen: screen, host: host, karmada: karmada, observer: obs, claim: claim, burst: burst, clouds: clouds,
		cloud: simclient.New(st.Cloud().AdminEndpoint),
		decided: func(ctx context.Context) ([]planned, error) {
			return decisions(ctx, fmt.Sprintf("http://127.0.0.1:%d/debug/decisions", fleet.Port()))
		},
	}, nil
}

// tell the story and fill in the report. The error says why it ended early.
func (s *story) tell(ctx context.Context, r *Report) error {
	watching, stop := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer stop()
	var observed error
	wg.Go(func() { observed = s.observer.Run(watching) })
	wg.Go(func() { s.follow(watching) })

	steps := s.steps()
	var failed error
	for _, step := range steps {
		s.mu.Lock()
		s.phase = step.title
		s.mu.Unlock()
		s.screen.heading(step.title)
		begin := time.Now()
		limited, cancel := context.WithTimeout(ctx, step.within)
		err := step.do(limited)
		cancel()
		r.Phases = append(r.Phases, Phase{Name: step.name, Seconds: time.Since(begin).Seconds(), Reached: err == nil})
		if err != nil {
			failed = fmt.Errorf("phase %q was not reached within %s: %w", step.name, step.within, err)
			break
		}
	}
	// The stack and its end are phases as well.
	s.facts.surging, s.facts.surge, s.facts.phases = surging, surgeDemand+reserved, len(steps)+2
	return errors.Join(failed, s.collect(ctx, r), observed)
}

// collect what the observer, the cloud and fleet know.
func (s *story) collect(ctx context.Context, r *Report) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()

	// What was seen last is judged a little later.
	select {
	case <-time.After(2 * observer.DefaultSkew):
	case <-ctx.Done():
	}
	seen := s.observer.State()
	r.PDBViolations = seen.PDBViolations
	for _, v := range seen.Violations {
		r.Violations = append(r.Violations, v.Subject+": "+v.Detail)
	}
	for _, svc := range services {
		w := seen.Workload(svc.name)
		r.Workloads = append(r.Workloads, Workload{
			Name: svc.name, PeakReplicas: w.PeakReplicas, PeakCloudReplicas: w.PeakCloudReplicas,
			NeededCloudReplicas: w.NeededCloudReplicas, ReadyFloorViolations: w.ReadyFloorViolations,
		})
		if w.Own != w.Desired || w.Desired == 0 {
			s.facts.missing = append(s.facts.missing, fmt.Sprintf("%s: %d of %d", svc.name, w.Own, w.Desired))
		}
	}

	var errs []error
	managed, err := managedResources(ctx, s.host, s.claim.GetNamespace())
	s.facts.managed = managed
	if err != nil {
		// Not knowing is not the same as nothing.
		s.facts.managed = append(s.facts.managed, "unknown")
		errs = append(errs, err)
	}
	if err := s.readBooks(ctx); err != nil {
		errs = append(errs, err)
	} else {
		books, calls := s.seen()
		for _, rental := range s.clouds {
			r.Cloud = append(r.Cloud, rental.report(books, calls))
		}
		s.facts.live = names(books.Live)
	}
	plans, err := s.decided(ctx)
	if err != nil {
		errs = append(errs, err)
	}
	_, calls := s.seen()
	r.Decisions = answers(plans, calls, s.clouds)
	r.DecisionSeconds = quantiles(r.Decisions)
	return errors.Join(errs...)
}

// decisions asks fleet what it decided.
func decisions(ctx context.Context, url string) ([]planned, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, fmt.Errorf("cannot build request for fleet's decisions: %w", err)
	}
	rsp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, fmt.Errorf("cannot read fleet's decisions: %w", err)
	}
	defer rsp.Body.Close()
	if rsp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("cannot read fleet's decisions: %s", rsp.Status)
	}
	var out []planned
	if err := json.NewDecoder(rsp.Body).Decode(&out); err != nil {
		return nil, fmt.Errorf("cannot decode fleet's decisions: %w", err)
	}
	return out, nil
}

func homes() ([]stack.Member, error) {
	var out []stack.Member
	for _, name := range homeNames {
		m, err := stack.NewMember(name, homeNodes, homeCPU, homeMemory, homePods)
		if err != nil {
			return nil, err
		}
		out = append(out, m)
	}
	return out, nil
}

// quieten sends what the Kubernetes libraries log to a file: a watch of a
// cluster that is being deleted ends with an error, and the terminal belongs to
// the story.
func quieten(path string) (restore func(), err error) {
	f, err := os.OpenFile(filepath.Clean(path), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("cannot open log of the demo: %w", err)
	}
	klog.LogToStderr(false)
	klog.SetOutput(f)
	log.SetLogger(logr.Discard())
	rest.SetDefaultWarningHandler(rest.NoWarnings{})
	return func() {
		klog.Flush()
		klog.SetOutput(io.Discard)
		_ = f.Close()
	}, nil
}

// lock makes sure that one demo at a time uses a folder.
func lock(path string) (unlock func(), err error) {
	f, err := os.OpenFile(filepath.Clean(path), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("cannot open lock of the demo: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("cannot run two demos in %s at the same time", filepath.Dir(path))
	}
	return func() { _ = f.Close() }, nil
}
