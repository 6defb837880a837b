// Package aliyun is a narrow client of the machines, networks and load balancers
// of Alibaba Cloud: ECS (2014-05-26), VPC (2016-04-28), SLB (2014-05-15) and ECI
// (2018-08-08). It reads prices, stock and addresses, and finds and deletes what
// clusters have left behind. ACK itself is in package ack.
//
// It sits on the vendor's SDK and adds what that lacks: contexts, clients that
// may be used from more than one goroutine, typed errors, the token bucket of
// the account, pages and metrics.
package aliyun

import (
	"context"
	"time"
)

// TagCluster is on what ACK makes for a cluster. Its value is the cluster's id.
const TagCluster = "ack.aliyun.com"

// A Market says what machines cost and where they are to be had. All errors are
// *cloud.Error.
type Market interface {
	// Price of a machine for an hour, without its disks, in the currency of the
	// account. The zone matters for spot machines only: others cost the same in
	// the whole region, says the vendor, but the call wants one where the type
	// is sold.
	Price(ctx context.Context, q PriceQuery) (Price, error)
	// PodPrice of a container group of so many vCPUs and GiB for an hour. ECI sells
	// certain sizes only.
	PodPrice(ctx context.Context, cpu, memoryGiB float64) (Price, error)
	// Stock of all types in all zones of the region.
	Stock(ctx context.Context, spot bool) ([]Stock, error)
	// VSwitches of a VPC. One call gets them all, where asking for vSwitches by
	// id takes one for each.
	VSwitches(ctx context.Context, vpc string) ([]VSwitch, error)
}

// A PriceQuery says what to price.
type PriceQuery struct {
	InstanceType string
	Zone         string
	Spot         bool
}

// A Price of a machine or a container group.
type Price struct {
	// Hourly price of the machine alone. It is what the cloud said, be it absurd.
	Hourly float64
	// Currency of the account, such as CNY.
	Currency string
}

// Stock of one type in one zone.
type Stock struct {
	InstanceType string
	Zone         string
	// Available says that machines of the type are to be had.
	Available bool
}

// A VSwitch is a subnet in one zone.
type VSwitch struct {
	ID   string
	VPC  string
	Zone string
	// Free addresses.
	Free int64
}

// A Kind of things in the account.
type Kind string

// Kinds of things, named as in the status of a ProviderConfig.
const (
	KindInstance         Kind = "Instance"
	KindContainerGroup   Kind = "ContainerGroup"
	KindLoadBalancer     Kind = "LoadBalancer"
	KindNATGateway       Kind = "NATGateway"
	KindAddress          Kind = "Address"
	KindDisk             Kind = "Disk"
	KindNetworkInterface Kind = "NetworkInterface"
	KindSecurityGroup    Kind = "SecurityGroup"
)

// Kinds in the order in which they can be deleted: each may hold those after it.
var Kinds = []Kind{
	KindContainerGroup, KindInstance, KindLoadBalancer, KindNATGateway, KindAddress, KindDisk, KindNetworkInterface, KindSecurityGroup,
}

// A Thing in the account.
type Thing struct {
	Kind Kind
	ID   string
	Tags map[string]string
	// Created is when it was made; zero if the cloud does not say.
	Created time.Time
	// UsedBy is the id of what it is attached to, or empty.
	UsedBy string
	// Protected against deletion by the API.
	Protected bool
}

// An Inventory finds things by their tags, and deletes them. All errors are
// *cloud.Error.
type Inventory interface {
	// List the things of a kind in the region that have a tag with the key, and,
	// unless it is empty, the value. All pages, or an error.
	List(ctx context.Context, kind Kind, key, value string) ([]Thing, error)
	// Delete a thing. Things that are in use or protected are refused, by us or
	// by the cloud; nothing is detached. What is gone already is deleted.
	Delete(ctx context.Context, t Thing) error
}

// An API is a client for one region of one account.
type API interface {
	Market
	Inventory
}
