package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/erpconnector/erpconnector/shared/devkafka"
	"github.com/erpconnector/erpconnector/shared/devpg"
	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/platform"
)

var lookup = os.LookupEnv

func upCommand() *cobra.Command {
	var ephemeral bool
	var port int
	cmd := &cobra.Command{
		Use: "up", Short: "Run everything on this machine: Postgres, Kafka, a mock ERP and all services", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return up(cmd.Context(), ephemeral, port) },
	}
	cmd.Flags().BoolVar(&ephemeral, "ephemeral", false, "use a throw-away data folder")
	cmd.Flags().IntVar(&port, "kafka-port", 9092, "port of the embedded broker on 127.0.0.1; 0 takes a free one")
	return cmd
}

// up starts what the environment does not name, prepares it, and runs every service.
func up(ctx context.Context, ephemeral bool, kafkaPort int) error {
	cfg, err := platform.FromEnv(lookup)
	if err != nil {
		return err
	}
	if cfg.DataDir == "" {
		cfg.DataDir = defaultDataDir()
	}
	if ephemeral {
		if cfg.DataDir, err = os.MkdirTemp("", "erpconnector-"); err != nil {
			return err
		}
		defer func() { _ = os.RemoveAll(cfg.DataDir) }()
		if err := os.Chmod(cfg.DataDir, 0o711); err != nil { //nolint:gosec // the database's user walks through
			return err
		}
	}
	unlock, err := lockDir(cfg.DataDir)
	if err != nil {
		return err
	}
	defer unlock()
	if err := devSecrets(&cfg); err != nil {
		return err
	}
	stop, err := embed(ctx, &cfg, kafkaPort)
	if err != nil {
		return err
	}
	defer stop()
	return runServices(cfg, slices.Sorted(maps.Keys(services)), func() { banner(cfg) })
}

// embed starts Postgres and the broker unless they are configured, and prepares both.
func embed(ctx context.Context, cfg *platform.Config, kafkaPort int) (stop func(), err error) {
	var stops []func()
	stop = func() {
		for _, s := range slices.Backward(stops) {
			s()
		}
	}
	defer func() {
		if err != nil {
			stop()
		}
	}()
	if cfg.DatabaseURL == "" {
		pg, err := devpg.Start(ctx, devpg.Config{Dir: filepath.Join(cfg.DataDir, "postgres")})
		if err != nil {
			return nil, err
		}
		stops = append(stops, pg.Stop)
		cfg.DatabaseURL = pg.URL()
	}
	if len(cfg.KafkaBrokers) == 0 {
		broker, err := devkafka.Start(filepath.Join(cfg.DataDir, "kafka"), kafkaPort)
		if err != nil {
			return nil, err
		}
		stops = append(stops, broker.Close)
		cfg.KafkaBrokers = broker.Addrs()
	}
	if _, err := migrate(ctx, cfg.DatabaseURL); err != nil {
		return nil, err
	}
	a, err := kafka.NewAdmin(cfg.Kafka(), cfg.Partitions)
	if err != nil {
		return nil, err
	}
	defer a.Close()
	if _, err := a.Ensure(ctx, false); err != nil {
		return nil, err
	}
	return stop, requireTopics(ctx, *cfg)
}

// defaultDataDir is one that Postgres' user can enter too: root's home is closed to it.
func defaultDataDir() string {
	if os.Getuid() == 0 {
		return "/var/lib/erpconnector"
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return filepath.Join(os.TempDir(), "erpconnector")
	}
	return filepath.Join(home, ".local", "share", "erpconnector")
}

// lockDir keeps a second `up` off the same data.
func lockDir(dir string) (unlock func(), err error) {
	if err := os.MkdirAll(dir, 0o711); err != nil { //nolint:gosec // the database's user walks through
		return nil, fmt.Errorf("making the data folder: %w; another one can be set with DATA_DIR", err)
	}
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("another `erpconnector up` uses %s: stop it, or choose another folder with DATA_DIR", dir)
	}
	return func() { _ = f.Close() }, nil
}

// tokenFile is where `up` keeps its API token, in the data folder.
const tokenFile = "api-token"

// devSecrets makes the secrets that the environment does not give, once, and keeps them in the data folder.
func devSecrets(cfg *platform.Config) error {
	for name, secret := range map[string]*platform.Secret{tokenFile: &cfg.APIToken, "erp-api-key": &cfg.ErpAPIKey, "erp-hmac-secret": &cfg.ErpHMAC} {
		if *secret != "" {
			continue
		}
		file := filepath.Join(cfg.DataDir, name)
		kept, err := platform.ReadSecret(file, platform.SecretToken)
		if errors.Is(err, os.ErrNotExist) {
			random := make([]byte, 24)
			_, _ = rand.Read(random) // never fails
			kept = platform.Secret(hex.EncodeToString(random))
			err = os.WriteFile(file, []byte(kept.Reveal()), 0o600)
		}
		if err != nil {
			return err
		}
		*secret = kept
	}
	if cfg.Settings.ErpBaseURL == "" {
		cfg.Settings.ErpBaseURL = baseURL(*cfg) + platform.BasePath
	}
	return nil
}

func baseURL(cfg platform.Config) string {
	host, port, err := net.SplitHostPort(cfg.HTTPAddr)
	if err != nil || host == "" || host == "0.0.0.0" || host == "::" {
		host = "127.0.0.1"
	}
	return "http://" + net.JoinHostPort(host, port)
}

func banner(cfg platform.Config) {
	base, token := baseURL(cfg), cfg.APIToken.Reveal()
	fmt.Printf(`
ERP Connector is up. This is for development: production is a Postgres and a Kafka cluster of yours,
named by DATABASE_URL and KAFKA_BROKERS (erpconnector run).

  API       %s%s
  token     %s
  Postgres  %s
  Kafka     %s
  mock ERP  %s/mockerp/stats
  data      %s

Publish an invoice:

curl -sS %s%s/events -H 'Authorization: Bearer %s' -H 'Content-Type: application/json' -d '{"event_id":"evt-1","type":"invoice.created","invoice":{"increment_id":"000000045","grand_total":"229.98"},"order":{"order_increment_id":"000000123","order_id":123,"currency":"EUR","customer_email":"jane@example.com","customer_firstname":"Jane","customer_lastname":"Doe","items":[{"item_id":1,"parent_item_id":null,"sku":"SCOOT-1","name":"City scooter","qty":"2","price":"99.99","row_total":"199.98"}],"totals":{"subtotal":"199.98","tax":"20.00","shipping":"10.00","discount":"0.00","grand_total":"229.98"},"billing_address":{"firstname":"Jane","lastname":"Doe","street":["High Street 1"],"city":"Berlin","postcode":"10115","country_id":"DE"},"created_at":"2024-01-15 10:00:00","updated_at":"2024-01-15 10:00:00"}}'

See where it stands:

curl -sS %s%s/sync-status/000000123 -H 'Authorization: Bearer %s'

Or watch a minute of sample orders, from another shell:

export API_TOKEN=%s
%s demo --url %s

Ctrl-C stops.
`, base, platform.BasePath, token, cfg.DatabaseURL, strings.Join(cfg.KafkaBrokers, ","), base, cfg.DataDir,
		base, platform.BasePath, token, base, platform.BasePath, token, token, self(), base)
}
