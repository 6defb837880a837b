package e2e

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	kerrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	xpv2 "github.com/crossplane/crossplane/apis/v2/core/v2"

	platformv1alpha1 "regionpool.io/provider-regionpool/apis/platform/v1alpha1"
	"regionpool.io/provider-regionpool/cluster/local/stack"
)

// garbage is what a broken kubeconfig holds. It must not be quoted anywhere.
const garbage = "garbage-that-may-be-a-secret: ["

// TestBadInput has a claim be wrong in one way each. What can be known is refused
// at admission; the rest is told in a condition that names the field. Nothing is
// half made: no cloud call takes effect and no member joins.
func TestBadInput(t *testing.T) {
	if env == nil {
		t.Skip("needs the real stack")
	}
	secrets := map[string][]byte{"broken": []byte(garbage), "forbidden": forbiddenKubeconfig(t)}
	for name, value := range secrets {
		s := &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Namespace: stack.PlatformNamespace, Name: name},
			Data:       map[string][]byte{"kubeconfig": value},
		}
		if err := env.host.Create(t.Context(), s); err != nil && !kerrors.IsAlreadyExists(err) {
			t.Fatalf("cannot create Secret: %v", err)
		}
		t.Cleanup(func() {
			if err := env.host.Delete(context.Background(), s); err != nil {
				t.Errorf("cannot delete Secret: %v", err)
			}
		})
	}

	cases := map[string]struct {
		reason string
		change func(c *platformv1alpha1.RegionPool)
		// refused has words of the refusal at admission; told has a condition of
		// the claim and words of its message. One of them is set.
		refused []string
		told    []string
		// composed resources may exist: they carry the condition.
		composed bool
	}{
		"MinAboveMax": {
			reason:  "The schema relates min to max.",
			change:  func(c *platformv1alpha1.RegionPool) { c.Spec.Elastic[0].NodePools[0].Min = 7 },
			refused: []string{"spec.elastic[0].nodePools[0]", "min is above max"},
		},
		"OverlappingCIDRs": {
			reason: "The schema relates the address ranges to each other.",
			change: func(c *platformv1alpha1.RegionPool) {
				c.Spec.Elastic[0].ACK.ContainerCIDR = ptr.To("172.16.0.0/12")
				c.Spec.Elastic[0].ACK.ServiceCIDR = "172.19.0.0/20"
			},
			refused: []string{"spec.elastic[0].ack", "overlap"},
		},
		"NoCIDR": {
			reason:  "A range that cannot be parsed is none.",
			change:  func(c *platformv1alpha1.RegionPool) { c.Spec.Elastic[0].ACK.ContainerCIDR = ptr.To("10.0.0.0") },
			refused: []string{"containerCIDR"},
		},
		"EmptyTier": {
			reason:  "A region without a home has nothing to fill first.",
			change:  func(c *platformv1alpha1.RegionPool) { c.Spec.SelfBuilt = []platformv1alpha1.SelfBuiltCluster{} },
			refused: []string{"spec.selfBuilt"},
		},
		"NoNodePools": {
			reason: "A cloud cluster without an offering can hold nothing.",
			change: func(c *platformv1alpha1.RegionPool) {
				c.Spec.Elastic[0].NodePools = []platformv1alpha1.ElasticNodePool{}
			},
			refused: []string{"spec.elastic[0]", "set nodePools, virtualNodes or both"},
		},
		"SelectsEverything": {
			reason:  "An empty selector would take every workload of the federation.",
			change:  func(c *platformv1alpha1.RegionPool) { c.Spec.Workloads.MatchLabels = map[string]string{} },
			refused: []string{"spec.workloads.matchLabels"},
		},
		"NameUsedTwice": {
			reason:  "Members are known by name in the federation.",
			change:  func(c *platformv1alpha1.RegionPool) { c.Spec.Elastic[0].Name = memberNames[0] },
			refused: []string{"a name is used by a self-built and an elastic cluster"},
		},
		"NoRegion": {
			reason:  "A region has a form.",
			change:  func(c *platformv1alpha1.RegionPool) { c.Spec.Elastic[0].ACK.Region = "Shanghai" },
			refused: []string{"spec.elastic[0].ack.region"},
		},
		"UnknownInstanceType": {
			reason: "What a type holds must be known before it is rented.",
			change: func(c *platformv1alpha1.RegionPool) {
				c.Spec.Elastic[0].NodePools[0].InstanceTypes = []string{"ecs.nosuch.thing"}
			},
			told: []string{"OfferingsValid", "spec.elastic[0].nodePools[0].instanceTypes[0]", "ecs.nosuch.thing"},
		},
		"UnknownRegion": {
			reason: "Only the cloud knows its regions. The cluster is kept warm, so it is asked at once.",
			change: func(c *platformv1alpha1.RegionPool) {
				c.Spec.Elastic[0].ACK.Region, c.Spec.Elastic[0].Warm = "cn-nowhere", true
			},
			told:     []string{"ElasticHealthy", "spec.elastic[0]", "region"},
			composed: true,
		},
		"UnknownVSwitch": {
			reason: "Only the cloud knows its networks.",
			change: func(c *platformv1alpha1.RegionPool) {
				c.Spec.Elastic[0].ACK.VSwitchIDs, c.Spec.Elastic[0].Warm = []string{"vsw-404"}, true
			},
			told:     []string{"ElasticHealthy", "spec.elastic[0]", "vsw-404"},
			composed: true,
		},
		"GarbageKubeconfig": {
			reason:   "A kubeconfig that cannot be parsed joins nothing.",
			change:   func(c *platformv1alpha1.RegionPool) { c.Spec.SelfBuilt = c.Spec.SelfBuilt[:1]; useSecret(c, "broken") },
			told:     []string{"MembersJoined", "spec.selfBuilt[0]", "kubeconfig"},
			composed: true,
		},
		"ForbiddenKubeconfig": {
			reason: "A user who may do nothing in the member cannot make it join.",
			change: func(c *platformv1alpha1.RegionPool) {
				c.Spec.SelfBuilt = c.Spec.SelfBuilt[:1]
				useSecret(c, "forbidden")
			},
			told:     []string{"MembersJoined", "spec.selfBuilt[0]", "kubeconfig"},
			composed: true,
		},
		"NoSuchSecret": {
			reason:   "A reference to nothing is told with its name.",
			change:   func(c *platformv1alpha1.RegionPool) { c.Spec.SelfBuilt = c.Spec.SelfBuilt[:1]; useSecret(c, "nowhere") },
			told:     []string{"MembersJoined", "spec.selfBuilt[0]", "nowhere"},
			composed: true,
		},
		"NoSuchFederation": {
			reason:   "The federation's credentials are a reference as well.",
			change:   func(c *platformv1alpha1.RegionPool) { c.Spec.Federation.ProviderConfigRef.Name = "no-federation" },
			told:     []string{"PlacementReady", "spec.federation", "no-federation"},
			composed: true,
		},
		"NoSuchAccount": {
			reason: "So are those of the cloud account.",
			change: func(c *platformv1alpha1.RegionPool) {
				c.Spec.Elastic[0].ProviderConfigRef.Name, c.Spec.Elastic[0].Warm = "no-account", true
			},
			told:     []string{"ElasticHealthy", "spec.elastic[0]", "no-account"},
			composed: true,
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			p := newPool(t, "bad-"+strings.ToLower(name), tc.change)
			err := env.host.Create(t.Context(), p.claim.DeepCopy())
			switch {
			case tc.refused != nil:
				if !kerrors.IsInvalid(err) {
					t.Fatalf("%s: the claim was not refused: %v", tc.reason, err)
				}
				for _, w := range tc.refused {
					if !strings.Contains(err.Error(), w) {
						t.Errorf("%s: the refusal does not name %q: %v", tc.reason, w, err)
					}
				}
				return
			case err != nil:
				t.Fatalf("%s: cannot create the claim: %v", tc.reason, err)
			}
			p.eventually(soon, "the claim to be told", func(ctx context.Context) error {
				return p.claimSays(ctx, tc.told[0], tc.told[1:]...)
			})
			p.consistently(3*time.Second, "nothing is half made", func(ctx context.Context) error { return p.nothingMade(ctx, tc.composed) })
			c, err := p.read(t.Context())
			if err != nil {
				t.Fatalf("cannot read the claim: %v", err)
			}
			if got := c.Status.GetCondition(xpv2.TypeReady); got.Status == corev1.ConditionTrue {
				t.Errorf("%s: the claim is Ready", tc.reason)
			}
			if strings.Contains(compact(c), "garbage-that-may-be-a-secret") {
				t.Errorf("%s: the claim quotes the kubeconfig", tc.reason)
			}
		})
	}
}

