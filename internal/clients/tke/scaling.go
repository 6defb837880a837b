package tke

import (
	"context"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"regionpool.io/provider-regionpool/internal/clients/cloud"
)

// Ways to rent machines.
const (
	chargeHourly = "POSTPAID_BY_HOUR"
	chargeSpot   = "SPOTPAID"
)

// maxSpotPrice is the bid for spot machines, by the hour. They cost what the
// market asks, whatever the bid, so a high one only says that we want them; what
// they may cost is for the planner to watch.
const maxSpotPrice = "1000"

// group is AutoScalingGroupPara of CreateClusterNodePool: the parameters of
// as.CreateAutoScalingGroup, as JSON in a string.
type group struct {
	AutoScalingGroupName string   `json:"AutoScalingGroupName"`
	VPCID                string   `json:"VpcId"`
	SubnetIDs            []string `json:"SubnetIds"`
	MinSize              int32    `json:"MinSize"`
	MaxSize              int32    `json:"MaxSize"`
	DesiredCapacity      int32    `json:"DesiredCapacity"`
	// RetryPolicy says that the group goes on trying when machines are sold out.
	RetryPolicy string `json:"RetryPolicy"`
	// MultiZoneSubnetPolicy says that subnets are tried in their order.
	MultiZoneSubnetPolicy string `json:"MultiZoneSubnetPolicy"`
	// TerminationPolicies say which machines go if the desired number is ever below
	// what is there: those that have just come, and carry nothing yet. The default
	// is the oldest.
	TerminationPolicies []string `json:"TerminationPolicies"`
}

// launch is LaunchConfigurePara: the parameters of
// as.CreateLaunchConfiguration.
type launch struct {
	InstanceType          string         `json:"InstanceType"`
	InstanceTypes         []string       `json:"InstanceTypes,omitempty"`
	InstanceChargeType    string         `json:"InstanceChargeType"`
	InstanceMarketOptions *marketOptions `json:"InstanceMarketOptions,omitempty"`
	SystemDisk            disk           `json:"SystemDisk"`
	InternetAccessible    internet       `json:"InternetAccessible"`
	SecurityGroupIDs      []string       `json:"SecurityGroupIds,omitempty"`
	InstanceTags          []tag          `json:"InstanceTags,omitempty"`
}

type marketOptions struct {
	MarketType  string      `json:"MarketType"`
	SpotOptions spotOptions `json:"SpotOptions"`
}

type spotOptions struct {
	MaxPrice         string `json:"MaxPrice"`
	SpotInstanceType string `json:"SpotInstanceType"`
}

type disk struct {
	DiskType string `json:"DiskType"`
	DiskSize int32  `json:"DiskSize"`
}

type internet struct {
	PublicIPAssigned        bool  `json:"PublicIpAssigned"`
	InternetMaxBandwidthOut int32 `json:"InternetMaxBandwidthOut"`
}

type tag struct {
	Key   string `json:"Key"`
	Value string `json:"Value"`
}

// scaling writes the two parameters that are JSON in a string.
func scaling(in NodePoolInput) (groupPara, launchPara string, err error) {
	groupPara, err = text(group{
		AutoScalingGroupName: in.Name, VPCID: in.VPCID, SubnetIDs: in.SubnetIDs,
		MinSize: in.Min, MaxSize: in.Max, DesiredCapacity: in.Desired,
		RetryPolicy: "IMMEDIATE_RETRY", MultiZoneSubnetPolicy: "PRIORITY",
		TerminationPolicies: []string{"NEWEST_INSTANCE"},
	})
	if err != nil {
		return "", "", err
	}
	l := launch{
		InstanceChargeType: chargeHourly, InstanceTypes: in.InstanceTypes, SystemDisk: disk{DiskType: in.DiskType, DiskSize: in.DiskSizeGiB},
		SecurityGroupIDs: in.SecurityGroupIDs,
	}
	if len(in.InstanceTypes) > 0 {
		l.InstanceType = in.InstanceTypes[0]
	}
	if in.Spot {
		l.InstanceChargeType = chargeSpot
		l.InstanceMarketOptions = &marketOptions{MarketType: "spot", SpotOptions: spotOptions{MaxPrice: maxSpotPrice, SpotInstanceType: "one-time"}}
	}
	for _, k := range slices.Sorted(maps.Keys(in.Tags)) {
		l.InstanceTags = append(l.InstanceTags, tag{Key: k, Value: in.Tags[k]})
	}
	launchPara, err = text(l)
	return groupPara, launchPara, err
}

