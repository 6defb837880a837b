package nodepool

import (
	"context"
	"fmt"
	"regexp"
	"time"

	corev1 "k8s.io/api/core/v1"

	"regionpool.io/provider-regionpool/apis/v1alpha1"
	"regionpool.io/provider-regionpool/internal/clients/kube"
	"regionpool.io/provider-regionpool/internal/controller/elastic"
)

// Of the fake cloud.
const (
	labelPool       = "fake/pool"
	conditionNotice = corev1.NodeConditionType("Reclaimed")
)

var (
	typeName = regexp.MustCompile(`\becs\.[a-z0-9.]+`)
	zoneName = regexp.MustCompile(`\bcn-test-[a-z]`)
)

var _ Driver = &fakeDriver{}

// fakeDriver answers by the functions that a test sets, and writes down calls
// that change something. A function that is not set answers with nothing.
type fakeDriver struct {
	MockFind        func() ([]elastic.Thing, error)
	MockGet         func(id string) (*State, Presence, error)
	MockClusterGone func() (bool, error)
	MockCreate      func(size int32) (string, string, error)
	MockConfigure   func() (string, error)
	MockSetDesired  func(n int32) (string, error)
	MockMachines    func() ([]Machine, error)
	MockRemove      func(ids []string) (string, error)
	MockDelete      func() (string, error)
	MockTask        func(id string) (*elastic.Task, error)
	MockShortages   func(since time.Time) ([]v1alpha1.Shortage, error)

	// Calls that change something, in order.
	Calls []string
}

func (d *fakeDriver) called(format string, args ...any) {
	d.Calls = append(d.Calls, fmt.Sprintf(format, args...))
}

func (d *fakeDriver) Find(context.Context, string) ([]elastic.Thing, error) {
	if d.MockFind == nil {
		return nil, nil
	}
	return d.MockFind()
}

func (d *fakeDriver) Get(_ context.Context, _, id string) (*State, Presence, error) {
	if d.MockGet == nil {
		return &State{ID: id}, Present, nil
	}
	return d.MockGet(id)
}

func (d *fakeDriver) ClusterGone(context.Context, string) (bool, error) {
	if d.MockClusterGone == nil {
		return false, nil
	}
	return d.MockClusterGone()
}

func (d *fakeDriver) Create(_ context.Context, _ string, size int32) (string, string, error) {
	d.called("Create %d", size)
	if d.MockCreate == nil {
		return "", "", nil
	}
	return d.MockCreate(size)
}

func (d *fakeDriver) Configure(context.Context, string, *State) (string, error) {
	d.called("Configure")
	if d.MockConfigure == nil {
		return "", nil
	}
	return d.MockConfigure()
}

func (d *fakeDriver) SetDesired(_ context.Context, _, _ string, n int32) (string, error) {
	d.called("SetDesired %d", n)
	if d.MockSetDesired == nil {
		return "", nil
	}
	return d.MockSetDesired(n)
}

func (d *fakeDriver) Machines(context.Context, string, string) ([]Machine, error) {
	if d.MockMachines == nil {
		return nil, nil
	}
	return d.MockMachines()
}

func (d *fakeDriver) Remove(_ context.Context, _, _ string, ids []string) (string, error) {
	d.called("Remove %v", ids)
	if d.MockRemove == nil {
		return "", nil
	}
	return d.MockRemove(ids)
}

func (d *fakeDriver) Unprotect(context.Context, string, string) error {
	d.called("Unprotect")
	return nil
}

func (d *fakeDriver) Delete(_ context.Context, _, id string) (string, error) {
	d.called("Delete %s", id)
	if d.MockDelete == nil {
		return "", nil
	}
	return d.MockDelete()
}

func (d *fakeDriver) Kubeconfig(context.Context, string) (kube.Kubeconfig, error) {
	return kube.Kubeconfig{}, nil
}

func (d *fakeDriver) NodeSelector(id string) string { return labelPool + "=" + id }

func (d *fakeDriver) Shortages(_ context.Context, _ *State, since time.Time) ([]v1alpha1.Shortage, error) {
	if d.MockShortages == nil {
		return nil, nil
	}
	return d.MockShortages(since)
}

func (d *fakeDriver) Shortage(err error) v1alpha1.Shortage {
	return v1alpha1.Shortage{InstanceType: typeName.FindString(err.Error()), Zone: zoneName.FindString(err.Error())}
}

func (d *fakeDriver) Noticed(n *corev1.Node) *v1alpha1.Shortage {
	msg := kube.Condition(n, conditionNotice)
	if msg == "" {
		return nil
	}
	return &v1alpha1.Shortage{InstanceType: "ecs.g7.large", Zone: "cn-test-b", Message: msg}
}

func (d *fakeDriver) Places() string { return "vSwitches of the cluster" }

func (d *fakeDriver) Task(_ context.Context, _, id string) (*elastic.Task, error) {
	if d.MockTask == nil {
		return &elastic.Task{Done: true}, nil
	}
	return d.MockTask(id)
}
