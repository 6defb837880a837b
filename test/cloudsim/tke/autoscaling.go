package tke

import (
	"slices"

	"regionpool.io/provider-regionpool/test/cloudsim/ledger"
)

// describeActivities is newest first, and up to date.
func (s *Server) describeActivities(c *call) (map[string]any, error) {
	var q struct {
		ActivityIds        []string
		Filters            []filter
		Offset, Limit      *number
		StartTime, EndTime string
	}
	if err := decode(c, &q); err != nil {
		return nil, err
	}
	all := []any{}
	for _, a := range slices.Backward(s.activities) {
		ok, err := filtered(q.Filters, fields{
			"auto-scaling-group-id": a.group, "activity-status-code": a.status, "activity-type": a.kind, "activity-id": a.id,
		}, nil)
		if err != nil {
			return nil, err
		}
		if !ok || a.account != c.account || a.region != c.region || len(q.ActivityIds) > 0 && !slices.Contains(q.ActivityIds, a.id) ||
			q.StartTime != "" && a.start < q.StartTime || q.EndTime != "" && a.start > q.EndTime {
			continue
		}
		all = append(all, a.view())
	}
	page, err := paginate(all, q.Offset, q.Limit)
	if err != nil {
		return nil, err
	}
	return map[string]any{"TotalCount": len(all), "ActivitySet": page}, nil
}

func (a *activity) view() map[string]any {
	related, details := []any{}, []any{}
	for _, id := range a.instances {
		state := "SUCCESSFUL"
		if a.waiting[id] {
			state = "RUNNING"
		}
		related = append(related, map[string]string{"InstanceId": id, "InstanceStatus": state})
	}
	if a.status != "RUNNING" {
		for _, f := range a.shortages {
			details = append(details, map[string]string{
				"Code": f.code, "Message": f.message, "Zone": f.zone, "SubnetId": f.subnet, "InstanceType": f.kind, "InstanceChargeType": f.charge, "InstanceId": "",
			})
		}
	}
	return map[string]any{
		"AutoScalingGroupId": a.group, "ActivityId": a.id, "ActivityType": a.kind, "StatusCode": a.status, "StatusMessage": a.message,
		"StatusMessageSimplified": a.message, "Cause": a.cause, "Description": a.cause, "StartTime": a.start, "EndTime": a.end, "CreatedTime": a.start,
		"ActivityRelatedInstanceSet": related, "DetailedStatusMessageSet": details,
	}
}

// inventory returns live objects of the caller in the region that pass the
// filters, in order of creation. The filter's fields are made by the caller.
func (s *Server) inventory(c *call, ids []string, filters []filter, kinds []ledger.Kind, f func(ledger.Object) fields) ([]ledger.Object, error) {
	out := []ledger.Object{}
	for _, o := range s.Ledger.Live(func(o ledger.Object) bool {
		return slices.Contains(kinds, o.Kind) && o.Account == c.account && o.Region == c.region && (len(ids) == 0 || slices.Contains(ids, o.ID))
	}) {
		ok, err := filtered(filters, f(o), o.Tags)
		if err != nil {
			return nil, err
		}
		if ok {
			out = append(out, o)
		}
	}
	return out, nil
}

// page of an inventory, in the form of the product at hand.
func page(key string, objects []ledger.Object, offset, limit *number, view func(ledger.Object) map[string]any) (map[string]any, error) {
	some, err := paginate(objects, offset, limit)
	if err != nil {
		return nil, err
	}
	out := []any{}
	for _, o := range some {
		out = append(out, view(o))
	}
	return map[string]any{"TotalCount": len(objects), key: out}, nil
}

// pool whose scaling group has the id; nil for one that a deletion left behind.
func (s *Server) poolOfGroup(group string) *nodePool {
	for _, k := range s.clusters {
		for _, p := range k.pools {
			if p.group == group {
				return p
			}
		}
	}
	return nil
}

// poolOfLaunch is the pool whose launch configuration has the id, if any.
func (s *Server) poolOfLaunch(launch string) *nodePool {
	for _, k := range s.clusters {
		for _, p := range k.pools {
			if p.launch == launch {
				return p
			}
		}
	}
	return nil
}