// GetScalingGroup of a node pool.
func (c *Client) GetScalingGroup(ctx context.Context, id string) (*ScalingGroup, error) {
	groups, err := ask[struct {
		AutoScalingGroupSet []struct {
			AutoScalingGroupId, LaunchConfigurationId, InActivityStatus string
			SubnetIdSet, ZoneSet                                        []string
			DesiredCapacity, InstanceCount                              int32
		}
	}](ctx, c, "as", "DescribeAutoScalingGroups", map[string]any{"AutoScalingGroupIds": []string{id}})
	if err != nil {
		return nil, err
	}
	out := &ScalingGroup{}
	launchID := ""
	for _, g := range groups.AutoScalingGroupSet {
		if g.AutoScalingGroupId == id {
			out = &ScalingGroup{
				ID: id, SubnetIDs: g.SubnetIdSet, Zones: g.ZoneSet, Desired: g.DesiredCapacity, Instances: g.InstanceCount,
				Busy: g.InActivityStatus == "IN_ACTIVITY",
			}
			launchID = g.LaunchConfigurationId
		}
	}
	if launchID == "" {
		return nil, &cloud.Error{Class: cloud.Unknown, Operation: "DescribeAutoScalingGroups", Message: "the cloud lists no scaling group " + id}
	}

	launches, err := ask[struct {
		LaunchConfigurationSet []struct {
			LaunchConfigurationId, InstanceType, InstanceChargeType string
			InstanceTypes, SecurityGroupIds                         []string
			SystemDisk                                              struct {
				DiskType string
				DiskSize int32
			}
		}
	}](ctx, c, "as", "DescribeLaunchConfigurations", map[string]any{"LaunchConfigurationIds": []string{launchID}})
	if err != nil {
		return nil, err
	}
	for _, l := range launches.LaunchConfigurationSet {
		if l.LaunchConfigurationId != launchID {
			continue
		}
		out.InstanceTypes, out.SecurityGroupIDs = l.InstanceTypes, l.SecurityGroupIds
		if len(out.InstanceTypes) == 0 && l.InstanceType != "" {
			out.InstanceTypes = []string{l.InstanceType}
		}
		out.DiskType, out.DiskSizeGiB, out.Spot = l.SystemDisk.DiskType, l.SystemDisk.DiskSize, l.InstanceChargeType == chargeSpot
		return out, nil
	}
	return nil, incomplete("DescribeLaunchConfigurations")
}

// wireActivity is what auto scaling tells of an activity.
type wireActivity struct {
	ActivityId, ActivityType, StatusCode, StatusMessage string
	StartTime, EndTime                                  string
	ActivityRelatedInstanceSet                          []struct{ InstanceId string }
	DetailedStatusMessageSet                            []wireDetail
}

// wireDetail is one reason why machines did not come.
type wireDetail struct{ Code, Zone, InstanceType, Message string }

// ListActivities of a scaling group that began at or after a time.
func (c *Client) ListActivities(ctx context.Context, scalingGroupID string, since time.Time) ([]Activity, error) {
	const op = "DescribeAutoScalingActivities"
	parameters := map[string]any{"Filters": []map[string]any{{"Name": "auto-scaling-group-id", "Values": []string{scalingGroupID}}}}
	if !since.IsZero() {
		parameters["StartTime"] = since.UTC().Format(time.RFC3339)
	}
	all, err := pages(op, func(a *wireActivity) string { return a.ActivityId }, func(offset, limit int) ([]*wireActivity, *int, error) {
		page := maps.Clone(parameters)
		page["Offset"], page["Limit"] = offset, limit
		out, err := ask[struct {
			TotalCount  *int
			ActivitySet []*wireActivity
		}](ctx, c, "as", op, page)
		if err != nil {
			return nil, nil, err
		}
		return out.ActivitySet, out.TotalCount, nil
	})
	if err != nil {
		return nil, err
	}
	out := make([]Activity, 0, len(all))
	for _, w := range all {
		// Times have whole seconds at the cloud.
		if a := w.activity(); a.Started.IsZero() || !a.Started.Before(since.Truncate(time.Second)) {
			out = append(out, a)
		}
	}
	slices.SortStableFunc(out, func(a, b Activity) int { return b.Started.Compare(a.Started) })
	return out, nil
}

