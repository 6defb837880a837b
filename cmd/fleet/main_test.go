package main

import "testing"

func TestLeaseName(t *testing.T) {
	cases := map[string]struct {
		reason string
		a, b   []string
		same   bool
	}{
		"Order":    {"Fleets of the same pools elect one leader, however the pools are written.", []string{"p", "q"}, []string{"q", "p", "p"}, true},
		"Others":   {"Fleets of other pools do not wait for each other.", []string{"p"}, []string{"q"}, false},
		"All":      {"Neither do they wait for one that serves all.", []string{"p"}, nil, false},
		"Boundary": {"Names are not run together.", []string{"p-q"}, []string{"p", "q"}, false},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			a, b := leaseName(tc.a), leaseName(tc.b)
			if (a == b) != tc.same {
				t.Errorf("\n%s\nleaseName(%q), leaseName(%q): got %q, %q", tc.reason, tc.a, tc.b, a, b)
			}
		})
	}
}
