package tke

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/crossplane/upjet/v2/pkg/metrics"
	"github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common"
	tchttp "github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common/http"
	tke "github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/tke/v20180525"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/clock"

	"regionpool.io/provider-regionpool/internal/clients/cloud"
)

const (
	// listPage is the largest page that all lists give.
	listPage = 100
	// maxRestarts of a list that changes while it is read.
	maxRestarts = 5
)

// A Client of a region with the credentials of an account, on the vendor's SDK.
type Client struct {
	sdk    *common.Client
	bucket *cloud.Bucket
	region string
	clock  clock.Clock
}

var (
	_ API       = &Client{}
	_ Market    = &Client{}
	_ Inventory = &Client{}
)

// send a request and read the answer.
func (c *Client) send(ctx context.Context, req tchttp.Request, resp tchttp.Response) error {
	op := req.GetAction()
	if err := c.bucket.Wait(ctx, op); err != nil {
		return err
	}
	start := c.clock.Now()
	tr := &trace{}
	req.SetContext(context.WithValue(ctx, traceKey{}, tr))
	err := classify(op, c.sdk.Send(req, resp), tr)
	metrics.ExternalAPICalls.WithLabelValues(req.GetService(), op).Inc()
	metrics.ExternalAPITime.WithLabelValues(op).Observe(c.clock.Since(start).Seconds())
	c.bucket.Observe(err)
	return err
}

// versions of the products that have no typed client here.
var versions = map[string]string{
	"as": "2018-04-19", "cvm": "2017-03-12", "vpc": "2017-03-12", "clb": "2018-03-17", "cbs": "2017-03-12", "tag": "2018-08-13",
}

// An answer of a product that has no typed client here.
type answer[T any] struct {
	*tchttp.BaseResponse
	Response *T `json:"Response"`
}

// ask a product without a typed client.
func ask[T any](ctx context.Context, c *Client, product, action string, parameters map[string]any) (*T, error) {
	req := tchttp.NewCommonRequest(product, versions[product], action)
	if err := req.SetActionParameters(parameters); err != nil {
		return nil, classify(action, err, &trace{})
	}
	a := &answer[T]{BaseResponse: &tchttp.BaseResponse{}}
	if err := c.send(ctx, req, a); err != nil {
		return nil, err
	}
	if a.Response == nil {
		return nil, incomplete(action)
	}
	return a.Response, nil
}

// pages reads a list from its first page to its last. If the list changes in
// between, things may have moved from a page to one that was read before: it is
// read again from the start.
func pages[T any](operation string, id func(*T) string, page func(offset, limit int) ([]*T, *int, error)) ([]*T, error) {
	for range maxRestarts {
		seen := map[string]*T{}
		offset, total := 0, -1
		for {
			items, n, err := page(offset, listPage)
			if err != nil {
				return nil, err
			}
			if n == nil {
				return nil, incomplete(operation)
			}
			if total >= 0 && *n != total {
				break
			}
			total = *n
			for _, i := range items {
				if i != nil && id(i) != "" {
					seen[id(i)] = i
				}
			}
			offset += len(items)
			if len(items) == 0 || offset >= total {
				break
			}
		}
		if total == len(seen) {
			all := make([]*T, 0, len(seen))
			for _, k := range slices.Sorted(maps.Keys(seen)) {
				all = append(all, seen[k])
			}
			return all, nil
		}
	}
	return nil, &cloud.Error{Class: cloud.Unknown, Operation: operation, Message: "the list changes while it is read"}
}

// count is what lists of the SDK have for an optional number.
func count[N int64 | uint64](n *N) *int {
	if n == nil {
		return nil
	}
	i := int(*n)
	return &i
}

func deref[T any](p *T) T {
	var zero T
	if p == nil {
		return zero
	}
	return *p
}

func i32[N int64 | uint64](p *N) int32 {
	return int32(deref(p)) //nolint:gosec // Numbers of nodes.
}

func tags(m map[string]string) []*tke.Tag {
	out := make([]*tke.Tag, 0, len(m))
	for _, k := range slices.Sorted(maps.Keys(m)) {
		out = append(out, &tke.Tag{Key: common.StringPtr(k), Value: common.StringPtr(m[k])})
	}
	return out
}

func tagMap(ts []*tke.Tag) map[string]string {
	m := make(map[string]string, len(ts))
	for _, t := range ts {
		if t != nil {
			m[deref(t.Key)] = deref(t.Value)
		}
	}
	return m
}

func labels(m map[string]string) []*tke.Label {
	out := make([]*tke.Label, 0, len(m))
	for _, k := range slices.Sorted(maps.Keys(m)) {
		out = append(out, &tke.Label{Name: common.StringPtr(k), Value: common.StringPtr(m[k])})
	}
	return out
}

func labelMap(ls []*tke.Label) map[string]string {
	m := make(map[string]string, len(ls))
	for _, l := range ls {
		if l != nil {
			m[deref(l.Name)] = deref(l.Value)
		}
	}
	return m
}

func taints(ts []corev1.Taint) []*tke.Taint {
	out := make([]*tke.Taint, 0, len(ts))
	for _, t := range ts {
		out = append(out, &tke.Taint{Key: common.StringPtr(t.Key), Value: common.StringPtr(t.Value), Effect: common.StringPtr(string(t.Effect))})
	}
	return out
}

func taintList(ts []*tke.Taint) []corev1.Taint {
	var out []corev1.Taint
	for _, t := range ts {
		if t != nil {
			out = append(out, corev1.Taint{Key: deref(t.Key), Value: deref(t.Value), Effect: corev1.TaintEffect(deref(t.Effect))})
		}
	}
	return out
}

// contains reports whether all tags of want are in have.
func contains(have, want map[string]string) bool {
	for k, v := range want {
		if w, ok := have[k]; !ok || w != v {
			return false
		}
	}
	return true
}

// parseTime of the several forms that the products use. It returns the zero time
// for what it cannot read. clb gives the local time of the region, which is that
// of Beijing.
func parseTime(s string) time.Time {
	s = strings.TrimSpace(s)
	if t, err := time.Parse(time.RFC3339, s); err == nil {
		return t
	}
	if t, err := time.ParseInLocation(time.DateTime, s, beijing); err == nil {
		return t
	}
	return time.Time{}
}

var beijing = time.FixedZone("UTC+8", 8*60*60)

// text is the JSON that a parameter holds as a string.
func text(v any) (string, error) {
	b, err := json.Marshal(v)
	return string(b), err
}

// convert between what the SDK has read and what is wanted of it.
func convert(from, to any) error {
	b, err := json.Marshal(from)
	if err != nil {
		return err
	}
	return json.Unmarshal(b, to)
}
