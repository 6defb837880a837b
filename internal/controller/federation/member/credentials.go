package member

import (
	"context"
	"time"

	karmadautil "github.com/karmada-io/karmada/pkg/util"
	"github.com/karmada-io/karmada/pkg/util/names"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	kerrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"

	"github.com/crossplane/crossplane-runtime/v2/pkg/errors"

	"regionpool.io/provider-regionpool/internal/clients/karmada"
)

// memberNamespace holds the service accounts in the member and the credentials
// in Karmada. It is Karmada's own default.
const memberNamespace = karmadautil.NamespaceClusterLease

const (
	tokenPoll    = 50 * time.Millisecond
	tokenTimeout = 10 * time.Second
)

// errNoToken means that nobody fills the Secret of a service account.
var errNoToken = errors.New("the member issued no token for a service account: does its controller manager run?")

// credentials of the service accounts that Karmada uses in a member.
type credentials struct {
	token        []byte
	impersonator []byte
}

// clusterID returns the UID of the kube-system namespace, by which Karmada tells
// physical clusters apart.
func clusterID(ctx context.Context, c kubernetes.Interface) (string, error) {
	ns, err := c.CoreV1().Namespaces().Get(ctx, metav1.NamespaceSystem, metav1.GetOptions{})
	if err != nil {
		return "", err
	}
	return string(ns.GetUID()), nil
}

// mint makes the service accounts in the member, with tokens that do not
// expire: Karmada's informers do not notice when a token is rotated before 1.19
// (karmada-io/karmada#7663). It may be repeated; existing tokens are kept.
//
// It does what ObtainCredentialsFromMemberCluster of Karmada does, but obeys
// the context and does not sleep for seconds.
func mint(ctx context.Context, c kubernetes.Interface, cluster, owner string) (*credentials, error) {
	om := func(name string) metav1.ObjectMeta {
		return metav1.ObjectMeta{
			Name:        name,
			Labels:      map[string]string{karmadautil.KarmadaSystemLabel: karmadautil.KarmadaSystemLabelValue},
			Annotations: map[string]string{karmada.AnnotationMemberUID: owner},
		}
	}
	inNS := func(name string) metav1.ObjectMeta {
		m := om(name)
		m.Namespace = memberNamespace
		return m
	}
	if _, err := c.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: om(memberNamespace)}, metav1.CreateOptions{}); ignoreExists(err) != nil {
		return nil, err
	}
	account, impersonator := names.GenerateServiceAccountName(cluster), names.GenerateServiceAccountName("impersonator")
	for _, sa := range []string{account, impersonator} {
		if _, err := c.CoreV1().ServiceAccounts(memberNamespace).Create(ctx, &corev1.ServiceAccount{ObjectMeta: inNS(sa)}, metav1.CreateOptions{}); ignoreExists(err) != nil {
			return nil, err
		}
	}
	role := names.GenerateRoleName(account)
	if _, err := c.RbacV1().ClusterRoles().Create(ctx, &rbacv1.ClusterRole{ObjectMeta: om(role), Rules: karmadautil.ClusterPolicyRules}, metav1.CreateOptions{}); ignoreExists(err) != nil {
		return nil, err
	}
	crb := &rbacv1.ClusterRoleBinding{
		ObjectMeta: om(role),
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Name: account, Namespace: memberNamespace}},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role},
	}
	if _, err := c.RbacV1().ClusterRoleBindings().Create(ctx, crb, metav1.CreateOptions{}); ignoreExists(err) != nil {
		return nil, err
	}
	out := &credentials{}
	for sa, into := range map[string]*[]byte{account: &out.token, impersonator: &out.impersonator} {
		m := inNS(sa)
		m.Annotations[corev1.ServiceAccountNameKey] = sa
		if _, err := c.CoreV1().Secrets(memberNamespace).Create(ctx, &corev1.Secret{ObjectMeta: m, Type: corev1.SecretTypeServiceAccountToken}, metav1.CreateOptions{}); ignoreExists(err) != nil {
			return nil, err
		}
		t, err := token(ctx, c, sa)
		if err != nil {
			return nil, err
		}
		*into = t
	}
	return out, nil
}

// token waits until the member's controller manager has filled the Secret.
func token(ctx context.Context, c kubernetes.Interface, secret string) ([]byte, error) {
	var out []byte
	err := wait.PollUntilContextTimeout(ctx, tokenPoll, tokenTimeout, true, func(ctx context.Context) (bool, error) {
		s, err := c.CoreV1().Secrets(memberNamespace).Get(ctx, secret, metav1.GetOptions{})
		if err != nil {
			return false, err
		}
		out = s.Data[corev1.ServiceAccountTokenKey]
		return len(out) > 0, nil
	})
	if wait.Interrupted(err) {
		return nil, errNoToken
	}
	return out, err
}

// unmint removes from the member what mint made for this owner.
func unmint(ctx context.Context, c kubernetes.Interface, cluster, owner string) error {
	account, impersonator := names.GenerateServiceAccountName(cluster), names.GenerateServiceAccountName("impersonator")
	role := names.GenerateRoleName(account)
	sas := c.CoreV1().ServiceAccounts(memberNamespace)
	for _, name := range []string{account, impersonator} {
		sa, err := sas.Get(ctx, name, metav1.GetOptions{})
		if kerrors.IsNotFound(err) || err == nil && sa.Annotations[karmada.AnnotationMemberUID] != owner {
			continue
		}
		if err == nil {
			err = sas.Delete(ctx, name, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &sa.UID}})
		}
		if ignoreNotFound(err) != nil {
			return err
		}
		// The token controller removes the Secret too; a member that is being
		// torn down may no longer have one.
		if err := c.CoreV1().Secrets(memberNamespace).Delete(ctx, name, metav1.DeleteOptions{}); ignoreNotFound(err) != nil {
			return err
		}
	}
	ns, err := c.CoreV1().Namespaces().Get(ctx, memberNamespace, metav1.GetOptions{})
	if err == nil && ns.Annotations[karmada.AnnotationMemberUID] == owner {
		err = c.CoreV1().Namespaces().Delete(ctx, memberNamespace, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &ns.UID}})
	}
	if ignoreNotFound(err) != nil {
		return err
	}
	crb, err := c.RbacV1().ClusterRoleBindings().Get(ctx, role, metav1.GetOptions{})
	if err == nil && crb.Annotations[karmada.AnnotationMemberUID] == owner {
		err = c.RbacV1().ClusterRoleBindings().Delete(ctx, role, metav1.DeleteOptions{})
	}
	if ignoreNotFound(err) != nil {
		return err
	}
	cr, err := c.RbacV1().ClusterRoles().Get(ctx, role, metav1.GetOptions{})
	if err == nil && cr.Annotations[karmada.AnnotationMemberUID] == owner {
		err = c.RbacV1().ClusterRoles().Delete(ctx, role, metav1.DeleteOptions{})
	}
	return ignoreNotFound(err)
}

func ignoreExists(err error) error {
	if kerrors.IsAlreadyExists(err) {
		return nil
	}
	return err
}

func ignoreNotFound(err error) error {
	if kerrors.IsNotFound(err) {
		return nil
	}
	return err
}
