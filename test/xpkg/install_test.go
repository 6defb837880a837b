package xpkg

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/registry"
	"golang.org/x/sync/errgroup"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	ctrllog "sigs.k8s.io/controller-runtime/pkg/log"

	extv1 "github.com/crossplane/crossplane/apis/v2/apiextensions/v1"
	extv1alpha1 "github.com/crossplane/crossplane/apis/v2/apiextensions/v1alpha1"
	xpv2 "github.com/crossplane/crossplane/apis/v2/core/v2"
	pkgv1 "github.com/crossplane/crossplane/apis/v2/pkg/v1"

	ackv1alpha1 "regionpool.io/provider-regionpool/apis/ack/v1alpha1"
	federationv1alpha1 "regionpool.io/provider-regionpool/apis/federation/v1alpha1"
	platformv1alpha1 "regionpool.io/provider-regionpool/apis/platform/v1alpha1"
	tkev1alpha1 "regionpool.io/provider-regionpool/apis/tke/v1alpha1"
	"regionpool.io/provider-regionpool/cluster/local/binaries"
	"regionpool.io/provider-regionpool/cluster/local/manifests"
	"regionpool.io/provider-regionpool/cluster/local/process"
	"regionpool.io/provider-regionpool/cluster/local/progress"
	"regionpool.io/provider-regionpool/cluster/local/stack"
)

const (
	registryPath = "regionpool"
	version      = "v0.1.0"

	// gitOps is the field owner of a GitOps tool.
	gitOps = "argocd-controller"

	// ourGroups end the names of all our kinds, also the claim's.
	ourGroups = ".regionpool.io"

	// installTime bounds each step: Crossplane backs off for up to a minute
	// when it fails for want of something that is still on its way.
	installTime  = 90 * time.Second
	pollInterval = 100 * time.Millisecond
)

// composed are the kinds that a pool and an emergency claim are made of.
var composed = []schema.GroupVersionKind{
	federationv1alpha1.MemberGroupVersionKind,
	federationv1alpha1.PlacementPolicyGroupVersionKind,
	federationv1alpha1.CapacityPlanGroupVersionKind,
	federationv1alpha1.CapacityReservationGroupVersionKind,
}

// claimed are the kinds of claims, rented what they rent.
var (
	claimed = []schema.GroupVersionKind{
		platformv1alpha1.SchemeGroupVersion.WithKind("RegionPool"),
		platformv1alpha1.SchemeGroupVersion.WithKind("Burst"),
	}
	rented = []schema.GroupVersionKind{
		ackv1alpha1.ClusterGroupVersionKind, ackv1alpha1.NodePoolGroupVersionKind,
		tkev1alpha1.ClusterGroupVersionKind, tkev1alpha1.NodePoolGroupVersionKind, tkev1alpha1.VirtualNodePoolGroupVersionKind,
	}
)

// TestInstall takes the packages through their whole life: built, pushed,
// installed by Crossplane's package manager, used by a claim, and removed.
func TestInstall(t *testing.T) {
	if testing.Short() {
		t.Skip("starts real servers")
	}
	ctrllog.SetLogger(logr.Discard())
	i := &install{T: t, begin: time.Now()}
	r := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	t.Cleanup(r.Close)
	i.registry = strings.TrimPrefix(r.URL, "http://") + "/" + registryPath
	i.start()

	i.images()
	i.install()
	mrs := i.claim()
	i.removeClaim(mrs)
	i.uninstall()
}

// An install is one run of the test.
type install struct {
	*testing.T

	begin    time.Time
	registry string
	host     client.Client
	root     string
	programs *process.Group
}

