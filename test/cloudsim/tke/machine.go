package tke

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"regionpool.io/provider-regionpool/test/cloudsim/faults"
	"regionpool.io/provider-regionpool/test/cloudsim/ledger"
	"regionpool.io/provider-regionpool/test/cloudsim/stock"
)

func (s *Server) describeInstances(c *call) (map[string]any, error) {
	var q struct {
		InstanceIds   []string
		Filters       []filter
		Offset, Limit *number
	}
	if err := decode(c, &q); err != nil {
		return nil, err
	}
	all, err := s.inventory(c, q.InstanceIds, q.Filters, []ledger.Kind{ledger.CVM}, func(o ledger.Object) fields {
		i := s.instances[o.ID]
		return fields{
			"instance-id": o.ID, "instance-name": o.Name, "zone": i.zone, "vpc-id": o.Attrs["vpc"], "subnet-id": i.subnet, "instance-charge-type": i.charge,
			"instance-state": i.state, "instance-type": i.kind, "private-ip-address": i.ip,
		}
	})
	if err != nil {
		return nil, err
	}
	return page("InstanceSet", all, q.Offset, q.Limit, func(o ledger.Object) map[string]any {
		i := s.instances[o.ID]
		it := s.conf.InstanceTypes[i.kind]
		return map[string]any{
			"InstanceId": i.id, "InstanceName": o.Name, "InstanceType": i.kind, "InstanceState": i.state, "InstanceChargeType": i.charge,
			"CPU": it.CPU, "Memory": it.MemoryGiB, "Placement": map[string]string{"Zone": i.zone}, "PrivateIpAddresses": []string{i.ip},
			"VirtualPrivateCloud": map[string]string{"VpcId": o.Attrs["vpc"], "SubnetId": i.subnet}, "CreatedTime": i.created, "RestrictState": "NORMAL",
			"Tags": tagList(o.Tags, "Key", "Value"),
		}
	})
}

// terminateInstances ends CVMs whatever they are for. A scaling group replaces
// its own.
func (s *Server) terminateInstances(c *call) (map[string]any, error) {
	var q struct {
		InstanceIds                             []string
		ReleaseAddress, ReleasePrepaidDataDisks bool
	}
	if err := decode(c, &q); err != nil {
		return nil, err
	}
	if len(q.InstanceIds) == 0 {
		return nil, missing("InstanceIds")
	}
	for _, id := range q.InstanceIds {
		if i := s.instances[id]; i == nil || i.account != c.account || i.region != c.region {
			return nil, fail("InvalidInstanceId.NotFound", "the instance %q does not exist", id)
		}
	}
	for _, id := range q.InstanceIds {
		i := s.instances[id]
		p := i.pool
		if i.cluster != nil {
			s.leave(i)
		}
		s.destroy(i)
		if p != nil {
			s.publishPool(p)
			s.restock(p)
		}
	}
	return nil, nil
}

// describeOffers is what is sold: by zone, type and way to pay, with price and
// with a coarse idea of the stock.
func (s *Server) describeOffers(c *call) (map[string]any, error) {
	var q struct{ Filters []filter }
	if err := decode(c, &q); err != nil {
		return nil, err
	}
	out := []any{}
	for _, zone := range s.conf.Regions[c.region].Zones {
		for _, name := range slices.Sorted(maps.Keys(s.conf.InstanceTypes)) {
			for _, charge := range []string{postpaid, spotpaid} {
				family, _, _ := strings.Cut(name, ".")
				ok, err := filtered(q.Filters, fields{
					"zone": zone.Name, "instance-type": name, "instance-family": family, "instance-charge-type": charge,
				}, nil)
				if err != nil {
					return nil, err
				}
				key := stock.Key{Region: c.region, Zone: zone.Name, Type: name, Spot: charge == spotpaid}
				if ok && s.Stock.Count(key) >= 0 {
					out = append(out, s.offer(c, key, charge, family))
				}
			}
		}
	}
	return map[string]any{"InstanceTypeQuotaSet": out}, nil
}