// useSecret makes the first member use another Secret.
func useSecret(c *platformv1alpha1.RegionPool, name string) {
	c.Spec.SelfBuilt[0].KubeconfigSecretRef.Name = name
}

// nothingMade fails if a cloud call took effect, something was composed that may
// not be, or a member joined for which there is no good kubeconfig.
func (p *pool) nothingMade(ctx context.Context, composed bool) error {
	for _, action := range []string{createCluster, createNodePool} {
		if n, err := p.accepted(ctx, action); err != nil || n > 0 {
			return errors.Join(fmt.Errorf("%s was accepted %d times", action, n), err)
		}
	}
	left, err := p.managed(ctx)
	if err != nil {
		return err
	}
	if !composed && len(left) > 0 {
		return fmt.Errorf("there are %s", strings.Join(left, ", "))
	}
	c, err := karmadaCluster(ctx, p.elastic())
	if err == nil && c != nil {
		return fmt.Errorf("%s has joined", p.elastic())
	}
	if err != nil || len(p.claim.Spec.SelfBuilt) == 0 || p.claim.Spec.SelfBuilt[0].KubeconfigSecretRef.Name == memberNames[0] {
		return err
	}
	c, err = karmadaCluster(ctx, memberNames[0])
	if err == nil && c != nil {
		return fmt.Errorf("%s has joined", memberNames[0])
	}
	return err
}

// forbiddenKubeconfig is of a service account of a member that may do nothing.
func forbiddenKubeconfig(t *testing.T) []byte {
	t.Helper()
	member := env.members[memberNames[0]]
	sa := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: metav1.NamespaceDefault, Name: "nobody"}}
	if err := member.Create(t.Context(), sa); err != nil && !kerrors.IsAlreadyExists(err) {
		t.Fatalf("cannot create service account: %v", err)
	}
	t.Cleanup(func() {
		if err := client.IgnoreNotFound(member.Delete(context.Background(), sa)); err != nil {
			t.Errorf("cannot delete service account: %v", err)
		}
	})
	token := &authenticationv1.TokenRequest{}
	if err := member.SubResource("token").Create(t.Context(), sa, token); err != nil {
		t.Fatalf("cannot create token: %v", err)
	}
	cfg, err := clientcmd.Load(env.stack.Plane(memberNames[0]).Kubeconfig())
	if err != nil {
		t.Fatalf("cannot read kubeconfig: %v", err)
	}
	for name := range cfg.AuthInfos {
		cfg.AuthInfos[name] = &api.AuthInfo{Token: token.Status.Token}
	}
	b, err := clientcmd.Write(*cfg)
	if err != nil {
		t.Fatalf("cannot encode kubeconfig: %v", err)
	}
	return b
}