// start builds and pushes the packages, and meanwhile starts a host plane that
// knows nothing of them, with an external runtime.
func (i *install) start() {
	i.Helper()
	root, err := binaries.Root()
	if err != nil {
		i.Fatal(err)
	}
	i.root = root
	var st *stack.Stack
	g, ctx := errgroup.WithContext(i.Context())
	g.Go(func() error {
		cmd := exec.CommandContext(ctx, "go", "run", "-C", filepath.Join(root, "cluster", "xpkg"), ".", "--push", i.registry, "--tag", version, "--out", i.TempDir())
		out, err := process.Run(cmd, []string{"GOWORK=off"})
		if err != nil {
			return fmt.Errorf("cannot build packages: %w: %s", err, out)
		}
		i.step("packages are built and pushed")
		return nil
	})
	g.Go(func() (err error) {
		st, err = stack.Start(ctx, stack.Options{
			Dir:     filepath.Join(root, "_output", "xpkg-test"),
			Members: []stack.Member{}, WithoutPackages: true, WithoutKarmada: true, WithoutCloud: true,
		}, progress.New(os.Stderr))
		return err
	})
	err = g.Wait()
	if st != nil {
		i.Cleanup(func() {
			if err := st.Close(); err != nil {
				i.Errorf("cannot stop the stack: %v", err)
			}
		})
	}
	if err != nil {
		i.Fatal(err)
	}

	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), apiextensionsv1.AddToScheme(scheme), pkgv1.AddToScheme(scheme),
		extv1.AddToScheme(scheme), extv1alpha1.AddToScheme(scheme)); err != nil {
		i.Fatalf("cannot build scheme: %v", err)
	}
	if i.host, err = client.New(st.RESTConfig(stack.Host), client.Options{Scheme: scheme}); err != nil {
		i.Fatalf("cannot make client: %v", err)
	}
	procs, err := process.NewGroup(filepath.Join(st.Dir(), "logs"))
	if err != nil {
		i.Fatal(err)
	}
	i.programs = procs
	e, err := newExternal(st.Plane(stack.Host), i.host, procs, i.TempDir())
	if err != nil {
		i.Fatal(err)
	}
	rctx, stop := context.WithCancel(i.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := e.run(rctx); err != nil && i.Failed() {
			i.Logf("the runtime's last error: %v", err)
		}
	})
	i.Cleanup(func() {
		stop()
		wg.Wait()
		procs.Stop()
	})
}

// images checks what the registry got.
func (i *install) images() {
	i.Helper()
	for _, name := range []string{"provider-regionpool", "function-regionpool", "configuration-regionpool"} {
		img, err := pull(i.Context(), i.registry+"/"+name+":"+version)
		if err != nil {
			i.Fatal(err)
		}
		var kinds []string
		for _, l := range img.Layers {
			kinds = append(kinds, l.Annotations["io.crossplane.xpkg"])
		}
		if !slices.Contains(kinds, "base") {
			i.Errorf("%s has no layer that Crossplane would read: %q", name, kinds)
		}
		if img.entrypoint != nil && img.user != "65532:65532" {
			i.Errorf("%s runs as user %q", name, img.user)
		}
	}
}

// install creates one object, the Configuration, and waits for all it brings.
func (i *install) install() {
	i.Helper()
	c := &pkgv1.Configuration{ObjectMeta: metav1.ObjectMeta{Name: "regionpool"}}
	c.Spec.Package = i.registry + "/configuration-regionpool:" + version
	if err := i.host.Create(i.Context(), c); err != nil {
		i.Fatalf("cannot create Configuration: %v", err)
	}
	i.eventually("all packages to be Healthy", func(ctx context.Context) error {
		packages, err := i.packages(ctx)
		if err != nil {
			return err
		}
		if len(packages) != 3 {
			return fmt.Errorf("there are %d packages", len(packages))
		}
		for _, p := range packages {
			for _, t := range []xpv2.ConditionType{pkgv1.TypeInstalled, pkgv1.TypeHealthy} {
				if cond := p.GetCondition(t); cond.Status != "True" {
					return fmt.Errorf("%s is not %s: %s", p.GetName(), t, cond.Message)
				}
			}
		}
		return nil
	})
	kinds, managed := i.brought()
	i.eventually("all kinds to be served", func(ctx context.Context) error {
		mrds := &extv1alpha1.ManagedResourceDefinitionList{}
		if err := i.host.List(ctx, mrds); err != nil {
			return err
		}
		if len(mrds.Items) != managed {
			return fmt.Errorf("there are %d definitions of managed resources, not %d", len(mrds.Items), managed)
		}
		for _, m := range mrds.Items {
			if !m.Spec.State.IsActive() || m.GetCondition(extv1alpha1.TypeEstablished).Status != "True" {
				return fmt.Errorf("%s is %s and not established", m.GetName(), m.Spec.State)
			}
		}
		served, err := i.kinds(ctx)
		if err != nil {
			return err
		}
		slices.Sort(served)
		if diff := cmp.Diff(kinds, served); diff != "" {
			return fmt.Errorf("kinds: -want, +got:\n%s", diff)
		}
		return nil
	})
}

// brought returns the names of all kinds in the packages, sorted, and how many
// of them are managed resources.
func (i *install) brought() (kinds []string, managed int) {
	i.Helper()
	crds, err := manifests.Read(filepath.Join(i.root, "package", "provider", "crds"))
	if err != nil {
		i.Fatal(err)
	}
	configuration, err := manifests.Read(filepath.Join(i.root, "package", "configuration"))
	if err != nil {
		i.Fatal(err)
	}
	for _, o := range crds {
		kinds = append(kinds, o.GetName())
		// Provider configs have the group without a prefix.
		if _, group, _ := strings.Cut(o.GetName(), "."); "."+group != ourGroups {
			managed++
		}
	}
	for _, o := range configuration {
		if o.GetKind() == extv1.CompositeResourceDefinitionKind {
			kinds = append(kinds, o.GetName())
		}
	}
	slices.Sort(kinds)
	return kinds, managed
}

