package etcd

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestPrefixEnd(t *testing.T) {
	cases := map[string]struct {
		reason string
		prefix string
		want   []byte
	}{
		"Simple": {reason: "The last byte is raised, so that /a/ does not include /a0.", prefix: "/a/", want: []byte("/a0")},
		"Carry":  {reason: "A byte that cannot be raised is dropped.", prefix: "a\xff", want: []byte("b")},
		"Last":   {reason: "Without a byte to raise there is no end, which etcd writes as a zero.", prefix: "\xff", want: []byte{0}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, prefixEnd(tc.prefix)); diff != "" {
				t.Errorf("\n%s\nprefixEnd(...): -want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}
