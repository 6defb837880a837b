package simulation

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"regionpool.io/provider-regionpool/internal/snapshot"
)

// TestFeedsFollowForks: however forks change, and are taken back, the feeds hold
// what the fork of the last load does.
func TestFeedsFollowForks(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	service := func(name, version string) *corev1.Service {
		return &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name, ResourceVersion: version}}
	}
	var forks []*snapshot.Fork
	for i := range 2 {
		s, err := snapshot.New(nil, nil, service("s-0", "base"), service("s-1", fmt.Sprintf("base-%d", i)))
		if err != nil {
			t.Fatal(err)
		}
		forks = append(forks, s.Fork(), s.Fork())
	}
	fs := newFeeds()
	marks := make([][]snapshot.Mark, len(forks))
	for step := range 3000 {
		i := r.IntN(len(forks))
		f := forks[i]
		switch r.IntN(4) {
		case 0:
			marks[i] = append(marks[i], f.Mark())
		case 1:
			if n := len(marks[i]); n > 0 {
				f.Revert(marks[i][n-1])
				f.Commit(marks[i][n-1])
				marks[i] = marks[i][:n-1]
			}
		default:
			if err := f.AddObject(service(fmt.Sprintf("s-%d", r.IntN(5)), fmt.Sprint(step))); err != nil {
				t.Fatal(err)
			}
		}
		var own []snapshot.Object
		if r.IntN(3) == 0 {
			own = append(own, service(fmt.Sprintf("s-%d", r.IntN(6)), "own"))
		}
		fs.load(f, own)
		want, got := map[string]string{}, map[string]string{}
		for _, o := range f.Base().Objects().Set(snapshot.Services).Items() {
			want[o.GetName()] = o.GetResourceVersion()
		}
		for _, list := range [][]snapshot.Object{f.Extra(), own} {
			for _, o := range list {
				want[o.GetName()] = o.GetResourceVersion()
			}
		}
		for _, o := range fs.byKind[snapshot.Services].indexer.List() {
			got[o.(*corev1.Service).Name] = o.(*corev1.Service).ResourceVersion
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("After step %d: -want, +got:\n%s", step, diff)
		}
		for name, version := range want {
			if len(own) == 0 && f.Object(snapshot.Services, "default", name).GetResourceVersion() != version {
				t.Fatalf("After step %d the fork finds another %s", step, name)
			}
		}
	}
}