// claim applies the examples as a GitOps tool does, the emergency claim before its
// pool, and returns what is composed.
func (i *install) claim() []*unstructured.Unstructured {
	i.Helper()
	configs, err := manifests.Read(filepath.Join(i.root, "examples", "providerconfig", "clusterproviderconfig.yaml"))
	if err != nil {
		i.Fatal(err)
	}
	if err := manifests.Apply(i.Context(), i.host, configs...); err != nil {
		i.Fatal(err)
	}
	var examples []*unstructured.Unstructured
	for _, file := range []string{"emergency-burst.yaml", "regionpool.yaml"} {
		objs, err := manifests.Read(filepath.Join(i.root, "examples", file))
		if err != nil {
			i.Fatal(err)
		}
		examples = append(examples, objs...)
	}
	sync := func(u *unstructured.Unstructured) *unstructured.Unstructured {
		u = u.DeepCopy()
		if err := i.host.Apply(i.Context(), client.ApplyConfigurationFromUnstructured(u), client.FieldOwner(gitOps)); err != nil {
			i.Fatalf("cannot apply %s without force: %v", u.GetKind(), err)
		}
		return u
	}
	for _, e := range examples {
		u := sync(e)
		if u.GetKind() != "Burst" {
			continue
		}
		i.eventually("the emergency claim to wait for its pool", func(ctx context.Context) error {
			if err := i.host.Get(ctx, client.ObjectKeyFromObject(u), u); err != nil {
				return err
			}
			phase, _, _ := unstructured.NestedString(u.Object, "status", "phase")
			if message, _, _ := unstructured.NestedString(u.Object, "status", "message"); phase != "Waiting" || !strings.Contains(message, "waits for RegionPool") {
				return fmt.Errorf("phase %q, message %q", phase, message)
			}
			return nil
		})
	}

	var mrs []*unstructured.Unstructured
	i.eventually("the provider to reconcile what the claim is composed of", func(ctx context.Context) error {
		mrs = nil
		for _, gvk := range composed {
			l := &unstructured.UnstructuredList{}
			l.SetGroupVersionKind(gvk)
			if err := i.host.List(ctx, l, client.InNamespace(examples[0].GetNamespace())); err != nil {
				return err
			}
			if len(l.Items) == 0 {
				return fmt.Errorf("there is no %s", gvk.Kind)
			}
			for n := range l.Items {
				conditioned := xpv2.ConditionedStatus{}
				status, _, _ := unstructured.NestedMap(l.Items[n].Object, "status")
				if err := runtime.DefaultUnstructuredConverter.FromUnstructured(status, &conditioned); err != nil {
					return err
				}
				if conditioned.GetCondition(xpv2.TypeSynced).Reason == "" {
					return fmt.Errorf("nobody looked at %s %s", gvk.Kind, l.Items[n].GetName())
				}
				mrs = append(mrs, &l.Items[n])
			}
		}
		return nil
	})

	for _, e := range examples {
		before := e.DeepCopy()
		if err := i.host.Get(i.Context(), client.ObjectKeyFromObject(before), before); err != nil {
			i.Fatalf("cannot get %s: %v", e.GetKind(), err)
		}
		if diff := cmp.Diff(authored(before), authored(sync(e))); diff != "" {
			i.Errorf("the second apply changed %s: -before, +after:\n%s", e.GetKind(), diff)
		}
	}
	return mrs
}

// authored is all of the claim but what controllers report while it stands.
func authored(u *unstructured.Unstructured) map[string]any {
	u = u.DeepCopy()
	unstructured.RemoveNestedField(u.Object, "status")
	u.SetManagedFields(nil)
	u.SetResourceVersion("")
	return u.Object
}

func (i *install) removeClaim(mrs []*unstructured.Unstructured) {
	i.Helper()
	for _, gvk := range claimed {
		claim := &unstructured.Unstructured{}
		claim.SetGroupVersionKind(gvk)
		if err := i.host.DeleteAllOf(i.Context(), claim, client.InNamespace(mrs[0].GetNamespace())); err != nil {
			i.Fatalf("cannot delete every %s: %v", gvk.Kind, err)
		}
	}
	i.eventually("the claims and what they were composed of to go", func(ctx context.Context) error {
		for _, gvk := range slices.Concat(composed, claimed, rented) {
			l := &unstructured.UnstructuredList{}
			l.SetGroupVersionKind(gvk)
			if err := i.host.List(ctx, l); err != nil {
				return err
			}
			for _, u := range l.Items {
				return fmt.Errorf("there is %s %s with finalizers %v", gvk.Kind, u.GetName(), u.GetFinalizers())
			}
		}
		return nil
	})
	configs := &unstructured.Unstructured{}
	configs.SetAPIVersion("regionpool.io/v1alpha1")
	configs.SetKind("ClusterProviderConfig")
	if err := i.host.DeleteAllOf(i.Context(), configs); err != nil {
		i.Fatalf("cannot delete the provider configs: %v", err)
	}
	i.eventually("the provider configs to go", func(ctx context.Context) error {
		l := &unstructured.UnstructuredList{}
		l.SetGroupVersionKind(configs.GroupVersionKind())
		if err := i.host.List(ctx, l); err != nil || len(l.Items) == 0 {
			return err
		}
		return fmt.Errorf("%d are left", len(l.Items))
	})
}

