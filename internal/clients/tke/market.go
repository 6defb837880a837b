package tke

import (
	"context"
	"math"
	"slices"
	"strconv"
	"strings"
)

// maxValues of a filter, by the reference of cvm and vpc.
const maxValues = 100

// price of the cloud. What is no number is no price, and must not spoil the rest
// of the answer.
type price float64

// UnmarshalJSON takes a number, quoted or not.
func (p *price) UnmarshalJSON(b []byte) error {
	*p = 0
	v, err := strconv.ParseFloat(strings.Trim(string(b), `"`), 64)
	if err == nil && !math.IsNaN(v) && !math.IsInf(v, 0) {
		*p = price(v)
	}
	return nil
}

// ListOffers of all zones of the region for some types of machines.
func (c *Client) ListOffers(ctx context.Context, types []string) ([]Offer, error) {
	var all []Offer
	for chunk := range slices.Chunk(types, maxValues) {
		out, err := ask[struct {
			InstanceTypeQuotaSet *[]struct {
				Zone, InstanceType, InstanceChargeType, Status, StatusCategory string
				Cpu, Memory                                                    int32
				Price                                                          struct {
					UnitPrice, UnitPriceDiscount price
					ChargeUnit                   string
				}
			}
		}](ctx, c, "cvm", "DescribeZoneInstanceConfigInfos", map[string]any{"Filters": []map[string]any{
			{"Name": "instance-type", "Values": chunk},
			{"Name": "instance-charge-type", "Values": []string{chargeHourly, chargeSpot}},
		}})
		if err != nil {
			return nil, err
		}
		if out.InstanceTypeQuotaSet == nil {
			return nil, incomplete("DescribeZoneInstanceConfigInfos")
		}
		for _, q := range *out.InstanceTypeQuotaSet {
			o := Offer{
				Zone: q.Zone, InstanceType: q.InstanceType, Spot: q.InstanceChargeType == chargeSpot, Status: q.StatusCategory,
				Available: q.Status == "SELL" && q.StatusCategory != "WithoutStock", CPU: q.Cpu, MemoryGiB: q.Memory,
			}
			if q.InstanceChargeType != chargeHourly && !o.Spot {
				continue
			}
			if q.Price.ChargeUnit == "" || q.Price.ChargeUnit == "HOUR" {
				o.Price = float64(q.Price.UnitPrice)
				if d := float64(q.Price.UnitPriceDiscount); d != 0 {
					o.Price = d
				}
			}
			all = append(all, o)
		}
	}
	slices.SortFunc(all, func(a, b Offer) int {
		if d := strings.Compare(a.Zone+"/"+a.InstanceType, b.Zone+"/"+b.InstanceType); d != 0 || a.Spot == b.Spot {
			return d
		}
		if a.Spot {
			return 1
		}
		return -1
	})
	return all, nil
}

// ListSubnets by id.
func (c *Client) ListSubnets(ctx context.Context, ids []string) ([]Subnet, error) {
	const op = "DescribeSubnets"
	type wire struct {
		SubnetId, VpcId, Zone, CidrBlock string
		AvailableIpAddressCount          int32
	}
	var out []Subnet
	for chunk := range slices.Chunk(ids, maxValues) {
		all, err := pages(op, func(s *wire) string { return s.SubnetId }, func(offset, limit int) ([]*wire, *int, error) {
			r, err := ask[struct {
				TotalCount *int
				SubnetSet  []*wire
			}](ctx, c, "vpc", op, map[string]any{"SubnetIds": chunk, "Offset": itoa(offset), "Limit": itoa(limit)})
			if err != nil {
				return nil, nil, err
			}
			return r.SubnetSet, r.TotalCount, nil
		})
		if err != nil {
			return nil, err
		}
		for _, s := range all {
			out = append(out, Subnet{ID: s.SubnetId, VPCID: s.VpcId, Zone: s.Zone, CIDR: s.CidrBlock, FreeIPs: s.AvailableIpAddressCount})
		}
	}
	return out, nil
}
