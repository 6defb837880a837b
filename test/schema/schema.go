// Package schema checks objects as a kube-apiserver would, without one: with
// the same libraries for defaults, OpenAPI and CEL, against the project's CRDs
// and the CRDs that Crossplane makes of its XRDs.
package schema

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	extv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	crdvalidation "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/validation"
	structuralschema "k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/defaulting"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/listtype"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/pruning"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/apimachinery/pkg/util/yaml"
	celconfig "k8s.io/apiserver/pkg/apis/cel"

	"github.com/crossplane/crossplane-runtime/v2/pkg/xcrd"
	xpextv1 "github.com/crossplane/crossplane/apis/v2/apiextensions/v1"
)

// A Set of kinds that objects can be checked against.
type Set struct {
	kinds map[schema.GroupVersionKind]kind
}

type kind struct {
	structural *structuralschema.Structural
	openapi    validation.SchemaValidator
	cel        *cel.Validator
	namespaced bool
}

// Load reads all CRDs and XRDs below the folders. It is an error if one would
// be refused by the API server, also because its CEL rules may cost too much.
func Load(dirs ...string) (*Set, error) {
	s := &Set{kinds: map[schema.GroupVersionKind]kind{}}
	for _, dir := range dirs {
		objs, err := Objects(dir)
		if err != nil {
			return nil, err
		}
		for _, o := range objs {
			crd, err := definition(o)
			if err != nil {
				return nil, fmt.Errorf("cannot read %s %s: %w", o.GetKind(), o.GetName(), err)
			}
			if crd == nil {
				continue
			}
			if err := s.add(crd); err != nil {
				return nil, fmt.Errorf("cannot use %s %s: %w", o.GetKind(), o.GetName(), err)
			}
		}
	}
	return s, nil
}

// definition returns the CRD that o is or becomes, or nil if it is something
// else.
func definition(o *unstructured.Unstructured) (*extv1.CustomResourceDefinition, error) {
	switch o.GetKind() {
	case "CustomResourceDefinition":
		crd := &extv1.CustomResourceDefinition{}
		return crd, runtime.DefaultUnstructuredConverter.FromUnstructured(o.Object, crd)
	case "CompositeResourceDefinition":
		// Core reads v2 XRDs as v1, too: the fields are the same.
		xrd := &xpextv1.CompositeResourceDefinition{}
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(o.Object, xrd); err != nil {
			return nil, err
		}
		return xcrd.ForCompositeResource(xrd)
	default:
		return nil, nil
	}
}

func (s *Set) add(crd *extv1.CustomResourceDefinition) error {
	extv1.SetDefaults_CustomResourceDefinition(crd)
	extv1.SetDefaults_CustomResourceDefinitionSpec(&crd.Spec)
	internal := &apiextensions.CustomResourceDefinition{}
	if err := extv1.Convert_v1_CustomResourceDefinition_To_apiextensions_CustomResourceDefinition(crd, internal, nil); err != nil {
		return err
	}
	// Core makes the XRD the owner of the CRD; a file has no UID to name.
	internal.OwnerReferences = nil
	internal.Status.StoredVersions = []string{crd.Spec.Versions[0].Name}
	if errs := crdvalidation.ValidateCustomResourceDefinition(context.Background(), internal); len(errs) > 0 {
		return errs.ToAggregate()
	}
	for _, v := range crd.Spec.Versions {
		props := &apiextensions.JSONSchemaProps{}
		if err := extv1.Convert_v1_JSONSchemaProps_To_apiextensions_JSONSchemaProps(v.Schema.OpenAPIV3Schema, props, nil); err != nil {
			return err
		}
		structural, err := structuralschema.NewStructural(props)
		if err != nil {
			return err
		}
		openapi, _, err := validation.NewSchemaValidator(props)
		if err != nil {
			return err
		}
		s.kinds[schema.GroupVersionKind{Group: crd.Spec.Group, Version: v.Name, Kind: crd.Spec.Names.Kind}] = kind{
			structural: structural,
			openapi:    openapi,
			cel:        cel.NewValidator(structural, true, celconfig.PerCallLimit),
			namespaced: crd.Spec.Scope == extv1.NamespaceScoped,
		}
	}
	return nil
}

