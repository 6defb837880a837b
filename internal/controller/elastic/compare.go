package elastic

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
)

// SameSet reports whether both have the same words, in any order.
func SameSet(a, b []string) bool {
	return slices.Equal(slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b)))
}

// Contains reports whether all that is wanted is there. Clouds may add labels
// and tags of their own.
func Contains(have, want map[string]string) bool {
	for k, v := range want {
		if w, ok := have[k]; !ok || w != v {
			return false
		}
	}
	return true
}

// SameTaints reports whether both have the same taints, in any order.
func SameTaints(a, b []corev1.Taint) bool {
	text := func(ts []corev1.Taint) []string {
		all := make([]string, 0, len(ts))
		for _, t := range ts {
			all = append(all, fmt.Sprintf("%s=%s:%s", t.Key, t.Value, t.Effect))
		}
		return all
	}
	return SameSet(text(a), text(b))
}