func (s *Server) offer(c *call, key stock.Key, charge, family string) map[string]any {
	it := s.conf.InstanceTypes[key.Type]
	full := it.Hourly * s.Prices.Factor(stock.Key{Region: key.Region, Zone: key.Zone, Type: key.Type})
	price := full
	if key.Spot {
		price = it.SpotHourly * s.Prices.Factor(key)
	}
	discount := 100.0
	if full > 0 {
		discount = 100 * price / full
	}
	n := s.Stock.Count(key)
	sub := faults.Subject{Action: c.Action, Attrs: maps.Clone(c.subject.Attrs)}
	sub.Attrs["zone"], sub.Attrs["instanceType"], sub.Attrs["charge"] = key.Zone, key.Type, "ondemand"
	if key.Spot {
		sub.Attrs["charge"] = "spot"
	}
	if f := s.Faults.Take(faults.WrongStock, sub); f != nil {
		c.entry.Faults = append(c.entry.Faults, string(f.Kind))
		if n = 1; f.Arg("status", "Available") == "SoldOut" {
			n = 0
		}
	}
	lie := 1.0
	if f := s.Faults.Take(faults.WrongPrice, sub); f != nil {
		c.entry.Faults = append(c.entry.Faults, string(f.Kind))
		lie, _ = strconv.ParseFloat(f.Arg("factor", "0"), 64)
	}
	status, category, reason := "SELL", "EnoughStock", ""
	switch {
	case n == 0:
		status, category, reason = "SOLD_OUT", "WithoutStock", "the instance type is sold out"
	case n < 10:
		category = "UnderStock"
	case n < 50:
		category = "NormalStock"
	}
	return map[string]any{
		"Zone": key.Zone, "InstanceType": key.Type, "InstanceChargeType": charge, "InstanceFamily": family, "TypeName": family, "Cpu": it.CPU,
		"Memory": it.MemoryGiB, "Gpu": it.GPU, "GpuCount": it.GPU, "Fpga": 0, "Status": status, "SoldOutReason": reason, "StatusCategory": category,
		"Price": map[string]any{"UnitPrice": money(full * lie), "UnitPriceDiscount": money(price * lie), "Discount": discount, "ChargeUnit": "HOUR"},
	}
}

// money is a number, or text if it is none.
func money(v float64) any {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return fmt.Sprint(v)
	}
	return v
}

func (s *Server) describeDisks(c *call) (map[string]any, error) {
	var q struct {
		DiskIds                      []string
		Filters                      []filter
		Offset, Limit                *number
		Order, OrderField            string
		ReturnBindAutoSnapshotPolicy bool
	}
	if err := decode(c, &q); err != nil {
		return nil, err
	}
	all, err := s.inventory(c, q.DiskIds, q.Filters, []ledger.Kind{ledger.CBS}, func(o ledger.Object) fields {
		return fields{
			"disk-id": o.ID, "disk-name": o.Name, "disk-usage": o.Attrs["usage"], "disk-state": diskState(o), "instance-id": o.Attrs["instance"],
			"zone": o.Zone, "disk-charge-type": postpaid,
		}
	})
	if err != nil {
		return nil, err
	}
	return page("DiskSet", all, q.Offset, q.Limit, func(o ledger.Object) map[string]any {
		size, _ := strconv.Atoi(o.Attrs["size"])
		return map[string]any{
			"DiskId": o.ID, "DiskName": o.Name, "DiskUsage": o.Attrs["usage"], "DiskState": diskState(o), "DiskSize": size, "DiskType": o.Attrs["type"],
			"DiskChargeType": postpaid, "Attached": o.Attrs["instance"] != "", "InstanceId": o.Attrs["instance"], "DeleteWithInstance": o.Attrs["instance"] != "",
			"Placement": map[string]string{"Zone": o.Zone}, "CreateTime": o.Attrs["created"], "Tags": tagList(o.Tags, "Key", "Value"),
		}
	})
}

func diskState(o ledger.Object) string {
	if o.Attrs["instance"] != "" {
		return "ATTACHED"
	}
	return "UNATTACHED"
}

func (s *Server) terminateDisks(c *call) (map[string]any, error) {
	var q struct {
		DiskIds        []string
		DeleteSnapshot int
	}
	if err := decode(c, &q); err != nil {
		return nil, err
	}
	if len(q.DiskIds) == 0 {
		return nil, missing("DiskIds")
	}
	all, err := s.inventory(c, q.DiskIds, nil, []ledger.Kind{ledger.CBS}, func(ledger.Object) fields { return nil })
	if err != nil {
		return nil, err
	}
	if len(all) < len(q.DiskIds) {
		return nil, fail("InvalidDisk.NotSupported", "some of %v do not exist", q.DiskIds)
	}
	for _, o := range all {
		if o.Attrs["instance"] != "" {
			return nil, fail("InvalidDisk.Busy", "the disk %s is attached to %s", o.ID, o.Attrs["instance"])
		}
	}
	for _, o := range all {
		s.Ledger.Release(o.ID)
		s.forget(o.ID)
	}
	return nil, nil
}
