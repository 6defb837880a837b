package ack

import (
	"context"
	"slices"
	"sort"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"regionpool.io/provider-regionpool/test/cloudsim/backend"
	"regionpool.io/provider-regionpool/test/cloudsim/config"
	"regionpool.io/provider-regionpool/test/cloudsim/virtual"
)

const (
	// virtualNodeAddon adds a virtual node for each zone of the cluster.
	virtualNodeAddon = "ack-virtual-node"

	// clusterTag is what ACK puts on everything it makes for a cluster.
	clusterTag = "ack.aliyun.com"

	imageCacheAnnotation = "k8s.aliyun.com/eci-image-cache"
)

func clusterTags(cluster string) map[string]string { return map[string]string{clusterTag: cluster} }

// PodBound to a virtual node.
func (s *Server) PodBound(clusterID string, p *corev1.Pod) { s.virtual.PodBound(clusterID, p) }

// PodGone from a virtual node.
func (s *Server) PodGone(clusterID string, uid types.UID) { s.virtual.PodGone(clusterID, uid) }

// zones of a cluster's vSwitches, sorted.
func (s *Server) zones(k *cluster) []string {
	var out []string
	for _, id := range k.spec.VSwitchIDs {
		if _, v, err := s.VSwitch(k.region, id); err == nil && !slices.Contains(out, v.Zone) {
			out = append(out, v.Zone)
		}
	}
	sort.Strings(out)
	return out
}

// syncVirtual makes the cluster have one virtual node for each of its zones if
// the add-on is active, and none otherwise. Empty nodes cost nothing; pods on
// nodes that go are ended.
func (s *Server) syncVirtual(k *cluster) {
	if k.backend == nil || k.gone || k.state == initial || k.state == deleting {
		return
	}
	var want []string
	if a := k.addons[virtualNodeAddon]; a != nil && a.state == "active" {
		want = s.zones(k)
	}
	b := k.backend
	for _, zone := range want {
		if k.virtual[zone] {
			continue
		}
		k.virtual[zone] = true
		n := s.virtualNode(k, zone)
		s.Work(func(ctx context.Context) error { return s.virtual.Add(ctx, b, n) }, func(err error) {
			if err != nil {
				s.log.Warn("Cannot add virtual node", "cluster", k.id, "node", n.Name, "error", err)
				delete(k.virtual, zone)
				s.After(retryNode, func() { s.syncVirtual(k) })
			}
		})
	}
	for zone := range k.virtual {
		if slices.Contains(want, zone) {
			continue
		}
		delete(k.virtual, zone)
		name := virtualName(zone)
		s.Work(func(ctx context.Context) error { return s.virtual.Remove(ctx, k.id, name) }, func(err error) {
			if err != nil {
				s.log.Warn("Cannot remove virtual node", "cluster", k.id, "node", name, "error", err)
			}
		})
	}
}

func virtualName(zone string) string { return "virtual-kubelet-" + zone }

// virtualNode is what the add-on registers for a zone.
func (s *Server) virtualNode(k *cluster, zone string) virtual.Node {
	name := virtualName(zone)
	return virtual.Node{
		Cluster: k.id, Account: k.account, Owner: owner(k.tags), Region: k.region, Zone: zone, Parent: k.id,
		Node: backend.Node{
			Name: name, IP: "10.0.0.1",
			Labels: map[string]string{
				"type":                          "virtual-kubelet",
				"alibabacloud.com/virtual-node": "true",
				"kubernetes.io/role":            "agent",
				"ack.aliyun.com":                k.id,
				corev1.LabelHostname:            name,
				corev1.LabelOSStable:            "linux",
				corev1.LabelArchStable:          "amd64",
				corev1.LabelInstanceTypeStable:  config.ECIType,
				corev1.LabelTopologyRegion:      k.region,
				corev1.LabelTopologyZone:        zone,
			},
			Taints:   []corev1.Taint{{Key: "virtual-kubelet.io/provider", Value: "alibabacloud", Effect: corev1.TaintEffectNoSchedule}},
			Capacity: virtual.Capacity(), Allocatable: virtual.Capacity(),
		},
	}
}
