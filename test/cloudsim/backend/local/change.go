package local

import (
	"context"
	"fmt"

	kerrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/retry"

	"regionpool.io/provider-regionpool/test/cloudsim/backend"
)

// ChangeNode changes labels and taints of a node, and leaves those of others
// alone.
func (c *cluster) ChangeNode(ctx context.Context, name string, change backend.Change) error {
	nodes := c.cp.Client().CoreV1().Nodes()
	err := retry.RetryOnConflict(retry.DefaultRetry, func() error {
		n, err := nodes.Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		n.Labels, n.Spec.Taints = change.Apply(n.Labels, n.Spec.Taints)
		_, err = nodes.Update(ctx, n, metav1.UpdateOptions{})
		return err
	})
	if err != nil && !kerrors.IsNotFound(err) {
		return fmt.Errorf("cannot change node %s: %w", name, err)
	}
	return nil
}
