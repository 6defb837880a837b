package e2e

import (
	"context"
	"fmt"
	"time"

	"regionpool.io/provider-regionpool/cluster/local/process"
	"regionpool.io/provider-regionpool/test/cloudsim/requestlog"
	"regionpool.io/provider-regionpool/test/observer"
)

// tailTime is how long the network of a deleted cluster may outlive it.
const tailTime = 30 * time.Second

// checkRunning fails if a process of the stack has ended, or was left paused.
func (p *pool) checkRunning(ctx context.Context) {
	p.Helper()
	for _, proc := range env.stack.Processes() {
		switch proc.State() {
		case process.StateRunning:
			continue
		case process.StatePaused:
			p.Errorf("%s is paused", proc.Name())
			if err := proc.Resume(); err != nil {
				p.Errorf("cannot resume: %v", err)
			}
			continue
		}
		p.Errorf("%s has ended: see %s", proc.Name(), proc.LogPath())
		// The next tests need it.
		if err := proc.Start(ctx); err != nil {
			p.Errorf("cannot start it again: %v", err)
		}
	}
}

// settleViolations fails if a replica or a disruption budget was violated since
// the test began. It waits until the observer has judged everything.
func (p *pool) settleViolations(ctx context.Context) {
	p.Helper()
	select {
	case <-time.After(2 * observer.DefaultSkew):
	case <-ctx.Done():
	}
	if p.mayLose {
		return
	}
	for _, v := range env.observer.State().Violations {
		p.Errorf("replica lost: %s %s: %s", v.Time.Format("15:04:05.000"), v.Subject, v.Detail)
	}
}

// checkInvariants fails unless the cloud is as empty as before the test, nothing
// leaked, and nothing was ever made twice.
func (p *pool) checkInvariants(ctx context.Context) {
	p.Helper()
	if err := env.cloud.ClearFault(ctx, ""); err != nil {
		p.Errorf("cannot clear faults: %v", err)
	}
	err := poll(ctx, tailTime, func(ctx context.Context) error {
		l, err := env.cloud.Ledger(ctx)
		if err != nil {
			return err
		}
		return notEmpty("live", objects(l.Live))
	})
	if err != nil {
		p.Errorf("the cloud account is not empty: %v", err)
	}
	l, err := env.cloud.Ledger(ctx)
	if err != nil {
		p.Errorf("cannot read the ledger: %v", err)
		return
	}
	if len(l.Leaked) > 0 {
		p.Errorf("leaked: %s", objects(l.Leaked))
	}
	if len(l.Duplicates) > 0 {
		p.Errorf("duplicates: %s", compact(l.Duplicates))
	}

	// A duplicate that was removed again is still one: each owner and name may
	// have been created once.
	calls, err := env.cloud.Requests(ctx, requestlog.Filter{Since: p.begin, Mutating: true})
	if err != nil {
		p.Errorf("cannot read the request log: %v", err)
		return
	}
	made := map[[4]string]int{}
	for _, c := range calls {
		if c.Accepted && (c.Action == createCluster || c.Action == createNodePool) {
			made[[4]string{c.Action, c.Owner, c.Name, c.Cluster}]++
		}
	}
	for k, n := range made {
		if n > 1 {
			p.Errorf("%s for owner %s was accepted %d times", k[0], k[1], n)
		}
	}
	if p.Failed() {
		// The next test must not pay for this one.
		if err := env.cloud.Reset(ctx); err != nil {
			p.Errorf("cannot reset the cloud: %v", err)
		}
	}
}

func notEmpty(what, list string) error {
	if list == "nothing" {
		return nil
	}
	return fmt.Errorf("%s: %s", what, list)
}
