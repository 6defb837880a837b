package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"sync"
	"time"

	clusterv1alpha1 "github.com/karmada-io/karmada/pkg/apis/cluster/v1alpha1"
	workv1alpha2 "github.com/karmada-io/karmada/pkg/apis/work/v1alpha2"
	corev1 "k8s.io/api/core/v1"
	kerrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"regionpool.io/provider-regionpool/apis"
	fleetv1alpha1 "regionpool.io/provider-regionpool/apis/fleet/v1alpha1"
	platformv1alpha1 "regionpool.io/provider-regionpool/apis/platform/v1alpha1"
	"regionpool.io/provider-regionpool/cluster/local/stack"
)

// requestTimeout bounds requests to our own programs.
const requestTimeout = 10 * time.Second

// An environment is a stack of its own, and clients of its two planes.
type environment struct {
	*stack.Stack
	host, karmada client.Client
	close         func() error
}

// startStack starts a stack for a benchmark.
func startStack(ctx context.Context, r *run, name string, o stack.Options) (*environment, error) {
	o.Dir = filepath.Join(r.dir, name)
	st, err := stack.Start(ctx, o, r.log)
	if err != nil {
		return nil, fmt.Errorf("cannot start the stack: %w", err)
	}
	e := &environment{Stack: st, close: sync.OnceValue(st.Close)}
	if err := e.connect(); err != nil {
		return nil, errors.Join(err, e.close())
	}
	return e, nil
}

func (e *environment) connect() error {
	for _, p := range []stack.Part{stack.Provider, stack.Fleet} {
		if e.Process(string(p)) == nil {
			return fmt.Errorf("cannot measure without %s", p)
		}
	}
	scheme := runtime.NewScheme()
	b := runtime.NewSchemeBuilder(clientgoscheme.AddToScheme, apis.AddToScheme, platformv1alpha1.AddToScheme,
		fleetv1alpha1.AddToScheme, clusterv1alpha1.Install, workv1alpha2.Install)
	if err := b.AddToScheme(scheme); err != nil {
		return fmt.Errorf("cannot build scheme: %w", err)
	}
	var err error
	if e.host, err = client.New(e.RESTConfig(stack.Host), client.Options{Scheme: scheme}); err != nil {
		return fmt.Errorf("cannot make client of the host plane: %w", err)
	}
	if e.karmada, err = client.New(e.RESTConfig(stack.Karmada), client.Options{Scheme: scheme}); err != nil {
		return fmt.Errorf("cannot make client of the workload plane: %w", err)
	}
	return nil
}

// ensureNamespace creates a namespace if it is not there.
func ensureNamespace(ctx context.Context, c client.Client, name string) error {
	err := c.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}})
	if err != nil && !kerrors.IsAlreadyExists(err) {
		return fmt.Errorf("cannot create namespace %s: %w", name, err)
	}
	return nil
}

// poll calls f until it says nothing, which means done, or an error. When time
// is up the error has what it said last.
func poll(ctx context.Context, every, within time.Duration, f func(context.Context) (waitsFor string, err error)) error {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	for {
		waitsFor, err := f(ctx)
		switch {
		case err == nil && waitsFor == "":
			return nil
		case err != nil && !temporary(err) && ctx.Err() == nil:
			return err
		case err != nil:
			waitsFor = err.Error()
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("cannot wait any longer (%s): %w", waitsFor, ctx.Err())
		case <-time.After(every):
		}
	}
}

// temporary errors are those of API servers that are busy, and of objects that
// are still to come.
func temporary(err error) bool {
	return kerrors.IsNotFound(err) || kerrors.IsConflict(err) || kerrors.IsTimeout(err) || kerrors.IsServerTimeout(err) ||
		kerrors.IsTooManyRequests(err) || kerrors.IsServiceUnavailable(err) || kerrors.IsInternalError(err)
}

// sleep unless the context ends.
func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// get reads a page of one of our programs.
func (e *environment) get(ctx context.Context, p stack.Part, path string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("http://127.0.0.1:%d%s", e.Process(string(p)).Port(), path), nil)
	if err != nil {
		return nil, fmt.Errorf("cannot build request to %s: %w", p, err)
	}
	rsp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, fmt.Errorf("cannot read %s of %s: %w", path, p, err)
	}
	defer rsp.Body.Close()
	b, err := io.ReadAll(rsp.Body)
	if err != nil || rsp.StatusCode != http.StatusOK {
		return nil, errors.Join(fmt.Errorf("cannot read %s of %s: %s", path, p, rsp.Status), err)
	}
	return b, nil
}

// A record of fleet's decisions: for demand it saw at a time, and written at
// another, the nodes wanted of an offering before and after.
type record struct {
	UnmetSeen time.Time `json:"unmetSeen"`
	Written   time.Time `json:"written"`
	Plan      string    `json:"plan"`
	Offering  string    `json:"offering"`
	From      int       `json:"from"`
	To        int       `json:"to"`
}

// decisions of fleet so far, oldest first.
func (e *environment) decisions(ctx context.Context) ([]record, error) {
	b, err := e.get(ctx, stack.Fleet, "/debug/decisions")
	if err != nil {
		return nil, err
	}
	var out []record
	if err := json.Unmarshal(b, &out); err != nil {
		return nil, fmt.Errorf("cannot decode fleet's decisions: %w", err)
	}
	return out, nil
}
