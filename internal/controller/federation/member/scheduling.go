package member

import (
	kubeschedulerv1 "k8s.io/kube-scheduler/config/v1"
	"sigs.k8s.io/yaml"

	"github.com/crossplane/crossplane-runtime/v2/pkg/errors"
)

// checkScheduling says what is wrong with a configuration of kube-scheduler, as
// far as that can be seen without its plugins, of which only fleet knows.
func checkScheduling(data string) error {
	c := &kubeschedulerv1.KubeSchedulerConfiguration{}
	if err := yaml.UnmarshalStrict([]byte(data), c); err != nil {
		return errors.Wrap(err, "spec.forProvider.schedulerConfiguration is not a KubeSchedulerConfiguration")
	}
	if got, want := c.GroupVersionKind(), kubeschedulerv1.SchemeGroupVersion.WithKind("KubeSchedulerConfiguration"); got != want {
		return errors.Errorf("spec.forProvider.schedulerConfiguration is a %q of %q: it must be a %q of %q", got.Kind, got.GroupVersion(), want.Kind, want.GroupVersion())
	}
	if len(c.Extenders) > 0 {
		return errors.New("spec.forProvider.schedulerConfiguration has extenders, which cannot be simulated: without them fleet would place what the member refuses")
	}
	return nil
}
