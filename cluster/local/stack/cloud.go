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
	// Endpoint is the URL of the ACK API.
	Endpoint string

	// AdminEndpoint is the URL of the listener for faults and the ledger.
	AdminEndpoint string

	AccessKeyID     string
	AccessKeySecret string
}

// The account of the simulated cloud. It protects nothing.
const (
	accessKeyID     = "LTAIlocalstack"
	accessKeySecret = "local-stack-secret"
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
	ports, err := s.reservePorts(2)
	if err != nil {
		return err
	}
	ack, admin := loopback(ports[0]), loopback(ports[1])
	config, err := yaml.Marshal(map[string]any{
		"accounts": []any{map[string]any{"accessKeyId": accessKeyID, "accessKeySecret": accessKeySecret}},
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
			"--admin-address=" + admin,
			"--dir=" + s.dataDir("cloudsim"),
			"--etcd=" + s.etcd.URL(),
			"--binaries=" + s.bins.Dir(),
			"--clock-factor=" + strconv.FormatFloat(s.o.clockFactor(), 'f', -1, 64),
			"--config=" + s.dataDir("cloudsim.yaml"),
		},
		Port:  ports[0],
		Ready: listening(ack, admin),
	}); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cloud = Cloud{Endpoint: "http://" + ack, AdminEndpoint: "http://" + admin, AccessKeyID: accessKeyID, AccessKeySecret: accessKeySecret}
	return nil
}
