package demo

import (
	"context"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"regionpool.io/provider-regionpool/test/cloudsim/stock"
)

const (
	// lastMachines are what the first cloud has left in the second act.
	lastMachines = 1
	// plentiful is the stock of the first cloud when it is restocked.
	plentiful = 1000
)

// shelve sets how many machines of each of the pool's types the first cloud has
// in each zone.
func (s *story) shelve(ctx context.Context, n int) error {
	first := s.clouds[0]
	for _, t := range first.instanceTypes {
		for _, spot := range []bool{false, true} {
			if err := s.stock(ctx, stock.Key{Region: first.region, Type: t, Spot: spot}, n); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *story) stock(ctx context.Context, k stock.Key, n int) error {
	if err := s.cloud.SetStock(ctx, stock.Item{Key: k, Count: n}); err != nil {
		return fmt.Errorf("cannot set the stock of the cloud: %w", err)
	}
	return nil
}

// sellOut raises demand again and lets the first cloud run out of machines while
// it delivers.
func (s *story) sellOut(ctx context.Context) error {
	first, second := s.clouds[0], s.clouds[1]
	s.screen.say("The next campaign: %s needs %d replicas again. What nobody knows: %s has %s left.",
		surging, surgeDemand, first.name, plural(lastMachines, "machine", "machines"))
	if err := s.shelve(ctx, 0); err != nil {
		return err
	}
	last := stock.Key{Region: first.region, Zone: first.region + "-a", Type: first.instanceTypes[0]}
	if err := s.stock(ctx, last, lastMachines); err != nil {
		return err
	}
	if err := s.scale(ctx, ebbing, ebbingFrom); err != nil {
		return err
	}
	if err := s.until(ctx, func() (bool, string, error) {
		w := s.observer.State().Workload(ebbing)
		return w.Desired == ebbingFrom && w.Own == ebbingFrom, ebbing + " to fill its place at home", nil
	}); err != nil {
		return err
	}
	at := time.Now()
	if err := s.scale(ctx, surging, surgeDemand); err != nil {
		return err
	}
	return s.until(ctx, func() (bool, string, error) {
		if !s.calledBy(second, createCluster, at) {
			return false, second.name + " to be called", s.readBooks(ctx)
		}
		s.screen.say("%s is sold out, or was known to be: a cluster is ordered from %s.", first.name, second.name)
		return true, "", nil
	})
}

// takeOver waits until all that was asked for runs, in both clouds.
func (s *story) takeOver(ctx context.Context) error {
	virtual := 0
	if err := s.until(ctx, func() (bool, string, error) {
		if w := s.observer.State().Workload(surging); w.Virtual > virtual {
			if virtual == 0 {
				s.screen.say("The first replicas start on virtual nodes, while machines are on their way.")
			}
			virtual = w.Virtual
		}
		return s.allReady()
	}); err != nil {
		return err
	}
	w := s.observer.State().Workload(surging)
	books, _ := s.seen()
	s.screen.say("All %d replicas of %s are Ready: %d at home, %d in %s, %d in %s, for CNY %.2f an hour.", w.Desired, surging, w.Own,
		w.Pods[s.clouds[0].member], s.clouds[0].name, w.Pods[s.clouds[1].member], s.clouds[1].name, books.HourlyNow)
	return nil
}

// reserve applies the emergency claim and waits until what it guarantees is
// there.
func (s *story) reserve(ctx context.Context) error {
	before := s.observer.State().Nodes.Cloud
	s.screen.say("Somebody fears the worst: the claim %q guarantees room for %d more replicas of %s.", s.burst.GetName(), reserved, surging)
	if err := apply(ctx, s.host, s.burst.DeepCopy()); err != nil {
		return err
	}
	if err := s.until(ctx, func() (bool, string, error) {
		phase, message, err := s.reservation(ctx)
		return phase == "Filled", "the emergency claim to be filled: " + phase + " " + message, err
	}); err != nil {
		return err
	}
	st := s.observer.State()
	if got := st.Workload(surging).Own + st.Workload(surging).Cloud; got != surgeDemand {
		return fmt.Errorf("cannot believe the reservation: %d replicas of %s run instead of %d", got, surging, surgeDemand)
	}
	s.screen.say("It is filled: %s more, and not one pod on them yet.", plural(st.Nodes.Cloud-before, "node", "nodes"))
	return nil
}

// reservation is what the emergency claim says of itself.
func (s *story) reservation(ctx context.Context) (phase, message string, err error) {
	u := &unstructured.Unstructured{}
	u.SetGroupVersionKind(s.burst.GroupVersionKind())
	if err := s.host.Get(ctx, client.ObjectKeyFromObject(s.burst), u); err != nil {
		return "", "", fmt.Errorf("cannot read the emergency claim: %w", err)
	}
	phase, _, _ = unstructured.NestedString(u.Object, "status", "phase")
	message, _, _ = unstructured.NestedString(u.Object, "status", "message")
	return phase, message, nil
}

// use raises demand by what is guaranteed.
func (s *story) use(ctx context.Context) error {
	at := time.Now()
	if err := s.scale(ctx, surging, surgeDemand+reserved); err != nil {
		return err
	}
	if err := s.until(ctx, func() (bool, string, error) {
		if s.observer.State().Workload(surging).Desired != surgeDemand+reserved {
			return false, "the new demand", nil
		}
		return s.allReady()
	}); err != nil {
		return err
	}
	s.facts.guaranteed = time.Since(at).Seconds()
	s.screen.say("%s needs %d more, and they are Ready after %.1f s: nothing had to be ordered for them.", surging, reserved, s.facts.guaranteed)
	return nil
}

// calmAgain ends the emergency and lets demand fall to normal.
func (s *story) calmAgain(ctx context.Context) error {
	s.screen.say("The emergency claim is deleted, and %s needs %d replicas as ever.", surging, normalDemand)
	if err := s.host.Delete(ctx, s.burst.DeepCopy()); err != nil {
		return fmt.Errorf("cannot delete the emergency claim: %w", err)
	}
	if err := s.scale(ctx, surging, normalDemand); err != nil {
		return err
	}
	return s.until(ctx, func() (bool, string, error) {
		w := s.observer.State().Workload(surging)
		return w.Desired == normalDemand && s.inCloud(w) == 0 && w.Own == normalDemand,
			fmt.Sprintf("%d replicas at home and none in the clouds; there are %d and %d", normalDemand, w.Own, w.Cloud), nil
	})
}

// releaseBoth waits until nothing is rented.
func (s *story) releaseBoth(ctx context.Context) error {
	if err := s.until(ctx, func() (bool, string, error) {
		if err := s.readBooks(ctx); err != nil {
			return false, "", err
		}
		books, _ := s.seen()
		return len(books.Live) == 0 && s.rented() == "", "both clouds to be empty: " + orNothing(names(books.Live)), nil
	}); err != nil {
		return err
	}
	books, _ := s.seen()
	s.screen.say("Nothing is left in either account. Both surges cost CNY %.2f.", books.CostTotal)
	return s.shelve(ctx, plentiful)
}

// calledBy says whether a cloud accepted a call since.
func (s *story) calledBy(r rental, action string, since time.Time) bool {
	_, calls := s.seen()
	for _, c := range calls {
		if c.AccessKeyID == r.account && c.Action == action && c.Accepted && !c.Time.Before(since) {
			return true
		}
	}
	return false
}
