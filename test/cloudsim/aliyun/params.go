package aliyun

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// params of a call, as strings.
type params map[string]string

func (p params) spot() bool {
	return p["SpotStrategy"] == "SpotAsPriceGo" || p["SpotStrategy"] == "SpotWithPriceLimit"
}

// bool reads a boolean; anything but true is false.
func (p params) bool(key string) bool { return strings.EqualFold(p[key], "true") }

// list reads a parameter that names several things: repeated with numbers, a
// JSON array, or separated by commas.
func (p params) list(key string) []string {
	var out []string
	for i := 1; p[fmt.Sprintf("%s.%d", key, i)] != ""; i++ {
		out = append(out, p[fmt.Sprintf("%s.%d", key, i)])
	}
	v := strings.TrimSpace(p[key])
	switch {
	case v == "":
	case strings.HasPrefix(v, "["):
		var some []string
		if json.Unmarshal([]byte(v), &some) == nil {
			out = append(out, some...)
		}
	default:
		out = append(out, strings.Split(v, ",")...)
	}
	return out
}

// A tag to filter by; an empty value matches all.
type tag struct {
	Key   string `json:"TagKey"`
	Value string `json:"TagValue"`
}

// tags reads Tag.N.Key and Tag.N.Value, and the parameter Tags of SLB, which is
// JSON.
func (p params) tags() ([]tag, *apiError) {
	var out []tag
	for i := 1; p[fmt.Sprintf("Tag.%d.Key", i)] != ""; i++ {
		out = append(out, tag{Key: p[fmt.Sprintf("Tag.%d.Key", i)], Value: p[fmt.Sprintf("Tag.%d.Value", i)]})
	}
	if v := p["Tags"]; v != "" {
		var some []tag
		if err := json.Unmarshal([]byte(v), &some); err != nil {
			return nil, invalid("Tags")
		}
		out = append(out, some...)
	}
	if len(out) > 20 {
		return nil, fail(http.StatusBadRequest, "InvalidTagCount", "The specified tags are beyond the permitted range.")
	}
	return out, nil
}

func matchTags(want []tag, have map[string]string) bool {
	return !slices.ContainsFunc(want, func(t tag) bool {
		v, ok := have[t.Key]
		return !ok || t.Value != "" && t.Value != v
	})
}

func invalid(key string) *apiError {
	return fail(http.StatusBadRequest, "InvalidParameter", "The specified parameter %q is not valid.", key)
}

func missing(key string) *apiError {
	return fail(http.StatusBadRequest, "MissingParameter", "The input parameter %q that is mandatory for processing this request is not supplied.", key)
}

// number reads a number of at least 1.
func (p params) number(key string, def, limit int) (int, *apiError) {
	v := p[key]
	if v == "" {
		return def, nil
	}
	n, err := strconv.Atoi(v)
	if err != nil || n < 1 || limit > 0 && n > limit {
		return 0, invalid(key)
	}
	return n, nil
}

// A page of a list: by number, or by token.
type page struct {
	from, size, number int
	byToken            bool
	limitKey           string
}

const tokenPrefix = "page-from-"

func (p params) page(a *action) (page, *apiError) {
	out := page{size: 10, number: 1, limitKey: "PageSize"}
	if a.limitKey != "" {
		out.limitKey, out.size, out.byToken = a.limitKey, a.maxPage, true
	} else if p["MaxResults"] != "" || p["NextToken"] != "" {
		out.limitKey, out.byToken = "MaxResults", true
	}
	var err *apiError
	if out.size, err = p.number(out.limitKey, out.size, a.maxPage); err != nil {
		return out, err
	}
	if !out.byToken {
		if out.number, err = p.number("PageNumber", 1, 0); err != nil {
			return out, err
		}
		out.from = (out.number - 1) * out.size
		return out, nil
	}
	if t := p["NextToken"]; t != "" {
		n, err := strconv.Atoi(strings.TrimPrefix(t, tokenPrefix))
		if err != nil || n < 0 {
			return out, invalid("NextToken")
		}
		out.from = n
	}
	return out, nil
}

// reply with the page of all.
func (g page) reply(all []any, outer, inner string) map[string]any {
	from := min(g.from, len(all))
	to := min(from+g.size, len(all))
	items := append([]any{}, all[from:to]...)
	out := map[string]any{"TotalCount": len(all), outer: map[string]any{inner: items}}
	if inner == "" {
		out[outer] = items
	}
	if !g.byToken {
		out["PageNumber"], out["PageSize"] = g.number, g.size
		return out
	}
	out["NextToken"] = ""
	if to < len(all) {
		out["NextToken"] = tokenPrefix + strconv.Itoa(to)
	}
	return out
}
