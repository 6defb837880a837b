package e2e

import (
	"context"
	"errors"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	fleetv1alpha1 "regionpool.io/provider-regionpool/apis/fleet/v1alpha1"
	"regionpool.io/provider-regionpool/cluster/local/stack"
)

// downTime is how long a killed process stays away.
const downTime = 1500 * time.Millisecond

// A moment at which a process is killed, and what must come of it.
type moment struct {
	reason string
	// leads to the moment, from a normal time.
	leads func(p *pool)
	// ends with what must be true although a process was killed.
	ends func(p *pool)
}

var moments = map[string]moment{
	"create": {
		reason: "A cluster that was ordered before the kill is found again, not ordered twice.",
		leads: func(p *pool) {
			p.scale("web", burst)
			p.called(createCluster)
		},
		ends: serveAndReturn,
	},
	"join": {
		reason: "A member that was half joined is joined, and gets its replicas.",
		leads: func(p *pool) {
			p.scale("web", burst)
			p.eventually(burstTime, "the cluster to join", func(ctx context.Context) error {
				c, err := karmadaCluster(ctx, p.elastic())
				if err == nil && c == nil {
					return errors.New("it is not in the federation")
				}
				return err
			})
		},
		ends: serveAndReturn,
	},
	"drain": {
		reason: "Replicas that were leaving the cloud go on leaving, make before break.",
		leads: func(p *pool) {
			p.scale("web", burst)
			p.runs(burstTime, "web", homeCPU, burstAway)
			p.scale("web", homeCPU-2)
			if err := p.delete(p.Context()); err != nil {
				p.Fatalf("cannot delete the claim: %v", err)
			}
			p.eventually(soon, "the cluster to drain", func(ctx context.Context) error {
				c, err := karmadaCluster(ctx, p.elastic())
				if err != nil || c == nil || draining(c) {
					return err
				}
				return errors.New("it does not drain")
			})
		},
		ends: leaveAtHome,
	},
	"delete": {
		reason: "A cluster whose deletion had begun is deleted, and proved to be.",
		leads: func(p *pool) {
			p.scale("web", burst)
			p.runs(burstTime, "web", homeCPU, burstAway)
			p.scale("web", homeCPU-2)
			if err := p.delete(p.Context()); err != nil {
				p.Fatalf("cannot delete the claim: %v", err)
			}
			p.called(deleteCluster)
		},
		ends: leaveAtHome,
	},
}

// serveAndReturn is the rest of the loop after a kill in a burst.
func serveAndReturn(p *pool) {
	p.runs(burstTime, "web", homeCPU, burstAway)
	p.scale("web", normal)
	p.runs(soon, "web", normal, 0)
	p.away(awayTime)
}

// leaveAtHome is the rest of a deletion after a kill.
func leaveAtHome(p *pool) {
	p.eventually(awayTime, "the claim to go", func(ctx context.Context) error { return p.gone(ctx, time.Second) })
	p.runs(soon, "web", homeCPU-2, 0)
	p.away(awayTime)
}

func draining(cluster *unstructured.Unstructured) bool {
	taints, _, _ := unstructured.NestedSlice(cluster.Object, "spec", "taints")
	for _, t := range taints {
		if m, ok := t.(map[string]any); ok && m["key"] == fleetv1alpha1.TaintDraining {
			return true
		}
	}
	return cluster.GetDeletionTimestamp() != nil
}

func TestProviderKilled(t *testing.T) { killed(t, stack.Provider) }

func TestFleetKilled(t *testing.T) { killed(t, stack.Fleet) }

// killed runs the loop and kills a process at each moment of it.
func killed(t *testing.T, part stack.Part) {
	for _, name := range []string{"create", "join", "drain", "delete"} {
		t.Run(name, func(t *testing.T) {
			m := moments[name]
			p := newPool(t, "kill-"+string(part)+"-"+name)
			p.home()
			m.leads(p)

			proc := env.stack.Process(string(part))
			proc.Kill()
			time.Sleep(downTime)
			if err := proc.Start(t.Context()); err != nil {
				t.Fatalf("cannot start %s again: %v", part, err)
			}
			t.Logf("%s was killed and started again; %s", part, m.reason)
			m.ends(p)
		})
	}
}
