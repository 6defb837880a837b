// Package etcd runs the one etcd server that all control planes of a local
// stack share, each under its own prefix.
package etcd

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strconv"

	"regionpool.io/provider-regionpool/cluster/local/binaries"
	"regionpool.io/provider-regionpool/cluster/local/ports"
	"regionpool.io/provider-regionpool/cluster/local/process"
)

// ProcessName is the name of the server in its process group.
const ProcessName = "etcd"

// Options of a server.
type Options struct {
	// Dir holds the data.
	Dir string

	Binaries *binaries.Set
	Procs    *process.Group
}

// A Server is a running etcd.
type Server struct {
	url   string
	ports []int
}

// Start starts a server that answers plain HTTP on the loopback interface. It
// gives up durability for speed: its data ends with the stack.
func Start(ctx context.Context, o Options) (*Server, error) {
	p, err := ports.ReserveN(2)
	if err != nil {
		return nil, fmt.Errorf("cannot reserve ports of etcd: %w", err)
	}
	client, peer := loopback(p[0]), loopback(p[1])
	_, err = o.Procs.Start(ctx, process.Spec{
		Name: ProcessName,
		Path: o.Binaries.Path(binaries.Etcd),
		Args: []string{
			"--name=local",
			"--data-dir=" + filepath.Join(o.Dir, "etcd"),
			"--listen-client-urls=" + client,
			"--advertise-client-urls=" + client,
			"--listen-peer-urls=" + peer,
			"--initial-advertise-peer-urls=" + peer,
			"--initial-cluster=local=" + peer,
			"--unsafe-no-fsync=true",
			"--max-request-bytes=8388608",
			"--quota-backend-bytes=4294967296",
			"--auto-compaction-mode=periodic",
			"--auto-compaction-retention=30m",
			"--log-level=warn",
		},
		Port:   p[0],
		Health: client + "/health",
	})
	if err != nil {
		ports.Release(p...)
		return nil, err
	}
	return &Server{url: client, ports: p}, nil
}

// URL of the server.
func (s *Server) URL() string { return s.url }

// Release gives the server's ports back, once its process is stopped.
func (s *Server) Release() { ports.Release(s.ports...) }

// DeletePrefix deletes all keys that start with a prefix. It speaks the JSON
// form of etcd's API, so that no etcd client is needed.
func DeletePrefix(ctx context.Context, url, prefix string) error {
	body, err := json.Marshal(map[string][]byte{"key": []byte(prefix), "range_end": prefixEnd(prefix)})
	if err != nil {
		return fmt.Errorf("cannot encode etcd request: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url+"/v3/kv/deleterange", bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("cannot build etcd request: %w", err)
	}
	rsp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("cannot delete etcd prefix %s: %w", prefix, err)
	}
	defer rsp.Body.Close()
	if rsp.StatusCode != http.StatusOK {
		msg, _ := io.ReadAll(io.LimitReader(rsp.Body, 1<<10))
		return fmt.Errorf("cannot delete etcd prefix %s: %s: %s", prefix, rsp.Status, msg)
	}
	return nil
}

// prefixEnd is the first key that sorts behind all keys with the prefix.
func prefixEnd(prefix string) []byte {
	end := []byte(prefix)
	for i := len(end) - 1; i >= 0; i-- {
		if end[i] < 0xff {
			end[i]++
			return end[:i+1]
		}
	}
	return []byte{0}
}

func loopback(port int) string { return "http://127.0.0.1:" + strconv.Itoa(port) }
