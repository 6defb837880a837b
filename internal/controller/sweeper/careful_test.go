package sweeper

import (
	"testing"

	"regionpool.io/provider-regionpool/apis/v1alpha1"
)

func TestCareful(t *testing.T) {
	cases := map[string]struct {
		reason           string
		first, then, way string
	}{
		"KeepThenDelete":   {"What is to be kept is kept, whoever else remembers it.", v1alpha1.LeaksKeep, v1alpha1.LeaksDelete, v1alpha1.LeaksKeep},
		"DeleteThenKeep":   {"In either order.", v1alpha1.LeaksDelete, v1alpha1.LeaksKeep, v1alpha1.LeaksKeep},
		"DeleteThenReport": {"To report spares more than to delete.", v1alpha1.LeaksDelete, "", ""},
		"Both":             {"Both want it deleted.", v1alpha1.LeaksDelete, v1alpha1.LeaksDelete, v1alpha1.LeaksDelete},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			known := map[string]v1alpha1.Owner{}
			for _, leaks := range []string{tc.first, tc.then} {
				known["uid"] = careful(known, "uid", v1alpha1.Owner{UID: "uid", Leaks: leaks})
			}
			if got := known["uid"].Leaks; got != tc.way {
				t.Errorf("%s careful(...): want %q, got %q", tc.reason, tc.way, got)
			}
		})
	}
}
