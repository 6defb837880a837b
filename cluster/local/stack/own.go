package stack

import (
	"context"
	"fmt"
	"net"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/samber/lo"
	"golang.org/x/sync/errgroup"

	"regionpool.io/provider-regionpool/cluster/local/binaries"
	"regionpool.io/provider-regionpool/cluster/local/process"
	"regionpool.io/provider-regionpool/cluster/local/progress"
)

// An ownBuild is the build of our own programs, which goes on while the planes
// start.
type ownBuild struct {
	dir   string
	parts []Part
	done  chan struct{}
}

// buildOwn starts the build of the parts the stack needs and the checkout has.
func buildOwn(ctx context.Context, g *errgroup.Group, o Options, dir string, log *progress.Log) *ownBuild {
	b := &ownBuild{dir: dir, done: make(chan struct{})}
	for _, p := range []Part{Provider, Function, Fleet, CloudSim} {
		if !o.wanted(p) {
			continue
		}
		if !binaries.HasPackage(p.packagePath()) {
			log.Printf("there is no %s in this checkout: going on without", p)
			continue
		}
		b.parts = append(b.parts, p)
	}
	g.Go(func() error {
		step := log.Step("built %s", strings.Join(lo.Map(b.parts, func(p Part, _ int) string { return string(p) }), ", "))
		packages := lo.Map(b.parts, func(p Part, _ int) string { return "./" + filepath.ToSlash(p.packagePath()) })
		if err := binaries.BuildOwn(ctx, dir, packages...); err != nil {
			return fmt.Errorf("cannot build our own programs: %w", err)
		}
		if len(b.parts) > 0 {
			step()
		}
		close(b.done)
		return nil
	})
	return b
}

// has says whether a part will run.
func (b *ownBuild) has(p Part) bool { return lo.Contains(b.parts, p) }

// path waits for the build and returns the path of a part.
func (b *ownBuild) path(ctx context.Context, p Part) (string, error) {
	select {
	case <-b.done:
		return filepath.Join(b.dir, string(p)), nil
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

// startPart starts one of our programs, if it is wanted and there.
func (s *Stack) startPart(ctx context.Context, p Part, spec process.Spec) error {
	if !s.own.has(p) {
		return nil
	}
	path, err := s.own.path(ctx, p)
	if err != nil {
		return err
	}
	done := s.log.Step("%s is ready", p)
	o := s.o.Parts[p]
	spec.Name = string(p)
	spec.Path = path
	spec.Args = append(spec.Args, o.Args...)
	spec.Env = append(spec.Env, o.Env...)
	if _, err := s.procs.Start(ctx, spec); err != nil {
		return err
	}
	done()
	return nil
}

// startController starts a part with the usual metrics and health endpoints.
func (s *Stack) startController(ctx context.Context, p Part, args, env []string) error {
	ports, err := s.reservePorts(2)
	if err != nil {
		return err
	}
	return s.startPart(ctx, p, process.Spec{
		Args: append([]string{
			"--metrics-bind-address=" + loopback(ports[0]),
			"--health-probe-bind-address=" + loopback(ports[1]),
		}, args...),
		Env:    env,
		Port:   ports[0],
		Health: "http://" + loopback(ports[1]) + "/readyz",
	})
}

func loopback(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

// listening is a health gate for servers without a health endpoint.
func listening(addresses ...string) func(context.Context) error {
	return func(ctx context.Context) error {
		for _, a := range addresses {
			conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", a)
			if err != nil {
				return err
			}
			_ = conn.Close()
		}
		return nil
	}
}
