package tke

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// clusterTag is what TKE puts on everything it makes for a cluster.
const clusterTag = "tke-clusterId"

type tag struct {
	Key   string
	Value string
}

func tagMap(tags []tag) map[string]string {
	out := make(map[string]string, len(tags))
	for _, t := range tags {
		out[t.Key] = t.Value
	}
	return out
}

// tagList returns tags by key, named as the product at hand does.
func tagList(tags map[string]string, keyName, valueName string) []map[string]string {
	out := []map[string]string{}
	for k, v := range tags {
		out = append(out, map[string]string{keyName: k, valueName: v})
	}
	slices.SortFunc(out, func(a, b map[string]string) int { return strings.Compare(a[keyName], b[keyName]) })
	return out
}

type label struct {
	Name  string
	Value string
}

type taint struct {
	Key    string
	Value  string
	Effect string
}

func kubeTaints(all []taint) ([]corev1.Taint, error) {
	var out []corev1.Taint
	for _, t := range all {
		switch e := corev1.TaintEffect(t.Effect); e {
		case corev1.TaintEffectNoSchedule, corev1.TaintEffectPreferNoSchedule, corev1.TaintEffectNoExecute:
			out = append(out, corev1.Taint{Key: t.Key, Value: t.Value, Effect: e})
		default:
			return nil, invalid("effect %q of taint %s is not NoSchedule, PreferNoSchedule or NoExecute", t.Effect, t.Key)
		}
	}
	return out, nil
}

// A filter of a list. Its values are alternatives; all filters must match.
type filter struct {
	Name   string
	Values []string
}

// fields of a thing that can be filtered by, under the names of its API.
type fields map[string]string

// filtered reports whether a thing passes the filters. Names other than those of
// fields must be "tag-key", "tag-value", "tag:<key>" or "Tags", else they are
// unknown. Names that are in fuzzy match a part of the value.
func filtered(filters []filter, f fields, tags map[string]string, fuzzy ...string) (bool, error) {
	for _, q := range filters {
		ok := false
		have, known := f[q.Name]
		key, byKey := strings.CutPrefix(q.Name, "tag:")
		for _, want := range q.Values {
			switch {
			case known:
				ok = ok || have == want || slices.Contains(fuzzy, q.Name) && strings.Contains(have, want)
			case byKey:
				v, tagged := tags[key]
				ok = ok || tagged && v == want
			case q.Name == "tag-key":
				_, tagged := tags[want]
				ok = ok || tagged
			case q.Name == "tag-value":
				for _, v := range tags {
					ok = ok || v == want
				}
			case q.Name == "Tags":
				k, v, _ := strings.Cut(want, ":")
				cur, tagged := tags[k]
				ok = ok || tagged && cur == v
			}
		}
		if !known && !byKey && q.Name != "tag-key" && q.Name != "tag-value" && q.Name != "Tags" {
			return false, invalid("filter %q is not supported", q.Name)
		}
		if !ok {
			return false, nil
		}
	}
	return true, nil
}

// A number may come as a string: vpc and tke differ from each other.
type number int

// UnmarshalJSON takes a number, quoted or not.
func (n *number) UnmarshalJSON(b []byte) error {
	var s string
	if json.Unmarshal(b, &s) != nil {
		s = string(b)
	}
	v, err := strconv.Atoi(s)
	if err != nil {
		return fmt.Errorf("%s is not a number", b)
	}
	*n = number(v)
	return nil
}

const (
	defaultPage = 20
	maxPage     = 100
)

// paginate returns the page from Offset, of Limit things.
func paginate[T any](all []T, offset, limit *number) ([]T, error) {
	from, size := 0, defaultPage
	if offset != nil {
		from = int(*offset)
	}
	if limit != nil {
		size = int(*limit)
	}
	if from < 0 || size < 1 || size > maxPage {
		return nil, invalid("Offset must not be below 0, Limit must be in 1..%d", maxPage)
	}
	from = min(from, len(all))
	return all[from:min(from+size, len(all))], nil
}
