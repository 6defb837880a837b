package binaries

import (
	"path/filepath"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
)

func TestKey(t *testing.T) {
	type args struct {
		f         family
		src       fstest.MapFS
		toolchain string
	}
	module := func(gomod, gosum, main string) fstest.MapFS {
		return fstest.MapFS{
			"go.mod":  {Data: []byte(gomod)},
			"go.sum":  {Data: []byte(gosum)},
			"main.go": {Data: []byte(main)},
		}
	}
	base := args{f: family{name: "etcd", pkg: "."}, src: module("a", "b", "c"), toolchain: "go1.26"}
	want, err := base.f.key(base.src, base.toolchain)
	if err != nil {
		t.Fatalf("key(...): %v", err)
	}

	readme := module("a", "b", "c")
	readme["README.md"] = &fstest.MapFile{Data: []byte("d")}
	cases := map[string]struct {
		reason string
		args   args
		same   bool
	}{
		"Same":       {reason: "The same inputs have the same key.", args: args{f: base.f, src: module("a", "b", "c"), toolchain: "go1.26"}, same: true},
		"OtherFiles": {reason: "A file that is not built changes nothing.", args: args{f: base.f, src: readme, toolchain: "go1.26"}, same: true},
		"Module":     {reason: "Another version of a module is another build.", args: args{f: base.f, src: module("A", "b", "c"), toolchain: "go1.26"}},
		"Sum":        {reason: "Another checksum is another build.", args: args{f: base.f, src: module("a", "B", "c"), toolchain: "go1.26"}},
		"Source":     {reason: "Another source is another build.", args: args{f: base.f, src: module("a", "b", "C"), toolchain: "go1.26"}},
		"Shifted":    {reason: "The same bytes in other files are another build.", args: args{f: base.f, src: module("ab", "", "c"), toolchain: "go1.26"}},
		"Toolchain":  {reason: "Another toolchain is another build.", args: args{f: base.f, src: base.src, toolchain: "go1.27"}},
		"Stamps":     {reason: "Another version stamp is another build.", args: args{f: family{name: "etcd", pkg: ".", stamps: map[string]string{"a": "b"}}, src: base.src, toolchain: "go1.26"}},
		"Tags":       {reason: "Another build tag is another build.", args: args{f: family{name: "etcd", pkg: ".", tags: []string{"a"}}, src: base.src, toolchain: "go1.26"}},
		"Data":       {reason: "Other data files are another build.", args: args{f: family{name: "etcd", pkg: ".", data: []datum{{name: "a"}}}, src: base.src, toolchain: "go1.26"}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := tc.args.f.key(tc.args.src, tc.args.toolchain)
			if err != nil {
				t.Fatalf("\n%s\nkey(...): %v", tc.reason, err)
			}
			if diff := cmp.Diff(tc.same, got == want); diff != "" {
				t.Errorf("\n%s\nkey(...) is the same: -want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}

func TestPaths(t *testing.T) {
	s := &Set{dir: "/set"}
	cases := map[string]struct {
		reason string
		got    string
		want   string
	}{
		"Program": {reason: "A program lies in its family.", got: s.Path(Kubectl), want: "/set/kubernetes/bin/kubectl"},
		"File":    {reason: "A data file lies in its family.", got: s.Data(KarmadaWebhooks), want: "/set/karmada/data/karmada-webhooks.yaml"},
		"Folder":  {reason: "A folder that several data files make up does too.", got: s.Data(KwokStages), want: "/set/kwok/data/kwok-stages"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(filepath.FromSlash(tc.want), tc.got); diff != "" {
				t.Errorf("\n%s\n-want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}
