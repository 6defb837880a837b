package main

import (
	"archive/tar"
	"context"
	"crypto/x509"
	"errors"
	"io"
	"log"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"github.com/crossplane/crossplane-runtime/v2/pkg/xpkg"
	"github.com/crossplane/crossplane-runtime/v2/pkg/xpkg/parser"
	"github.com/crossplane/crossplane-runtime/v2/pkg/xpkg/parser/yaml"
	extv1 "github.com/crossplane/crossplane/apis/v2/apiextensions/v1"
	pkgmetav1 "github.com/crossplane/crossplane/apis/v2/pkg/meta/v1"
)

const (
	root = "../.."
	arch = "arm64"
)

// fakeBinary stands for a compiled program: compiling one takes minutes.
var fakeBinary = []byte("a static binary")

// built builds a package of this checkout around a fake program.
func built(t *testing.T, name, registry string) v1.Image {
	t.Helper()
	all := sources()
	s := all[slices.IndexFunc(all, func(s source) bool { return s.name == name })]
	base, err := (source{}).base(t.Context(), root, arch)
	if s.program != "" {
		base, err = runtimeImage(s.program, fakeBinary, arch)
	}
	if err != nil {
		t.Fatalf("cannot make runtime image: %v", err)
	}
	img, err := s.build(t.Context(), root, registry, base)
	if err != nil {
		t.Fatalf("s.build(...): %v", err)
	}
	return img
}

// files of the image, by name.
func files(t *testing.T, img v1.Image) map[string][]byte {
	t.Helper()
	rc := mutate.Extract(img)
	defer func() { _ = rc.Close() }()
	out := map[string][]byte{}
	for r := tar.NewReader(rc); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatalf("cannot read image: %v", err)
		}
		b, err := io.ReadAll(r)
		if err != nil {
			t.Fatalf("cannot read image: %v", err)
		}
		out[h.Name] = b
	}
}

// parsed is what Crossplane reads of the image.
func parsed(t *testing.T, img v1.Image) *parser.Package {
	t.Helper()
	p, err := yaml.New()
	if err != nil {
		t.Fatalf("yaml.New(): %v", err)
	}
	pkg, err := p.Parse(t.Context(), io.NopCloser(strings.NewReader(string(files(t, img)[xpkg.StreamFile]))))
	if err != nil {
		t.Fatalf("cannot parse %s: %v", xpkg.StreamFile, err)
	}
	return pkg
}

