package pki

import (
	"fmt"

	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"
)

// Kubeconfig returns a kubeconfig with one context, named like the cluster, for
// a user that authenticates with a client certificate.
func Kubeconfig(cluster, server string, ca []byte, user Pair) ([]byte, error) {
	cfg := api.NewConfig()
	cfg.Clusters[cluster] = &api.Cluster{Server: server, CertificateAuthorityData: ca}
	cfg.AuthInfos[cluster] = &api.AuthInfo{ClientCertificateData: user.Cert, ClientKeyData: user.Key}
	cfg.Contexts[cluster] = &api.Context{Cluster: cluster, AuthInfo: cluster}
	cfg.CurrentContext = cluster
	b, err := clientcmd.Write(*cfg)
	if err != nil {
		return nil, fmt.Errorf("cannot encode kubeconfig of %s: %w", cluster, err)
	}
	return b, nil
}
