// Command xpkg builds the project's Crossplane packages, without Docker and
// without a network, and pushes them to a registry if it is told to.
//
// It is a module of its own because the package builder of crossplane-runtime
// brings the credential helpers of three clouds along, which nothing else of the
// project needs.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"syscall"

	"github.com/alecthomas/kingpin/v2"
	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"github.com/crossplane/crossplane-runtime/v2/pkg/errors"
	"github.com/crossplane/crossplane-runtime/v2/pkg/xpkg"
)

// extension of a package file, as the Crossplane CLI reads and writes it.
const extension = ".xpkg"

type options struct {
	// root of the checkout.
	root string

	// out is the folder for the package files; _output/xpkg in root if empty.
	out string

	// arch is the processor of the runtime images, as Go calls it.
	arch string

	// push is a registry with a path, such as 127.0.0.1:5000/regionpool. Each
	// package becomes a repository under it. Nothing is pushed if it is empty.
	push string

	// tag of what is pushed: a semantic version with a v, or Crossplane does not
	// find it for a dependency.
	tag string
}

func main() {
	app := kingpin.New("xpkg", "Builds the Crossplane packages of this checkout.")
	o := options{}
	app.Flag("root", "Root of the checkout.").Default("../..").StringVar(&o.root)
	app.Flag("out", "Folder for the package files; _output/xpkg in the checkout if empty.").StringVar(&o.out)
	app.Flag("arch", "Processor of the runtime images, as Go calls it.").Default(runtime.GOARCH).StringVar(&o.arch)
	app.Flag("push", "Registry and path to push to; the configuration then depends on the packages there.").PlaceHolder("REGISTRY/PATH").StringVar(&o.push)
	app.Flag("tag", "Tag of the pushed packages, a semantic version.").Default("v0.1.0").StringVar(&o.tag)
	kingpin.MustParse(app.Parse(os.Args[1:]))

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	kingpin.FatalIfError(run(ctx, o), "Cannot build packages")
}

// run builds all packages before it writes or pushes any.
func run(ctx context.Context, o options) error {
	if o.out == "" {
		o.out = filepath.Join(o.root, "_output", "xpkg")
	}
	if err := os.MkdirAll(o.out, 0o755); err != nil {
		return errors.Wrap(err, "cannot create folder for the packages")
	}
	images := map[string]v1.Image{}
	for _, s := range sources() {
		base, err := s.base(ctx, o.root, o.arch)
		if err != nil {
			return errors.Wrapf(err, "cannot build runtime of %s", s.name)
		}
		if images[s.name], err = s.build(ctx, o.root, o.push, base); err != nil {
			return errors.Wrapf(err, "cannot build package %s", s.name)
		}
	}
	for _, s := range sources() {
		if err := write(filepath.Join(o.out, s.name+extension), images[s.name]); err != nil {
			return errors.Wrapf(err, "cannot write package %s", s.name)
		}
		if o.push == "" {
			continue
		}
		if err := push(ctx, o.push+"/"+s.name+":"+o.tag, images[s.name]); err != nil {
			return errors.Wrapf(err, "cannot push package %s", s.name)
		}
	}
	return nil
}

// write writes a package file and prints its path.
func write(path string, img v1.Image) (err error) {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if err := tarball.Write(nil, img, f); err != nil {
		return err
	}
	_, err = fmt.Println(path)
	return err
}

// push pushes a package and prints its reference with its digest. The registry's
// credentials are those of the user's container tools.
func push(ctx context.Context, reference string, img v1.Image) error {
	ref, err := name.NewTag(reference, name.StrictValidation)
	if err != nil {
		return err
	}
	// Package files keep these annotations as labels, registries do not.
	if img, err = xpkg.AnnotateLayers(img); err != nil {
		return errors.Wrap(err, "cannot annotate layers")
	}
	if err := remote.Write(ref, img, remote.WithContext(ctx), remote.WithAuthFromKeychain(authn.DefaultKeychain)); err != nil {
		return err
	}
	digest, err := img.Digest()
	if err != nil {
		return errors.Wrap(err, "cannot compute digest")
	}
	_, err = fmt.Println(ref.String() + "@" + digest.String())
	return err
}
