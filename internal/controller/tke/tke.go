// Package tke holds what the drivers of the tke group have in common.
package tke

import (
	"context"
	"time"

	"regionpool.io/provider-regionpool/apis/v1alpha1"
	"regionpool.io/provider-regionpool/internal/clients/cloud"
	"regionpool.io/provider-regionpool/internal/clients/kube"
	"regionpool.io/provider-regionpool/internal/clients/tke"
	"regionpool.io/provider-regionpool/internal/controller/elastic"
)

// A Client of TKE, and of the products that hold what TKE makes.
type Client interface {
	tke.API
	tke.Inventory
}

// A ClientFn makes a client of TKE for a region.
type ClientFn func(spec *v1alpha1.ProviderConfigSpec, raw []byte, region string) (Client, error)

// never is when the kubeconfig of an administrator ends whose certificate does
// not tell.
var never = time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC)

// FetchKubeconfig of a cluster: with the public address if that is asked for and
// there is one, else with the private one.
func FetchKubeconfig(ctx context.Context, api tke.API, id string, public bool) (kube.Kubeconfig, error) {
	raw, err := api.Kubeconfig(ctx, id, public)
	if public && cloud.IsCode(err, tke.CodeNoEndpoint) {
		raw, err = api.Kubeconfig(ctx, id, false)
	}
	if err != nil {
		return kube.Kubeconfig{}, err
	}
	kc := kube.Kubeconfig{Config: raw, Expires: kube.Expiry(raw)}
	if kc.Expires.IsZero() {
		kc.Expires = never
	}
	return kc, nil
}

// Phase that a state of a cluster means.
func Phase(state string) elastic.Phase {
	switch state {
	case tke.ClusterTrading, tke.ClusterCreating:
		return elastic.PhaseBuilding
	case tke.ClusterRunning:
		return elastic.PhaseRunning
	case "Scaling":
		return elastic.PhaseScaling
	case "Upgrading", "NodeUpgrading", "RuntimeUpgrading", "MasterScaling", "ClusterLevelUpgrading", "Recovering":
		return elastic.PhaseChanging
	case tke.ClusterDeleting:
		return elastic.PhaseDeleting
	default:
		// Idling and Isolated are asleep or unpaid. Abnormal says no more than that
		// something is wrong.
		return elastic.PhaseOther
	}
}

// Absent reports whether an error is the proof that a cluster does not exist:
// TKE lists none of that id.
func Absent(err error) bool { return cloud.IsCode(err, tke.CodeClusterAbsent) }
