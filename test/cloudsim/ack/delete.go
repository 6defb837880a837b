package ack

import (
	"net/http"
	"slices"
	"strings"

	"regionpool.io/provider-regionpool/test/cloudsim/faults"
	"regionpool.io/provider-regionpool/test/cloudsim/ledger"
)

type deleteOption struct {
	ResourceType string `json:"resource_type"`
	DeleteMode   string `json:"delete_mode"`
}

// deletion is what DeleteCluster was asked to keep and to remove.
type deletion struct {
	options   map[string]string // by resource type
	retain    []string
	retainAll bool
	// leave is a fault: kinds that are left behind.
	leave []ledger.Kind
}

// leavable kinds outlive a cluster if a fault says so.
var leavable = []ledger.Kind{ledger.NAT, ledger.NATEIP, ledger.APISLB, ledger.APIEIP, ledger.IngressSLB, ledger.ENI, ledger.SecurityGroup, ledger.ServiceSLB}

// deleteCluster takes the cluster with its node pools and pay-as-you-go nodes.
// SLBs of Services, log projects, PrePaid nodes and disks of claims stay, unless
// the caller asked for their deletion where that can be asked.
func (s *Server) deleteCluster(c *call) (int, any, error) {
	k, err := s.cluster(c)
	if err != nil {
		return 0, nil, err
	}
	var opts []deleteOption
	d := deletion{options: map[string]string{}}
	if err := queryJSON(c, "delete_options", &opts); err != nil {
		return 0, nil, err
	}
	for _, o := range opts {
		if !slices.Contains([]string{"SLB", "ALB", "SLS_Data", "SLS_ControlPlane", "PrivateZone"}, o.ResourceType) {
			return 0, nil, invalid("DeleteOptions", "resource_type %q is not supported", o.ResourceType)
		}
		if o.DeleteMode != "delete" && o.DeleteMode != "retain" {
			return 0, nil, invalid("DeleteOptions", "delete_mode %q is not delete or retain", o.DeleteMode)
		}
		d.options[o.ResourceType] = o.DeleteMode
	}
	if err := queryJSON(c, "retain_resources", &d.retain); err != nil {
		return 0, nil, err
	}
	if d.retainAll, err = queryBool(c, "retain_all_resources", false); err != nil {
		return 0, nil, err
	}
	if _, asked := d.options["SLB"]; !asked && s.Config.Switches.ServiceSLBDeletedByDefault {
		d.options["SLB"] = "delete"
	}

	switch {
	case k.state != running && k.state != failedState && k.state != deleteFailed:
		return 0, nil, clusterState(k.state)
	case k.protection:
		return 0, nil, fail(http.StatusBadRequest, "OperationDenied.DeletionProtection", "deletion protection of cluster %s is on", k.id)
	case s.take(faults.DependencyViolation, c) != nil:
		return 0, nil, dependencyViolation()
	}
	services := s.Ledger.Live(func(o ledger.Object) bool { return o.Cluster == k.id && o.Kind == ledger.ServiceSLB })
	if len(services) > 0 && d.options["SLB"] == "" && k.refusals < s.Config.Switches.DependencyRefusals {
		k.refusals++
		return 0, nil, dependencyViolation()
	}

	before := k.state
	k.state = deleting
	s.touch(k)
	t := s.begin(c, "cluster_delete", k.id, "cluster", k.id)
	s.enter(t, "DeleteCluster")
	broken := s.take(faults.DeleteFailed, c) != nil || t.outcome == failing
	if f := s.take(faults.LeaveBehind, c); f != nil {
		d.leave = leavable
		if kinds := f.Arg("kinds", ""); kinds != "" {
			d.leave = nil
			for _, kind := range strings.Split(kinds, ",") {
				d.leave = append(d.leave, ledger.Kind(kind))
			}
		}
	}
	total := s.Latency("delete-cluster", s.Config.Latencies.DeleteCluster)
	switch {
	case t.outcome == unchanged:
		s.later(t, total, func() {
			k.state = before
			s.finish(t, nil)
			s.touch(k)
		})
	case broken:
		s.later(t, total, func() {
			k.state = deleteFailed
			s.finish(t, &taskError{Code: "ErrorDeleteCluster", Message: "the cluster could not be deleted"})
			s.touch(k)
		})
	default:
		s.later(t, total/3, func() { s.stopBackend(k, d) })
		s.later(t, total*2/3, func() { s.dropPools(k, d) })
		s.later(t, total, func() {
			s.deleted(k, d)
			s.finish(t, nil)
		})
	}
	return http.StatusAccepted, map[string]any{"cluster_id": k.id, "request_id": c.id, "task_id": t.id}, nil
}

func dependencyViolation() *apiError {
	return fail(http.StatusBadRequest, "DependencyViolation.Resource", "the cluster still has resources that depend on it")
}

func (s *Server) stopBackend(k *cluster, d deletion) {
	if slices.Contains(d.leave, ledger.ECIPod) {
		s.virtual.Abandon(k.id)
	} else {
		s.virtual.End(k.id)
	}
	if k.backend != nil {
		b := k.backend
		s.Work(b.Delete, func(err error) {
			if err != nil {
				s.log.Error("Cannot delete backend of cluster", "cluster", k.id, "error", err)
			}
		})
	}
}

// dropPools releases the nodes of a cluster that is being deleted.
func (s *Server) dropPools(k *cluster, d deletion) {
	for _, p := range k.sortedPools() {
		for _, i := range p.sorted() {
			keep := d.retainAll || slices.Contains(d.retain, i.id)
			s.drop(p, i, !keep && i.charge != "PrePaid")
		}
		s.removePool(p)
	}
}

// deleted ends a cluster. Network parts outlive it for a while.
func (s *Server) deleted(k *cluster, d deletion) {
	k.gone = true
	delete(s.clusters, k.id)
	s.publish(k)
	for _, o := range s.Ledger.Live(func(o ledger.Object) bool { return o.Cluster == k.id }) {
		if d.retainAll && o.Kind != ledger.Cluster || slices.Contains(d.retain, o.ID) || slices.Contains(d.leave, o.Kind) {
			continue
		}
		switch o.Kind {
		case ledger.Cluster, ledger.RAMRole:
			s.Ledger.Release(o.ID)
		case ledger.NAT, ledger.NATEIP, ledger.APISLB, ledger.APIEIP, ledger.IngressSLB, ledger.ENI, ledger.SecurityGroup:
			s.tail(o.ID)
		case ledger.ServiceSLB:
			if d.options["SLB"] == "delete" {
				s.tail(o.ID)
			}
		case ledger.SLSProject:
			if d.options["SLS_Data"] == "delete" {
				s.tail(o.ID)
			}
		}
	}
}

// tail releases an object some time after its cluster.
func (s *Server) tail(id string) {
	s.Ledger.Releasing(id)
	s.After(s.Latency("tail", s.Config.Latencies.Tail), func() { s.Ledger.Release(id) })
}
