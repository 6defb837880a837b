package nodepool

import (
	"context"

	kerrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/crossplane/crossplane-runtime/v2/pkg/errors"

	federationv1alpha1 "regionpool.io/provider-regionpool/apis/federation/v1alpha1"
	"regionpool.io/provider-regionpool/apis/v1alpha1"
	"regionpool.io/provider-regionpool/internal/controller/elastic"
)

// A wish for nodes.
type wish struct {
	nodes int32
	// release names the nodes to give back first.
	release []string
}

// wanted nodes. A plan that says nothing about the pool is no reason to change
// it: have is the number to stay at.
func wanted(ctx context.Context, c client.Reader, cr elastic.NodePool, have int32) (wish, error) {
	p := cr.GetSizing()
	if p.Size != nil {
		return wish{nodes: clamp(*p.Size, p)}, nil
	}
	stay := wish{nodes: clamp(have, p)}
	if p.SizeFrom == nil {
		return stay, nil
	}
	plan := &federationv1alpha1.CapacityPlan{}
	err := c.Get(ctx, types.NamespacedName{Namespace: cr.GetNamespace(), Name: p.SizeFrom.CapacityPlanRef.Name}, plan)
	if kerrors.IsNotFound(err) {
		return stay, nil
	}
	if err != nil {
		return stay, errors.Wrapf(err, "cannot get CapacityPlan %q", p.SizeFrom.CapacityPlanRef.Name)
	}
	for _, o := range plan.Status.AtProvider.Offerings {
		if o.Name == p.SizeFrom.Offering {
			return wish{nodes: clamp(o.Nodes, p), release: o.Release}, nil
		}
	}
	return stay, nil
}

func clamp(n int32, p v1alpha1.Sizing) int32 {
	return min(max(n, p.Min), p.Max)
}

// A step towards what is wanted. There is one call to the cloud in each.
type step string

const (
	stepNone step = ""
	// stepConfigure changes anything but the number of nodes.
	stepConfigure step = "configure"
	// stepGrow orders all missing nodes in one call.
	stepGrow step = "grow"
	// stepLower takes back an order for nodes that never came.
	stepLower step = "lower"
	// stepShrink drains nodes and gives them back.
	stepShrink step = "shrink"
)

// A decision of what to do about a pool, and the size to call for.
type decision struct {
	step step
	size int32
	// excess nodes, when shrinking.
	excess int32
}

// A situation to decide in.
type situation struct {
	// want is the number of nodes wanted, and most how many there may be.
	want, most int32
	// noticed nodes will be taken back by the cloud. They are replaced before they
	// go.
	noticed int32
	// busy says that a task of ours is running.
	busy bool
	// short says that the cloud does not have the machines that are missing.
	short bool
}

// decide the next step.
func decide(s *State, in situation) decision {
	// What is there of the wish is without the nodes that will be taken back.
	n := max(in.want, min(in.want+in.noticed, in.most))
	grow := func() decision {
		if n > s.Desired {
			return decision{step: stepGrow, size: n}
		}
		if in.noticed > 0 {
			// Time runs: to cordon and to evict need not wait for the cloud.
			return decision{step: stepShrink, excess: max(in.noticed, s.there()-in.want)}
		}
		return decision{}
	}
	// Not below what is there: the cloud would choose what to remove, and remove
	// it without a drain.
	lower := decision{step: stepLower, size: max(n, s.there())}

	switch {
	case s.Phase == PhaseScaling && in.short && n < s.Desired && s.there() < s.Desired:
		// What the cloud does not have must not come later.
		return lower
	case s.Phase == PhaseScaling, s.Phase == PhaseActive && in.busy:
		// Demand that rises while nodes are on their way is ordered at once. A
		// refusal because of the state costs one call.
		return grow()
	case s.Phase != PhaseActive:
		return decision{}
	case s.Differs:
		return decision{step: stepConfigure}
	case n >= s.Desired:
		// Fewer nodes than that are the cloud's to bring, more its to take.
		return grow()
	case s.there() < s.Desired:
		return lower
	default:
		return decision{step: stepShrink, excess: max(in.noticed, s.there()-in.want)}
	}
}
