// Package ack holds what the drivers of the ack group have in common.
package ack

import (
	"context"
	"regexp"

	"regionpool.io/provider-regionpool/apis/v1alpha1"
	"regionpool.io/provider-regionpool/internal/clients/ack"
	"regionpool.io/provider-regionpool/internal/clients/cloud"
	"regionpool.io/provider-regionpool/internal/clients/kube"
	"regionpool.io/provider-regionpool/internal/controller/elastic"
)

// A ClientFn makes a client of ACK for a region.
type ClientFn func(spec *v1alpha1.ProviderConfigSpec, raw []byte, region string) (ack.API, error)

// An API of ACK, in the words of the controllers.
type API struct{ ack.API }

// Task of ACK.
func (a API) Task(ctx context.Context, kind, id string) (*elastic.Task, error) {
	t, err := a.GetTask(ctx, id)
	if err != nil {
		return nil, err
	}
	out := &elastic.Task{Stage: t.Stage, Done: t.Done()}
	if t.Failed() {
		out.Failed = ack.TaskError(kind, t)
	}
	return out, nil
}

// FetchKubeconfig of a cluster, with the public or the private address.
func (a API) FetchKubeconfig(ctx context.Context, id string, public bool) (kube.Kubeconfig, error) {
	kc, err := a.Kubeconfig(ctx, id, ack.KubeconfigTTL, !public)
	if err != nil {
		return kube.Kubeconfig{}, err
	}
	return kube.Kubeconfig{Config: kc.Config, Expires: kc.Expires}, nil
}

// Phase that a state of a cluster means.
func Phase(state string) elastic.Phase {
	switch state {
	case ack.ClusterInitial:
		return elastic.PhaseBuilding
	case ack.ClusterRunning:
		return elastic.PhaseRunning
	case ack.ClusterScaling:
		return elastic.PhaseScaling
	case ack.ClusterUpdating, ack.ClusterWaiting, "upgrading", "updating_failed", "upgrade_failed":
		return elastic.PhaseChanging
	case ack.ClusterFailed:
		return elastic.PhaseFailed
	case ack.ClusterDeleting:
		return elastic.PhaseDeleting
	case ack.ClusterDeleteFailed:
		return elastic.PhaseDeleteFailed
	default:
		return elastic.PhaseOther
	}
}

// Absent reports whether an error is the proof that a cluster does not exist.
func Absent(err error) bool { return cloud.IsCode(err, ack.CodeClusterNotFound) }

var (
	instanceType = regexp.MustCompile(`\becs\.[a-z0-9-]+\.[a-z0-9]+\b`)
	zone         = regexp.MustCompile(`\b[a-z]{2}-[a-z]+(-\d+)?-[a-z]\b`)
)

// Shortage of what an error names.
func Shortage(err error) v1alpha1.Shortage {
	return v1alpha1.Shortage{InstanceType: instanceType.FindString(err.Error()), Zone: zone.FindString(err.Error())}
}
