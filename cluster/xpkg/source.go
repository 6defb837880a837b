package main

import (
	"context"
	"io"
	"os"
	"path"
	"path/filepath"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/spf13/afero"
	"k8s.io/utils/ptr"

	"github.com/crossplane/crossplane-runtime/v2/pkg/errors"
	"github.com/crossplane/crossplane-runtime/v2/pkg/xpkg"
	"github.com/crossplane/crossplane-runtime/v2/pkg/xpkg/parser"
	"github.com/crossplane/crossplane-runtime/v2/pkg/xpkg/parser/examples"
	"github.com/crossplane/crossplane-runtime/v2/pkg/xpkg/parser/yaml"
	extv1 "github.com/crossplane/crossplane/apis/v2/apiextensions/v1"
	pkgmetav1 "github.com/crossplane/crossplane/apis/v2/pkg/meta/v1"
	pkgv1 "github.com/crossplane/crossplane/apis/v2/pkg/v1"
)

// A source is what a package is made of. Paths are relative to the root of the
// checkout.
type source struct {
	// name of the package, of its repository and of its file.
	name string

	// dir holds crossplane.yaml and the package's objects.
	dir string

	// program is the main package the runtime image runs; none if empty.
	program string

	// examples picks the package's examples by their path under examples/; it
	// has none if nil.
	examples func(path string) bool
}

const examplesDir = "examples"

// sources of the packages. Those that others depend on come first, so that a
// configuration in a registry never misses a dependency.
func sources() []source {
	return []source{
		// Examples of managed resources have a folder for each group.
		{name: "provider-regionpool", dir: "package/provider", program: "provider", examples: func(p string) bool { return path.Dir(p) != "." }},
		{name: "function-regionpool", dir: "package/function", program: "function"},
		{name: "configuration-regionpool", dir: "package/configuration", examples: func(p string) bool { return path.Dir(p) == "." }},
	}
}

// base returns the runtime image the package is put on.
func (s source) base(ctx context.Context, root, arch string) (v1.Image, error) {
	if s.program == "" {
		return empty.Image, nil
	}
	binary, err := compile(ctx, root, s.program, arch)
	if err != nil {
		return nil, err
	}
	return runtimeImage(s.program, binary, arch)
}

// build puts the package on a runtime image. A registry makes it depend on our
// other packages there.
func (s source) build(ctx context.Context, root, registry string, base v1.Image) (v1.Image, error) {
	p, err := yaml.New()
	if err != nil {
		return nil, err
	}
	img, _, err := xpkg.New(
		yamlFiles(filepath.Join(root, filepath.FromSlash(s.dir)), func(string) bool { return true }),
		s.exampleFiles(root),
		relocated{Parser: p, registry: registry},
		examples.New(),
	).Build(ctx, xpkg.WithBase(base))
	return img, err
}

func (s source) exampleFiles(root string) parser.Backend {
	if s.examples == nil {
		return none{}
	}
	return yamlFiles(filepath.Join(root, examplesDir), s.examples)
}

// yamlFiles reads the YAML files of a folder that are picked by their slashed
// path in it.
func yamlFiles(dir string, pick func(path string) bool) parser.Backend {
	unpicked := func(p string, _ os.FileInfo) (bool, error) {
		rel, err := filepath.Rel(dir, p)
		return !pick(filepath.ToSlash(rel)), err
	}
	return parser.NewFsBackend(afero.NewOsFs(), parser.FsDir(dir),
		parser.FsFilters(parser.SkipDirs(), parser.SkipNotYAML(), parser.SkipEmpty(), unpicked))
}

// none is the backend of a package without examples. This error is how the
// builder learns of it.
type none struct{}

// Init of none says that there are no files.
func (none) Init(context.Context, ...parser.BackendOption) (io.ReadCloser, error) {
	return io.NopCloser(nil), os.ErrNotExist
}

// relocated parses a package and makes it fit the registry it is meant for.
type relocated struct {
	parser.Parser

	registry string
}

// Parse a package. Dependencies on our own packages move to the registry, if
// there is one. Functions get the names that Crossplane's package manager gives
// to dependencies, which are made from the path in the registry.
func (r relocated) Parse(ctx context.Context, rc io.ReadCloser) (*parser.Package, error) {
	pkg, err := r.Parser.Parse(ctx, rc)
	if err != nil {
		return nil, err
	}
	functions := map[string]string{}
	for _, m := range pkg.GetMeta() {
		c, ok := m.(*pkgmetav1.Configuration)
		if !ok {
			continue
		}
		for i := range c.Spec.DependsOn {
			d := &c.Spec.DependsOn[i]
			base := path.Base(ptr.Deref(d.Package, ""))
			if r.registry != "" && ours(base) {
				d.Package = ptr.To(r.registry + "/" + base)
			}
			if ptr.Deref(d.Kind, "") != pkgv1.FunctionKind {
				continue
			}
			repo, err := name.NewRepository(ptr.Deref(d.Package, ""), name.StrictValidation)
			if err != nil {
				return nil, errors.Wrap(err, "cannot parse dependency")
			}
			functions[base] = xpkg.ToDNSLabel(repo.RepositoryStr())
		}
	}
	for _, o := range pkg.GetObjects() {
		c, ok := o.(*extv1.Composition)
		if !ok {
			continue
		}
		for i := range c.Spec.Pipeline {
			ref := &c.Spec.Pipeline[i].FunctionRef
			installed, ok := functions[ref.Name]
			if !ok {
				return nil, errors.Errorf("composition %s calls %s, which the package does not depend on", c.GetName(), ref.Name)
			}
			ref.Name = installed
		}
	}
	return pkg, nil
}

// ours says whether a package is built here.
func ours(pkg string) bool {
	for _, s := range sources() {
		if s.name == pkg {
			return true
		}
	}
	return false
}
