package xpkg

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
)

// An image in a registry: what a kubelet would read of it.
type image struct {
	repository string

	Config struct {
		Digest string `json:"digest"`
	} `json:"config"`
	Layers []struct {
		Digest      string            `json:"digest"`
		Annotations map[string]string `json:"annotations"`
	} `json:"layers"`

	// entrypoint and user of the image's config.
	entrypoint []string
	user       string
}

// pull reads an image by its reference, REGISTRY/PATH:TAG.
func pull(ctx context.Context, reference string) (*image, error) {
	repository, tag := reference[:strings.LastIndex(reference, ":")], reference[strings.LastIndex(reference, ":")+1:]
	i := &image{repository: repository}
	if err := i.get(ctx, "manifests/"+tag, decode(i)); err != nil {
		return nil, err
	}
	config := struct {
		Config struct {
			Entrypoint []string
			User       string
		} `json:"config"`
	}{}
	if err := i.get(ctx, "blobs/"+i.Config.Digest, decode(&config)); err != nil {
		return nil, err
	}
	i.entrypoint, i.user = config.Config.Entrypoint, config.Config.User
	return i, nil
}

// unpack writes the program the image runs into a folder and returns its path.
func (i *image) unpack(ctx context.Context, dir string) (string, error) {
	if len(i.entrypoint) != 1 {
		return "", fmt.Errorf("%s has the entrypoint %v", i.repository, i.entrypoint)
	}
	path := filepath.Join(dir, filepath.Base(i.entrypoint[0]))
	for _, l := range i.Layers {
		if err := i.get(ctx, "blobs/"+l.Digest, func(r io.Reader) error { return extract(r, strings.TrimPrefix(i.entrypoint[0], "/"), path) }); err != nil {
			return "", err
		}
	}
	if _, err := os.Stat(path); err != nil {
		return "", fmt.Errorf("%s does not hold its entrypoint: %w", i.repository, err)
	}
	return path, nil
}

// extract copies a file from a layer, if it is there.
func extract(layer io.Reader, name, path string) error {
	z, err := gzip.NewReader(layer)
	if err != nil {
		return err
	}
	t := tar.NewReader(z)
	for {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if h.Name != name {
			continue
		}
		f, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, h.FileInfo().Mode())
		if err != nil {
			return err
		}
		_, err = io.Copy(f, t)
		return errors.Join(err, f.Close())
	}
}

// get reads something of the image's repository.
func (i *image) get(ctx context.Context, what string, read func(io.Reader) error) error {
	host, path, _ := strings.Cut(i.repository, "/")
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+host+"/v2/"+path+"/"+what, nil)
	if err != nil {
		return err
	}
	rsp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = rsp.Body.Close() }()
	if rsp.StatusCode != http.StatusOK {
		return fmt.Errorf("cannot get %s of %s: %s", what, i.repository, rsp.Status)
	}
	if err := read(rsp.Body); err != nil {
		return fmt.Errorf("cannot read %s of %s: %w", what, i.repository, err)
	}
	return nil
}

func decode(into any) func(io.Reader) error {
	return func(r io.Reader) error { return json.NewDecoder(r).Decode(into) }
}
