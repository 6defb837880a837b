package ack

import (
	"net/http"
	"slices"

	"regionpool.io/provider-regionpool/test/cloudsim/ledger"
)

const maxTags = 20

// tagged returns the clusters a tag call names.
func (s *Server) tagged(c *call, kind string, ids []string) ([]*cluster, error) {
	if kind != "CLUSTER" {
		return nil, invalid("ResourceType", "resource_type %q is not CLUSTER", kind)
	}
	out := []*cluster{}
	for _, id := range ids {
		k := s.clusters[id]
		if k == nil || k.account != c.account {
			return nil, clusterNotFound(id)
		}
		out = append(out, k)
	}
	return out, nil
}

func (s *Server) retag(k *cluster, tags []tag) {
	k.tags = tags
	uid := owner(tags)
	for _, o := range s.Ledger.Live(func(o ledger.Object) bool { return o.Cluster == k.id && (o.Parent == k.id || o.ID == k.id) }) {
		if o.Kind != ledger.NodePool {
			s.Ledger.Update(o.ID, func(o *ledger.Object) { o.Owner = uid })
		}
	}
	s.touch(k)
}

func (s *Server) tagResources(c *call) (int, any, error) {
	var q struct {
		ResourceType string   `json:"resource_type"`
		ResourceIDs  []string `json:"resource_ids"`
		RegionID     string   `json:"region_id"`
		Tags         []tag    `json:"tags"`
	}
	if err := decode(c, &q); err != nil {
		return 0, nil, err
	}
	ks, err := s.tagged(c, q.ResourceType, q.ResourceIDs)
	if err != nil {
		return 0, nil, err
	}
	for _, k := range ks {
		tags := slices.Clone(k.tags)
		for _, t := range q.Tags {
			tags = append(slices.DeleteFunc(tags, func(o tag) bool { return o.Key == t.Key }), t)
		}
		if len(tags) > maxTags {
			return 0, nil, invalid("Tags", "a cluster has at most %d tags", maxTags)
		}
		s.retag(k, tags)
	}
	return http.StatusOK, map[string]any{"RequestId": c.id}, nil
}

func (s *Server) untagResources(c *call) (int, any, error) {
	var ids, keys []string
	if err := queryJSON(c, "resource_ids", &ids); err != nil {
		return 0, nil, err
	}
	if err := queryJSON(c, "tag_keys", &keys); err != nil {
		return 0, nil, err
	}
	all, err := queryBool(c, "all", false)
	if err != nil {
		return 0, nil, err
	}
	ks, err := s.tagged(c, c.query.Get("resource_type"), ids)
	if err != nil {
		return 0, nil, err
	}
	for _, k := range ks {
		s.retag(k, slices.DeleteFunc(slices.Clone(k.tags), func(t tag) bool { return all || slices.Contains(keys, t.Key) }))
	}
	return http.StatusOK, map[string]any{"RequestId": c.id}, nil
}

func (s *Server) listTagResources(c *call) (int, any, error) {
	var ids []string
	if err := queryJSON(c, "resource_ids", &ids); err != nil {
		return 0, nil, err
	}
	var want []tag
	if err := queryJSON(c, "tags", &want); err != nil {
		return 0, nil, err
	}
	if kind := c.query.Get("resource_type"); kind != "CLUSTER" {
		return 0, nil, invalid("ResourceType", "resource_type %q is not CLUSTER", kind)
	}
	out := []any{}
	for _, v := range s.clusterList.List(s.Clock.Now()) {
		if v.account != c.account || len(ids) > 0 && !slices.Contains(ids, v.ClusterID) {
			continue
		}
		if slices.ContainsFunc(want, func(w tag) bool {
			return !slices.ContainsFunc(v.Tags, func(t tag) bool { return t.Key == w.Key && (w.Value == "" || w.Value == t.Value) })
		}) {
			continue
		}
		for _, t := range v.Tags {
			out = append(out, map[string]string{"resource_id": v.ClusterID, "resource_type": "CLUSTER", "tag_key": t.Key, "tag_value": t.Value})
		}
	}
	return http.StatusOK, map[string]any{"request_id": c.id, "next_token": "", "tag_resources": map[string]any{"tag_resource": out}}, nil
}
