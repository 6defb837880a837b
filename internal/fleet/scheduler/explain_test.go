package scheduler

import (
	"fmt"
	"testing"
	"time"
)

func TestReasons(t *testing.T) {
	many := map[string]string{}
	for i := range 8 {
		many[fmt.Sprintf("m%d", i)] = "0/3 nodes are available: 3 Insufficient cpu."
	}
	different := map[string]string{}
	for i := range 7 {
		different[fmt.Sprintf("m%d", i)] = fmt.Sprintf("0/%d nodes are available", i)
	}
	cases := map[string]struct {
		reason   string
		refusals map[string]string
		want     string
	}{
		"None":      {"Nothing to say", nil, ""},
		"Same":      {"Members with the same reason are told together", map[string]string{"b": "full.", "a": "full", "c": "it is leaving"}, "a, b: full; c: it is leaving"},
		"Many":      {"A message is bounded in members", many, "m0, m1, m2, m3, m4, 3 more: 0/3 nodes are available: 3 Insufficient cpu"},
		"Different": {"A message is bounded in reasons", different, "m0: 0/0 nodes are available; m1: 0/1 nodes are available; m2: 0/2 nodes are available; m3: 0/3 nodes are available; m4: 0/4 nodes are available; and 2 more reasons"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if got := reasons(tc.refusals); got != tc.want {
				t.Errorf("\nReason: %s\nreasons(...): want %q, got %q", tc.reason, tc.want, got)
			}
		})
	}
}

func TestExplainTheWayHome(t *testing.T) {
	since := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	placed := []Target{{Member: "ack", Replicas: 1}, {Member: "idc-a", Replicas: 3}}
	const gist = "4 of 4 placed: ack 1, idc-a 3"
	cases := map[string]struct {
		reason string
		fixed  bool
		d      Decision
		want   string
	}{
		"NoRoom": {"It waits for room", false, Decision{Targets: placed, Cloud: 1, Return: "return when"}, gist + "; in the cloud: 1, which return when"},
		"Room":   {"A time that does not tick", false, Decision{Targets: placed, Cloud: 1, Return: "return when", State: State{RoomSince: &since}}, gist + "; in the cloud: 1, which return when; there has been room since 2026-03-01T12:00:00Z"},
		"Fixed":  {"What cannot move does not return", true, Decision{Targets: placed, Cloud: 1}, gist + "; in the cloud: 1, which are not moved"},
		"Home":   {"Nothing is in the cloud", false, Decision{Targets: placed}, gist},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got := explain(&Binding{Divided: true, Movable: !tc.fixed, Replicas: 4}, &tc.d)
			if got != tc.want || Gist(got) != gist {
				t.Errorf("\nReason: %s\nexplain(...): want %q, got %q with the gist %q", tc.reason, tc.want, got, Gist(got))
			}
		})
	}
}
