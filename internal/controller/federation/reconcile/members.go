package reconcile

import (
	"context"
	"slices"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/crossplane/crossplane-runtime/v2/pkg/errors"

	"regionpool.io/provider-regionpool/apis/federation/v1alpha1"
)

// DrainMembers returns the sorted names of the Members of a pool whose replicas
// have to go to other members before they leave.
func DrainMembers(ctx context.Context, c client.Reader, namespace, pool string) ([]string, error) {
	l := &v1alpha1.MemberList{}
	if err := c.List(ctx, l, client.InNamespace(namespace)); err != nil {
		return nil, errors.Wrap(err, "cannot list Members")
	}
	var out []string
	for i := range l.Items {
		p := l.Items[i].Spec.ForProvider
		if p.Pool == pool && p.OnLeave != v1alpha1.LeaveRetain {
			out = append(out, l.Items[i].GetName())
		}
	}
	slices.Sort(out)
	return out, nil
}
