package cli

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/gofrs/flock"
	"github.com/spf13/cobra"

	"github.com/erpconnector/erpconnector/services/app"
	"github.com/erpconnector/erpconnector/shared/config"
	"github.com/erpconnector/erpconnector/shared/devkafka"
	"github.com/erpconnector/erpconnector/shared/devpg"
	"github.com/erpconnector/erpconnector/shared/httpapi"
	"github.com/erpconnector/erpconnector/shared/kafka/topics"
)

// DefaultKafkaPort is the embedded broker's unless it is taken.
const DefaultKafkaPort = 9092

// upCommand is the first command of a newcomer. It needs nothing, and says at its end how to publish an order.
func upCommand() *cobra.Command {
	var ephemeral bool
	var port int
	cmd := &cobra.Command{
		Use: "up", Example: "  erpconnector up\n  HTTP_ADDR=:8090 DATA_DIR=~/erp erpconnector up --kafka-port 0", Short: "Run everything on this machine: Postgres, Kafka, a mock ERP and all services", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !devkafka.Keeps && !ephemeral {
				ephemeral = true
				_, _ = fmt.Fprintln(cmd.ErrOrStderr(), "the embedded broker keeps no data on this system, so all of this run's is thrown away at its end")
			}
			return up(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr(), ephemeral, kafkaPort{number: port, asked: cmd.Flags().Changed("kafka-port")})
		},
	}
	cmd.Flags().BoolVar(&ephemeral, "ephemeral", false, "use a throw-away data folder")
	cmd.Flags().IntVar(&port, "kafka-port", DefaultKafkaPort, "port of the embedded broker on 127.0.0.1; 0 takes a free one, as it does by itself when 9092 is taken")
	return cmd
}

// kafkaPort is where the embedded broker shall listen.
type kafkaPort struct {
	number int
	asked  bool // by the flag
}

// up starts what the environment does not name, prepares it, and runs every service. Once all work, out is told where.
func up(ctx context.Context, out, stderr io.Writer, ephemeral bool, port kafkaPort) error {
	cfg, err := config.FromEnv(environment(ctx))
	if err == nil {
		err = port.check(cfg)
	}
	if err == nil {
		err = chooseAddress(ctx, stderr, &cfg)
	}
	if err != nil {
		return err
	}
	remove, err := dataDir(&cfg, ephemeral)
	if err != nil {
		return err
	}
	defer remove()
	unlock, err := lockDir(cfg.DataDir)
	if err != nil {
		return err
	}
	defer unlock()
	if err := devSecrets(&cfg); err != nil {
		return err
	}
	stopServers, err := embed(ctx, stderr, &cfg, port)
	if err != nil {
		return err
	}
	defer stopServers()
	return runServices(ctx, cfg, app.Names(), func() { _, _ = io.WriteString(out, banner(cfg)) })
}

// chooseAddress takes another address where the usual one is taken; one that was asked for does not give way.
func chooseAddress(ctx context.Context, w io.Writer, cfg *config.Config) error {
	err := reachAddress(ctx, cfg.HTTP.Addr)
	asked, _ := environment(ctx)("HTTP_ADDR")
	if !errors.Is(err, errAddressTaken) || asked != "" {
		return err
	}
	taken := cfg.HTTP.Addr
	var lc net.ListenConfig
	free, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("the address %s is taken, and no other was found: %w; name one with HTTP_ADDR", taken, err)
	}
	cfg.HTTP.Addr = free.Addr().String()
	_ = free.Close()
	_, _ = fmt.Fprintf(w, "%s is taken, so the connector listens at %s; commands find it by --url %s, or ERPCONNECTOR_URL\n", taken, cfg.HTTP.Addr, baseURL(*cfg))
	return nil
}

// check refuses a port that there is none of, and one that nothing would listen on.
func (p kafkaPort) check(cfg config.Config) error {
	switch {
	case p.number < 0 || p.number > 65535:
		return fmt.Errorf("--kafka-port is %d; it must be from 0 to 65535", p.number)
	case p.asked && len(cfg.KafkaBrokers) > 0:
		return errors.New("--kafka-port is the embedded broker's, and KAFKA_BROKERS names others: leave one of them out")
	default:
		return nil
	}
}

