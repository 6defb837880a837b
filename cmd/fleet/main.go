// Fleet places the workloads of region pools into member clusters and plans the
// capacity they need. It runs against a Karmada API.
package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/alecthomas/kingpin/v2"
	clusterv1alpha1 "github.com/karmada-io/karmada/pkg/apis/cluster/v1alpha1"
	policyv1alpha1 "github.com/karmada-io/karmada/pkg/apis/policy/v1alpha1"
	workv1alpha2 "github.com/karmada-io/karmada/pkg/apis/work/v1alpha2"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"regionpool.io/provider-regionpool/apis/fleet/crds"
	fleetv1alpha1 "regionpool.io/provider-regionpool/apis/fleet/v1alpha1"
	"regionpool.io/provider-regionpool/internal/fleet/controller"
	"regionpool.io/provider-regionpool/internal/fleet/estimator"
	"regionpool.io/provider-regionpool/internal/fleet/planner"
	"regionpool.io/provider-regionpool/internal/fleet/scheduler"
)

type flags struct {
	kubeconfig     string
	metricsAddress string
	healthAddress  string
	leaderElection bool
	pools          []string
	debug          bool
	scheduler      scheduler.Settings
	planner        planner.Settings
	estimator      estimatorFlags
}

func parse(args []string) (flags, error) {
	f := flags{scheduler: scheduler.DefaultSettings, planner: planner.DefaultSettings}
	app := kingpin.New(filepath.Base(args[0]), "Places the workloads of region pools and plans the capacity they need.").DefaultEnvars()
	app.Flag("kubeconfig", "Path to a kubeconfig of the Karmada API. Without it the in-cluster configuration is used.").Envar("KUBECONFIG").StringVar(&f.kubeconfig)
	app.Flag("metrics-bind-address", "Address of metrics, of /debug/decisions, and of /explain and /whatif, which answer the same machine only; 0 turns them off.").Default(":8080").StringVar(&f.metricsAddress)
	app.Flag("health-probe-bind-address", "Address of the health probes; 0 turns them off.").Default(":8081").StringVar(&f.healthAddress)
	app.Flag("leader-election", "Let one of several fleets decide.").BoolVar(&f.leaderElection)
	app.Flag("pool", "Serve only this pool, by the name of its CapacityPlan; repeat it for more. Without it all pools are served. Pools that share members need the same fleet.").StringsVar(&f.pools)
	app.Flag("debug", "Log more.").Short('d').BoolVar(&f.debug)
	app.Flag("stuck-after", "How long a pod must be unschedulable before its replica is placed anew.").Default(f.scheduler.StuckAfter.String()).DurationVar(&f.scheduler.StuckAfter)
	app.Flag("move-timeout", "How long substitutes may take to become Ready before a move is undone.").Default(f.scheduler.MoveTimeout.String()).DurationVar(&f.scheduler.MoveTimeout)
	app.Flag("node-arrival-timeout", "How long an ordered node may take to become Ready before another offering is tried.").Default(f.planner.Arrival.String()).DurationVar(&f.planner.Arrival)
	app.Flag("cluster-build-timeout", "The same if its cluster has to be made first.").Default(f.planner.Build.String()).DurationVar(&f.planner.Build)
	app.Flag("offering-avoid", "For how long an offering that did not deliver is not ordered.").Default(f.planner.Avoid.String()).DurationVar(&f.planner.Avoid)
	app.Flag("settle-time", "How long replicas wait before they go to the cloud, as long as a self-built member has room for them that only pods on their way will take.").Default(f.scheduler.SettleTime.String()).DurationVar(&f.scheduler.SettleTime)
	app.Flag("outage-grace", "How long a self-built member must be silent before capacity is ordered for replicas that could run there.").Default(f.scheduler.OutageGrace.String()).DurationVar(&f.scheduler.OutageGrace)
	app.Flag("shortage-avoid", "For how long an offering that its cloud could not deliver is not ordered. It doubles each time.").Default(f.planner.Shortage.String()).DurationVar(&f.planner.Shortage)
	app.Flag("joint-time", "How long a better placement of all waiting workloads is looked for than one by one; 0 for as long as it takes.").Default(f.scheduler.JointTime.String()).DurationVar(&f.scheduler.JointTime)
	app.Flag("joint-steps", "How many placements are tried at most; 0 for none.").Default(strconv.Itoa(f.scheduler.JointSteps)).IntVar(&f.scheduler.JointSteps)
	f.estimator.add(app)
	if _, err := app.Parse(args[1:]); err != nil {
		return f, err
	}
	if len(f.pools) > 0 && f.estimator.address != "" {
		return f, errors.New("a fleet of some pools cannot serve estimates: it would take away the Services of the members of others")
	}
	return f, nil
}

func main() {
	f, err := parse(os.Args)
	kingpin.FatalIfError(err, "Cannot parse flags")
	log := zap.New(zap.UseDevMode(f.debug))
	ctrl.SetLogger(log)
	kingpin.FatalIfError(run(ctrl.SetupSignalHandler(), f), "Cannot run fleet")
}

