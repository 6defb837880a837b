package cluster

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	k8sfake "k8s.io/client-go/kubernetes/fake"

	xpv2 "github.com/crossplane/crossplane/apis/v2/core/v2"

	"regionpool.io/provider-regionpool/apis/ack/v1alpha1"
	"regionpool.io/provider-regionpool/internal/clients/cloud"
	"regionpool.io/provider-regionpool/internal/controller/elastic"
	"regionpool.io/provider-regionpool/internal/controller/lifecycle"
)

func TestEndpoint(t *testing.T) {
	type want struct {
		diff  string
		ready string
	}
	cases := map[string]struct {
		reason string
		state  func(*State)
		want   want
	}{
		"None":  {reason: "A cluster may run without an address: it is made.", state: func(s *State) { s.NoEndpoint, s.Differs = "No address", "endpoint" }, want: want{diff: "endpoint", ready: "No address"}},
		"Late":  {reason: "It may come late.", state: func(s *State) { s.NoEndpoint = "Not told" }, want: want{ready: "Not told"}},
		"There": {reason: "Then it is used.", state: func(s *State) { s.Endpoint = "https://10.0.0.1" }},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			d := &fakeDriver{MockGet: state(elastic.PhaseRunning, tc.state)}
			cr := cluster(named)
			e := newExternal(t, d, member(), cr.DeepCopy())
			o, err := e.Observe(context.Background(), cr)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := e.Update(context.Background(), cr); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, want{o.Diff, cr.GetCondition(xpv2.TypeReady).Message}, cmp.AllowUnexported(want{})); diff != "" {
				t.Errorf("\nReason: %s\nObserve(...): -want, +got:\n%s", tc.reason, diff)
			}
			if tc.want.diff != "" && (len(d.Calls) != 1 || d.Calls[0] != "Change "+tc.want.diff) {
				t.Errorf("\nReason: %s\nUpdate(...): calls %v", tc.reason, d.Calls)
			}
		})
	}
}

func TestDismantle(t *testing.T) {
	noAddress := func(s *State) { s.NoEndpoint, s.Unaddressed = "No address", true }
	notTold := func(s *State) { s.NoEndpoint = "Not told" }
	cases := map[string]struct {
		reason    string
		get       func(string) (*State, error)
		dismantle func() (string, error)
		member    *k8sfake.Clientset
		want      []string
		reasonOf  xpv2.ConditionReason
	}{
		"Waits":     {reason: "What has to go first is waited for.", get: state(elastic.PhaseRunning), dismantle: func() (string, error) { return "the endpoint", nil }, member: member(), reasonOf: lifecycle.ReasonWaiting},
		"State":     {reason: "So is the cloud, if it does something else.", get: state(elastic.PhaseRunning), dismantle: func() (string, error) { return "", &cloud.Error{Class: cloud.WrongState} }, member: member(), reasonOf: lifecycle.ReasonWaiting},
		"NotTold":   {reason: "An address that is only not told may be that of one with load balancers.", get: state(elastic.PhaseRunning, notTold), member: deaf(), reasonOf: lifecycle.ReasonNoAnswer},
		"Dismantle": {reason: "An API server without an address is not asked for what it has.", get: state(elastic.PhaseRunning, noAddress), member: deaf(), want: []string{"Delete c1"}, reasonOf: lifecycle.ReasonGoesOn},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			d := &fakeDriver{MockGet: tc.get, MockDismantle: tc.dismantle}
			cr := cluster(named, deleted)
			e := newExternal(t, d, tc.member, cr.DeepCopy())
			if _, err := e.Observe(context.Background(), cr); err != nil {
				t.Fatal(err)
			}
			if _, err := e.Delete(context.Background(), cr); err != nil {
				t.Fatalf("\nReason: %s\nDelete(...): %v", tc.reason, err)
			}
			if diff := cmp.Diff(tc.want, d.Calls); diff != "" || cr.GetCondition(lifecycle.TypeDeletionBlocked).Reason != tc.reasonOf {
				t.Errorf("\nReason: %s\nDelete(...): %+v, -want, +got:\n%s", tc.reason, cr.GetCondition(lifecycle.TypeDeletionBlocked), diff)
			}
		})
	}
}

func TestRemains(t *testing.T) {
	waiting := func(ago time.Duration) modifier {
		return func(cr *v1alpha1.Cluster) {
			c := lifecycle.DeletionBlocked(lifecycle.ReasonRemains, "The cluster is gone: waiting until the cloud has taken back what it made for it (status.atProvider.leftovers)")
			c.LastTransitionTime = metav1.NewTime(now.Add(-ago))
			cr.SetConditions(c)
		}
	}
	cases := map[string]struct {
		reason    string
		cr        []modifier
		remains   []string
		err       error
		exists    bool
		leftovers []string
		class     cloud.Class
	}{
		"Nothing":  {reason: "Gone, and nothing left.", cr: []modifier{created}},
		"Left":     {reason: "What is left is waited for, and named.", cr: []modifier{created}, remains: []string{"LoadBalancer lb-1", "Disk d-1"}, exists: true, leftovers: []string{"Disk d-1", "LoadBalancer lb-1"}},
		"Patience": {reason: "For some minutes.", cr: []modifier{created, waiting(5 * time.Minute)}, remains: []string{"Disk d-1"}, exists: true, leftovers: []string{"Disk d-1"}},
		"Over":     {reason: "Not for ever.", cr: []modifier{created, waiting(7 * time.Minute)}, remains: []string{"Disk d-1"}, leftovers: []string{"Disk d-1"}},
		"Unknown":  {reason: "No answer is not nothing.", cr: []modifier{created}, err: &cloud.Error{Class: cloud.Throttled}, exists: true, class: cloud.Throttled},
		"Imported": {reason: "What was there before us is not ours to account for.", remains: []string{"Disk d-1"}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			cr := cluster(append([]modifier{named, deleted}, tc.cr...)...)
			e := newExternal(t, &fakeDriver{MockGet: gone, MockRemains: func() ([]string, error) { return tc.remains, tc.err }}, nil, cr.DeepCopy())
			o, err := e.Observe(context.Background(), cr)
			if o.ResourceExists != tc.exists || cloud.ClassOf(err) != tc.class {
				t.Errorf("\nReason: %s\nObserve(...): %+v, %v", tc.reason, o, err)
			}
			if diff := cmp.Diff(tc.leftovers, cr.Status.AtProvider.Leftovers, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("\nReason: %s\nObserve(...): -want, +got:\n%s", tc.reason, diff)
			}
			if !o.ResourceExists {
				return
			}
			was := cr.GetCondition(lifecycle.TypeDeletionBlocked)
			if _, err := e.Delete(context.Background(), cr); err != nil || tc.err == nil && cr.GetCondition(lifecycle.TypeDeletionBlocked) != was {
				t.Errorf("\nReason: %s\nDelete(...): %v, the condition is lost", tc.reason, err)
			}
		})
	}
}
