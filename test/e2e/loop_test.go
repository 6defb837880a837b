package e2e

import (
	"context"
	"fmt"
	"testing"
	"time"

	fleetv1alpha1 "regionpool.io/provider-regionpool/apis/fleet/v1alpha1"
	"regionpool.io/provider-regionpool/test/cloudsim/requestlog"
)

// Calls of the cloud's API.
const (
	createCluster  = "CreateCluster"
	createNodePool = "CreateClusterNodePool"
	removeNodes    = "RemoveNodePoolNodes"
	deleteCluster  = "DeleteCluster"
)

// Demand of the tests' workload: at a normal time, and in a burst of which four
// replicas have no room at home.
const (
	normal    = 4
	burst     = homeCPU + burstAway
	burstAway = 4
)

// called waits until the cloud has accepted a call since the test began.
func (p *pool) called(action string) {
	p.Helper()
	p.eventually(burstTime, "the call "+action, func(ctx context.Context) error {
		n, err := p.accepted(ctx, action)
		if err == nil && n == 0 {
			return fmt.Errorf("%s was not called", action)
		}
		return err
	})
}

// accepted counts the calls the cloud accepted since the test began.
func (p *pool) accepted(ctx context.Context, action string) (int, error) {
	calls, err := env.cloud.Requests(ctx, requestlog.Filter{Since: p.begin, Action: action})
	if err != nil {
		return 0, err
	}
	n := 0
	for _, c := range calls {
		if c.Accepted {
			n++
		}
	}
	return n, nil
}

// home brings the pool to a normal time: the claim is Ready and a workload runs
// at home.
func (p *pool) home() {
	p.Helper()
	p.applyReady()
	p.deploy("web", normal)
	p.runs(soon, "web", normal, 0)
}

// TestLoop is the whole story: a surge of one workload, the cloud cluster that
// takes what has no room, and the way back until nothing is rented.
func TestLoop(t *testing.T) {
	p := newPool(t, "loop")
	p.applyReady()
	p.deploy("web", normal)
	p.deploy("steady", 6)
	p.runs(soon, "web", normal, 0)
	p.runs(soon, "steady", 6, 0)

	p.scale("web", burst)
	p.runs(burstTime, "web", homeCPU-6, burst-homeCPU+6)
	p.runs(soon, "steady", 6, 0)
	if w := p.seen("web"); w.PeakCloudReplicas != w.NeededCloudReplicas {
		t.Errorf("%d replicas were in the cloud, %d were needed there", w.PeakCloudReplicas, w.NeededCloudReplicas)
	}
	if w := p.seen("steady"); w.PeakCloudReplicas != 0 {
		t.Errorf("%d replicas of a workload that did not grow were in the cloud", w.PeakCloudReplicas)
	}
	p.phase(soon, fleetv1alpha1.PhaseSpilled)

	// There is room at home for two of them when the other workload shrinks. One
	// CPU is kept free, five per cent of sixteen rounded up.
	p.scale("steady", 3)
	p.runs(soon, "web", homeCPU-3-1, burst-homeCPU+3+1)

	p.scale("web", normal)
	p.runs(soon, "web", normal, 0)
	p.away(awayTime)
	p.phase(soon, fleetv1alpha1.PhaseHome)
	if n, err := p.accepted(t.Context(), createCluster); n != 1 || err != nil {
		t.Errorf("%d clusters were created (%v)", n, err)
	}

	// At rest the cloud is left alone, and the claim stays as it is.
	before, err := p.read(t.Context())
	if err != nil {
		t.Fatalf("cannot read the claim: %v", err)
	}
	at := time.Now()
	p.consistently(5*time.Second, "the region is quiet", func(ctx context.Context) error {
		now, err := p.read(ctx)
		if err != nil {
			return err
		}
		if now.ResourceVersion != before.ResourceVersion {
			return fmt.Errorf("the claim was written to: %s", compact(now.Status))
		}
		calls, err := env.cloud.Requests(ctx, requestlog.Filter{Since: at, Mutating: true})
		if err == nil && len(calls) > 0 {
			return fmt.Errorf("the cloud was called: %s", calls[0].Action)
		}
		return err
	})
}

// phase waits until the claim tells of a phase.
func (p *pool) phase(within time.Duration, want fleetv1alpha1.PlanPhase) {
	p.Helper()
	p.eventually(within, "the claim to say "+string(want), func(ctx context.Context) error {
		c, err := p.read(ctx)
		if err == nil && c.Status.Phase != string(want) {
			return fmt.Errorf("it says %s", c.Status.Phase)
		}
		return err
	})
}
