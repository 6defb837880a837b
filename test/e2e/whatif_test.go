package e2e

import (
	"context"
	"fmt"
	"maps"

	"k8s.io/apimachinery/pkg/types"

	fleetv1alpha1 "regionpool.io/provider-regionpool/apis/fleet/v1alpha1"
	"regionpool.io/provider-regionpool/internal/fleet/whatif"
)

// asAnswered waits until a Deployment is placed, nodes are ordered, and money is
// spent as an answer said.
func (p *pool) asAnswered(name string, a whatif.Answer) {
	p.Helper()
	p.eventually(soon, "what was answered to become true", func(ctx context.Context) error {
		rb, err := p.binding(ctx, "Deployment", name)
		if err != nil {
			return err
		}
		placed := map[string]int32{}
		for _, c := range rb.Spec.Clusters {
			placed[c.Name] = c.Replicas
		}
		for _, pl := range a.Placements {
			if pl.Binding == rb.Namespace+"/"+rb.Name && !maps.Equal(pl.After.Members, placed) {
				return fmt.Errorf("placed in %v, %s was answered", placed, pl.After)
			}
		}
		plan := &fleetv1alpha1.CapacityPlan{}
		if err := env.karmada.Get(ctx, types.NamespacedName{Name: p.claim.Namespace + "-" + p.claim.Name}, plan); err != nil {
			return err
		}
		nodes := map[string]int32{}
		for _, o := range plan.Status.Offerings {
			nodes[o.Name] = o.Nodes
		}
		for _, o := range a.Orders {
			if nodes[o.Offering] != o.After {
				return fmt.Errorf("%d nodes of %s, %d were answered", nodes[o.Offering], o.Offering, o.After)
			}
		}
		if plan.Status.HourlyCost != a.HourlyCost.After {
			return fmt.Errorf("%s an hour, %s was answered", plan.Status.HourlyCost, a.HourlyCost.After)
		}
		return nil
	})
}
