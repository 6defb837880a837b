package aliyun_test

import (
	"encoding/json"
	"math"
	"testing"
	"time"

	"github.com/aliyun/alibaba-cloud-sdk-go/sdk/requests"
	"github.com/aliyun/alibaba-cloud-sdk-go/sdk/responses"
	"github.com/aliyun/alibaba-cloud-sdk-go/services/eci"
	"github.com/aliyun/alibaba-cloud-sdk-go/services/ecs"

	"regionpool.io/provider-regionpool/test/cloudsim/faults"
	"regionpool.io/provider-regionpool/test/cloudsim/ledger"
	"regionpool.io/provider-regionpool/test/cloudsim/stock"
)

const typ = "ecs.g7.xlarge"

func round(f float64) float64 { return math.Round(f*1e6) / 1e6 }

// price of the tests' type: what it costs, and would cost without spot. The disk
// is part of it if the call names one.
func (s *sim) price(change func(*ecs.DescribePriceRequest)) (trade, original float64, errCode string) {
	s.t.Helper()
	r := ecs.CreateDescribePriceRequest()
	r.InstanceType, r.PriceUnit = typ, "Hour"
	if change != nil {
		change(r)
	}
	s.Direct(r.RpcRequest)
	out, err := s.ecs.DescribePrice(r)
	if err != nil {
		return 0, 0, code(err)
	}
	d := out.PriceInfo.Price.DetailInfos.DetailInfo
	check(s.t, "The whole is the sum of its parts.", round(out.PriceInfo.Price.TradePrice), round(d[0].TradePrice+d[1].TradePrice))
	if r.SystemDiskSize != "" {
		return round(out.PriceInfo.Price.TradePrice), round(out.PriceInfo.Price.OriginalPrice), ""
	}
	return round(d[0].TradePrice), round(d[0].OriginalPrice), ""
}

