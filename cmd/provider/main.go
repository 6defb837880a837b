// The provider reconciles the managed resources of regionpool.io.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/alecthomas/kingpin/v2"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	authv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	"k8s.io/klog/v2"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	changelogsv1alpha1 "github.com/crossplane/crossplane-runtime/v2/apis/changelogs/proto/v1alpha1"
	"github.com/crossplane/crossplane-runtime/v2/pkg/controller"
	"github.com/crossplane/crossplane-runtime/v2/pkg/errors"
	"github.com/crossplane/crossplane-runtime/v2/pkg/feature"
	"github.com/crossplane/crossplane-runtime/v2/pkg/logging"
	"github.com/crossplane/crossplane-runtime/v2/pkg/ratelimiter"
	"github.com/crossplane/crossplane-runtime/v2/pkg/reconciler/customresourcesgate"
	"github.com/crossplane/crossplane-runtime/v2/pkg/reconciler/managed"
	"github.com/crossplane/crossplane-runtime/v2/pkg/statemetrics"

	"regionpool.io/provider-regionpool/apis"
	"regionpool.io/provider-regionpool/internal/controller/setup"
	"regionpool.io/provider-regionpool/internal/market"
)

// version is set by the linker.
var version = "dev"

// options of the command line.
type options struct {
	debug                bool
	leaderElection       bool
	leaderNamespace      string
	metricsAddress       string
	healthAddress        string
	sync                 time.Duration
	poll                 time.Duration
	pollInProgress       time.Duration
	pollStateMetric      time.Duration
	listLag              time.Duration
	priceInterval        time.Duration
	stockInterval        time.Duration
	sweepInterval        time.Duration
	leakGrace            time.Duration
	maxReconcileRate     int
	managementPolicies   bool
	changeLogs           bool
	changeLogsSocketPath string
}

func parse(args []string) (*options, error) {
	o := &options{}
	app := kingpin.New(filepath.Base(os.Args[0]), "Manages ACK and TKE clusters and node pools, and their membership in Karmada federations, as Crossplane resources.").DefaultEnvars()
	app.Version(version)
	app.Flag("debug", "Log what is done, not only what goes wrong.").Short('d').BoolVar(&o.debug)
	app.Flag("leader-election-namespace", "Namespace of the lease. It has to be given outside a cluster; inside it is that of the pod.").StringVar(&o.leaderNamespace)
	app.Flag("leader-election", "Use leader election, for more than one replica.").Short('l').Default("false").Envar("LEADER_ELECTION").BoolVar(&o.leaderElection)
	app.Flag("metrics-bind-address", "Address of the metrics, or 0 for none.").Default(":8080").StringVar(&o.metricsAddress)
	app.Flag("health-probe-bind-address", "Address of /healthz and /readyz, or 0 for none.").Default(":8081").StringVar(&o.healthAddress)
	app.Flag("sync", "How often all watched objects are reconciled.").Short('s').Default("1h").DurationVar(&o.sync)
	app.Flag("poll", "How often a resource at rest is compared with the cloud.").Default("1m").DurationVar(&o.poll)
	app.Flag("poll-in-progress", "How often the cloud is asked while an operation is under way.").Default("5s").DurationVar(&o.pollInProgress)
	app.Flag("poll-state-metric", "How often metrics of the state of resources are recorded.").Default("5s").DurationVar(&o.pollStateMetric)
	app.Flag("list-lag", "How long the cloud's lists may lag behind writes: the wait after a creation whose outcome is not known.").Default("15s").DurationVar(&o.listLag)
	app.Flag("price-interval", "How often the clouds are asked for prices, and for the free addresses of subnets. Answers older than three times this are ignored.").Default("10m").DurationVar(&o.priceInterval)
	app.Flag("stock-interval", "How often the clouds are asked what is in stock.").Default("1m").DurationVar(&o.stockInterval)
	app.Flag("sweep-interval", "How often accounts are searched for things whose managed resource is gone.").Default("10m").DurationVar(&o.sweepInterval)
	app.Flag("leak-grace", "How long a thing in an account may be without its managed resource before it is reported as a leak. If its claim wants leaks to be deleted, it is when that time has passed again.").Default("15m").DurationVar(&o.leakGrace)
	app.Flag("max-reconcile-rate", "Reconciles a second, all kinds together.").Default("100").IntVar(&o.maxReconcileRate)
	app.Flag("enable-management-policies", "Support spec.managementPolicies.").Default("true").Envar("ENABLE_MANAGEMENT_POLICIES").BoolVar(&o.managementPolicies)
	app.Flag("enable-changelogs", "Write change logs to the sidecar.").Default("false").Envar("ENABLE_CHANGE_LOGS").BoolVar(&o.changeLogs)
	app.Flag("changelogs-socket-path", "Socket of the sidecar of change logs.").Default("/var/run/changelogs/changelogs.sock").Envar("CHANGELOGS_SOCKET_PATH").StringVar(&o.changeLogsSocketPath)
	_, err := app.Parse(args)
	if err != nil {
		return nil, err
	}
	if o.poll <= 0 || o.pollInProgress <= 0 || o.listLag < 0 || o.maxReconcileRate <= 0 {
		return nil, errors.New("--poll, --poll-in-progress and --max-reconcile-rate must be above 0, --list-lag not below")
	}
	if o.priceInterval <= 0 || o.stockInterval <= 0 || o.sweepInterval <= 0 || o.leakGrace <= 0 {
		return nil, errors.New("--price-interval, --stock-interval, --sweep-interval and --leak-grace must be above 0")
	}
	return o, nil
}

