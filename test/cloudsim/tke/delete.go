package tke

import (
	"slices"
	"strings"

	"regionpool.io/provider-regionpool/test/cloudsim/faults"
	"regionpool.io/provider-regionpool/test/cloudsim/ledger"
)

type resourceOption struct {
	ResourceType, DeleteMode string
	SkipDeletionProtection   bool
}

// deletion is what DeleteCluster was asked to remove.
type deletion struct {
	terminate bool
	options   map[string]string // by resource type
	leave     []ledger.Kind     // by a fault
}

// leavable are the kinds a deletion was seen to leave behind.
var leavable = []ledger.Kind{
	ledger.EndpointCLB, ledger.ServiceCLB, ledger.CBS, ledger.ENI, ledger.SecurityGroup, ledger.ASGroup, ledger.LaunchConfig,
}

// deleteCluster takes the cluster. Load balancers of Services and disks of
// claims stay unless the caller asks for their end; with retain the nodes and
// the scaling groups stay as well.
func (s *Server) deleteCluster(c *call) (map[string]any, error) {
	var q struct {
		ClusterId, InstanceDeleteMode string
		ResourceDeleteOptions         []resourceOption
	}
	if err := decode(c, &q); err != nil {
		return nil, err
	}
	k, err := s.cluster(c, q.ClusterId)
	if err != nil {
		return nil, err
	}
	if q.InstanceDeleteMode != "terminate" && q.InstanceDeleteMode != "retain" {
		return nil, fail("InvalidParameter", "InstanceDeleteMode %q is not terminate or retain", q.InstanceDeleteMode)
	}
	d := &deletion{terminate: q.InstanceDeleteMode == "terminate", options: map[string]string{}}
	for _, o := range q.ResourceDeleteOptions {
		if !slices.Contains([]string{"CBS", "CLB", "CVM"}, o.ResourceType) {
			return nil, fail("InvalidParameter", "ResourceType %q is not CBS, CLB or CVM", o.ResourceType)
		}
		if o.DeleteMode != "terminate" && o.DeleteMode != "retain" {
			return nil, fail("InvalidParameter", "DeleteMode %q is not terminate or retain", o.DeleteMode)
		}
		d.options[o.ResourceType] = o.DeleteMode
	}
	if mode := d.options["CVM"]; mode != "" {
		d.terminate = mode == "terminate"
	}
	switch {
	case k.state != running && k.state != abnormal:
		return nil, s.clusterState(c, k.state)
	case k.protection:
		return nil, fail("OperationDenied.ClusterInDeletionProtection", "deletion protection of cluster %s is on", k.id)
	}
	for _, p := range k.pools {
		if p.protection {
			return nil, fail("FailedOperation.ClusterForbiddenToDelete", "deletion protection of node pool %s is on", p.id)
		}
	}
	for _, p := range k.superPools {
		if p.protection {
			return nil, fail("FailedOperation.ClusterForbiddenToDelete", "deletion protection of super node pool %s is on", p.id)
		}
	}
	if f := s.take(faults.DependencyViolation, c); f != nil {
		return nil, fail(f.Arg("code", "FailedOperation.ClusterForbiddenToDelete"), "the cluster still has resources that depend on it")
	}

	before := k.state
	k.state, k.deletion = deleting, d
	s.publish(k)
	if s.take(faults.StuckTask, c) != nil {
		return nil, nil
	}
	if f := s.take(faults.LeaveBehind, c); f != nil {
		d.leave = leavable
		if kinds := f.Arg("kinds", ""); kinds != "" {
			d.leave = nil
			for _, kind := range strings.Split(kinds, ",") {
				d.leave = append(d.leave, ledger.Kind(kind))
			}
		}
	}
	total := s.latency("delete-cluster", s.conf.Latencies.DeleteCluster)
	switch {
	case s.take(faults.TaskSuccessButUnchanged, c) != nil:
		s.After(total, func() {
			k.state = before
			s.publish(k)
		})
	case s.take(faults.DeleteFailed, c) != nil || s.take(faults.TaskFail, c) != nil:
		s.After(total, func() {
			k.state = abnormal
			s.publish(k)
		})
	default:
		s.After(total/3, func() { s.stopBackend(k) })
		s.After(total*2/3, func() { s.dropNodes(k) })
		s.After(total, func() { s.deleted(k) })
	}
	return nil, nil
}

func (s *Server) stopBackend(k *cluster) {
	s.End(k.id)
	if k.backend == nil {
		return
	}
	b := k.backend
	s.Work(b.Delete, func(err error) {
		if err != nil {
			s.log.Error("Cannot delete backend of cluster", "cluster", k.id, "error", err)
		}
	})
}

// dropNodes takes the nodes and node pools of a cluster that is being deleted.
// PrePaid nodes are never released.
func (s *Server) dropNodes(k *cluster) {
	for _, i := range k.members {
		if k.deletion.terminate && i.charge != prepaid {
			s.destroy(i)
		} else {
			s.detach(i)
		}
	}
	for _, p := range k.sortedPools() {
		s.removePool(p, k.deletion.terminate && !slices.Contains(k.deletion.leave, ledger.ASGroup))
	}
	for _, p := range k.superPools {
		s.removeSuperPool(p)
	}
}

// deleted ends a cluster. Network parts outlive it for a while.
func (s *Server) deleted(k *cluster) {
	k.gone = true
	delete(s.clusters, k.id)
	s.publish(k)
	for _, o := range s.Ledger.Live(func(o ledger.Object) bool { return o.Cluster == k.id && !slices.Contains(k.deletion.leave, o.Kind) }) {
		switch o.Kind {
		case ledger.Cluster:
			s.Ledger.Release(o.ID)
		case ledger.EndpointCLB, ledger.ENI, ledger.SecurityGroup:
			s.tail(o.ID)
		case ledger.ServiceCLB:
			if k.deletion.options["CLB"] == "terminate" {
				s.tail(o.ID)
			}
		case ledger.CBS:
			if o.Attrs["claim"] != "" && k.deletion.options["CBS"] == "terminate" {
				s.tail(o.ID)
			}
		}
	}
}

// tail releases an object some time after its cluster.
func (s *Server) tail(id string) {
	s.Ledger.Releasing(id)
	s.After(s.latency("tail", s.conf.Latencies.Tail), func() { s.Ledger.Release(id) })
}
