package estimator

import (
	"github.com/prometheus/client_golang/prometheus"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
)

var (
	estimates = prometheus.NewCounterVec(prometheus.CounterOpts{
		Namespace: "regionpool", Subsystem: "estimator", Name: "answers_total",
		Help: "Answers to karmada-scheduler, by whether they are exact, a number that fits at least, or that nothing is known.",
	}, []string{"method", "outcome"})
	estimateSeconds = prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Namespace: "regionpool", Subsystem: "estimator", Name: "answer_seconds",
		Help:    "Time to answer karmada-scheduler about one member.",
		Buckets: prometheus.ExponentialBuckets(.0005, 2, 14),
	}, []string{"method"})
)

func init() {
	metrics.Registry.MustRegister(estimates, estimateSeconds)
}
