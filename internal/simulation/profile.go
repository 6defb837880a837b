package simulation

import (
	"fmt"

	"k8s.io/kubernetes/pkg/scheduler/apis/config"
	"k8s.io/kubernetes/pkg/scheduler/apis/config/scheme"
	"k8s.io/kubernetes/pkg/scheduler/apis/config/validation"
)

// NewFromYAML returns a Scheduler for a configuration of kube-scheduler as its
// --config file has it, for the defaults if it is empty. An error says what in it
// is wrong, or cannot be simulated.
func NewFromYAML(data string) (*Scheduler, error) {
	if data == "" {
		return New()
	}
	c, err := ParseConfiguration([]byte(data))
	if err != nil {
		return nil, err
	}
	return New(WithConfiguration(c))
}

// ParseConfiguration reads a configuration of kube-scheduler, as its --config
// file has it, for WithConfiguration: it is defaulted and checked as
// kube-scheduler would. An error says what is wrong with it. Of extenders, and of
// plugins that kube-scheduler does not bring along, New says that they cannot be
// simulated.
func ParseConfiguration(data []byte) (*config.KubeSchedulerConfiguration, error) {
	o, gvk, err := scheme.Codecs.UniversalDecoder().Decode(data, nil, nil)
	if err != nil {
		return nil, fmt.Errorf("cannot read scheduler configuration: %w", err)
	}
	c, ok := o.(*config.KubeSchedulerConfiguration)
	if !ok {
		return nil, fmt.Errorf("cannot read scheduler configuration: it is a %s", gvk.Kind)
	}
	// The defaulted version is part of the internal one.
	c.APIVersion = gvk.GroupVersion().String()
	if err := validation.ValidateKubeSchedulerConfiguration(c); err != nil {
		return nil, fmt.Errorf("scheduler configuration is not valid: %w", err)
	}
	return c, nil
}
