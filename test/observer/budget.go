package observer

import (
	"fmt"
	"time"

	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
)

// A budget is a PodDisruptionBudget of one member.
type budget struct {
	status policyv1.PodDisruptionBudgetStatus
	// reached is true once as many pods were healthy as the budget demands.
	reached bool
}

// A budgetLoss is a budget whose healthy pods fell below its demand. It is judged
// one skew later, since the demand may have fallen first and be seen late.
type budgetLoss struct {
	at               time.Time
	member           string
	name             types.NamespacedName
	selector         labels.Selector
	healthy, desired int
}

func (t *tally) setBudget(name string, b *policyv1.PodDisruptionBudget) {
	m := t.members[name]
	// Pods of the system are nobody's replicas: they go with their cluster.
	if m == nil || b.Namespace == metav1.NamespaceSystem {
		return
	}
	old := m.budgets[key(b)]
	if old == nil {
		old = &budget{}
		m.budgets[key(b)] = old
	}
	s := b.Status
	switch {
	// A status of another spec says nothing about this one.
	case s.ObservedGeneration != b.Generation:
		return
	// A higher demand has to be reached first.
	case s.DesiredHealthy > old.status.DesiredHealthy, s.CurrentHealthy >= s.DesiredHealthy:
		old.reached = s.CurrentHealthy >= s.DesiredHealthy
	case old.reached:
		old.reached = false
		t.budgetLosses = append(t.budgetLosses, budgetLoss{
			at: t.clock.Now(), member: name, name: key(b), selector: selector(b.Spec.Selector),
			healthy: int(s.CurrentHealthy), desired: int(s.DesiredHealthy),
		})
	}
	old.status = s
}

// judgeBudgets counts the losses that are not explained by the demand in the
// member: who wants fewer pods there than the budget keeps does not break it.
func (t *tally) judgeBudgets(ripe time.Time) {
	for len(t.budgetLosses) > 0 && !t.budgetLosses[0].at.After(ripe) {
		l := t.budgetLosses[0]
		t.budgetLosses = t.budgetLosses[1:]
		if l.healthy >= t.wantedIn(l) {
			continue
		}
		t.pdbViolations++
		t.violations = append(t.violations, Violation{
			Time: l.at, Subject: l.member + "/" + l.name.String(),
			Detail: fmt.Sprintf("%d pods healthy, the disruption budget demands %d", l.healthy, l.desired),
		})
	}
}

// wantedIn is how many pods of the budget are wanted in the member, at most as
// many as the budget demands.
func (t *tally) wantedIn(l budgetLoss) int {
	m := t.members[l.member]
	if m == nil {
		return 0
	}
	wanted := 0
	for k, d := range m.local {
		if k.Namespace != l.name.Namespace || !l.selector.Matches(labels.Set(d.Spec.Template.Labels)) {
			continue
		}
		if d.Spec.Replicas == nil {
			wanted++
			continue
		}
		wanted += int(*d.Spec.Replicas)
	}
	return min(wanted, l.desired)
}
