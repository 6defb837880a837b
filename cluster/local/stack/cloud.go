package stack

import (
	"context"
	"fmt"
	"strconv"

	"sigs.k8s.io/yaml"

	"regionpool.io/provider-regionpool/cluster/local/pki"
	"regionpool.io/provider-regionpool/cluster/local/process"
)

// A Cloud says how to reach the cloud simulator.
type Cloud struct {
	// Endpoint is the URL of Alibaba Cloud's APIs, TencentEndpoint of Tencent's.
	Endpoint        string
	TencentEndpoint string

	// AdminEndpoint is the URL of the listener for faults and the ledger.
	AdminEndpoint string

	AccessKeyID     string
	AccessKeySecret string

	SecretID  string
	SecretKey string
}

// The accounts of the simulated clouds. They protect nothing.
const (
	accessKeyID     = "LTAIlocalstack"
	accessKeySecret = "local-stack-secret"
	secretID        = "AKIDlocalstack"
	secretKey       = "local-stack-secret-key"
)

// Cloud returns how to reach the cloud simulator. Its Endpoint is empty if there
// is none.
func (s *Stack) Cloud() Cloud {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cloud
}

// startCloud starts the cloud simulator, if there is one.
func (s *Stack) startCloud(ctx context.Context) error {
	if !s.own.has(CloudSim) {
		return nil
	}
	ports, err := s.reservePorts(3)
	if err != nil {
		return err
	}
	ack, admin, tke := loopback(ports[0]), loopback(ports[1]), loopback(ports[2])
	config, err := yaml.Marshal(map[string]any{
		"accounts": []any{map[string]any{"accessKeyId": accessKeyID, "accessKeySecret": accessKeySecret}},
		"tencent": map[string]any{
			"accounts": []any{map[string]any{"accessKeyId": secretID, "accessKeySecret": secretKey}},
		},
	})
	if err != nil {
		return fmt.Errorf("cannot encode configuration of the cloud simulator: %w", err)
	}
	if err := pki.WriteFiles(s.dataDir(), map[string][]byte{"cloudsim.yaml": config}); err != nil {
		return err
	}
	if err := s.startPart(ctx, CloudSim, process.Spec{
		Args: []string{
			"--ack-address=" + ack,
			"--tke-address=" + tke,
			"--admin-address=" + admin,
			"--dir=" + s.dataDir("cloudsim"),
			"--etcd=" + s.etcd.URL(),
			"--binaries=" + s.bins.Dir(),
			"--clock-factor=" + strconv.FormatFloat(s.o.clockFactor(), 'f', -1, 64),
			"--config=" + s.dataDir("cloudsim.yaml"),
		},
		Port:  ports[0],
		Ready: listening(ack, tke, admin),
	}); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cloud = Cloud{
		Endpoint: "http://" + ack, TencentEndpoint: "http://" + tke, AdminEndpoint: "http://" + admin,
		AccessKeyID: accessKeyID, AccessKeySecret: accessKeySecret, SecretID: secretID, SecretKey: secretKey,
	}
	return nil
}
