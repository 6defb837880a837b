// Command function serves the composition function of the claims.
package main

import (
	"context"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"

	"github.com/alecthomas/kingpin/v2"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/status"

	"github.com/crossplane/crossplane-runtime/v2/pkg/errors"
	fnsdk "github.com/crossplane/function-sdk-go"
	fnv1 "github.com/crossplane/function-sdk-go/proto/v1"

	"regionpool.io/provider-regionpool/internal/function"
)

func main() {
	app := kingpin.New(filepath.Base(os.Args[0]), "Composition function of the regionpool claims.").DefaultEnvars()
	o := options{}
	app.Flag("debug", "Log in more detail.").Short('d').BoolVar(&o.debug)
	app.Flag("address", "Address at which to listen for gRPC connections.").Default(fnsdk.DefaultAddress).StringVar(&o.address)
	// Crossplane sets this variable without the prefix of DefaultEnvars.
	app.Flag("tls-server-certs-dir", "Folder with tls.crt, tls.key and ca.crt; clients must present a certificate of that CA.").
		Envar("TLS_SERVER_CERTS_DIR").StringVar(&o.certsDir)
	app.Flag("insecure", "Serve without TLS; for development only.").BoolVar(&o.insecure)
	app.Flag("metrics-address", "Address at which to serve Prometheus metrics; empty serves none.").Default(fnsdk.DefaultMetricsAddress).StringVar(&o.metricsAddress)
	kingpin.MustParse(app.Parse(os.Args[1:]))

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	kingpin.FatalIfError(run(ctx, o), "Cannot run the function")
}

type options struct {
	debug          bool
	address        string
	certsDir       string
	insecure       bool
	metricsAddress string
}

// run serves until ctx is done and the calls under way have ended.
func run(ctx context.Context, o options) error {
	log, err := fnsdk.NewLogger(o.debug)
	if err != nil {
		return errors.Wrap(err, "cannot make a logger")
	}
	fn := &stoppable{FunctionRunnerServiceServer: function.New(log)}
	hs := health.NewServer()
	served := make(chan error, 1)
	go func() {
		served <- fnsdk.Serve(fn,
			fnsdk.Listen("tcp", o.address),
			fnsdk.MTLSCertificates(o.certsDir),
			fnsdk.Insecure(o.insecure),
			fnsdk.WithHealthServer(hs),
			fnsdk.WithMetricsServer(o.metricsAddress))
	}()
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
		log.Info("Stopping")
		hs.Shutdown()
		fn.stop()
		return nil
	}
}

// A stoppable function can be waited for. The SDK keeps its gRPC server to
// itself, so its own graceful stop is out of reach.
type stoppable struct {
	fnv1.FunctionRunnerServiceServer

	mu      sync.Mutex
	stopped bool
	calls   sync.WaitGroup
}

// RunFunction refuses new calls after stop. Core repeats them elsewhere or
// later.
func (s *stoppable) RunFunction(ctx context.Context, req *fnv1.RunFunctionRequest) (*fnv1.RunFunctionResponse, error) {
	s.mu.Lock()
	if s.stopped {
		s.mu.Unlock()
		return nil, status.Error(codes.Unavailable, "the function is stopping")
	}
	s.calls.Add(1)
	s.mu.Unlock()
	defer s.calls.Done()
	return s.FunctionRunnerServiceServer.RunFunction(ctx, req)
}

// stop waits for the calls under way. They take milliseconds.
func (s *stoppable) stop() {
	s.mu.Lock()
	s.stopped = true
	s.mu.Unlock()
	s.calls.Wait()
}
