package cluster

import (
	"context"
	"fmt"

	"regionpool.io/provider-regionpool/internal/clients/kube"
	"regionpool.io/provider-regionpool/internal/controller/elastic"
)

var _ Driver = &fakeDriver{}

// fakeDriver answers by the functions that a test sets, and writes down calls
// that change something. A function that is not set answers with nothing.
type fakeDriver struct {
	MockFind       func() ([]elastic.Thing, error)
	MockGet        func(id string) (*State, error)
	MockCreate     func() (string, string, error)
	MockKubeconfig func() (kube.Kubeconfig, error)
	MockDismantle  func() (string, error)
	MockDelete     func(id string) (string, error)
	MockRemains    func() ([]string, error)
	MockTask       func(id string) (*elastic.Task, error)

	// Calls that change something, in order.
	Calls []string
}

func (d *fakeDriver) called(format string, args ...any) {
	d.Calls = append(d.Calls, fmt.Sprintf(format, args...))
}

func (d *fakeDriver) Find(context.Context) ([]elastic.Thing, error) {
	if d.MockFind == nil {
		return nil, nil
	}
	return d.MockFind()
}

func (d *fakeDriver) Get(_ context.Context, id string) (*State, error) { return d.MockGet(id) }

func (d *fakeDriver) Create(context.Context) (string, string, error) {
	d.called("Create")
	return d.MockCreate()
}

func (d *fakeDriver) Kubeconfig(context.Context, string) (kube.Kubeconfig, error) {
	if d.MockKubeconfig == nil {
		return kube.Kubeconfig{}, nil
	}
	return d.MockKubeconfig()
}

func (d *fakeDriver) Protect(_ context.Context, _ string, on bool) (string, error) {
	d.called("Protect %t", on)
	return "", nil
}

func (d *fakeDriver) Tag(context.Context, string, map[string]string) error {
	d.called("Tag")
	return nil
}

func (d *fakeDriver) Change(_ context.Context, s *State) (string, error) {
	d.called("Change %s", s.Differs)
	return "", nil
}

func (d *fakeDriver) Dismantle(context.Context, *State) (string, error) {
	if d.MockDismantle == nil {
		return "", nil
	}
	return d.MockDismantle()
}

func (d *fakeDriver) Delete(_ context.Context, id string) (string, error) {
	d.called("Delete %s", id)
	if d.MockDelete == nil {
		return "", nil
	}
	return d.MockDelete(id)
}

func (d *fakeDriver) Inventory(context.Context, string) ([]string, error) { return nil, nil }

func (d *fakeDriver) Remains(context.Context, string) ([]string, error) {
	if d.MockRemains == nil {
		return nil, nil
	}
	return d.MockRemains()
}

func (d *fakeDriver) Task(_ context.Context, _, id string) (*elastic.Task, error) {
	if d.MockTask == nil {
		return &elastic.Task{Done: true}, nil
	}
	return d.MockTask(id)
}
