package aliyun

import (
	"maps"
	"math"
	"net/http"
	"slices"
	"strconv"

	"regionpool.io/provider-regionpool/test/cloudsim/config"
	"regionpool.io/provider-regionpool/test/cloudsim/faults"
	"regionpool.io/provider-regionpool/test/cloudsim/stock"
)

// low is the stock below which DescribeAvailableResource says that little is
// left.
const low = 10

// systemDisk that an instance is priced with unless the call says another, in
// GiB.
const systemDisk = 40

// hours in the price units.
var hours = map[string]float64{"": 1, "Hour": 1, "Day": 24, "Week": 7 * 24, "Month": 30 * 24, "Year": 365 * 24}

// describePrice says what an instance costs with its system disk, and each by
// itself in the details. With a spot strategy the trade price is that of the spot market,
// which differs by zone, and the original price that without.
func (s *Server) describePrice(c *call) (map[string]any, *apiError) {
	region, err := s.region(c)
	if err != nil {
		return nil, err
	}
	if t := c.params["ResourceType"]; t != "" && t != "instance" {
		return nil, fail(http.StatusBadRequest, "InvalidResourceType.ValueNotSupported", "The specified ResourceType %s is not supported.", t)
	}
	name := c.params["InstanceType"]
	if name == "" {
		return nil, missing("InstanceType")
	}
	it, ok := s.Config.InstanceTypes[name]
	if !ok {
		return nil, fail(http.StatusNotFound, "InvalidInstanceType.ValueNotSupported", "The specified InstanceType %s does not exist.", name)
	}
	unit, ok := hours[c.params["PriceUnit"]]
	if !ok {
		return nil, invalid("PriceUnit")
	}
	zone := c.params["ZoneId"]
	if zone != "" && !slices.Contains(s.Config.Regions[region].Zones, zone) {
		return nil, noZone()
	}
	times := unit
	for _, key := range []string{"Period", "Amount"} {
		n, err := c.params.number(key, 1, 0)
		if err != nil {
			return nil, err
		}
		times *= float64(n)
	}
	gib, err := c.params.number("SystemDisk.Size", systemDisk, 0)
	if err != nil {
		return nil, err
	}

	key := stock.Key{Region: region, Zone: zone, Type: name}
	original := it.Hourly * s.Prices.Factor(key)
	trade := original
	if c.params.spot() {
		key.Spot = true
		trade = it.SpotHourly * s.Prices.Factor(key)
	}
	lie := 1.0
	if f := s.take(faults.WrongPrice, c); f != nil {
		if lie, ok = parse(f.Arg("factor", "0")); !ok {
			lie = 0
		}
	}
	disk := float64(gib) * s.Config.Prices.DiskGiB
	money := func(hourly float64) any { return number(hourly * times * lie) }
	details := []any{
		map[string]any{"Resource": "instanceType", "OriginalPrice": money(original), "TradePrice": money(trade), "DiscountPrice": money(original - trade)},
		map[string]any{"Resource": "systemDisk", "OriginalPrice": money(disk), "TradePrice": money(disk), "DiscountPrice": 0},
	}
	return map[string]any{"PriceInfo": map[string]any{
		"Price": map[string]any{
			"Currency": "CNY", "OriginalPrice": money(original + disk), "TradePrice": money(trade + disk), "DiscountPrice": money(original - trade),
			"DetailInfos": map[string]any{"DetailInfo": details},
		},
		"Rules": map[string]any{"Rule": []any{}},
	}}, nil
}

// podMemory has the GiB that ECI sells for a number of vCPUs: from one to eight
// for each, and for less than two vCPUs some more.
func podMemory(cpu float64) []float64 {
	switch cpu {
	case 0.25:
		return []float64{0.5, 1}
	case 0.5:
		return []float64{1, 2}
	case 1:
		return []float64{2, 4, 8}
	case 2:
		return []float64{1, 2, 4, 8, 16}
	case 4, 8, 16, 32, 64:
		return []float64{cpu * 2, cpu * 4, cpu * 8}
	}
	return nil
}

