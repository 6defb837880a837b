package aliyun

import (
	"hash/fnv"
	"net/http"
	"slices"
	"time"

	"regionpool.io/provider-regionpool/test/cloudsim/ledger"
)

// attrs are the filters that are answered by an attribute, where the field is
// nested or named otherwise.
var attrs = map[string]string{
	"VpcId": ledger.AttrVPC, "VSwitchId": ledger.AttrVSwitch, "SecurityGroupId": ledger.AttrSecurityGroup, "AssociatedInstanceId": ledger.AttrInstance, "EipAddress": ledger.AttrAddress,
}

// region of a call, which must exist.
func (s *Server) region(c *call) (string, *apiError) {
	region := c.params["RegionId"]
	if region == "" {
		return "", missing("RegionId")
	}
	if _, ok := s.Config.Regions[region]; !ok {
		return "", fail(http.StatusNotFound, "InvalidRegionId.NotFound", "The specified RegionId does not exist.")
	}
	return region, nil
}

// list answers with a page of the objects that match.
func (s *Server) list(c *call) (map[string]any, *apiError) {
	region, err := s.region(c)
	if err != nil {
		return nil, err
	}
	want, err := c.params.tags()
	if err != nil {
		return nil, err
	}
	p, err := c.params.page(c.action)
	if err != nil {
		return nil, err
	}
	ids := c.params.list(c.ids)
	now := s.Clock.Now()
	out := []any{}
	for _, o := range s.Ledger.All(func(o ledger.Object) bool {
		return o.Account == c.account && o.Region == region && slices.Contains(c.kinds, o.Kind) && s.visible(o, now)
	}) {
		if len(ids) > 0 && !slices.Contains(ids, o.ID) || !matchTags(want, o.Tags) {
			continue
		}
		v := c.view(s, o)
		if c.matches(o, v) {
			out = append(out, v)
		}
	}
	return p.reply(out, c.outer, c.inner), nil
}

func (c *call) matches(o ledger.Object, view map[string]any) bool {
	for _, f := range c.filters {
		want := c.params[f]
		if want == "" || want == "All" || f == c.ids {
			continue
		}
		have, ok := view[f].(string)
		if !ok {
			have = o.Attrs[attrs[f]]
		}
		if have != want {
			return false
		}
	}
	return true
}

// visible reports whether a list shows an object now: it trails the object's
// beginning and its end by the same time, which differs from object to object.
func (s *Server) visible(o ledger.Object, now time.Time) bool {
	h := fnv.New32a()
	_, _ = h.Write([]byte(o.ID))
	lo, hi := s.Config.Latencies.ListLag.Bounds()
	lag := lo + time.Duration(float64(h.Sum32()%1000)/1000*float64(hi-lo))
	if o.Created.Add(lag).After(now) {
		return false
	}
	return o.Released == nil || o.Released.Add(lag).After(now)
}

// released is what a call that releases things answers.
func (s *Server) release(c *call) (map[string]any, *apiError) {
	ids := c.params.list(c.id)
	if len(ids) == 0 {
		return nil, missing(c.id)
	}
	var victims []ledger.Object
	for _, id := range ids {
		found := s.Ledger.Live(func(o ledger.Object) bool {
			return o.ID == id && o.Account == c.account && slices.Contains(c.kinds, o.Kind) && (c.params["RegionId"] == "" || c.params["RegionId"] == o.Region)
		})
		if len(found) == 0 {
			return nil, fail(http.StatusNotFound, c.notFound, "The specified %s %s does not exist.", c.id, id)
		}
		c.entry.Name, c.entry.Cluster, c.entry.Owner = id, found[0].Cluster, found[0].Owner
		if c.refuse != nil {
			if err := c.refuse(s, c, found[0]); err != nil {
				return nil, err
			}
		}
		victims = append(victims, found[0])
	}
	if c.params.bool("DryRun") {
		return nil, fail(http.StatusBadRequest, "DryRunOperation", "Request validation has been passed with DryRun flag set.")
	}
	for _, o := range victims {
		s.backing.Discard(o)
	}
	return map[string]any{}, nil
}

// alive reports whether an object of the ledger exists.
func (s *Server) alive(match func(ledger.Object) bool) bool { return len(s.Ledger.Live(match)) > 0 }

func (s *Server) exists(id string) bool {
	return id != "" && s.alive(func(o ledger.Object) bool { return o.ID == id })
}

func (s *Server) keepInstance(c *call, o ledger.Object) *apiError {
	switch {
	case o.Attrs[ledger.AttrCharge] == "PrePaid" && !c.params.bool("TerminateSubscription"):
		return fail(http.StatusForbidden, "ChargeTypeViolation", "The operation is not permitted due to charge type of the instance.")
	case o.Attrs[ledger.AttrStatus] != "Running":
		return fail(http.StatusForbidden, "IncorrectInstanceStatus.Initializing", "The specified instance status does not support this operation.")
	case !c.params.bool("Force"):
		return fail(http.StatusForbidden, "IncorrectInstanceStatus", "The current status of the resource does not support this operation.")
	}
	return nil
}

func (s *Server) keepDisk(_ *call, o ledger.Object) *apiError {
	if s.exists(o.Parent) {
		return fail(http.StatusForbidden, "IncorrectDiskStatus", "The current disk status does not support this operation.")
	}
	return nil
}

func (s *Server) keepENI(_ *call, o ledger.Object) *apiError {
	if s.exists(o.Cluster) {
		return fail(http.StatusForbidden, "InvalidOperation.InvalidEniState", "The operation is not allowed in the current ENI state.")
	}
	return nil
}

func (s *Server) keepSecurityGroup(_ *call, o ledger.Object) *apiError {
	if s.exists(o.Cluster) || s.alive(func(x ledger.Object) bool { return x.Attrs[ledger.AttrSecurityGroup] == o.ID }) {
		return fail(http.StatusForbidden, "DependencyViolation", "There is still instance(s) in the specified security group.")
	}
	return nil
}

func (s *Server) keepNAT(c *call, o ledger.Object) *apiError {
	if !c.params.bool("Force") && s.alive(func(x ledger.Object) bool { return x.Attrs[ledger.AttrInstance] == o.ID }) {
		return fail(http.StatusBadRequest, "DependencyViolation.EIPS", "There are still EIPs associated with the specified NAT gateway.")
	}
	return nil
}

func (s *Server) keepEIP(_ *call, o ledger.Object) *apiError {
	if s.exists(o.Attrs[ledger.AttrInstance]) {
		return fail(http.StatusBadRequest, "IncorrectEipStatus", "Current elastic IP status does not support this operation.")
	}
	return nil
}
