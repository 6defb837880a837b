package controller

import (
	"context"
	"errors"
	"testing"
	"time"

	clusterv1alpha1 "github.com/karmada-io/karmada/pkg/apis/cluster/v1alpha1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	kubefake "k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"
	clocktesting "k8s.io/utils/clock/testing"

	"regionpool.io/provider-regionpool/internal/snapshot"
)

// TestSettled proves for how long a member that does not show all it has, here
// because its services cannot be listed, is waited for.
func TestSettled(t *testing.T) {
	cases := map[string]struct {
		reason         string
		started, heard time.Duration
		want           bool
	}{
		"Starts":  {"A member has time to show what it has.", syncPatience / 2, syncPatience / 2, false},
		"Silent":  {"One that sends nothing is not waited for.", 2 * syncPatience, 2 * syncPatience, true},
		"Sending": {"A large one that still sends is.", 10 * syncPatience, time.Second, false},
		"Endless": {"But not for ever.", syncLimit + time.Second, time.Second, true},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			client := kubefake.NewClientset(idcNode())
			client.PrependReactor("list", "services", func(clienttesting.Action) (bool, runtime.Object, error) {
				return true, nil, errors.New("no")
			})
			c := clocktesting.NewFakeClock(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC))
			sm := snapshot.NewMemberForClient("idc-a", client, snapshot.WithClock(c), snapshot.WithProbe(func(context.Context) error { return nil }, time.Hour, 0, 0))
			sm.Start(t.Context())
			t.Cleanup(sm.Stop)
			for deadline := time.Now().Add(10 * time.Second); sm.Heard().IsZero() || !sm.Contact().Reachable; time.Sleep(time.Millisecond) {
				if time.Now().After(deadline) {
					t.Fatal("the member's node did not come")
				}
			}
			started := c.Now().Add(tc.heard - tc.started)
			c.Step(tc.heard)
			m := &members{clock: c, byName: map[string]*liveMember{"idc-a": {Member: sm, started: started}}}
			got := m.settled(&cluster{Cluster: clusterv1alpha1.Cluster{ObjectMeta: metav1.ObjectMeta{Name: "idc-a"}}, exists: true})
			if got != tc.want {
				t.Errorf("\n%s\nsettled(...): want %t, got %t", tc.reason, tc.want, got)
			}
		})
	}
}
