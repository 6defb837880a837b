package aliyun

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/aliyun/alibaba-cloud-sdk-go/sdk/requests"
	"github.com/aliyun/alibaba-cloud-sdk-go/sdk/responses"
	"github.com/aliyun/alibaba-cloud-sdk-go/services/eci"
	"github.com/aliyun/alibaba-cloud-sdk-go/services/ecs"
	"github.com/aliyun/alibaba-cloud-sdk-go/services/vpc"
)

const (
	// resourceInstanceType is what a machine is called in answers about prices
	// and stock, in one of these spellings.
	resourceInstanceType = "instancetype"
	// resourceAvailable is the status of what is to be had. The other is
	// SoldOut.
	resourceAvailable = "Available"
	// maxPages bounds a list whose total grows while it is read.
	maxPages = 100
)

// Price of a machine for an hour.
func (c *client) Price(ctx context.Context, q PriceQuery) (Price, error) {
	req := ecs.CreateDescribePriceRequest()
	req.ResourceType = "instance"
	req.InstanceType = q.InstanceType
	req.InstanceNetworkType = "vpc"
	req.PriceUnit = "Hour"
	req.ZoneId = q.Zone
	if q.Spot {
		req.SpotStrategy = "SpotAsPriceGo"
	}
	out := ecs.CreateDescribePriceResponse()
	if err := c.call(ctx, rpc{req, req.RpcRequest}, out); err != nil {
		return Price{}, err
	}
	p := out.PriceInfo.Price
	if p.Currency == "" && p.TradePrice == 0 && p.OriginalPrice == 0 {
		return Price{}, incomplete(req.GetActionName())
	}
	// The sum holds a system disk of the vendor's choice.
	for _, d := range p.DetailInfos.DetailInfo {
		if strings.EqualFold(d.Resource, resourceInstanceType) {
			return Price{Hourly: d.TradePrice, Currency: p.Currency}, nil
		}
	}
	return Price{Hourly: p.TradePrice, Currency: p.Currency}, nil
}

// podPriceResponse is what the vendor documents. The SDK's own type has lists
// where the API sends objects, and prices a second in single precision.
type podPriceResponse struct {
	*responses.BaseResponse
	PriceInfo struct {
		Price struct {
			TradePrice, OriginalPrice float64
			Currency                  string
		}
	}
}

// PodPrice of a container group for an hour. The API prices the second: its own
// example has 0.00012252 for 2 vCPU and 4 GiB.
func (c *client) PodPrice(ctx context.Context, cpu, memoryGiB float64) (Price, error) {
	req := eci.CreateDescribeContainerGroupPriceRequest()
	req.Cpu, req.Memory = requests.NewFloat(cpu), requests.NewFloat(memoryGiB)
	req.RegionId = c.region
	out := &podPriceResponse{BaseResponse: &responses.BaseResponse{}}
	if err := c.call(ctx, rpc{req, req.RpcRequest}, out); err != nil {
		return Price{}, err
	}
	p := out.PriceInfo.Price
	if p.TradePrice == 0 && p.OriginalPrice == 0 {
		return Price{}, incomplete(req.GetActionName())
	}
	return Price{Hourly: p.TradePrice * time.Hour.Seconds(), Currency: p.Currency}, nil
}

// Stock of all types in all zones of the region.
func (c *client) Stock(ctx context.Context, spot bool) ([]Stock, error) {
	req := ecs.CreateDescribeAvailableResourceRequest()
	req.DestinationResource = "InstanceType"
	req.ResourceType = "instance"
	req.InstanceChargeType = "PostPaid"
	req.NetworkCategory = "vpc"
	req.IoOptimized = "optimized"
	if spot {
		req.SpotStrategy = "SpotAsPriceGo"
	}
	out := ecs.CreateDescribeAvailableResourceResponse()
	if err := c.call(ctx, rpc{req, req.RpcRequest}, out); err != nil {
		return nil, err
	}
	var all []Stock
	for _, z := range out.AvailableZones.AvailableZone {
		for _, r := range z.AvailableResources.AvailableResource {
			if !strings.EqualFold(r.Type, resourceInstanceType) {
				continue
			}
			for _, t := range r.SupportedResources.SupportedResource {
				all = append(all, Stock{InstanceType: t.Value, Zone: z.ZoneId, Available: z.Status == resourceAvailable && t.Status == resourceAvailable})
			}
		}
	}
	if len(all) == 0 {
		// No region is without machines: taken at its word, an empty answer would
		// make every offering unavailable.
		return nil, incomplete(req.GetActionName())
	}
	return all, nil
}

// VSwitches of a VPC.
func (c *client) VSwitches(ctx context.Context, id string) ([]VSwitch, error) {
	var all []VSwitch
	for page := 1; page <= maxPages; page++ {
		req := vpc.CreateDescribeVSwitchesRequest()
		req.VpcId = id
		req.PageNumber, req.PageSize = requests.NewInteger(page), requests.NewInteger(50)
		out := vpc.CreateDescribeVSwitchesResponse()
		if err := c.call(ctx, rpc{req, req.RpcRequest}, out); err != nil {
			return nil, err
		}
		for _, v := range out.VSwitches.VSwitch {
			all = append(all, VSwitch{ID: v.VSwitchId, VPC: v.VpcId, Zone: v.ZoneId, Free: v.AvailableIpAddressCount})
		}
		if len(out.VSwitches.VSwitch) == 0 || page*50 >= out.TotalCount {
			break
		}
	}
	slices.SortFunc(all, func(a, b VSwitch) int { return strings.Compare(a.ID, b.ID) })
	return slices.CompactFunc(all, func(a, b VSwitch) bool { return a.ID == b.ID }), nil
}
