package e2e

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"regionpool.io/provider-regionpool/apis"
	fleetv1alpha1 "regionpool.io/provider-regionpool/apis/fleet/v1alpha1"
	platformv1alpha1 "regionpool.io/provider-regionpool/apis/platform/v1alpha1"
	"regionpool.io/provider-regionpool/cluster/local/binaries"
	"regionpool.io/provider-regionpool/cluster/local/progress"
	"regionpool.io/provider-regionpool/cluster/local/stack"
	"regionpool.io/provider-regionpool/test/cloudsim/simclient"
	"regionpool.io/provider-regionpool/test/observer"
)

// The shared self-built members: sixteen CPU together.
const (
	memberNodes  = 2
	memberCPU    = "4"
	memberMemory = "16Gi"
	memberPods   = "110"
	homeCPU      = 16
)

var memberNames = []string{"idc-a", "idc-b"}

// outputPath holds the stack's logs, in the checkout.
const outputPath = "_output/e2e"

// An environment is the stack that all tests share.
type environment struct {
	root     string
	stack    *stack.Stack
	host     client.Client
	karmada  client.Client
	members  map[string]client.Client
	cloud    *simclient.Client
	observer *observer.Observer
}

// env is the shared environment, nil in short mode.
var env *environment

func TestMain(m *testing.M) {
	flag.Parse()
	if testing.Short() {
		os.Exit(m.Run())
	}
	code, err := withStack(m.Run)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// withStack runs the tests on a stack of their own, and proves that no process
// of it is left.
func withStack(run func() int) (int, error) {
	root, err := binaries.Root()
	if err != nil {
		return 1, err
	}
	dir := filepath.Join(root, filepath.FromSlash(outputPath), "stack")
	var home []stack.Member
	for _, name := range memberNames {
		member, err := stack.NewMember(name, memberNodes, memberCPU, memberMemory, memberPods)
		if err != nil {
			return 1, err
		}
		home = append(home, member)
	}
	st, err := stack.Start(context.Background(), stack.Options{
		Dir: dir, Members: home,
		Parts: map[stack.Part]stack.PartOptions{
			stack.Provider: {Args: append(stack.Hurried(stack.Provider), "--debug")},
			stack.Fleet:    {Args: []string{"--debug", "--shortage-avoid=3s"}},
		},
	}, progress.New(os.Stderr))
	if err != nil {
		return 1, fmt.Errorf("cannot start the stack: %w", err)
	}
	closed := sync.OnceValue(st.Close)
	defer closed()

	// Watches of clusters that are being deleted end with errors: no news.
	klog.LogToStderr(false)
	klog.SetOutput(io.Discard)
	log.SetLogger(logr.Discard())
	rest.SetDefaultWarningHandler(rest.NoWarnings{})

	if env, err = connect(root, st); err != nil {
		return 1, err
	}
	ctx, stop := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	var observed error
	wg.Go(func() { observed = env.observer.Run(ctx) })
	code := run()
	stop()
	wg.Wait()
	return code, errors.Join(observed, closed(), processesIn(dir))
}

func connect(root string, st *stack.Stack) (*environment, error) {
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), apis.AddToScheme(scheme),
		platformv1alpha1.AddToScheme(scheme), fleetv1alpha1.AddToScheme(scheme)); err != nil {
		return nil, fmt.Errorf("cannot build scheme: %w", err)
	}
	for _, p := range []stack.Part{stack.Provider, stack.Function, stack.Fleet, stack.CloudSim} {
		if st.Process(string(p)) == nil {
			return nil, fmt.Errorf("cannot test without %s", p)
		}
	}
	e := &environment{root: root, stack: st, members: map[string]client.Client{}, cloud: simclient.New(st.Cloud().AdminEndpoint)}
	o := observer.Options{Karmada: st.RESTConfig(stack.Karmada), SelfBuilt: map[string]*rest.Config{}}
	var err error
	if e.host, err = client.New(unthrottled(st.RESTConfig(stack.Host)), client.Options{Scheme: scheme}); err != nil {
		return nil, fmt.Errorf("cannot make client of the host plane: %w", err)
	}
	if e.karmada, err = client.New(unthrottled(st.RESTConfig(stack.Karmada)), client.Options{Scheme: scheme}); err != nil {
		return nil, fmt.Errorf("cannot make client of the workload plane: %w", err)
	}
	for _, name := range memberNames {
		o.SelfBuilt[name] = st.RESTConfig(name)
		if e.members[name], err = client.New(unthrottled(o.SelfBuilt[name]), client.Options{Scheme: scheme}); err != nil {
			return nil, fmt.Errorf("cannot make client of member %s: %w", name, err)
		}
	}
	e.observer, err = observer.New(o)
	return e, err
}

// unthrottled returns a configuration whose clients do not slow themselves down:
// a poll that waits for its turn says nothing about what it waits for.
func unthrottled(c *rest.Config) *rest.Config {
	c = rest.CopyConfig(c)
	c.QPS = -1
	return c
}

// processesIn fails if a process still runs that was given a path in the folder:
// every process of the stack is, also those of the cloud's clusters.
func processesIn(dir string) error {
	// A process that was killed may take a moment to be reaped.
	var left []string
	for range 20 {
		var err error
		if left, err = commandsNaming(dir); err != nil {
			return err
		}
		if len(left) == 0 {
			return nil
		}
		time.Sleep(100 * time.Millisecond)
	}
	return fmt.Errorf("processes are left of the stack: %v", left)
}

func commandsNaming(dir string) ([]string, error) {
	entries, err := os.ReadDir("/proc")
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cannot list processes: %w", err)
	}
	var left []string
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		// A process that ended meanwhile has no command line.
		args, err := os.ReadFile(filepath.Join("/proc", e.Name(), "cmdline"))
		if err == nil && bytes.Contains(args, []byte(dir+"/")) {
			name, _, _ := bytes.Cut(args, []byte{0})
			left = append(left, fmt.Sprintf("%s (%d)", filepath.Base(string(name)), pid))
		}
	}
	return left, nil
}