// TestPrice: 4 vCPU at 0.12 and 16 GiB at 0.03 are 0.96 an hour; spot is a
// quarter of it.
func TestPrice(t *testing.T) {
	type want struct {
		Trade, Original float64
		Code            string
	}
	spot := func(r *ecs.DescribePriceRequest) { r.SpotStrategy = "SpotAsPriceGo" }
	cases := map[string]struct {
		reason string
		moves  []stock.Price
		rule   *faults.Rule
		change func(*ecs.DescribePriceRequest)
		want   want
	}{
		"OnDemand": {reason: "The price of an hour.", want: want{0.96, 0.96, ""}},
		"Spot":     {reason: "The spot market's, beside it.", change: spot, want: want{0.24, 0.96, ""}},
		"Disk":     {reason: "A disk that is named counts.", change: func(r *ecs.DescribePriceRequest) { r.SystemDiskCategory, r.SystemDiskSize = "cloud_essd", "100" }, want: want{1.11, 1.11, ""}},
		"Day":      {reason: "Units have hours.", change: func(r *ecs.DescribePriceRequest) { r.PriceUnit = "Day" }, want: want{23.04, 23.04, ""}},
		"Amount":   {reason: "Several cost more.", change: func(r *ecs.DescribePriceRequest) { r.Amount, r.Period = "3", "2" }, want: want{5.76, 5.76, ""}},
		"Moved":    {reason: "Prices move.", moves: []stock.Price{{Factor: 2}}, want: want{1.92, 1.92, ""}},
		"SpotMoved": {
			reason: "Spot prices move by themselves, zone by zone.", moves: []stock.Price{{Key: stock.Key{Zone: zone, Spot: true}, Factor: 3}},
			change: func(r *ecs.DescribePriceRequest) { spot(r); r.ZoneId = zone }, want: want{0.72, 0.96, ""},
		},
		"OtherZone": {
			reason: "Not in other zones.", moves: []stock.Price{{Key: stock.Key{Zone: zone, Spot: true}, Factor: 3}},
			change: func(r *ecs.DescribePriceRequest) { spot(r); r.ZoneId = "cn-hangzhou-i" }, want: want{0.24, 0.96, ""},
		},
		"MovedBack":     {reason: "The last move counts.", moves: []stock.Price{{Factor: 2}, {Factor: 1}}, want: want{0.96, 0.96, ""}},
		"Zero":          {reason: "A feed can say nothing.", rule: &faults.Rule{Kind: faults.WrongPrice}, want: want{0, 0, ""}},
		"Negative":      {reason: "Or less.", rule: &faults.Rule{Kind: faults.WrongPrice, Args: map[string]string{"factor": "-1"}}, want: want{-0.96, -0.96, ""}},
		"Hundredfold":   {reason: "Or far too much.", rule: &faults.Rule{Kind: faults.WrongPrice, Args: map[string]string{"factor": "100"}}, want: want{96, 96, ""}},
		"OtherType":     {reason: "A lie concerns what it is about.", rule: &faults.Rule{Kind: faults.WrongPrice, Selector: map[string]string{"instanceType": "ecs.c7.large"}}, want: want{0.96, 0.96, ""}},
		"SpotOnly":      {reason: "By charge too.", rule: &faults.Rule{Kind: faults.WrongPrice, Selector: map[string]string{"charge": "spot"}}, change: spot, want: want{0, 0, ""}},
		"UnknownType":   {reason: "Types must exist.", change: func(r *ecs.DescribePriceRequest) { r.InstanceType = "ecs.none" }, want: want{Code: "InvalidInstanceType.ValueNotSupported"}},
		"UnknownZone":   {reason: "So must zones.", change: func(r *ecs.DescribePriceRequest) { r.ZoneId = "cn-hangzhou-z" }, want: want{Code: "InvalidZoneId.NotFound"}},
		"UnknownRegion": {reason: "And regions.", change: func(r *ecs.DescribePriceRequest) { r.RegionId = "mars" }, want: want{Code: "InvalidRegionId.NotFound"}},
		"Unit":          {reason: "There are no other units.", change: func(r *ecs.DescribePriceRequest) { r.PriceUnit = "Fortnight" }, want: want{Code: "InvalidParameter"}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			s := start(t, nil)
			for _, m := range tc.moves {
				s.must(s.Admin.SetPrice(t.Context(), m))
			}
			if tc.rule != nil {
				_, err := s.Admin.SetFault(t.Context(), *tc.rule)
				s.must(err)
			}
			var got want
			got.Trade, got.Original, got.Code = s.price(tc.change)
			check(t, tc.reason, tc.want, got)
		})
	}
	t.Run("NaN", func(t *testing.T) {
		s := start(t, nil)
		_, err := s.Admin.SetFault(t.Context(), faults.Rule{Kind: faults.WrongPrice, Args: map[string]string{"factor": "NaN"}})
		s.must(err)
		_, _, c := s.price(nil)
		check(t, "A feed can say what is no number: this client cannot read the answer then.", "unknown", c)
	})
	t.Run("Bill", func(t *testing.T) {
		s := start(t, nil)
		s.must(s.Admin.SetPrice(t.Context(), stock.Price{Key: stock.Key{Type: typ}, Factor: 2}))
		_, err := s.Admin.SetFault(t.Context(), faults.Rule{Kind: faults.WrongPrice})
		s.must(err)
		s.cluster()
		check(t, "What is bought costs what the price is, not what the feed says.", 1.92, round(s.live(ledger.ECS)[0].Hourly))
		if err := s.Admin.SetPrice(t.Context(), stock.Price{Factor: -1}); err == nil {
			t.Errorf("Nobody is paid for buying")
		}
	})
}