func main() {
	o, err := parse(os.Args[1:])
	if err == nil {
		err = run(ctrl.SetupSignalHandler(), o)
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %s\n", filepath.Base(os.Args[0]), err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o *options) error {
	zl := zap.New(zap.UseDevMode(o.debug))
	log := logging.NewLogrLogger(zl.WithName("provider-regionpool"))
	if o.debug {
		ctrl.SetLogger(zl)
		klog.SetLogger(zl)
	} else {
		// controller-runtime is chatty, and what it says is for developers.
		ctrl.SetLogger(zap.New(zap.WriteTo(io.Discard)))
	}

	cfg, err := ctrl.GetConfig()
	if err != nil {
		return errors.Wrap(err, "cannot get the kubeconfig")
	}

	mgr, err := newManager(cfg, o)
	if err != nil {
		return err
	}

	mr, state := managed.NewMRMetricRecorder(), statemetrics.NewMRStateMetrics()
	metrics.Registry.MustRegister(mr, state)

	co := controller.Options{
		Logger:                  log,
		MaxConcurrentReconciles: min(o.maxReconcileRate, 50),
		PollInterval:            o.poll,
		GlobalRateLimiter:       ratelimiter.NewGlobal(o.maxReconcileRate),
		Features:                &feature.Flags{},
		MetricOptions: &controller.MetricOptions{
			PollStateMetricInterval: o.pollStateMetric, MRMetrics: mr, MRStateMetrics: state,
		},
	}
	if o.managementPolicies {
		co.Features.Enable(feature.EnableBetaManagementPolicies)
		log.Info("Alpha or beta feature enabled", "flag", feature.EnableBetaManagementPolicies)
	}
	if o.changeLogs {
		co.Features.Enable(feature.EnableAlphaChangeLogs)
		log.Info("Alpha or beta feature enabled", "flag", feature.EnableAlphaChangeLogs)
		conn, err := grpc.NewClient("unix://"+o.changeLogsSocketPath, grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			return errors.Wrap(err, "cannot make a client of the change logs")
		}
		co.ChangeLogOptions = &controller.ChangeLogOptions{ChangeLogger: managed.NewGRPCChangeLogger(
			changelogsv1alpha1.NewChangeLogServiceClient(conn),
			managed.WithProviderVersion("provider-regionpool:"+version))}
	}

	po := setup.Options{
		PollInProgress: o.pollInProgress, ListLag: o.listLag,
		Market:        market.Options{Prices: o.priceInterval, Stock: o.stockInterval, Subnets: o.priceInterval, Stale: 3 * o.priceInterval},
		SweepInterval: o.sweepInterval, LeakGrace: o.leakGrace,
		Clock: clock.RealClock{},
	}
	canWatch, err := canWatchCRDs(ctx, mgr.GetConfig(), mgr.GetScheme())
	if err != nil {
		return errors.Wrap(err, "cannot find out whether CRDs may be watched")
	}
	if canWatch {
		co.Gate = setup.NewGate(ctx, mgr.GetRESTMapper())
		err = setup.Gated(mgr, co, po)
	} else {
		log.Info("No right to watch CustomResourceDefinitions: all controllers start at once")
		err = setup.All(mgr, co, po)
	}
	if err != nil {
		return errors.Wrap(err, "cannot set up the controllers")
	}
	log.Info("Starting", "version", version, "poll", o.poll.String(), "poll-in-progress", o.pollInProgress.String())
	return errors.Wrap(mgr.Start(ctx), "cannot run the manager")
}

func newManager(cfg *rest.Config, o *options) (ctrl.Manager, error) {
	s := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, apiextensionsv1.AddToScheme, apis.AddToScheme} {
		if err := add(s); err != nil {
			return nil, errors.Wrap(err, "cannot build the scheme")
		}
	}

	mgr, err := ctrl.NewManager(ratelimiter.LimitRESTConfig(cfg, o.maxReconcileRate), ctrl.Options{
		Scheme: s,
		Cache: cache.Options{
			SyncPeriod: &o.sync,
			ByObject: map[client.Object]cache.ByObject{
				// The gate needs names and conditions only. Schemas are large.
				&apiextensionsv1.CustomResourceDefinition{}: {Transform: customresourcesgate.TransformStripCRDSchema},
			},
		},
		Client: client.Options{Cache: &client.CacheOptions{
			// A cache would hold the Secrets of everybody.
			DisableFor: []client.Object{&corev1.Secret{}},
		}},
		Metrics:                metricsserver.Options{BindAddress: o.metricsAddress},
		HealthProbeBindAddress: o.healthAddress,

		// controller-runtime uses Events and ConfigMaps as well by default.
		LeaderElection:             o.leaderElection,
		LeaderElectionID:           "crossplane-leader-election-provider-regionpool",
		LeaderElectionNamespace:    o.leaderNamespace,
		LeaderElectionResourceLock: resourcelock.LeasesResourceLock,
		// Reconciles can overload the API server, so that a lease cannot be
		// renewed in time.
		LeaseDuration: ptr.To(60 * time.Second),
		RenewDeadline: ptr.To(50 * time.Second),
	})
	if err != nil {
		return nil, errors.Wrap(err, "cannot make the manager")
	}
	if err := mgr.AddHealthzCheck("ping", healthz.Ping); err != nil {
		return nil, errors.Wrap(err, "cannot add the health check")
	}
	if err := mgr.AddReadyzCheck("ping", healthz.Ping); err != nil {
		return nil, errors.Wrap(err, "cannot add the readiness check")
	}
	return mgr, nil
}

// canWatchCRDs asks for the rights that the gate needs.
func canWatchCRDs(ctx context.Context, cfg *rest.Config, s *runtime.Scheme) (bool, error) {
	c, err := client.New(cfg, client.Options{Scheme: s})
	if err != nil {
		return false, err
	}
	for _, verb := range []string{"get", "list", "watch"} {
		r := &authv1.SelfSubjectAccessReview{Spec: authv1.SelfSubjectAccessReviewSpec{
			ResourceAttributes: &authv1.ResourceAttributes{Group: "apiextensions.k8s.io", Resource: "customresourcedefinitions", Verb: verb},
		}}
		if err := c.Create(ctx, r); err != nil {
			return false, err
		}
		if !r.Status.Allowed {
			return false, nil
		}
	}
	return true, nil
}
