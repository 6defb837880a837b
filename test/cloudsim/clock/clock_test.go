package clock

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestStep(t *testing.T) {
	begin := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	type fired struct {
		What string
		At   time.Duration
	}
	cases := map[string]struct {
		reason string
		steps  []time.Duration
		want   []fired
	}{
		"Before":  {reason: "Nothing happens before it is due.", steps: []time.Duration{time.Second}},
		"InOrder": {reason: "One step runs all that falls due, each at its own time.", steps: []time.Duration{time.Minute}, want: []fired{{"b", 2 * time.Second}, {"a", 10 * time.Second}, {"nested", 15 * time.Second}}},
		"InSteps": {reason: "Many small steps are the same as one.", steps: []time.Duration{3 * time.Second, 7 * time.Second, 5 * time.Second}, want: []fired{{"b", 2 * time.Second}, {"a", 10 * time.Second}, {"nested", 15 * time.Second}}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			v := NewManual(begin)
			var got []fired
			note := func(what string) { got = append(got, fired{what, v.Since(begin)}) }
			v.AfterFunc(10*time.Second, func() {
				note("a")
				v.AfterFunc(5*time.Second, func() { note("nested") })
			})
			v.AfterFunc(2*time.Second, func() { note("b") })
			stopped := v.AfterFunc(3*time.Second, func() { note("stopped") })
			if !stopped.Stop() {
				t.Errorf("Stop() should report a pending timer")
			}
			for _, d := range tc.steps {
				v.Step(d)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("\n%s\nStep(...): -want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}

func TestFactor(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	v := New(1000)
	go v.Run(ctx)
	begin := time.Now()
	v.Sleep(20 * time.Second)
	if d := time.Since(begin); d < 15*time.Millisecond || d > 5*time.Second {
		t.Errorf("20 virtual seconds at 1000x took %s", d)
	}
	v.SetFactor(0)
	now := v.Now()
	time.Sleep(5 * time.Millisecond)
	if !v.Now().Equal(now) {
		t.Errorf("A stopped clock should stand still")
	}
}
