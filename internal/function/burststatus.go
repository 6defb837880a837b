package function

import (
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/utils/ptr"

	federationv1alpha1 "regionpool.io/provider-regionpool/apis/federation/v1alpha1"
	fleetv1alpha1 "regionpool.io/provider-regionpool/apis/fleet/v1alpha1"
	platformv1alpha1 "regionpool.io/provider-regionpool/apis/platform/v1alpha1"
)

// Conditions of a Burst beside those of a RegionPool.
const (
	// conditionPoolFound is False while the pool does not exist.
	conditionPoolFound = "PoolFound"
	// conditionTargetsFound is False if no workload matches.
	conditionTargetsFound = "TargetsFound"
	// conditionCapacityReserved is True while all that was asked for is there,
	// used or not.
	conditionCapacityReserved = "CapacityReserved"
)

// reportObserved sets the conditions that follow from what is observed alone.
func (b *burst) reportObserved(out *output) {
	b.reportPool(out)
	b.reportTargets(out)
	b.reportReserved(out)
	var parts []elasticPart
	if b.cluster != nil {
		parts = append(parts, elasticPart{at: field.NewPath("spec", "elastic"), cluster: *b.cluster})
		b.in.reportElastic(out, parts)
	}
	b.in.reportStock(out, b.word, parts)
}

func (b *burst) reportPool(out *output) {
	switch {
	case b.regionPool == nil:
		condition(out, conditionPoolFound, corev1.ConditionFalse, "PoolNotFound", b.noPool())
	case b.regionPool.Spec.Mode == federationv1alpha1.ModeOverflow:
		condition(out, conditionPoolFound, corev1.ConditionFalse, "ModeOverflow",
			fmt.Sprintf("RegionPool %q is in mode Overflow, in which no fleet reserves capacity: set its spec.mode to Simulated", b.regionPool.GetName()))
	default:
		condition(out, conditionPoolFound, corev1.ConditionTrue, "Found", "")
	}
}

func (b *burst) noPool() string {
	return fmt.Sprintf("spec.poolRef: waits for RegionPool %q of namespace %q", b.claim.Spec.PoolRef.Name, b.claim.GetNamespace())
}

func (b *burst) reportTargets(out *output) {
	at := b.at()
	switch {
	case at.ObservedGeneration == 0 || at.Phase == fleetv1alpha1.ReservationEnded && len(at.Targets) == 0:
		condition(out, conditionTargetsFound, corev1.ConditionUnknown, "NotPlanned", "")
	case len(at.Targets) == 0:
		condition(out, conditionTargetsFound, corev1.ConditionFalse, "NothingMatches",
			oneLine("spec.targets: no workload of the pool matches "+b.targets()))
	default:
		condition(out, conditionTargetsFound, corev1.ConditionTrue, "Found", "")
	}
}

func (b *burst) reportReserved(out *output) {
	at := b.at()
	reason, message := string(at.Phase), oneLine(at.Message)
	switch {
	case at.Phase == fleetv1alpha1.ReservationFilled:
		condition(out, conditionCapacityReserved, corev1.ConditionTrue, reason, message)
		return
	case at.Phase != "":
	case b.late():
		reason, message = string(fleetv1alpha1.ReservationEnded), b.lateMessage()
	case b.regionPool == nil:
		reason, message = string(fleetv1alpha1.ReservationWaiting), b.noPool()
	case b.reservation == nil:
		reason, message = string(fleetv1alpha1.ReservationWaiting), "The capacity is being asked for"
	default:
		reason, message = string(fleetv1alpha1.ReservationWaiting), "The fleet has not spoken: "+b.in.trouble(nameReservation)
	}
	condition(out, conditionCapacityReserved, corev1.ConditionFalse, reason, message)
}

func (b *burst) lateMessage() string {
	where := "spec.for"
	if b.claim.Spec.Until != nil {
		where = "spec.until"
	}
	return fmt.Sprintf("%s: %s was over before the Burst was made", where, b.until().UTC().Format(time.RFC3339))
}

// at is what the fleet says, if it has spoken.
func (b *burst) at() fleetv1alpha1.CapacityReservationStatus {
	if b.reservation == nil {
		return fleetv1alpha1.CapacityReservationStatus{}
	}
	return b.reservation.Status.AtProvider.CapacityReservationStatus
}

// status of the claim, from what the fleet says in the reservation.
func (b *burst) status() platformv1alpha1.BurstStatus {
	at := b.at()
	s := platformv1alpha1.BurstStatus{
		Phase:      orElse(string(at.Phase), string(fleetv1alpha1.ReservationWaiting)),
		Until:      ptr.To(b.until()),
		Nodes:      at.Nodes,
		Running:    at.Running,
		Free:       at.Free,
		HourlyCost: at.HourlyCost,
		Spent:      at.Spent,
		Message:    oneLine(at.Message),
	}
	switch {
	case at.Phase != "":
	case b.late():
		s.Phase, s.Message = string(fleetv1alpha1.ReservationEnded), b.lateMessage()
	case b.regionPool == nil:
		s.Message = b.noPool()
	}
	return s
}
