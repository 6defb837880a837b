package elastic

import (
	"context"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"regionpool.io/provider-regionpool/apis/v1alpha1"
	"regionpool.io/provider-regionpool/internal/clients/cloud"
	"regionpool.io/provider-regionpool/internal/controller/lifecycle"
)

// operationTimeout is when an operation is no longer waited for. The longest,
// the creation of a cluster, takes 20 minutes on a bad day.
const operationTimeout = 2 * time.Hour

// A Task of the cloud.
type Task struct {
	// Stage for a person.
	Stage string
	// Done says that it has ended, Failed why it has failed.
	Done   bool
	Failed *cloud.Error
}

// Tasks of a cloud. A cloud without any never hands out an id, and its Task is
// never called: the state of the things themselves tells how far they are.
type Tasks interface {
	// Task that does an operation of this kind. One that the cloud does not know
	// is an error of class Gone.
	Task(ctx context.Context, kind, id string) (*Task, error)
}

// Track asks how far an operation has come. It returns nil when it is over, and
// an error if it failed. A running one is watched, and the resource is
// reconciled the moment it ends.
func (o *Options) Track(ctx context.Context, api Tasks, p *lifecycle.Poller, nn types.NamespacedName, op *v1alpha1.Operation) (*v1alpha1.Operation, *cloud.Error) {
	if op == nil || op.TaskID == "" || o.Clock.Since(op.StartedAt.Time) > operationTimeout {
		p.Forget(nn)
		return nil, nil
	}
	kind, id := op.Type, op.TaskID
	t, err := api.Task(ctx, kind, id)
	if cloud.Is(err, cloud.Gone) {
		p.Forget(nn)
		return nil, nil
	}
	if err == nil && t.Done {
		p.Forget(nn)
		return nil, t.Failed
	}
	op = op.DeepCopy()
	if err == nil {
		op.Stage = t.Stage
	}
	p.Watch(nn, id, func(ctx context.Context) (bool, error) {
		t, err := api.Task(cloud.Background(ctx), kind, id)
		if err != nil {
			return cloud.Is(err, cloud.Gone), err
		}
		return t.Done, nil
	})
	return op, nil
}

// NewOperation that starts now, or nil if the cloud made no task of it.
func (o *Options) NewOperation(kind, task string) *v1alpha1.Operation {
	if task == "" {
		return nil
	}
	return &v1alpha1.Operation{Type: kind, TaskID: task, StartedAt: metav1.NewTime(o.Clock.Now())}
}