// Default sets the defaults of the schema, as the API server does on admission.
// Objects of unknown kinds are left alone.
func (s *Set) Default(o *unstructured.Unstructured) {
	if k, ok := s.kinds[o.GroupVersionKind()]; ok {
		defaulting.PruneNonNullableNullsWithoutDefaults(o.Object, k.structural)
		defaulting.Default(o.Object, k.structural)
	}
}

// Validate returns why the API server would refuse to create the object. Unlike
// it, Validate refuses unknown fields, as kubectl does.
func (s *Set) Validate(o *unstructured.Unstructured) field.ErrorList {
	k, ok := s.kinds[o.GroupVersionKind()]
	if !ok {
		return field.ErrorList{field.NotSupported(field.NewPath("kind"), o.GroupVersionKind().String(), []string{})}
	}
	o = o.DeepCopy()

	var errs field.ErrorList
	for _, path := range pruning.PruneWithOptions(o.Object, k.structural, true, structuralschema.UnknownFieldPathOptions{TrackUnknownFieldPaths: true}) {
		errs = append(errs, field.Forbidden(field.NewPath(path), "unknown field"))
	}
	if k.namespaced != (o.GetNamespace() != "") {
		errs = append(errs, field.Invalid(field.NewPath("metadata", "namespace"), o.GetNamespace(), "does not fit the scope of the kind"))
	}
	s.Default(o)
	errs = append(errs, validation.ValidateCustomResource(nil, o.UnstructuredContent(), k.openapi)...)
	errs = append(errs, listtype.ValidateListSetsAndMaps(nil, k.structural, o.Object)...)
	if len(errs) == 0 && k.cel != nil {
		// The API server skips CEL as well if the structure is wrong.
		celErrs, _ := k.cel.Validate(context.Background(), nil, k.structural, o.Object, nil, celconfig.RuntimeCELCostBudget)
		errs = append(errs, celErrs...)
	}
	return errs
}

// ValidateUpdate returns why the API server would refuse to change old into o.
func (s *Set) ValidateUpdate(o, old *unstructured.Unstructured) field.ErrorList {
	if errs := s.Validate(o); len(errs) > 0 {
		return errs
	}
	k := s.kinds[o.GroupVersionKind()]
	o, old = o.DeepCopy(), old.DeepCopy()
	s.Default(o)
	s.Default(old)
	if k.cel == nil {
		return nil
	}
	errs, _ := k.cel.Validate(context.Background(), nil, k.structural, o.Object, old.Object, celconfig.RuntimeCELCostBudget)
	return errs
}

// Objects reads all YAML documents of a file, or of all files below a folder.
func Objects(path string) ([]*unstructured.Unstructured, error) {
	var out []*unstructured.Unstructured
	err := filepath.WalkDir(path, func(p string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(p) != ".yaml" {
			return err
		}
		b, err := os.ReadFile(filepath.Clean(p))
		if err != nil {
			return err
		}
		objs, err := Decode(b)
		if err != nil {
			return fmt.Errorf("cannot decode %s: %w", p, err)
		}
		out = append(out, objs...)
		return nil
	})
	return out, err
}

// Decode reads all documents of a YAML stream.
func Decode(b []byte) ([]*unstructured.Unstructured, error) {
	var out []*unstructured.Unstructured
	dec := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(b), 4096)
	for {
		raw := runtime.RawExtension{}
		if err := dec.Decode(&raw); err != nil {
			if errors.Is(err, io.EOF) {
				return out, nil
			}
			return nil, err
		}
		if len(raw.Raw) == 0 || string(raw.Raw) == "null" {
			continue
		}
		// Unlike encoding/json this keeps integers apart from floats.
		u := &unstructured.Unstructured{}
		if err := u.UnmarshalJSON(raw.Raw); err != nil {
			return nil, err
		}
		out = append(out, u)
	}
}
