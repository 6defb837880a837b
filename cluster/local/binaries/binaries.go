// Package binaries builds the programs of the local stack from pinned Go
// modules and keeps them in the user's cache folder, keyed by everything that
// goes into them, so that they are built once for each version.
package binaries

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/samber/lo"

	"regionpool.io/provider-regionpool/cluster/local/progress"
)

const (
	// cacheName is our folder in the user's cache folder.
	cacheName = "provider-regionpool"

	binDir  = "bin"
	dataDir = "data"

	// reportInterval is how often a long build says that it is still at it.
	reportInterval = 15 * time.Second

	keyLength = 16
)

// modulePath is the path of the project's own module.
const modulePath = "regionpool.io/provider-regionpool"

// A Set is a folder with all programs and data files of the stack.
type Set struct {
	dir string
}

// Open returns the set in a folder that Ensure made.
func Open(dir string) (*Set, error) {
	if _, err := os.Stat(dir); err != nil {
		return nil, fmt.Errorf("cannot open folder of binaries: %w", err)
	}
	return &Set{dir: dir}, nil
}

// Dir is the folder of the set, to be given to Open by another process.
func (s *Set) Dir() string { return s.dir }

// Path of a program, one of the constants of this package.
func (s *Set) Path(program string) string {
	f, _ := lo.Find(families(), func(f family) bool { return slices.Contains(f.programs, program) })
	return filepath.Join(s.dir, f.name, binDir, program)
}

// Data is the path of a data file or folder, one of the constants of this
// package.
func (s *Set) Data(name string) string {
	f, _ := lo.Find(families(), func(f family) bool {
		return slices.ContainsFunc(f.data, func(d datum) bool { return d.name == name || strings.HasPrefix(d.name, name+"/") })
	})
	return filepath.Join(s.dir, f.name, dataDir, name)
}

// CacheDir is the project's folder in the user's cache folder.
func CacheDir() (string, error) {
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("cannot find the user's cache folder: %w", err)
	}
	return filepath.Join(dir, cacheName), nil
}

// Root is the root of the checkout that holds the working folder.
func Root() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("cannot find the working folder: %w", err)
	}
	for {
		b, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		if err == nil && slices.Contains(strings.Fields(firstModuleLine(string(b))), modulePath) {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", errors.New("cannot find the checkout: run this inside the repository of provider-regionpool")
		}
		dir = parent
	}
}

func firstModuleLine(gomod string) string {
	for line := range strings.Lines(gomod) {
		if strings.HasPrefix(line, "module ") {
			return line
		}
	}
	return ""
}

// Ensure builds what is missing of the families, all of them if none is named,
// and makes dir a set of them. The first run takes many minutes and reports its
// progress; later runs take milliseconds. Runs at the same time wait for each
// other.
func Ensure(ctx context.Context, dir string, log *progress.Log, names ...string) (*Set, error) {
	root, err := Root()
	if err != nil {
		return nil, err
	}
	cache, err := CacheDir()
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return nil, fmt.Errorf("cannot create cache folder: %w", err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("cannot create folder of binaries: %w", err)
	}
	version, err := goVersion(ctx, root)
	if err != nil {
		return nil, err
	}

	wanted := lo.Filter(families(), func(f family, _ int) bool { return len(names) == 0 || slices.Contains(names, f.name) })
	for i, f := range wanted {
		src := filepath.Join(root, "cluster", "local", "tools", f.name)
		key, err := f.key(os.DirFS(src), version)
		if err != nil {
			return nil, err
		}
		built := filepath.Join(cache, f.name+"-"+key)
		if err := f.ensure(ctx, src, built, log, fmt.Sprintf("%d of %d", i+1, len(wanted))); err != nil {
			return nil, fmt.Errorf("cannot build %s: %w", f.name, err)
		}
		link := filepath.Join(dir, f.name)
		if err := os.Remove(link); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("cannot replace link to binaries: %w", err)
		}
		if err := os.Symlink(built, link); err != nil {
			return nil, fmt.Errorf("cannot link to binaries: %w", err)
		}
	}
	return &Set{dir: dir}, nil
}

// key identifies a build: the pinned modules, our own sources, the build's
// settings and the toolchain.
func (f family) key(src fs.FS, toolchain string) (string, error) {
	h := sha256.New()
	_, _ = fmt.Fprintf(h, "%s %s %s %v\n", toolchain, f.pkg, f.ldflags(), f.data)
	for _, t := range f.tags {
		_, _ = fmt.Fprintf(h, "tag %s\n", t)
	}
	files, err := fs.Glob(src, "*")
	if err != nil {
		return "", fmt.Errorf("cannot list tool module %s: %w", f.name, err)
	}
	for _, name := range files {
		if ext := filepath.Ext(name); ext != ".go" && ext != ".mod" && ext != ".sum" {
			continue
		}
		b, err := fs.ReadFile(src, name)
		if err != nil {
			return "", fmt.Errorf("cannot read tool module %s: %w", f.name, err)
		}
		_, _ = fmt.Fprintf(h, "%s %d\n", name, len(b))
		_, _ = h.Write(b)
	}
	return hex.EncodeToString(h.Sum(nil))[:keyLength], nil
}