// dataDir chooses the data folder; remove deletes one that is to be thrown away.
func dataDir(cfg *config.Config, ephemeral bool) (remove func(), err error) {
	remove = func() {}
	if cfg.DataDir == "" {
		cfg.DataDir = defaultDataDir()
	}
	if !ephemeral {
		return remove, nil
	}
	if cfg.DataDir, err = os.MkdirTemp("", "erpconnector-"); err != nil {
		return nil, fmt.Errorf("making a throw-away data folder: %w; another place can be set with TMPDIR", err)
	}
	remove = func() { _ = os.RemoveAll(cfg.DataDir) }
	if err := os.Chmod(cfg.DataDir, 0o711); err != nil { //nolint:gosec // the database's user walks through
		remove()
		return nil, fmt.Errorf("making a throw-away data folder: %w", err)
	}
	return remove, nil
}

// embed starts Postgres and the broker unless they are configured, and prepares both. After an error nothing runs.
func embed(ctx context.Context, w io.Writer, cfg *config.Config, port kafkaPort) (stop func(), err error) {
	var stops []func()
	stopAll := func() {
		for _, s := range slices.Backward(stops) {
			s()
		}
	}
	defer func() {
		if err != nil {
			stopAll()
		}
	}()
	if cfg.DatabaseURL == "" {
		pg, err := devpg.Start(ctx, devpg.Config{Dir: filepath.Join(cfg.DataDir, "postgres"), Mirror: cfg.PostgresMirror})
		if err != nil {
			return nil, err
		}
		stops = append(stops, pg.Stop)
		cfg.DatabaseURL = pg.URL()
	}
	if len(cfg.KafkaBrokers) == 0 {
		broker, err := startBroker(w, filepath.Join(cfg.DataDir, "kafka"), port)
		if err != nil {
			return nil, err
		}
		stops = append(stops, broker.Close)
		cfg.KafkaBrokers = broker.Addrs()
	}
	if _, err := migrate(ctx, cfg.DatabaseURL); err != nil {
		return nil, err
	}
	if err := makeTopics(ctx, *cfg); err != nil {
		return nil, err
	}
	return stopAll, nil
}

// startBroker starts the embedded broker; a port that nobody asked for gives way to a free one.
func startBroker(w io.Writer, dir string, port kafkaPort) (*devkafka.Broker, error) {
	broker, err := devkafka.Start(dir, port.number)
	switch {
	case errors.Is(err, devkafka.ErrPortTaken) && !port.asked:
		if broker, err = devkafka.Start(dir, 0); err == nil {
			_, _ = fmt.Fprintf(w, "port %d is taken, so the embedded broker listens at %s\n", port.number, strings.Join(broker.Addrs(), ","))
		}
	case errors.Is(err, devkafka.ErrPortTaken):
		err = fmt.Errorf("port %d is taken by another program: stop that, or choose another one with --kafka-port (0: any)", port.number)
	}
	return broker, err
}

// makeTopics checks what was there before: a data folder may be of another version, or of other settings.
func makeTopics(ctx context.Context, cfg config.Config) error {
	if err := reachKafka(ctx, cfg.Kafka()); err != nil {
		return err
	}
	a, err := topics.NewAdmin(cfg.Kafka(), cfg.Partitions)
	if err != nil {
		return err
	}
	defer a.Close()
	if _, err := a.Ensure(ctx, false); err != nil {
		return err
	}
	return requireTopics(ctx, cfg)
}

