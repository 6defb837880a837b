package aliyun

import (
	"maps"
	"net/netip"
	"slices"
)

// reserved addresses of a vSwitch are the cloud's own: the first and the last
// three.
const reserved = 4

// describeVPCs shows the VPCs of a region, which were there before everything
// else.
func (s *Server) describeVPCs(c *call) (map[string]any, *apiError) {
	region, err := s.region(c)
	if err != nil {
		return nil, err
	}
	p, err := c.params.page(c.action)
	if err != nil {
		return nil, err
	}
	ids := c.params.list("VpcId")
	out := []any{}
	vpcs := s.Config.Regions[region].VPCs
	for _, id := range slices.Sorted(maps.Keys(vpcs)) {
		if len(ids) > 0 && !slices.Contains(ids, id) {
			continue
		}
		out = append(out, map[string]any{
			"VpcId": id, "VpcName": id, "RegionId": region, "Status": "Available", "CidrBlock": vpcs[id].CIDR, "IsDefault": false,
			"VSwitchIds": map[string]any{"VSwitchId": slices.Sorted(maps.Keys(vpcs[id].VSwitches))}, "Tags": tagList(nil),
		})
	}
	return p.reply(out, "Vpcs", "Vpc"), nil
}

// describeVSwitches shows vSwitches with the number of addresses left in them.
func (s *Server) describeVSwitches(c *call) (map[string]any, *apiError) {
	region, err := s.region(c)
	if err != nil {
		return nil, err
	}
	p, err := c.params.page(c.action)
	if err != nil {
		return nil, err
	}
	vpc, zone, ids := c.params["VpcId"], c.params["ZoneId"], c.params.list("VSwitchId")
	out := []any{}
	vpcs := s.Config.Regions[region].VPCs
	for _, id := range slices.Sorted(maps.Keys(vpcs)) {
		for _, sw := range slices.Sorted(maps.Keys(vpcs[id].VSwitches)) {
			v := vpcs[id].VSwitches[sw]
			if vpc != "" && vpc != id || zone != "" && zone != v.Zone || len(ids) > 0 && !slices.Contains(ids, sw) {
				continue
			}
			free := 0
			if n, err := netip.ParsePrefix(v.CIDR); err == nil {
				free = max(1<<(32-n.Bits())-reserved-s.backing.UsedAddresses(region, sw), 0)
			}
			out = append(out, map[string]any{
				"VSwitchId": sw, "VSwitchName": sw, "VpcId": id, "ZoneId": v.Zone, "CidrBlock": v.CIDR, "Status": "Available", "IsDefault": false,
				"AvailableIpAddressCount": free, "Tags": tagList(nil),
			})
		}
	}
	return p.reply(out, "VSwitches", "VSwitch"), nil
}