// describeContainerGroupPrice says what a container group costs a second.
func (s *Server) describeContainerGroupPrice(c *call) (map[string]any, *apiError) {
	region, err := s.region(c)
	if err != nil {
		return nil, err
	}
	var size [2]float64
	for i, key := range []string{"Cpu", "Memory"} {
		if c.params[key] == "" {
			return nil, missing(key)
		}
		var ok bool
		if size[i], ok = parse(c.params[key]); !ok {
			return nil, invalid(key)
		}
	}
	cpu, memory := size[0], size[1]
	if !slices.Contains(podMemory(cpu), memory) {
		return nil, fail(http.StatusBadRequest, "InvalidParameter.CPU.Memory", "The specified cpu and memory are not allowed.")
	}
	lie := 1.0
	if f := s.take(faults.WrongPrice, c); f != nil {
		if v, ok := parse(f.Arg("factor", "0")); ok {
			lie = v
		} else {
			lie = 0
		}
	}
	second := func(cpu, memory float64) any {
		return number(s.Config.Virtual.Hourly(cpu, memory, 0) * s.Prices.Factor(stock.Key{Region: region, Type: config.ECIType}) * lie / 3600)
	}
	part := func(resource string, price any) map[string]any {
		return map[string]any{"Resource": resource, "OriginalPrice": price, "TradePrice": price, "DiscountPrice": 0, "Rules": map[string]any{"Rule": []any{}}}
	}
	return map[string]any{"PriceInfo": map[string]any{
		"Price": map[string]any{
			"Currency": "CNY", "OriginalPrice": second(cpu, memory), "TradePrice": second(cpu, memory), "DiscountPrice": 0,
			"DetailInfos": map[string]any{"DetailInfo": []any{part("vCPU", second(cpu, 0)), part("memory", second(0, memory))}},
		},
		"SpotPrices": map[string]any{"SpotPrice": []any{}},
		"Rules":      map[string]any{"Rule": []any{}},
	}}, nil
}

func parse(v string) (float64, bool) {
	f, err := strconv.ParseFloat(v, 64)
	return f, err == nil
}

// number is written as JSON has it, or as a string if JSON has none.
func number(f float64) any {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return strconv.FormatFloat(f, 'g', -1, 64)
	}
	return f
}

func noZone() *apiError {
	return fail(http.StatusNotFound, "InvalidZoneId.NotFound", "The ZoneId provided does not exist in our records.")
}

// describeAvailableResource says which zones have which instance types left.
// Types a zone does not sell, and zones without any, are left out.
func (s *Server) describeAvailableResource(c *call) (map[string]any, *apiError) {
	region, err := s.region(c)
	if err != nil {
		return nil, err
	}
	switch c.params["DestinationResource"] {
	case "InstanceType":
	case "":
		return nil, missing("DestinationResource")
	default:
		return nil, fail(http.StatusBadRequest, "Invalid.DestinationResource", "The specified parameter DestinationResource is not valid.")
	}
	zones := s.Config.Regions[region].Zones
	if z := c.params["ZoneId"]; z != "" {
		if !slices.Contains(zones, z) {
			return nil, noZone()
		}
		zones = []string{z}
	}
	types := slices.Sorted(maps.Keys(s.Config.InstanceTypes))
	if t := c.params["InstanceType"]; t != "" {
		types = []string{t}
	}
	out := []any{}
	for _, z := range zones {
		if v := s.availableIn(c, region, z, types); v != nil {
			out = append(out, v)
		}
	}
	return map[string]any{"AvailableZones": map[string]any{"AvailableZone": out}}, nil
}

func (s *Server) availableIn(c *call, region, zone string, types []string) any {
	status, category := "SoldOut", "WithoutStock"
	some := []any{}
	for _, t := range types {
		it, ok := s.Config.InstanceTypes[t]
		n := s.Stock.Count(stock.Key{Region: region, Zone: zone, Type: t, Spot: c.params.spot()})
		if !ok || n < 0 || !fits(c.params, it) {
			continue
		}
		st, cat := availability(n)
		sub := faults.Subject{Action: c.name, Attrs: maps.Clone(c.subject.Attrs)}
		sub.Attrs["zone"], sub.Attrs["instanceType"] = zone, t
		if f := s.Faults.Take(faults.WrongStock, sub); f != nil {
			c.entry.Faults = append(c.entry.Faults, string(f.Kind))
			if st, cat = availability(low); f.Arg("status", "Available") == "SoldOut" {
				st, cat = availability(0)
			}
		}
		if st == "Available" {
			status, category = st, "WithStock"
		}
		some = append(some, map[string]any{"Value": t, "Status": st, "StatusCategory": cat})
	}
	if len(some) == 0 {
		return nil
	}
	return map[string]any{
		"RegionId": region, "ZoneId": zone, "Status": status, "StatusCategory": category,
		"AvailableResources": map[string]any{"AvailableResource": []any{
			map[string]any{"Type": "InstanceType", "SupportedResources": map[string]any{"SupportedResource": some}},
		}},
	}
}

// availability as the API grades it.
func availability(n int) (status, category string) {
	switch {
	case n == 0:
		return "SoldOut", "WithoutStock"
	case n < low:
		return "Available", "ClosedWithStock"
	}
	return "Available", "WithStock"
}

// fits reports whether a type has the cores and the memory a call asks for.
func fits(p params, it config.InstanceType) bool {
	if v, ok := parse(p["Cores"]); ok && int(v) != it.CPU {
		return false
	}
	v, ok := parse(p["Memory"])
	return !ok || int(v) == it.MemoryGiB
}