func (s *Server) describeScalingGroups(c *call) (map[string]any, error) {
	var q struct {
		AutoScalingGroupIds []string
		Filters             []filter
		Offset, Limit       *number
	}
	if err := decode(c, &q); err != nil {
		return nil, err
	}
	all, err := s.inventory(c, q.AutoScalingGroupIds, q.Filters, []ledger.Kind{ledger.ASGroup}, func(o ledger.Object) fields {
		return fields{
			"auto-scaling-group-id": o.ID, "auto-scaling-group-name": o.Name, "vpc-id": o.Attrs["vpc"], "launch-configuration-id": o.Attrs["launch"],
		}
	})
	if err != nil {
		return nil, err
	}
	return page("AutoScalingGroupSet", all, q.Offset, q.Limit, func(o ledger.Object) map[string]any {
		v := map[string]any{
			"AutoScalingGroupId": o.ID, "AutoScalingGroupName": o.Name, "AutoScalingGroupStatus": "NORMAL", "VpcId": o.Attrs["vpc"],
			"LaunchConfigurationId": o.Attrs["launch"], "CreatedTime": o.Attrs["created"], "EnabledStatus": "ENABLED", "InActivityStatus": "NOT_IN_ACTIVITY",
			"InstanceCount": 0, "InServiceInstanceCount": 0, "DesiredCapacity": 0, "MinSize": 0, "MaxSize": 0, "SubnetIdSet": []string{},
			"Tags": tagList(o.Tags, "Key", "Value"),
		}
		p := s.poolOfGroup(o.ID)
		if p == nil {
			return v
		}
		serving := 0
		for _, i := range p.instances() {
			if i.state == instanceRunning && !i.removing {
				serving++
			}
		}
		v["InstanceCount"], v["InServiceInstanceCount"], v["DesiredCapacity"] = len(p.instances()), serving, p.desired
		v["MinSize"], v["MaxSize"], v["SubnetIdSet"] = p.min, p.max, p.spec.group.SubnetIds
		for _, a := range s.activities {
			if a.group == o.ID && a.status == "RUNNING" {
				v["InActivityStatus"] = "IN_ACTIVITY"
			}
		}
		return v
	})
}

// deleteScalingGroup is for groups a deleted cluster left behind.
func (s *Server) deleteScalingGroup(c *call) (map[string]any, error) {
	var q struct{ AutoScalingGroupId string }
	if err := decode(c, &q); err != nil {
		return nil, err
	}
	all, err := s.inventory(c, []string{q.AutoScalingGroupId}, nil, []ledger.Kind{ledger.ASGroup}, func(ledger.Object) fields { return nil })
	switch {
	case err != nil:
		return nil, err
	case len(all) == 0:
		return nil, fail("ResourceNotFound.AutoScalingGroupNotFound", "the scaling group %q does not exist", q.AutoScalingGroupId)
	case s.poolOfGroup(q.AutoScalingGroupId) != nil:
		return nil, fail("ResourceInUse.InstanceInGroup", "the scaling group %s belongs to a node pool", q.AutoScalingGroupId)
	}
	s.Ledger.Release(q.AutoScalingGroupId)
	return nil, nil
}

func (s *Server) describeLaunchConfigurations(c *call) (map[string]any, error) {
	var q struct {
		LaunchConfigurationIds []string
		Filters                []filter
		Offset, Limit          *number
	}
	if err := decode(c, &q); err != nil {
		return nil, err
	}
	all, err := s.inventory(c, q.LaunchConfigurationIds, q.Filters, []ledger.Kind{ledger.LaunchConfig}, func(o ledger.Object) fields {
		return fields{"launch-configuration-id": o.ID, "launch-configuration-name": o.Name}
	})
	if err != nil {
		return nil, err
	}
	return page("LaunchConfigurationSet", all, q.Offset, q.Limit, func(o ledger.Object) map[string]any {
		v := map[string]any{
			"LaunchConfigurationId": o.ID, "LaunchConfigurationName": o.Name, "LaunchConfigurationStatus": "NORMAL", "CreatedTime": o.Attrs["created"],
			"Tags": tagList(o.Tags, "Key", "Value"),
		}
		if p := s.poolOfLaunch(o.ID); p != nil {
			disk := p.spec.launch.SystemDisk
			v["InstanceType"], v["InstanceTypes"], v["InstanceChargeType"] = p.spec.types[0], p.spec.types, p.spec.charge()
			v["SystemDisk"] = map[string]any{"DiskType": disk.DiskType, "DiskSize": disk.DiskSize}
			v["SecurityGroupIds"] = p.spec.launch.SecurityGroupIds
		}
		return v
	})
}

// deleteLaunchConfiguration is for configurations no scaling group uses.
func (s *Server) deleteLaunchConfiguration(c *call) (map[string]any, error) {
	var q struct{ LaunchConfigurationId string }
	if err := decode(c, &q); err != nil {
		return nil, err
	}
	all, err := s.inventory(c, []string{q.LaunchConfigurationId}, nil, []ledger.Kind{ledger.LaunchConfig}, func(ledger.Object) fields { return nil })
	if err != nil {
		return nil, err
	}
	if len(all) == 0 {
		return nil, fail("ResourceNotFound.LaunchConfigurationIdNotFound", "the launch configuration %q does not exist", q.LaunchConfigurationId)
	}
	if len(s.Ledger.Live(func(o ledger.Object) bool {
		return o.Kind == ledger.ASGroup && o.Attrs["launch"] == q.LaunchConfigurationId
	})) > 0 {
		return nil, fail("ResourceInUse.LaunchConfigurationIdInUse", "a scaling group uses the launch configuration %s", q.LaunchConfigurationId)
	}
	s.Ledger.Release(q.LaunchConfigurationId)
	return nil, nil
}