func (f family) ldflags() string {
	names := lo.Keys(f.stamps)
	slices.Sort(names)
	flags := []string{"-s", "-w"}
	for _, n := range names {
		flags = append(flags, "-X="+n+"="+f.stamps[n])
	}
	return strings.Join(flags, " ")
}

// ensure builds the family into dst unless it is there. The build happens in a
// temporary folder, which becomes dst at once, so dst is never half made.
func (f family) ensure(ctx context.Context, src, dst string, log *progress.Log, count string) error {
	if _, err := os.Stat(dst); err == nil {
		return nil
	}
	unlock, err := lock(ctx, dst+".lock", func() { log.Printf("waiting for another build of %s", f.name) })
	if err != nil {
		return err
	}
	defer unlock()
	if _, err := os.Stat(dst); err == nil {
		return nil
	}

	tmp, err := os.MkdirTemp(filepath.Dir(dst), filepath.Base(dst)+".tmp-")
	if err != nil {
		return fmt.Errorf("cannot create temporary folder: %w", err)
	}
	defer os.RemoveAll(tmp)

	done := log.Step("built %s (%s)", f.name, count)
	stop := report(log, "building %s (%s)", f.name, count)
	err = f.build(ctx, src, tmp)
	stop()
	if err != nil {
		return err
	}
	if err := os.Chmod(tmp, 0o755); err != nil {
		return fmt.Errorf("cannot open folder for reading: %w", err)
	}
	if err := os.Rename(tmp, dst); err != nil {
		return fmt.Errorf("cannot put build in place: %w", err)
	}
	done()
	return nil
}

func (f family) build(ctx context.Context, src, dst string) error {
	bin := filepath.Join(dst, binDir)
	if err := os.Mkdir(bin, 0o755); err != nil {
		return fmt.Errorf("cannot create folder: %w", err)
	}
	if _, err := goCommand(ctx, src, toolEnv(), "build", "-mod=readonly", "-trimpath", "-buildvcs=false", "-tags", strings.Join(f.tags, ","), "-ldflags", f.ldflags(), "-o", bin+string(filepath.Separator), f.pkg); err != nil {
		return err
	}
	for _, p := range f.programs {
		if _, err := os.Stat(filepath.Join(bin, p)); err != nil {
			return fmt.Errorf("the build did not yield %s: %w", p, err)
		}
	}
	for _, d := range f.data {
		module, err := goCommand(ctx, src, toolEnv(), "list", "-mod=readonly", "-m", "-f", "{{.Dir}}", d.module)
		if err != nil {
			return err
		}
		if err := copyTree(filepath.Join(strings.TrimSpace(module), filepath.FromSlash(d.path)), filepath.Join(dst, dataDir, filepath.FromSlash(d.name))); err != nil {
			return err
		}
	}
	return nil
}

// BuildOwn builds packages of the checkout into a folder, each program named
// after the last element of its package. The go command's own cache makes this
// fast, so there is no other.
func BuildOwn(ctx context.Context, dir string, packages ...string) error {
	if len(packages) == 0 {
		return nil
	}
	root, err := Root()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("cannot create folder of binaries: %w", err)
	}
	args := append([]string{"build", "-buildvcs=false", "-o", dir + string(filepath.Separator)}, packages...)
	_, err = goCommand(ctx, root, nil, args...)
	return err
}

// HasPackage says whether a folder of the checkout holds Go files.
func HasPackage(path string) bool {
	root, err := Root()
	if err != nil {
		return false
	}
	files, err := filepath.Glob(filepath.Join(root, path, "*.go"))
	return err == nil && len(files) > 0
}

func goVersion(ctx context.Context, dir string) (string, error) {
	return goCommand(ctx, dir, toolEnv(), "env", "GOVERSION", "GOOS", "GOARCH")
}

// toolEnv makes the builds of the tool modules independent of a C compiler and
// of the workspace somebody may have around the checkout.
func toolEnv() []string { return []string{"CGO_ENABLED=0", "GOWORK=off"} }

// goCommand runs the go command and returns what it printed. Its errors come
// with what it wrote to stderr.
func goCommand(ctx context.Context, dir string, env []string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), env...)
	// The go command ends its compilers when it is interrupted, not when killed.
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 5 * time.Second
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if ctx.Err() != nil {
		return "", ctx.Err()
	}
	if err != nil {
		return "", fmt.Errorf("go %s failed: %w\n%s", args[0], err, strings.TrimSpace(stderr.String()))
	}
	return string(out), nil
}

// report says again and again that something is still going on.
func report(log *progress.Log, format string, args ...any) (stop func()) {
	log.Printf(format+" ...", args...)
	start, quit := time.Now(), make(chan struct{})
	go func() {
		t := time.NewTicker(reportInterval)
		defer t.Stop()
		for {
			select {
			case <-quit:
				return
			case <-t.C:
				log.Printf(format+" for %s ...", append(slices.Clone(args), time.Since(start).Round(time.Second))...)
			}
		}
	}()
	return sync.OnceFunc(func() { close(quit) })
}
