// Package function composes the claims of platform teams into managed
// resources. It is a Crossplane composition function: core hands it what is
// observed, it answers with what should be.
//
// Whatever it leaves out of the answer, core deletes: here that means real
// clusters. So an answer is complete or it is FATAL, never short. And it is
// quiet: the same input gives the same answer, without clocks or random names.
package function

import (
	"context"
	"encoding/json"
	"slices"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/crossplane/crossplane-runtime/v2/pkg/errors"
	"github.com/crossplane/function-sdk-go/logging"
	fnv1 "github.com/crossplane/function-sdk-go/proto/v1"
	"github.com/crossplane/function-sdk-go/request"
	"github.com/crossplane/function-sdk-go/resource"
	"github.com/crossplane/function-sdk-go/resource/composed"
	"github.com/crossplane/function-sdk-go/resource/composite"
	"github.com/crossplane/function-sdk-go/response"

	"regionpool.io/provider-regionpool/apis"
	platformv1alpha1 "regionpool.io/provider-regionpool/apis/platform/v1alpha1"
)

// A composer composes the claims of one kind. An error is reported as FATAL:
// nothing is created, changed or deleted. Conditions that were already added to
// the output are reported all the same.
type composer func(in *input, out *output) error

// A Function composes claims.
type Function struct {
	fnv1.UnimplementedFunctionRunnerServiceServer

	log       logging.Logger
	composers map[schema.GroupKind]composer
}

func init() {
	// composed.From finds the kinds of typed resources in this scheme, which is
	// the SDK's own global. It cannot fail: the same types always register.
	if err := apis.AddToScheme(composed.Scheme); err != nil {
		panic(err)
	}
}

// New returns a Function that composes all kinds of claims.
func New(log logging.Logger) *Function {
	return &Function{
		log: log,
		composers: map[schema.GroupKind]composer{
			{Group: platformv1alpha1.Group, Kind: "RegionPool"}: composeRegionPool,
			{Group: platformv1alpha1.Group, Kind: "Burst"}:      composeBurst,
		},
	}
}

// RunFunction composes one claim. The error is always nil: what is wrong is
// told by a FATAL result.
func (f *Function) RunFunction(_ context.Context, req *fnv1.RunFunctionRequest) (*fnv1.RunFunctionResponse, error) {
	rsp := response.To(req, response.DefaultTTL)

	in, err := newInput(req)
	if err != nil {
		response.Fatal(rsp, err)
		return rsp, nil
	}
	log := f.log.WithValues("kind", in.xr.GetKind(), "namespace", in.xr.GetNamespace(), "name", in.xr.GetName())

	gk := in.xr.GroupVersionKind().GroupKind()
	compose, ok := f.composers[gk]
	if !ok {
		response.Fatal(rsp, errors.Errorf("cannot compose %q: this function knows no such kind", gk.String()))
		return rsp, nil
	}

	out := &output{rsp: rsp, desired: map[resource.Name]*resource.DesiredComposed{}}
	if err := compose(in, out); err != nil {
		log.Info("Cannot compose", "error", err)
		response.Fatal(rsp, err)
		return rsp, nil
	}
	if err := out.flush(req, in.xr); err != nil {
		response.Fatal(rsp, err)
		return rsp, nil
	}
	log.Debug("Composed", "resources", len(out.desired))
	return rsp, nil
}

// An input is what core observed.
type input struct {
	xr       *composite.Unstructured
	observed map[resource.Name]resource.ObservedComposed
	// required resources by the name of the requirement. A name that is missing
	// was not resolved yet.
	required map[string][]resource.Required
}

// newInput returns an error if the claim is missing or incomplete.
func newInput(req *fnv1.RunFunctionRequest) (*input, error) {
	if req.GetObserved().GetComposite().GetResource() == nil {
		return nil, errors.New("cannot compose: the request has no observed composite resource")
	}
	oxr, err := request.GetObservedCompositeResource(req)
	if err != nil {
		return nil, errors.Wrap(err, "cannot get observed composite resource")
	}
	observed, err := request.GetObservedComposedResources(req)
	if err != nil {
		return nil, errors.Wrap(err, "cannot get observed composed resources")
	}
	required, err := request.GetRequiredResources(req)
	if err != nil {
		return nil, errors.Wrap(err, "cannot get required resources")
	}
	if oxr.Resource.GetName() == "" || oxr.Resource.GetNamespace() == "" {
		return nil, errors.New("cannot compose: the composite resource has no name or no namespace")
	}
	return &input{xr: oxr.Resource, observed: observed, required: required}, nil
}

