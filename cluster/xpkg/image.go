package main

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/pem"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"golang.org/x/crypto/x509roots/fallback/bundle"

	"github.com/crossplane/crossplane-runtime/v2/pkg/errors"
)

const (
	// nonRoot is the user and the group of the programs. It is a number because
	// the kubelet's runAsNonRoot cannot judge names.
	nonRoot = "65532:65532"

	passwd = "root:x:0:0:root:/:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/:/sbin/nologin\n"
	group  = "root:x:0:\nnonroot:x:65532:\n"
)

// compile builds a program of the checkout: static, and the same bytes wherever
// the checkout lies.
func compile(ctx context.Context, root, program, arch string) ([]byte, error) {
	dir, err := os.MkdirTemp("", "xpkg-")
	if err != nil {
		return nil, errors.Wrap(err, "cannot create temporary folder")
	}
	defer func() { _ = os.RemoveAll(dir) }()
	path := filepath.Join(dir, program)
	cmd := exec.CommandContext(ctx, "go", "build", "-mod=readonly", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", path, "./cmd/"+program)
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+arch, "GOWORK=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, errors.Wrapf(err, "cannot compile: %s", strings.TrimSpace(string(out)))
	}
	b, err := os.ReadFile(path)
	return b, errors.Wrap(err, "cannot read what was compiled")
}

// runtimeImage returns an image that runs a static program and holds nothing
// else but the certificate authorities of the Web, to verify cloud APIs.
func runtimeImage(program string, binary []byte, arch string) (v1.Image, error) {
	layer, err := layerOf(
		file{name: "etc/group", content: []byte(group), mode: 0o644},
		file{name: "etc/passwd", content: []byte(passwd), mode: 0o644},
		file{name: "etc/ssl/certs/ca-certificates.crt", content: authorities(), mode: 0o644},
		file{name: program, content: binary, mode: 0o755},
	)
	if err != nil {
		return nil, err
	}
	img, err := mutate.AppendLayers(empty.Image, layer)
	if err != nil {
		return nil, errors.Wrap(err, "cannot append layer")
	}
	cfg, err := img.ConfigFile()
	if err != nil {
		return nil, errors.Wrap(err, "cannot get config of image")
	}
	cfg = cfg.DeepCopy()
	cfg.OS, cfg.Architecture = "linux", arch
	cfg.Config.Entrypoint = []string{"/" + program}
	cfg.Config.User = nonRoot
	cfg.Config.WorkingDir = "/"
	img, err = mutate.ConfigFile(img, cfg)
	return img, errors.Wrap(err, "cannot set config of image")
}

// authorities are the root certificates of the pinned bundle, as PEM. Those
// that only hold with further constraints are left out: PEM cannot say them.
func authorities() []byte {
	b := &bytes.Buffer{}
	for r := range bundle.Roots() {
		if r.Constraint == nil {
			b.Write(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: r.Certificate}))
		}
	}
	return b.Bytes()
}

type file struct {
	name    string
	content []byte
	mode    int64
}

// layerOf returns a layer with files, which belong to root and have no time, so
// that the same files are the same layer.
func layerOf(files ...file) (v1.Layer, error) {
	b := &bytes.Buffer{}
	w := tar.NewWriter(b)
	for _, f := range files {
		if err := w.WriteHeader(&tar.Header{Name: f.name, Mode: f.mode, Size: int64(len(f.content))}); err != nil {
			return nil, errors.Wrap(err, "cannot write layer")
		}
		if _, err := w.Write(f.content); err != nil {
			return nil, errors.Wrap(err, "cannot write layer")
		}
	}
	if err := w.Close(); err != nil {
		return nil, errors.Wrap(err, "cannot write layer")
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(b.Bytes())), nil
	}, tarball.WithCompressedCaching)
	return layer, errors.Wrap(err, "cannot make layer")
}