// defaultDataDir is one that Postgres' user can enter too: root's home is closed to it.
func defaultDataDir() string {
	if os.Getuid() == 0 {
		return "/var/lib/erpconnector"
	}
	if local := os.Getenv("LocalAppData"); runtime.GOOS == "windows" && local != "" {
		return filepath.Join(local, "erpconnector")
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
	lock := flock.New(filepath.Join(dir, "lock"), flock.SetFlag(os.O_CREATE|os.O_RDWR), flock.SetPermissions(0o600))
	switch locked, err := lock.TryLock(); {
	case err != nil:
		return nil, fmt.Errorf("writing into the data folder: %w; another one can be set with DATA_DIR", err)
	case !locked:
		return nil, fmt.Errorf("another `erpconnector up` uses %s: stop it, or choose another folder with DATA_DIR", dir)
	}
	return func() { _ = lock.Close() }, nil
}

// TokenFile is where `up` keeps its API token, in the data folder.
const TokenFile = "api-token"

// devSecrets makes the secrets that the environment does not give, once, and keeps them in the data folder.
func devSecrets(cfg *config.Config) error {
	for name, secret := range map[string]*config.Secret{TokenFile: &cfg.HTTP.Token, "erp-api-key": &cfg.ERP.APIKey, "erp-hmac-secret": &cfg.ERP.HMAC} {
		if *secret != "" {
			continue
		}
		file := filepath.Join(cfg.DataDir, name)
		kept, err := config.ReadSecret(file, config.SecretToken)
		if errors.Is(err, os.ErrNotExist) || errors.Is(err, config.ErrSecretEmpty) { // a stop may have left it empty
			random := make([]byte, 24)
			_, _ = rand.Read(random) // never fails
			kept = config.Secret(hex.EncodeToString(random))
			err = os.WriteFile(file, []byte(kept.Reveal()), 0o600)
		}
		if err != nil {
			return fmt.Errorf("keeping a secret in the data folder: %w; another one can be set with DATA_DIR", err)
		}
		*secret = kept
	}
	if cfg.Settings.ErpBaseURL == "" {
		cfg.Settings.ErpBaseURL = baseURL(*cfg) + httpapi.BasePath
		if cfg.HTTP.TLS.Enabled() && cfg.ERP.TLS.CA == "" {
			cfg.ERP.TLS.CA = cfg.HTTP.TLS.Cert // the mock ERP's
		}
	}
	return nil
}

// baseURL is where a process on this machine reaches what is served there. An address that stands for all of the machine's is none to
// connect to on every system.
func baseURL(cfg config.Config) string {
	host, port, err := net.SplitHostPort(cfg.HTTP.Addr)
	if err != nil || host == "" || host == "0.0.0.0" || host == "::" {
		host = "127.0.0.1"
	}
	if !cfg.HTTP.TLS.Enabled() {
		return "http://" + net.JoinHostPort(host, port)
	}
	return "https://" + net.JoinHostPort(certifiedName(cfg.HTTP.TLS, host), port)
}

// certifiedName is the host, or this machine's name for itself where the certificate is for that alone.
func certifiedName(files config.ServerTLS, host string) string {
	const itself = "localhost"
	pair, err := tls.LoadX509KeyPair(files.Cert, files.Key)
	if err != nil || pair.Leaf.VerifyHostname(host) == nil || pair.Leaf.VerifyHostname(itself) != nil {
		return host
	}
	return itself
}

// banner says where everything is, and holds commands that work when they are copied.
func banner(cfg config.Config) string {
	base, token, trust, export := baseURL(cfg), cfg.HTTP.Token.Reveal(), "", ""
	if cert := cfg.HTTP.TLS.Cert; cert != "" {
		trust, export = " --cacert "+cert, " SSL_CERT_FILE="+cert
	}
	return fmt.Sprintf(`
ERP Connector is up. This is for development: production is a Postgres and a Kafka cluster of yours,
named by DATABASE_URL and KAFKA_BROKERS (erpconnector run).

  console   %s/console
  API       %s%s
  token     %s
  Postgres  %s
  Kafka     %s
  mock ERP  %s/mockerp/stats
  data      %s

Publish an invoice:

curl -sS%s %s%s/events -H 'Authorization: Bearer %s' -H 'Content-Type: application/json' -d '{"event_id":"evt-1","type":"invoice.created","invoice":{"increment_id":"000000045","grand_total":"229.98"},"order":{"order_increment_id":"000000123","order_id":123,"currency":"EUR","customer_email":"jane@example.com","customer_firstname":"Jane","customer_lastname":"Doe","items":[{"item_id":1,"parent_item_id":null,"sku":"SCOOT-1","name":"City scooter","qty":"2","price":"99.99","row_total":"199.98"}],"totals":{"subtotal":"199.98","tax":"20.00","shipping":"10.00","discount":"0.00","grand_total":"229.98"},"billing_address":{"firstname":"Jane","lastname":"Doe","street":["High Street 1"],"city":"Berlin","postcode":"10115","country_id":"DE"},"created_at":"2024-01-15 10:00:00","updated_at":"2024-01-15 10:00:00"}}'

See where it stands:

curl -sS%s %s%s/sync-status/000000123 -H 'Authorization: Bearer %s'

Or watch a minute of sample orders, from another shell:

export API_TOKEN=%s%s
%s demo --url %s

What works on the stores (replay, verify, audit, and others where no --url is given) takes:

export DATABASE_URL='%s' KAFKA_BROKERS='%s'

Ctrl-C stops.
`, base, base, httpapi.BasePath, token, cfg.DatabaseURL, strings.Join(cfg.KafkaBrokers, ","), base, cfg.DataDir,
		trust, base, httpapi.BasePath, token, trust, base, httpapi.BasePath, token, token, export, self(), base, cfg.DatabaseURL, strings.Join(cfg.KafkaBrokers, ","))
}