// TestAvailability shows what is in stock.
func TestAvailability(t *testing.T) {
	type shelf struct{ Zone, Zoned, Type, Status, Category string }
	type args struct {
		zone, typ string
		spot      bool
	}
	both := args{typ: typ}
	all := func(status, category string) []shelf {
		return []shelf{{zone, status, typ, status, category}, {"cn-hangzhou-i", status, typ, status, category}}
	}
	cases := map[string]struct {
		reason string
		stock  []stock.Item
		rule   *faults.Rule
		args   args
		want   []shelf
	}{
		"Full":    {reason: "At the start there is enough.", args: both, want: all("Available", "WithStock")},
		"SoldOut": {reason: "Without any it is sold out.", stock: []stock.Item{{Key: stock.Key{Type: typ}}}, args: both, want: all("SoldOut", "WithoutStock")},
		"Low":     {reason: "A little is little.", stock: []stock.Item{{Key: stock.Key{Type: typ}, Count: 3}}, args: both, want: []shelf{{zone, "Available", typ, "Available", "ClosedWithStock"}, {"cn-hangzhou-i", "Available", typ, "Available", "ClosedWithStock"}}},
		"OneZone": {
			reason: "Zones differ.", stock: []stock.Item{{Key: stock.Key{Zone: zone, Type: typ}}}, args: both,
			want: []shelf{{zone, "SoldOut", typ, "SoldOut", "WithoutStock"}, {"cn-hangzhou-i", "Available", typ, "Available", "WithStock"}},
		},
		"Spot":      {reason: "Spot is another shelf.", stock: []stock.Item{{Key: stock.Key{Type: typ, Spot: true}}}, args: both, want: all("Available", "WithStock")},
		"SpotOut":   {reason: "Which can be empty.", stock: []stock.Item{{Key: stock.Key{Type: typ, Spot: true}}}, args: args{typ: typ, spot: true}, want: all("SoldOut", "WithoutStock")},
		"NotOnSale": {reason: "What is not on sale is not listed.", stock: []stock.Item{{Key: stock.Key{Zone: zone, Type: typ}, Count: -1}}, args: both, want: []shelf{{"cn-hangzhou-i", "Available", typ, "Available", "WithStock"}}},
		"Zone":      {reason: "One zone.", args: args{zone: zone, typ: typ}, want: all("Available", "WithStock")[:1]},
		"Unknown":   {reason: "Nobody sells it.", args: args{typ: "ecs.none"}},
		"Lie": {
			reason: "A feed can be wrong.", stock: []stock.Item{{Key: stock.Key{Type: typ}}}, args: both, want: all("Available", "WithStock"),
			rule: &faults.Rule{Kind: faults.WrongStock},
		},
		"LieSoldOut": {
			reason: "The other way round.", args: args{zone: zone, typ: typ}, want: all("SoldOut", "WithoutStock")[:1],
			rule: &faults.Rule{Kind: faults.WrongStock, Args: map[string]string{"status": "SoldOut"}, Selector: map[string]string{"instanceType": typ, "zone": zone}},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			s := start(t, nil)
			for _, it := range tc.stock {
				s.must(s.Admin.SetStock(t.Context(), it))
			}
			if tc.rule != nil {
				_, err := s.Admin.SetFault(t.Context(), *tc.rule)
				s.must(err)
			}
			r := ecs.CreateDescribeAvailableResourceRequest()
			r.DestinationResource, r.ZoneId, r.InstanceType = "InstanceType", tc.args.zone, tc.args.typ
			if tc.args.spot {
				r.SpotStrategy = "SpotAsPriceGo"
			}
			var got []shelf
			for _, z := range call(s, s.ecs.DescribeAvailableResource, r, r.RpcRequest).AvailableZones.AvailableZone {
				for _, a := range z.AvailableResources.AvailableResource {
					for _, x := range a.SupportedResources.SupportedResource {
						got = append(got, shelf{z.ZoneId, z.Status, x.Value, x.Status, x.StatusCategory})
					}
				}
			}
			check(t, tc.reason, tc.want, got)
		})
	}
	s := start(t, nil)
	for reason, tc := range map[string]struct{ destination, zone, want string }{
		"What is asked for must be said.": {want: "MissingParameter"},
		"Disks are not for sale here.":    {destination: "SystemDisk", want: "Invalid.DestinationResource"},
		"Zones must exist.":               {destination: "InstanceType", zone: "none", want: "InvalidZoneId.NotFound"},
	} {
		r := ecs.CreateDescribeAvailableResourceRequest()
		r.DestinationResource, r.ZoneId = tc.destination, tc.zone
		s.Direct(r.RpcRequest)
		_, err := s.ecs.DescribeAvailableResource(r)
		check(t, reason, tc.want, code(err))
	}
	r := ecs.CreateDescribeAvailableResourceRequest()
	r.DestinationResource, r.Cores, r.Memory = "InstanceType", requests.NewInteger(4), requests.NewFloat(16)
	z := call(s, s.ecs.DescribeAvailableResource, r, r.RpcRequest).AvailableZones.AvailableZone[0]
	check(t, "Types can be asked for by size.", 1, len(z.AvailableResources.AvailableResource[0].SupportedResources.SupportedResource))
}

