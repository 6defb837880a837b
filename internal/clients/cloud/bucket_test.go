package cloud

import (
	"context"
	"testing"
	"time"

	testclock "k8s.io/utils/clock/testing"
)

func TestBucket(t *testing.T) {
	c := testclock.NewFakeClock(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
	b := NewBuckets(c)
	bu := b.For("account", 0.001, 2)
	if b.For("account", 0.001, 2) != bu {
		t.Fatal("\nReason: all clients of an account share a bucket\nFor(...): another one")
	}
	ctx := context.Background()
	if err := bu.Wait(ctx, "Create"); err != nil {
		t.Fatalf("\nReason: there are tokens\nWait(...): %v", err)
	}
	if err := bu.Wait(ctx, "Create"); err != nil {
		t.Fatalf("\nReason: there are tokens\nWait(...): %v", err)
	}
	if err := bu.Wait(Background(ctx), "Poll"); !Is(err, Throttled) || !Definite(err) {
		t.Errorf("\nReason: a call that can be left out takes none of the last tokens\nWait(...): %v", err)
	}
	short, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	if err := bu.Wait(short, "Create"); !Is(err, Throttled) || !Definite(err) {
		t.Errorf("\nReason: a call that gets no token in time was not made\nWait(...): %v", err)
	}
}

func TestBucketPenalty(t *testing.T) {
	c := testclock.NewFakeClock(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
	bu := NewBuckets(c).For("account", 1000, 1000)
	bu.Observe(&Error{Class: Throttled})
	done := make(chan error, 1)
	go func() { done <- bu.Wait(context.Background(), "Create") }()
	for !c.HasWaiters() {
		select {
		case err := <-done:
			t.Fatalf("\nReason: all calls pause after one was throttled\nWait(...): %v", err)
		case <-time.After(time.Millisecond):
		}
	}
	c.Step(maxPenalty)
	if err := <-done; err != nil {
		t.Errorf("\nReason: then they go on\nWait(...): %v", err)
	}
}