func (w *wireActivity) activity() Activity {
	a := Activity{
		ID: w.ActivityId, Type: w.ActivityType, State: w.StatusCode, Message: cloud.Stable(w.StatusMessage),
		Started: parseTime(w.StartTime), Ended: parseTime(w.EndTime),
	}
	for _, i := range w.ActivityRelatedInstanceSet {
		a.Instances = append(a.Instances, i.InstanceId)
	}
	if w.ActivityType == ActivityScaleOut && (w.StatusCode == ActivityFailed || w.StatusCode == ActivityPartial) {
		a.Shortages = shortages(w.StatusMessage, w.DetailedStatusMessageSet)
	}
	return a
}

var (
	// instanceType such as S5.MEDIUM4 or GN10Xp.2XLARGE40.
	instanceType = regexp.MustCompile(`\b[A-Z][A-Za-z0-9]*\.(?:\d*X?LARGE|MEDIUM|SMALL)\d*\b`)
	// zone such as ap-guangzhou-3 or ap-shanghai-fsi-1.
	zone = regexp.MustCompile(`\b[a-z]{2}-[a-z]+(?:-[a-z]+)*-\d+\b`)
	// code such as ResourceInsufficient.SpecifiedInstanceType.
	code = regexp.MustCompile(`\b[A-Z][A-Za-z]+\.[A-Z][A-Za-z]+\b`)
	// sentences of a message. A dot inside a type is followed by no space.
	sentences = regexp.MustCompile(`[;；。\n]+|\.(?:\s+|$)`)
)

// shortages that an activity tells of: the details, where the cloud gives some,
// or what its message says.
func shortages(message string, details []wireDetail) []Shortage {
	var all []Shortage
	add := func(s Shortage) {
		if !slices.ContainsFunc(all, func(o Shortage) bool {
			return o.InstanceType == s.InstanceType && o.Zone == s.Zone && o.Reason == s.Reason
		}) {
			all = append(all, s)
		}
	}
	for _, d := range details {
		msg := cloud.Stable(d.Message)
		s := Shortage{InstanceType: d.InstanceType, Zone: d.Zone, Code: d.Code, Message: msg, Reason: reason(d.Code, msg)}
		if s.InstanceType == "" {
			s.InstanceType = instanceType.FindString(msg)
		}
		if s.Zone == "" {
			s.Zone = zone.FindString(msg)
		}
		add(s)
	}
	if len(all) > 0 {
		return all
	}
	for _, text := range sentences.Split(message, -1) {
		msg := cloud.Stable(text)
		if msg == "" {
			continue
		}
		c := code.FindString(msg)
		why := reason(c, msg)
		types, zones := instanceType.FindAllString(msg, -1), zone.FindAllString(msg, -1)
		if why == ReasonFailed && len(types)+len(zones) == 0 && c == "" {
			continue
		}
		if len(types) == 0 {
			types = []string{""}
		}
		if len(zones) == 0 {
			zones = []string{""}
		}
		for _, t := range types {
			for _, z := range zones {
				add(Shortage{InstanceType: t, Zone: z, Reason: why, Code: c, Message: msg})
			}
		}
	}
	if len(all) == 0 {
		add(Shortage{Reason: ReasonFailed, Message: cloud.Stable(message)})
	}
	return all
}

// reason of a shortage, from its code, or from words of its message: those that
// other clients of auto scaling look for.
func reason(code, message string) string {
	switch classOf(code) {
	case cloud.OutOfStock:
		return ReasonOutOfStock
	case cloud.Quota:
		return ReasonQuota
	case cloud.Gone, cloud.Unauthorised, cloud.Throttled, cloud.WrongState, cloud.Protected, cloud.Conflict, cloud.Invalid, cloud.Unreachable, cloud.Unknown:
	}
	text := strings.ToLower(message)
	for _, words := range []struct {
		reason string
		any    []string
	}{
		{ReasonQuota, []string{"limitexceeded", "spotquota", "quota", "balance"}},
		{ReasonOutOfStock, []string{"insufficient", "sold out", "soldout", "not sold", "no stock"}},
	} {
		for _, w := range words.any {
			if strings.Contains(text, w) {
				return words.reason
			}
		}
	}
	return ReasonFailed
}

// Named are the instance type and the zone that a text names first, or nothing.
func Named(text string) (typ, z string) {
	return instanceType.FindString(text), zone.FindString(text)
}