// TestSpotLock: an instance that is about to be taken away is locked.
func TestSpotLock(t *testing.T) {
	s := start(t, nil)
	s.cluster()
	id := s.live(ledger.ECS)[0].ID
	s.must(s.Admin.NodeEvent(t.Context(), id, "reclaim"))
	s.Step(lag)
	locks := func() (out []string) {
		for _, i := range s.instances(func(r *ecs.DescribeInstancesRequest) { r.InstanceIds = `["` + id + `"]` }).Instances.Instance {
			for _, l := range i.OperationLocks.LockReason {
				out = append(out, l.LockReason)
			}
		}
		return out
	}
	check(t, "The notice is given.", []string{"Recycling"}, locks())
	s.Step(5 * time.Minute)
	check(t, "Then it is gone.", []string(nil), locks())
}

// TestContainerGroupPrice: 2 vCPU at 0.15 and 4 GiB at 0.0375 are 0.45 an hour,
// which the API tells for a second.
func TestContainerGroupPrice(t *testing.T) {
	cases := map[string]struct {
		reason string
		rule   *faults.Rule
		change func(*eci.DescribeContainerGroupPriceRequest)
		want   float64
		code   string
	}{
		"Second":  {reason: "The price of a second.", want: 0.45},
		"Memory":  {reason: "More memory costs more.", change: func(r *eci.DescribeContainerGroupPriceRequest) { r.Memory = "8" }, want: 0.6},
		"Wrong":   {reason: "A feed can lie.", rule: &faults.Rule{Kind: faults.WrongPrice, Args: map[string]string{"factor": "100"}}, want: 45},
		"NoCPU":   {reason: "A size has two numbers.", change: func(r *eci.DescribeContainerGroupPriceRequest) { r.Cpu = "" }, code: "MissingParameter"},
		"OddSize": {reason: "Not all sizes are sold.", change: func(r *eci.DescribeContainerGroupPriceRequest) { r.Cpu = "3" }, code: "InvalidParameter.CPU.Memory"},
		"Region":  {reason: "Regions must exist.", change: func(r *eci.DescribeContainerGroupPriceRequest) { r.RegionId = "mars" }, code: "InvalidRegionId.NotFound"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			s := start(t, nil)
			if tc.rule != nil {
				_, err := s.Admin.SetFault(t.Context(), *tc.rule)
				s.must(err)
			}
			r := eci.CreateDescribeContainerGroupPriceRequest()
			r.Cpu, r.Memory = "2", "4"
			if tc.change != nil {
				tc.change(r)
			}
			s.Direct(r.RpcRequest)
			out := responses.NewCommonResponse()
			err := s.eci.DoAction(r, out)
			check(t, tc.reason, tc.code, code(err))
			if tc.code != "" {
				return
			}
			var body struct {
				PriceInfo struct {
					Price struct {
						TradePrice  float64
						DetailInfos struct {
							DetailInfo []struct{ TradePrice float64 }
						}
					}
				}
			}
			s.must(json.Unmarshal(out.GetHttpContentBytes(), &body))
			p := body.PriceInfo.Price
			check(t, tc.reason, tc.want, round(p.TradePrice*3600))
			check(t, "The whole is the sum of its parts.", round(p.TradePrice*3600), round((p.DetailInfos.DetailInfo[0].TradePrice+p.DetailInfos.DetailInfo[1].TradePrice)*3600))
		})
	}
}
