package tke

import (
	"maps"
	"slices"
	"strings"

	"regionpool.io/provider-regionpool/test/cloudsim/ledger"
)

// tagged returns the live objects that six-part resource names mean, such as
// qcs::ccs:ap-guangzhou:uin/1:cluster/cls-1.
func (s *Server) tagged(c *call, names []string) ([]ledger.Object, error) {
	if len(names) == 0 {
		return nil, missing("ResourceList")
	}
	var out []ledger.Object
	for _, name := range names {
		parts := strings.SplitN(name, ":", 6)
		if len(parts) != 6 || parts[0] != "qcs" {
			return nil, fail("InvalidParameterValue.ResourceDescriptionError", "%q is not the name of a resource", name)
		}
		_, id, _ := strings.Cut(parts[5], "/")
		found := s.Ledger.Live(func(o ledger.Object) bool {
			return o.ID == id && o.Account == c.account && (parts[3] == "" || parts[3] == o.Region)
		})
		if len(found) == 0 {
			return nil, fail("ResourceNotFound", "%s does not exist", name)
		}
		out = append(out, found...)
	}
	return out, nil
}

// retag an object, and the cluster, pool or instance it stands for.
func (s *Server) retag(o ledger.Object, tags map[string]string) {
	s.Ledger.Update(o.ID, func(o *ledger.Object) { o.Tags, o.Owner = tags, tags[ownerTag] })
	if k := s.clusters[o.ID]; k != nil {
		k.tags = tags
		s.publish(k)
	}
	if i := s.instances[o.ID]; i != nil {
		i.tags = tags
	}
	for _, k := range s.clusters {
		if p := k.pools[o.ID]; p != nil {
			p.spec.tags = maps.Clone(tags)
			delete(p.spec.tags, clusterTag)
			s.publishPool(p)
		}
	}
}

func (s *Server) tagResources(c *call) (map[string]any, error) {
	var q struct {
		ResourceList []string
		Tags         []struct{ TagKey, TagValue string }
	}
	if err := decode(c, &q); err != nil {
		return nil, err
	}
	all, err := s.tagged(c, q.ResourceList)
	if err != nil {
		return nil, err
	}
	for _, o := range all {
		tags := maps.Clone(o.Tags)
		if tags == nil {
			tags = map[string]string{}
		}
		for _, t := range q.Tags {
			tags[t.TagKey] = t.TagValue
		}
		s.retag(o, tags)
	}
	return map[string]any{"FailedResources": []any{}}, nil
}

func (s *Server) untagResources(c *call) (map[string]any, error) {
	var q struct{ ResourceList, TagKeys []string }
	if err := decode(c, &q); err != nil {
		return nil, err
	}
	all, err := s.tagged(c, q.ResourceList)
	if err != nil {
		return nil, err
	}
	for _, o := range all {
		tags := maps.Clone(o.Tags)
		maps.DeleteFunc(tags, func(k, _ string) bool { return slices.Contains(q.TagKeys, k) })
		s.retag(o, tags)
	}
	return map[string]any{"FailedResources": []any{}}, nil
}

func (s *Server) describeResourceTags(c *call) (map[string]any, error) {
	var q struct {
		CreateUin                                               uint64
		ResourceRegion, ServiceType, ResourcePrefix, ResourceId string
		Offset, Limit                                           *number
		CosResourceId                                           int
	}
	if err := decode(c, &q); err != nil {
		return nil, err
	}
	out := []any{}
	for _, o := range s.Ledger.Live(func(o ledger.Object) bool {
		return o.Account == c.account && (q.ResourceId == "" || o.ID == q.ResourceId) && (q.ResourceRegion == "" || o.Region == q.ResourceRegion)
	}) {
		for _, t := range tagList(o.Tags, "TagKey", "TagValue") {
			out = append(out, map[string]any{"TagKey": t["TagKey"], "TagValue": t["TagValue"], "ResourceId": o.ID, "ResourceRegion": o.Region})
		}
	}
	some, err := paginate(out, q.Offset, q.Limit)
	if err != nil {
		return nil, err
	}
	return map[string]any{"TotalCount": len(out), "Rows": some}, nil
}
