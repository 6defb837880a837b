package main

import (
	"fmt"
	"time"

	"github.com/alecthomas/kingpin/v2"
	ctrl "sigs.k8s.io/controller-runtime"

	"regionpool.io/provider-regionpool/internal/fleet/controller"
	"regionpool.io/provider-regionpool/internal/fleet/estimator"
)

// estimatorFlags say whether, and where, fleet serves Karmada's estimator API.
type estimatorFlags struct {
	address   string
	certDir   string
	budget    time.Duration
	target    string
	namespace string
	prefix    string
	port      int32
	all       bool
}

func (e *estimatorFlags) add(app *kingpin.Application) {
	app.Flag("estimator-address", "Address on which to serve Karmada's estimator API, for workloads that karmada-scheduler places; without it that is off.").StringVar(&e.address)
	app.Flag("estimator-cert-dir", "Folder with tls.crt and tls.key for that address, and ca.crt if clients must have a certificate. Without it connections are not encrypted.").StringVar(&e.certDir)
	app.Flag("estimator-budget", "How long an estimate may take. It must be less than karmada-scheduler's --scheduler-estimator-timeout.").Default(estimator.DefaultBudget.String()).DurationVar(&e.budget)
	app.Flag("estimator-target", "Host, or host:port, at which karmada-scheduler reaches that address. Fleet makes a Service for each cluster of a pool that leads there; without a target that is left to you.").StringVar(&e.target)
	app.Flag("estimator-service-namespace", "Namespace of these Services: karmada-scheduler's --scheduler-estimator-service-namespace.").Default(estimator.DefaultNamespace).StringVar(&e.namespace)
	app.Flag("estimator-service-prefix", "Prefix of their names: karmada-scheduler's --scheduler-estimator-service-prefix.").Default(estimator.DefaultPrefix).StringVar(&e.prefix)
	app.Flag("estimator-service-port", "Their port: karmada-scheduler's --scheduler-estimator-port.").Default(fmt.Sprint(estimator.DefaultPort)).Int32Var(&e.port)
	app.Flag("estimator-all-clusters", "Watch clusters outside of pools as well, and make such a Service for them. Without an estimator for each of its clusters karmada-scheduler ignores all estimates for a workload.").BoolVar(&e.all)
}

// setup adds the estimator to a manager, if it is on.
func (e *estimatorFlags) setup(mgr ctrl.Manager, fleet *controller.Fleet) error {
	if e.address == "" {
		return nil
	}
	log := mgr.GetLogger().WithName("estimator")
	s := estimator.New(estimator.Options{
		Members: fleet.Members(), Held: fleet.Held, Client: mgr.GetClient(), Live: mgr.GetAPIReader(), Cache: mgr.GetCache(),
		Address: e.address, CertDir: e.certDir, Budget: e.budget, Log: log,
	})
	if err := mgr.Add(s); err != nil {
		return fmt.Errorf("cannot add the estimator: %w", err)
	}
	if e.target == "" {
		return nil
	}
	host, port, err := estimator.Target(e.target, e.address)
	if err != nil {
		return err
	}
	a := &estimator.Announcer{
		Client: mgr.GetClient(), Live: mgr.GetAPIReader(), Host: host, TargetPort: port,
		Namespace: e.namespace, Prefix: e.prefix, Port: e.port, All: e.all, Log: log,
	}
	return a.SetupWithManager(mgr)
}
