// Command cloudsim is two clouds in a process: it speaks the OpenAPI of Alibaba
// Cloud's and of Tencent Cloud's container services, checks every signature,
// keeps books of what is billed, and makes real Kubernetes clusters. It is for
// tests and for the demo.
package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/alecthomas/kingpin/v2"

	"regionpool.io/provider-regionpool/test/cloudsim/ack"
	"regionpool.io/provider-regionpool/test/cloudsim/admin"
	"regionpool.io/provider-regionpool/test/cloudsim/backend"
	"regionpool.io/provider-regionpool/test/cloudsim/backend/local"
	"regionpool.io/provider-regionpool/test/cloudsim/clock"
	"regionpool.io/provider-regionpool/test/cloudsim/cloud"
	"regionpool.io/provider-regionpool/test/cloudsim/config"
	"regionpool.io/provider-regionpool/test/cloudsim/tke"
)

// secretEnv holds the secret of the account given by --access-key-id.
const secretEnv = "CLOUDSIM_ACCESS_KEY_SECRET"

// tencentSecretEnv holds the secret key of the account given by --secret-id.
const tencentSecretEnv = "CLOUDSIM_SECRET_KEY"

type options struct {
	ackAddress, tkeAddress  string
	adminAddress            string
	dir, etcd, binaries     string
	configFile, accessKeyID string
	secretID                string
	backend                 string
	factor                  float64
	seed                    int64
}

func main() {
	var o options
	app := kingpin.New("cloudsim", "A simulated cloud for tests and the demo of provider-regionpool.")
	app.Flag("ack-address", "Address of the ACK API.").Default("127.0.0.1:0").StringVar(&o.ackAddress)
	app.Flag("tke-address", "Address of the Tencent API, for all its products.").Default("127.0.0.1:0").StringVar(&o.tkeAddress)
	app.Flag("admin-address", "Address of the control panel, which is not authenticated.").Default("127.0.0.1:0").StringVar(&o.adminAddress)
	app.Flag("dir", "Folder for the clusters' files, the account and the logs.").Required().StringVar(&o.dir)
	app.Flag("backend", "What clusters are made of: local control planes, or memory only.").Default("local").EnumVar(&o.backend, "local", "memory")
	app.Flag("etcd", "URL of the etcd that keeps the clusters' data.").StringVar(&o.etcd)
	app.Flag("binaries", "Folder with the programs of a control plane.").StringVar(&o.binaries)
	app.Flag("clock-factor", "Virtual seconds in a real second; 0 to step by hand.").Default("60").Float64Var(&o.factor)
	app.Flag("seed", "Seed of everything random.").Default("1").Int64Var(&o.seed)
	app.Flag("config", "YAML file with accounts, quotas, stock, prices, latencies.").StringVar(&o.configFile)
	app.Flag("access-key-id", "Access key id of an account whose secret is in "+secretEnv+".").StringVar(&o.accessKeyID)
	app.Flag("secret-id", "Secret id of a Tencent account whose secret key is in "+tencentSecretEnv+".").StringVar(&o.secretID)
	kingpin.MustParse(app.Parse(os.Args[1:]))

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	if err := run(ctx, o, log); err != nil {
		log.Error("The simulator failed", "error", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options, log *slog.Logger) error {
	if err := os.MkdirAll(o.dir, 0o755); err != nil {
		return fmt.Errorf("cannot make folder: %w", err)
	}
	cfg, err := configuration(o)
	if err != nil {
		return err
	}
	b, stop, err := clusters(o, log)
	if err != nil {
		return err
	}
	defer stop()

	v := clock.New(o.factor)
	go v.Run(ctx)
	c := cloud.New(cfg, v, o.seed, b)
	service := ack.New(ctx, c, log)
	tencent := tke.New(ctx, c, log)

	errs := make(chan error, 3)
	for _, l := range []struct {
		what, address string
		handler       http.Handler
	}{{"ack", o.ackAddress, service}, {"tke", o.tkeAddress, tencent}, {"admin", o.adminAddress, admin.NewHandler(c, service, tencent)}} {
		ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", l.address)
		if err != nil {
			return fmt.Errorf("cannot listen for %s: %w", l.what, err)
		}
		srv := &http.Server{Handler: l.handler, ReadHeaderTimeout: 10 * time.Second}
		defer srv.Close()
		go func() { errs <- srv.Serve(ln) }()
		log.Info("Listening", "for", l.what, "address", ln.Addr().String())
	}
	select {
	case <-ctx.Done():
		return nil
	case err := <-errs:
		return err
	}
}

// clusters returns the backend, and how to stop it.
func clusters(o options, log *slog.Logger) (backend.Backend, func(), error) {
	if o.backend == "memory" {
		return backend.NewMemory(), func() {}, nil
	}
	if o.etcd == "" || o.binaries == "" {
		return nil, nil, errors.New("local control planes need --etcd and --binaries")
	}
	b, err := local.New(o.dir, o.etcd, o.binaries, log)
	if err != nil {
		return nil, nil, err
	}
	return b, b.Stop, nil
}

// configuration from the file, with the accounts of the flags. Without either, an
// account is made up and written to account.json in the folder, or for Tencent
// to tencent-account.json.
func configuration(o options) (config.Config, error) {
	cfg := config.Default()
	if o.configFile != "" {
		var err error
		if cfg, err = config.Load(o.configFile); err != nil {
			return cfg, err
		}
	}
	var err error
	if cfg.Accounts, err = account(cfg.Accounts, o.accessKeyID, secretEnv, "LTAI", filepath.Join(o.dir, "account.json"), "accessKeyId", "accessKeySecret"); err != nil {
		return cfg, err
	}
	if cfg.Tencent.Accounts, err = account(cfg.Tencent.Accounts, o.secretID, tencentSecretEnv, "AKID", filepath.Join(o.dir, "tencent-account.json"), "secretId", "secretKey"); err != nil {
		return cfg, err
	}
	return cfg, cfg.Validate()
}

// account adds the one of a flag to those of the configuration. If there is none
// at all it makes one up, with an id of the vendor's prefix, and writes it to a
// file under the vendor's names.
func account(have []config.Account, id, env, prefix, file, idName, secretName string) ([]config.Account, error) {
	if id != "" {
		secret := os.Getenv(env)
		if secret == "" {
			return nil, fmt.Errorf("the account %s needs its secret in %s", id, env)
		}
		have = append(have, config.Account{AccessKeyID: id, AccessKeySecret: secret})
	}
	if len(have) > 0 {
		return have, nil
	}
	a := config.Account{AccessKeyID: prefix + rand.Text()[:20], AccessKeySecret: rand.Text()}
	b, err := json.MarshalIndent(map[string]string{idName: a.AccessKeyID, secretName: a.AccessKeySecret}, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("cannot encode account: %w", err)
	}
	if err := os.WriteFile(file, b, 0o600); err != nil {
		return nil, fmt.Errorf("cannot write account: %w", err)
	}
	return []config.Account{a}, nil
}