// uninstall deletes the packages, those first that depend on others.
func (i *install) uninstall() {
	i.Helper()
	for _, p := range []client.Object{&pkgv1.Configuration{}, &pkgv1.Function{}, &pkgv1.Provider{}} {
		if err := i.host.DeleteAllOf(i.Context(), p); err != nil {
			i.Fatalf("cannot delete packages: %v", err)
		}
		i.eventually(fmt.Sprintf("%T to go", p), func(ctx context.Context) error {
			packages, err := i.packages(ctx)
			for _, left := range packages {
				if fmt.Sprintf("%T", left) == fmt.Sprintf("%T", p) {
					return fmt.Errorf("%s is left", left.GetName())
				}
			}
			return err
		})
	}
	i.eventually("all kinds to go", func(ctx context.Context) error {
		crds, err := i.kinds(ctx)
		if err == nil && len(crds) > 0 {
			err = fmt.Errorf("%v are left", crds)
		}
		return err
	})
	i.eventually("revisions, compositions and activations to go", func(ctx context.Context) error {
		for _, l := range []client.ObjectList{
			&pkgv1.ConfigurationRevisionList{}, &pkgv1.FunctionRevisionList{}, &pkgv1.ProviderRevisionList{},
			&extv1.CompositeResourceDefinitionList{}, &extv1.CompositionList{},
			&extv1alpha1.ManagedResourceDefinitionList{}, &extv1alpha1.ManagedResourceActivationPolicyList{},
		} {
			if err := i.host.List(ctx, l); err != nil {
				return err
			}
			u, err := runtime.DefaultUnstructuredConverter.ToUnstructured(l)
			if err != nil {
				return err
			}
			if items, _, _ := unstructured.NestedSlice(u, "items"); len(items) > 0 {
				return fmt.Errorf("%d are left in %T", len(items), l)
			}
		}
		return nil
	})
}

// packages are all packages Crossplane knows.
func (i *install) packages(ctx context.Context) ([]pkgv1.Package, error) {
	configurations, providers, functions := &pkgv1.ConfigurationList{}, &pkgv1.ProviderList{}, &pkgv1.FunctionList{}
	if err := errors.Join(i.host.List(ctx, configurations), i.host.List(ctx, providers), i.host.List(ctx, functions)); err != nil {
		return nil, err
	}
	return slices.Concat(configurations.GetPackages(), providers.GetPackages(), functions.GetPackages()), nil
}

// kinds are the names of our CRDs that are served.
func (i *install) kinds(ctx context.Context) ([]string, error) {
	crds := &apiextensionsv1.CustomResourceDefinitionList{}
	if err := i.host.List(ctx, crds); err != nil {
		return nil, err
	}
	var out []string
	for _, c := range crds.Items {
		if !strings.HasSuffix("."+c.Spec.Group, ourGroups) {
			continue
		}
		if slices.ContainsFunc(c.Status.Conditions, func(c apiextensionsv1.CustomResourceDefinitionCondition) bool {
			return c.Type == apiextensionsv1.Established && c.Status == apiextensionsv1.ConditionTrue
		}) {
			out = append(out, c.GetName())
		}
	}
	return out, nil
}

// eventually fails the test unless f returns nil in time.
func (i *install) eventually(what string, f func(ctx context.Context) error) {
	i.Helper()
	ctx, cancel := context.WithTimeout(i.Context(), installTime)
	defer cancel()
	var last error
	for {
		err := f(ctx)
		if err == nil {
			i.step("waited for %s", what)
			return
		}
		// An error that only says that time is up hides the reason.
		if last == nil || ctx.Err() == nil {
			last = err
		}
		// Nobody restarts them here: what ends them is a mistake of theirs.
		for _, p := range i.programs.Processes() {
			if p.State() == process.StateExited {
				i.Fatalf("waiting for %s: %s: %v", what, p.Name(), p.Healthy(ctx))
			}
		}
		select {
		case <-ctx.Done():
			i.Fatalf("waiting for %s: %v", what, last)
		case <-time.After(pollInterval):
		}
	}
}

func (i *install) step(format string, args ...any) {
	i.Helper()
	i.Logf("%6.1fs  %s", time.Since(i.begin).Seconds(), fmt.Sprintf(format, args...))
}
