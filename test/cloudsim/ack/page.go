package ack

import (
	"encoding/json"
	"sort"
	"strconv"
)

const (
	defaultPage = 10
	maxPage     = 100
)

// paginate returns the page a call asks for. Page numbers start at 1; the
// default size is 10, the largest 100.
func paginate[T any](c *call, all []T, numberKey, sizeKey string) ([]T, pageInfo, error) {
	number, size := 1, defaultPage
	for key, dst := range map[string]*int{numberKey: &number, sizeKey: &size} {
		v := c.query.Get(key)
		if v == "" {
			continue
		}
		n, err := strconv.Atoi(v)
		if err != nil || n < 1 {
			return nil, pageInfo{}, invalid(key, "%s must be a positive number, not %q", key, v)
		}
		*dst = n
	}
	if size > maxPage {
		return nil, pageInfo{}, invalid(sizeKey, "%s must not be above %d", sizeKey, maxPage)
	}
	info := pageInfo{PageNumber: number, PageSize: size, TotalCount: len(all)}
	from := min((number-1)*size, len(all))
	return all[from:min(from+size, len(all))], info, nil
}

func sortBy[T any](all []T, key func(T) string) {
	sort.SliceStable(all, func(i, j int) bool { return key(all[i]) < key(all[j]) })
}

// queryBool reads a boolean parameter of the query.
func queryBool(c *call, key string, def bool) (bool, error) {
	v := c.query.Get(key)
	if v == "" {
		return def, nil
	}
	b, err := strconv.ParseBool(v)
	if err != nil {
		return false, invalid(key, "%s must be true or false, not %q", key, v)
	}
	return b, nil
}

// queryJSON reads a parameter of the query that is JSON.
func queryJSON(c *call, key string, into any) error {
	v := c.query.Get(key)
	if v == "" {
		return nil
	}
	if err := json.Unmarshal([]byte(v), into); err != nil {
		return invalid(key, "%s is not valid JSON: %v", key, err)
	}
	return nil
}

// decode a JSON body.
func decode(c *call, into any) error {
	if len(c.body) == 0 {
		return invalid("Body", "the request body is missing")
	}
	if err := json.Unmarshal(c.body, into); err != nil {
		if te, ok := err.(*json.UnmarshalTypeError); ok {
			return invalid(te.Field, "%s must not be a %s", te.Field, te.Value)
		}
		return invalid("Body", "the request body is not valid JSON: %v", err)
	}
	return nil
}