// observedAs parses an observed composed resource into its type. It returns nil
// if the resource is not observed.
func observedAs[T any](in *input, name resource.Name) (*T, error) {
	o, ok := in.observed[name]
	if !ok {
		return nil, nil
	}
	into := new(T)
	return into, errors.Wrapf(parse(o.Resource.Object, into), "cannot parse observed resource %q", name)
}

// parse decodes unstructured content. Unlike the SDK's AsObject it accepts
// fields that the type lacks: core and the provider add some.
func parse(from map[string]any, into any) error {
	b, err := json.Marshal(from)
	if err != nil {
		return err
	}
	return json.Unmarshal(b, into)
}

// An output collects the answer.
type output struct {
	rsp     *fnv1.RunFunctionResponse
	desired map[resource.Name]*resource.DesiredComposed
	status  any
	// unready says that the claim is not Ready even if all that it is composed of
	// is.
	unready bool
}

// compose adds a resource to the desired state.
func (o *output) compose(name resource.Name, obj runtime.Object, ready bool) error {
	if _, ok := o.desired[name]; ok {
		return errors.Errorf("cannot compose resource %q twice", name)
	}
	u, err := composed.From(obj)
	if err != nil {
		return errors.Wrapf(err, "cannot convert resource %q", name)
	}
	d := &resource.DesiredComposed{Resource: u, Ready: resource.ReadyFalse}
	if ready {
		d.Ready = resource.ReadyTrue
	}
	o.desired[name] = d
	return nil
}

// event records that something happened, for the claim's events.
func (o *output) event(reason, message string) {
	response.Normal(o.rsp, message).WithReason(reason).TargetCompositeAndClaim()
}

// require asks core for all resources of a kind with the labels in the
// namespace. Core runs the function again with the answer.
func (o *output) require(name string, gvk schema.GroupVersionKind, namespace string, labels map[string]string) {
	o.ask(name, &fnv1.ResourceSelector{
		ApiVersion: gvk.GroupVersion().String(),
		Kind:       gvk.Kind,
		Namespace:  &namespace,
		Match:      &fnv1.ResourceSelector_MatchLabels{MatchLabels: &fnv1.MatchLabels{Labels: labels}},
	})
}

// requireName asks core for one resource. If it does not exist, the answer is
// empty.
func (o *output) requireName(name string, gvk schema.GroupVersionKind, namespace, resource string) {
	o.ask(name, &fnv1.ResourceSelector{
		ApiVersion: gvk.GroupVersion().String(),
		Kind:       gvk.Kind,
		Namespace:  &namespace,
		Match:      &fnv1.ResourceSelector_MatchName{MatchName: resource},
	})
}

func (o *output) ask(name string, s *fnv1.ResourceSelector) {
	if o.rsp.GetRequirements() == nil {
		o.rsp.Requirements = &fnv1.Requirements{Resources: map[string]*fnv1.ResourceSelector{}}
	}
	o.rsp.Requirements.Resources[name] = s
}

// flush writes the desired state into the response. It keeps what earlier steps
// of the pipeline desired, and never writes the claim's spec.
func (o *output) flush(req *fnv1.RunFunctionRequest, xr *composite.Unstructured) error {
	desired, err := request.GetDesiredComposedResources(req)
	if err != nil {
		return errors.Wrap(err, "cannot get desired composed resources")
	}
	for name, d := range o.desired {
		desired[name] = d
	}
	if err := response.SetDesiredComposedResources(o.rsp, desired); err != nil {
		return errors.Wrap(err, "cannot set desired composed resources")
	}

	dxr, err := request.GetDesiredCompositeResource(req)
	if err != nil {
		return errors.Wrap(err, "cannot get desired composite resource")
	}
	dxr.Resource.SetAPIVersion(xr.GetAPIVersion())
	dxr.Resource.SetKind(xr.GetKind())
	if o.unready {
		dxr.Ready = resource.ReadyFalse
	}
	b, err := json.Marshal(o.status)
	if err != nil {
		return errors.Wrap(err, "cannot marshal the status")
	}
	status := map[string]any{}
	if err := json.Unmarshal(b, &status); err != nil {
		return errors.Wrap(err, "cannot convert the status")
	}
	if err := dxr.Resource.SetValue("status", status); err != nil {
		return errors.Wrap(err, "cannot set the status")
	}
	return errors.Wrap(response.SetDesiredCompositeResource(o.rsp, dxr), "cannot set desired composite resource")
}

// sortedKeys returns the keys of m in order, so that answers do not depend on
// the order of maps.
func sortedKeys[K ~string, V any](m map[K]V) []K {
	out := make([]K, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}
