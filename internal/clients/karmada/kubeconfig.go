package karmada

import (
	"fmt"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"
)

// A KubeconfigError says why a kubeconfig cannot be used. It never holds a part
// of the kubeconfig: parsers like to quote what they stumble over.
type KubeconfigError struct {
	// Reason for a person.
	Reason string
}

// Error implements error.
func (e *KubeconfigError) Error() string { return e.Reason }

func invalid(format string, args ...any) error {
	return &KubeconfigError{Reason: fmt.Sprintf(format, args...)}
}

// ParseKubeconfig returns a client configuration for the current context. The
// error is always a *KubeconfigError.
//
// Kubeconfigs come from Secrets that tenants write, so everything that would
// let them run programs or read files in the provider's pod is refused.
func ParseKubeconfig(kubeconfig []byte) (*rest.Config, error) {
	if len(kubeconfig) == 0 {
		return nil, invalid("the kubeconfig is empty")
	}
	raw, err := clientcmd.Load(kubeconfig)
	if err != nil {
		return nil, invalid("it is no kubeconfig")
	}
	kctx, ok := raw.Contexts[raw.CurrentContext]
	if !ok {
		return nil, invalid("the kubeconfig has no current-context that exists")
	}
	cluster, ok := raw.Clusters[kctx.Cluster]
	if !ok || cluster.Server == "" {
		return nil, invalid("the current context of the kubeconfig names no cluster with a server")
	}
	if cluster.CertificateAuthority != "" {
		return nil, invalid("the kubeconfig refers to a file (certificate-authority): embed its content")
	}
	if user, ok := raw.AuthInfos[kctx.AuthInfo]; ok {
		if err := checkUser(user); err != nil {
			return nil, err
		}
	}
	cfg, err := clientcmd.NewNonInteractiveClientConfig(*raw, raw.CurrentContext, &clientcmd.ConfigOverrides{}, nil).ClientConfig()
	if err != nil {
		return nil, invalid("the kubeconfig is incomplete or contradicts itself")
	}
	if _, err := rest.TLSConfigFor(cfg); err != nil {
		return nil, invalid("the certificates or keys in the kubeconfig cannot be read")
	}
	if _, _, err := rest.DefaultServerUrlFor(cfg); err != nil {
		return nil, invalid("the server in the kubeconfig is no URL")
	}
	return cfg, nil
}

func checkUser(user *api.AuthInfo) error {
	switch {
	case user.Exec != nil || user.AuthProvider != nil:
		return invalid("the kubeconfig runs a program to authenticate: use a token or a client certificate")
	case user.TokenFile != "" || user.ClientCertificate != "" || user.ClientKey != "":
		return invalid("the kubeconfig refers to files of credentials: embed their content")
	}
	return nil
}