func newScheme() (*runtime.Scheme, error) {
	s := runtime.NewScheme()
	b := runtime.NewSchemeBuilder(corev1.AddToScheme, coordinationv1.AddToScheme, apiextensionsv1.AddToScheme, clusterv1alpha1.Install, policyv1alpha1.Install, workv1alpha2.Install, fleetv1alpha1.AddToScheme)
	if err := b.AddToScheme(s); err != nil {
		return nil, fmt.Errorf("cannot build the scheme: %w", err)
	}
	return s, nil
}

func config(path string) (*rest.Config, error) {
	if path == "" {
		cfg, err := rest.InClusterConfig()
		if err != nil {
			return nil, fmt.Errorf("cannot get the in-cluster configuration: %w", err)
		}
		return cfg, nil
	}
	cfg, err := clientcmd.BuildConfigFromFlags("", path)
	if err != nil {
		return nil, fmt.Errorf("cannot load the kubeconfig: %w", err)
	}
	return cfg, nil
}

// leaseName is where the fleets that serve the same pools elect their leader: a
// fleet of other pools needs one of its own.
func leaseName(pools []string) string {
	const name = "regionpool-fleet"
	if len(pools) == 0 {
		return name
	}
	pools = slices.Compact(slices.Sorted(slices.Values(pools)))
	sum := sha256.Sum256([]byte(strings.Join(pools, "/")))
	return name + "-" + hex.EncodeToString(sum[:5])
}

func run(ctx context.Context, f flags) error {
	cfg, err := config(f.kubeconfig)
	if err != nil {
		return err
	}
	// Priority and fairness in the API server is the limit; one here would be
	// a queue before every decision.
	cfg.QPS = -1
	scheme, err := newScheme()
	if err != nil {
		return err
	}
	boot, err := client.New(cfg, client.Options{Scheme: scheme})
	if err != nil {
		return fmt.Errorf("cannot make a client of the Karmada API: %w", err)
	}
	if err := controller.InstallCRDs(ctx, boot, crds.FS); err != nil {
		return err
	}
	ofPools, err := labels.Parse(fleetv1alpha1.LabelPool)
	if err != nil {
		return fmt.Errorf("cannot select the policies of pools: %w", err)
	}
	ofEstimator, err := labels.Parse(estimator.LabelEstimator)
	if err != nil {
		return fmt.Errorf("cannot select the services of estimators: %w", err)
	}
	mgr, err := ctrl.NewManager(cfg, ctrl.Options{
		Scheme: scheme,
		Cache: cache.Options{
			DefaultTransform: cache.TransformStripManagedFields(),
			// Only fleet's own policies and services have the label.
			ByObject: map[client.Object]cache.ByObject{&policyv1alpha1.OverridePolicy{}: {Label: ofPools}, &corev1.Service{}: {Label: ofEstimator}},
		},
		Metrics:                       metricsserver.Options{BindAddress: f.metricsAddress},
		HealthProbeBindAddress:        f.healthAddress,
		LeaderElection:                f.leaderElection,
		LeaderElectionID:              leaseName(f.pools),
		LeaderElectionNamespace:       controller.LeaseNamespace,
		LeaderElectionReleaseOnCancel: true,
		GracefulShutdownTimeout:       ptr.To(10 * time.Second),
	})
	if err != nil {
		return fmt.Errorf("cannot make a manager: %w", err)
	}
	decisions := &controller.Decisions{}
	fleet, err := controller.New(controller.Options{
		Client: mgr.GetClient(), Live: mgr.GetAPIReader(), Cache: mgr.GetCache(),
		Events: mgr.GetEventRecorder("regionpool-fleet"), Log: mgr.GetLogger().WithName("fleet"),
		Decisions: decisions, Scheduler: f.scheduler, Planner: f.planner,
		Name:        leaseName(f.pools),
		Pools:       f.pools,
		AllClusters: f.estimator.address != "" && f.estimator.all,
	})
	if err != nil {
		return err
	}
	if err := mgr.Add(fleet); err != nil {
		return fmt.Errorf("cannot add the fleet: %w", err)
	}
	if err := f.estimator.setup(mgr, fleet); err != nil {
		return err
	}
	if f.metricsAddress != "0" {
		if err := mgr.AddMetricsServerExtraHandler("/debug/decisions", decisions); err != nil {
			return fmt.Errorf("cannot serve decisions: %w", err)
		}
		for path, h := range fleet.Questions() {
			if err := mgr.AddMetricsServerExtraHandler(path, h); err != nil {
				return fmt.Errorf("cannot serve %s: %w", path, err)
			}
		}
	}
	if err := mgr.AddHealthzCheck("ping", healthz.Ping); err != nil {
		return fmt.Errorf("cannot add a health check: %w", err)
	}
	if err := mgr.AddReadyzCheck("ping", healthz.Ping); err != nil {
		return fmt.Errorf("cannot add a readiness check: %w", err)
	}
	if err := mgr.Start(ctx); err != nil {
		return fmt.Errorf("cannot run the manager: %w", err)
	}
	return nil
}
