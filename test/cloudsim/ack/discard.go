package ack

import (
	"regionpool.io/provider-regionpool/test/cloudsim/ledger"
)

// Discard releases what another API deletes. An instance that belongs to a pool
// is replaced by the scaling group.
func (s *Server) Discard(o ledger.Object) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch o.Kind {
	case ledger.ECS:
		s.discardInstance(o)
	case ledger.ECIPod:
		s.virtual.Kill(o.ID)
	case ledger.ServiceSLB, ledger.DataDisk:
		for key, r := range s.extra {
			if r.id == o.ID {
				delete(s.extra, key)
			}
		}
		s.Ledger.Release(o.ID)
	default:
		s.Ledger.Release(o.ID)
	}
}

func (s *Server) discardInstance(o ledger.Object) {
	if d, ok := s.detached[o.ID]; ok {
		delete(s.detached, o.ID)
		s.release(d.region, d.instance)
		return
	}
	k := s.clusters[o.Cluster]
	if k == nil {
		return
	}
	for _, p := range k.pools {
		if i := p.instances[o.ID]; i != nil {
			s.leave(p, i)
			s.drop(p, i, true)
			s.publishPool(p)
			s.retryScaling(p)
		}
	}
}

// UsedAddresses of a vSwitch.
func (s *Server) UsedAddresses(region, vswitch string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.addrs[region+"/"+vswitch])
}
