package demo

import (
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	platformv1alpha1 "regionpool.io/provider-regionpool/apis/platform/v1alpha1"
	"regionpool.io/provider-regionpool/cluster/local/stack"
	"regionpool.io/provider-regionpool/test/cloudsim/ledger"
	"regionpool.io/provider-regionpool/test/cloudsim/requestlog"
)

// A rental is an elastic cluster of the claim, and the cloud it is rented from.
type rental struct {
	// member in the federation.
	member string
	// name of the cloud for a person, and the access key of its account.
	name, account string
	region        string
	// instanceTypes of its node pools.
	instanceTypes []string
}

// rentals of a claim, in its order.
func rentals(claim *unstructured.Unstructured, cloud stack.Cloud) ([]rental, error) {
	p := &platformv1alpha1.RegionPool{}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(claim.Object, p); err != nil {
		return nil, fmt.Errorf("cannot read the elastic clusters of the claim: %w", err)
	}
	var out []rental
	for _, e := range p.Spec.Elastic {
		r := rental{member: e.Name}
		switch {
		case e.ACK != nil:
			r.name, r.account, r.region = "ACK", cloud.AccessKeyID, e.ACK.Region
		case e.TKE != nil:
			r.name, r.account, r.region = "TKE", cloud.SecretID, e.TKE.Region
		}
		for _, np := range e.NodePools {
			r.instanceTypes = append(r.instanceTypes, np.InstanceTypes...)
		}
		out = append(out, r)
	}
	if len(out) < 2 {
		return nil, fmt.Errorf("cannot tell the second act with %d elastic clusters: the claim needs two", len(out))
	}
	return out, nil
}

// report what the cloud of a rental saw.
func (r rental) report(books ledger.Report, calls []requestlog.Entry) Cloud {
	here := func(objs []ledger.Object) []ledger.Object {
		var out []ledger.Object
		for _, o := range objs {
			if o.Region == r.region {
				out = append(out, o)
			}
		}
		return out
	}
	c := Cloud{
		Name: strings.ToLower(r.name), Created: map[string]int{}, Leaked: names(here(books.Leaked)), Duplicates: []string{},
		CostTotal: books.Regions[r.region].CostTotal,
	}
	for _, e := range calls {
		if e.AccessKeyID == r.account {
			c.APICalls++
		}
	}
	for kind, n := range books.Regions[r.region].Created {
		c.Created[string(kind)] = n
	}
	live := map[string]bool{}
	for _, o := range here(books.Live) {
		live[o.ID] = true
	}
	for _, d := range books.Duplicates {
		if len(d.IDs) > 0 && live[d.IDs[0]] {
			c.Duplicates = append(c.Duplicates, fmt.Sprintf("%s %v", d.Kind, d.IDs))
		}
	}
	return c
}
