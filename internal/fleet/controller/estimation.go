package controller

import (
	workv1alpha2 "github.com/karmada-io/karmada/pkg/apis/work/v1alpha2"
	"github.com/samber/lo"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"regionpool.io/provider-regionpool/internal/fleet/scheduler"
	"regionpool.io/provider-regionpool/internal/snapshot"
)

// Members returns the live caches of the clusters that a pool uses. Unlike the
// rest of a Fleet it may be used while rounds are made.
func (f *Fleet) Members() *snapshot.Registry { return f.members.registry }

// Held returns what the last round found that reservations hold in a member. It
// may be used while rounds are made, too.
func (f *Fleet) Held(member string) []scheduler.HeldRoom {
	held := f.held.Load()
	if held == nil {
		return nil
	}
	return lo.Filter(*held, func(h scheduler.HeldRoom, _ int) bool { return h.Member == member })
}

// TemplateOf returns what the replicas of a workload are made from, or nil if it
// has no pod template where most kinds have it. An error says that the template
// cannot be understood.
func TemplateOf(u *unstructured.Unstructured) (*scheduler.Template, error) { return decode(u) }

// TemplateFor returns a template that has only what Karmada's interpreter says a
// replica needs. Nil requirements are those of a replica that needs nothing.
func TemplateFor(namespace string, r *workv1alpha2.ReplicaRequirements) *scheduler.Template {
	if r == nil {
		r = &workv1alpha2.ReplicaRequirements{}
	}
	return &scheduler.Template{Namespace: namespace, Spec: required(r)}
}