func TestBuild(t *testing.T) {
	crds, err := filepath.Glob(filepath.Join(root, "package", "provider", "crds", "*.yaml"))
	if err != nil {
		t.Fatalf("cannot list CRDs: %v", err)
	}
	type want struct {
		layers  []string
		kinds   map[string]int
		program string
	}
	cases := map[string]struct {
		reason string
		linter parser.Linter
		want   want
	}{
		"provider-regionpool": {
			reason: "The provider has its kinds, examples of them, and a program.",
			linter: xpkg.NewProviderLinter(),
			want: want{
				layers:  []string{"", xpkg.PackageAnnotation, xpkg.ExamplesAnnotation},
				kinds:   map[string]int{"CustomResourceDefinition": len(crds)},
				program: "provider",
			},
		},
		"function-regionpool": {
			reason: "The function has nothing but a program.",
			linter: xpkg.NewFunctionLinter(),
			want:   want{layers: []string{"", xpkg.PackageAnnotation}, kinds: map[string]int{}, program: "function"},
		},
		"configuration-regionpool": {
			reason: "The configuration has both claims, their compositions, the activation of their kinds, and no program.",
			linter: xpkg.NewConfigurationLinter(),
			want: want{
				layers: []string{xpkg.PackageAnnotation, xpkg.ExamplesAnnotation},
				kinds:  map[string]int{"CompositeResourceDefinition": 2, "Composition": 2, "ManagedResourceActivationPolicy": 1},
			},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			img, err := xpkg.AnnotateLayers(built(t, name, ""))
			if err != nil {
				t.Fatalf("xpkg.AnnotateLayers(...): %v", err)
			}
			m, err := img.Manifest()
			if err != nil {
				t.Fatalf("cannot read manifest: %v", err)
			}
			got := want{kinds: map[string]int{}}
			for _, l := range m.Layers {
				got.layers = append(got.layers, l.Annotations[xpkg.AnnotationKey])
			}
			pkg := parsed(t, img)
			if err := tc.linter.Lint(pkg); err != nil {
				t.Errorf("\n%s\nLint(...): %v", tc.reason, err)
			}
			for _, o := range pkg.GetObjects() {
				got.kinds[o.GetObjectKind().GroupVersionKind().Kind]++
			}
			cfg, err := img.ConfigFile()
			if err != nil {
				t.Fatalf("cannot read config: %v", err)
			}
			if len(cfg.Config.Entrypoint) > 0 {
				got.program = strings.TrimPrefix(cfg.Config.Entrypoint[0], "/")
				if diff := cmp.Diff(string(fakeBinary), string(files(t, img)[got.program])); diff != "" {
					t.Errorf("\n%s\nprogram: -want, +got:\n%s", tc.reason, diff)
				}
				if diff := cmp.Diff([]string{"linux", arch, nonRoot}, []string{cfg.OS, cfg.Architecture, cfg.Config.User}); diff != "" {
					t.Errorf("\n%s\nimage config: -want, +got:\n%s", tc.reason, diff)
				}
			}
			if diff := cmp.Diff(tc.want, got, cmp.AllowUnexported(want{})); diff != "" {
				t.Errorf("\n%s\nbuild(...): -want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}

func TestBuildIsDeterministic(t *testing.T) {
	for _, s := range sources() {
		var digests []string
		for range 2 {
			d, err := built(t, s.name, "").Digest()
			if err != nil {
				t.Fatalf("cannot compute digest: %v", err)
			}
			digests = append(digests, d.String())
		}
		if diff := cmp.Diff(digests[0], digests[1]); diff != "" {
			t.Errorf("the second build of %s differs: -first, +second:\n%s", s.name, diff)
		}
	}
}

func TestRelocate(t *testing.T) {
	type want struct {
		packages, functions []string
	}
	cases := map[string]struct {
		reason   string
		registry string
		want     want
	}{
		"AsCheckedIn": {
			reason: "Without a registry, dependencies stay where they are. Both compositions call the function as Crossplane will name it.",
			want: want{
				packages:  []string{"registry.example.org/regionpool/provider-regionpool", "registry.example.org/regionpool/function-regionpool"},
				functions: []string{"regionpool-function-regionpool", "regionpool-function-regionpool"},
			},
		},
		"DeepPath": {
			reason:   "The path in the registry is part of the function's name.",
			registry: "127.0.0.1:5000/mirror/pools",
			want: want{
				packages:  []string{"127.0.0.1:5000/mirror/pools/provider-regionpool", "127.0.0.1:5000/mirror/pools/function-regionpool"},
				functions: []string{"mirror-pools-function-regionpool", "mirror-pools-function-regionpool"},
			},
		},
		"NoPath": {
			reason:   "Without a path, the function is named like its package.",
			registry: "registry.example.com",
			want: want{
				packages:  []string{"registry.example.com/provider-regionpool", "registry.example.com/function-regionpool"},
				functions: []string{"function-regionpool", "function-regionpool"},
			},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			pkg := parsed(t, built(t, "configuration-regionpool", tc.registry))
			got := want{}
			for _, d := range pkg.GetMeta()[0].(*pkgmetav1.Configuration).Spec.DependsOn {
				got.packages = append(got.packages, *d.Package)
			}
			for _, o := range pkg.GetObjects() {
				if c, ok := o.(*extv1.Composition); ok {
					for _, s := range c.Spec.Pipeline {
						got.functions = append(got.functions, s.FunctionRef.Name)
					}
				}
			}
			if diff := cmp.Diff(tc.want, got, cmp.AllowUnexported(want{})); diff != "" {
				t.Errorf("\n%s\nbuild(...): -want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}

func TestParseUnknownFunction(t *testing.T) {
	p, err := yaml.New()
	if err != nil {
		t.Fatalf("yaml.New(): %v", err)
	}
	const composition = `
apiVersion: apiextensions.crossplane.io/v1
kind: Composition
metadata: {name: c}
spec: {pipeline: [{step: s, functionRef: {name: function-other}}]}`
	if _, err := (relocated{Parser: p}).Parse(context.Background(), io.NopCloser(strings.NewReader(composition))); err == nil {
		t.Error("Parse(...): want an error for a function the package does not depend on, got none")
	}
}

func TestAuthorities(t *testing.T) {
	if !x509.NewCertPool().AppendCertsFromPEM(authorities()) {
		t.Error("authorities(): want certificates, got none")
	}
}

// TestWriteAndPush proves that a file and a registry hold the same package.
func TestWriteAndPush(t *testing.T) {
	r := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	t.Cleanup(r.Close)
	host := strings.TrimPrefix(r.URL, "http://")
	img := built(t, "function-regionpool", host)

	path := filepath.Join(t.TempDir(), "function"+extension)
	if err := write(path, img); err != nil {
		t.Fatalf("write(...): %v", err)
	}
	written, err := tarball.ImageFromPath(path, nil)
	if err != nil {
		t.Fatalf("cannot read %s: %v", path, err)
	}
	reference := host + "/function-regionpool:v0.1.0"
	if err := push(t.Context(), reference, img); err != nil {
		t.Fatalf("push(...): %v", err)
	}
	ref, err := name.ParseReference(reference)
	if err != nil {
		t.Fatal(err)
	}
	pushed, err := remote.Image(ref)
	if err != nil {
		t.Fatalf("cannot pull: %v", err)
	}
	if diff := cmp.Diff(files(t, written), files(t, pushed)); diff != "" {
		t.Errorf("package file and registry differ: -file, +registry:\n%s", diff)
	}
	m, err := pushed.Manifest()
	if err != nil {
		t.Fatalf("cannot read manifest: %v", err)
	}
	if got := m.Layers[len(m.Layers)-1].Annotations[xpkg.AnnotationKey]; got != xpkg.PackageAnnotation {
		t.Errorf("the last layer in the registry is annotated %q", got)
	}
}
