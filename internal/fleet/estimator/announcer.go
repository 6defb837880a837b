package estimator

import (
	"context"
	"fmt"
	"net"
	"strconv"

	"github.com/go-logr/logr"
	clusterv1alpha1 "github.com/karmada-io/karmada/pkg/apis/cluster/v1alpha1"
	"github.com/karmada-io/karmada/pkg/util/names"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation"
	applycorev1 "k8s.io/client-go/applyconfigurations/core/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	fleetv1alpha1 "regionpool.io/provider-regionpool/apis/fleet/v1alpha1"
)

const (
	// LabelEstimator is on the Services that an Announcer makes, with the name
	// of the cluster.
	LabelEstimator = "fleet.regionpool.io/estimator"

	// DefaultPort, DefaultNamespace and DefaultPrefix are those of
	// karmada-scheduler's flags --scheduler-estimator-port, -service-namespace
	// and -service-prefix.
	DefaultPort      = 10352
	DefaultNamespace = names.NamespaceKarmadaSystem
	DefaultPrefix    = names.KarmadaSchedulerEstimatorComponentName

	// fieldOwner of the Services.
	fieldOwner = "regionpool-estimator"
)

// An Announcer tells karmada-scheduler where the estimator of each cluster of a
// pool is. It looks for a Service of type ExternalName named after the cluster,
// with a port that has the number of its flag and a numeric target port
// (resolveCluster of pkg/estimator/client/service.go).
type Announcer struct {
	// Client of the Karmada API. Live reads Services that are not ours.
	Client client.Client
	Live   client.Reader

	// Host and TargetPort at which karmada-scheduler reaches fleet.
	Host       string
	TargetPort int32
	// Namespace, Prefix and Port by which karmada-scheduler looks for
	// estimators.
	Namespace, Prefix string
	Port              int32
	// All clusters are announced, not only those of pools.
	All bool

	Log logr.Logger
}

// Target parses where karmada-scheduler reaches fleet: a host, or host:port if
// the port is another than that of the address fleet listens on.
func Target(target, address string) (string, int32, error) {
	host, raw, err := net.SplitHostPort(target)
	if err != nil {
		host = target
		if _, raw, err = net.SplitHostPort(address); err != nil {
			return "", 0, fmt.Errorf("cannot parse the estimator's address: %w", err)
		}
	}
	port, err := strconv.ParseInt(raw, 10, 32)
	if err != nil || port < 1 || port > 65535 {
		return "", 0, fmt.Errorf("cannot parse port %q of the estimator", raw)
	}
	if len(validation.IsDNS1123Subdomain(host)) > 0 {
		return "", 0, fmt.Errorf("%q is no host name that a Service can lead to", host)
	}
	return host, int32(port), nil
}

// SetupWithManager has the manager call the Announcer when clusters come, go or
// join a pool, and when one of its Services changes.
func (a *Announcer) SetupWithManager(mgr ctrl.Manager) error {
	relabelled := predicate.Funcs{UpdateFunc: func(u event.UpdateEvent) bool {
		return u.ObjectOld.GetLabels()[fleetv1alpha1.LabelPool] != u.ObjectNew.GetLabels()[fleetv1alpha1.LabelPool]
	}}
	cluster := func(_ context.Context, o client.Object) []reconcile.Request {
		if name := o.GetLabels()[LabelEstimator]; name != "" {
			return []reconcile.Request{{NamespacedName: types.NamespacedName{Name: name}}}
		}
		return nil
	}
	err := ctrl.NewControllerManagedBy(mgr).Named("estimator").
		For(&clusterv1alpha1.Cluster{}, builder.WithPredicates(relabelled)).
		Watches(&corev1.Service{}, handler.EnqueueRequestsFromMapFunc(cluster)).
		Complete(a)
	if err != nil {
		return fmt.Errorf("cannot make the controller of estimators: %w", err)
	}
	return nil
}

// Reconcile makes or removes the Service of a cluster.
func (a *Announcer) Reconcile(ctx context.Context, req reconcile.Request) (reconcile.Result, error) {
	key := client.ObjectKey{Namespace: a.Namespace, Name: names.GenerateEstimatorServiceName(a.Prefix, req.Name)}
	log := a.Log.WithValues("cluster", req.Name, "service", key.String())
	wanted, err := a.wanted(ctx, req.Name)
	if err != nil {
		return reconcile.Result{}, err
	}
	have := &corev1.Service{}
	err = a.Live.Get(ctx, key, have)
	exists := err == nil
	if err != nil && !apierrors.IsNotFound(err) {
		return reconcile.Result{}, fmt.Errorf("cannot read the Service of the estimator of %q: %w", req.Name, err)
	}
	if exists && have.Labels[LabelEstimator] != req.Name {
		if wanted {
			log.Info("Somebody else serves estimates for this cluster; fleet does not")
		}
		return reconcile.Result{}, nil
	}
	if !wanted {
		if !exists || have.DeletionTimestamp != nil {
			return reconcile.Result{}, nil
		}
		if err := a.Client.Delete(ctx, have, client.Preconditions{UID: &have.UID}); client.IgnoreNotFound(err) != nil {
			return reconcile.Result{}, fmt.Errorf("cannot delete the Service of the estimator of %q: %w", req.Name, err)
		}
		return reconcile.Result{}, nil
	}
	if exists && a.leads(have) {
		return reconcile.Result{}, nil
	}
	if errs := validation.IsDNS1035Label(key.Name); len(errs) > 0 {
		// Karmada's own estimators have the same limit.
		log.Info("The name of this cluster is too long for a Service, so karmada-scheduler has no estimator for it", "reason", errs[0])
		return reconcile.Result{}, nil
	}
	if err := a.Client.Apply(ctx, a.service(key, req.Name), client.FieldOwner(fieldOwner), client.ForceOwnership); err != nil {
		return reconcile.Result{}, fmt.Errorf("cannot apply the Service of the estimator of %q: %w", req.Name, err)
	}
	return reconcile.Result{}, nil
}

func (a *Announcer) wanted(ctx context.Context, name string) (bool, error) {
	c := &clusterv1alpha1.Cluster{}
	if err := a.Client.Get(ctx, client.ObjectKey{Name: name}, c); err != nil {
		if apierrors.IsNotFound(err) {
			return false, nil
		}
		return false, fmt.Errorf("cannot read cluster %q: %w", name, err)
	}
	return a.All || c.Labels[fleetv1alpha1.LabelPool] != "", nil
}

// leads reports whether a Service leads to fleet.
func (a *Announcer) leads(s *corev1.Service) bool {
	return s.Spec.Type == corev1.ServiceTypeExternalName && s.Spec.ExternalName == a.Host && len(s.Spec.Ports) == 1 &&
		s.Spec.Ports[0].Port == a.Port && s.Spec.Ports[0].TargetPort == intstr.FromInt32(a.TargetPort)
}

func (a *Announcer) service(key client.ObjectKey, cluster string) *applycorev1.ServiceApplyConfiguration {
	return applycorev1.Service(key.Name, key.Namespace).WithLabels(map[string]string{LabelEstimator: cluster}).WithSpec(
		applycorev1.ServiceSpec().WithType(corev1.ServiceTypeExternalName).WithExternalName(a.Host).WithPorts(
			applycorev1.ServicePort().WithName("grpc").WithPort(a.Port).WithTargetPort(intstr.FromInt32(a.TargetPort)).WithProtocol(corev1.ProtocolTCP)))
}
