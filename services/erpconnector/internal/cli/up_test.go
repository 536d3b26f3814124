package cli

import (
	"bytes"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/config"
	"github.com/erpconnector/erpconnector/shared/httpapi"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

func TestKafkaPort(t *testing.T) {
	t.Parallel()
	elsewhere := config.Config{KafkaBrokers: []string{"a:1"}}
	for name, c := range map[string]struct {
		port kafkaPort
		cfg  config.Config
		want string
	}{
		"the_usual":                {kafkaPort{number: DefaultKafkaPort}, config.Config{}, ""},
		"any":                      {kafkaPort{number: 0, asked: true}, config.Config{}, ""},
		"the_highest":              {kafkaPort{number: 65535, asked: true}, config.Config{}, ""},
		"too_high":                 {kafkaPort{number: 65536, asked: true}, config.Config{}, "--kafka-port is 65536; it must be from 0 to 65535"},
		"negative":                 {kafkaPort{number: -1, asked: true}, config.Config{}, "--kafka-port is -1; it must be from 0 to 65535"},
		"brokers_are_named":        {kafkaPort{number: DefaultKafkaPort}, elsewhere, ""},
		"a_port_that_nobody_takes": {kafkaPort{number: DefaultKafkaPort, asked: true}, elsewhere, "--kafka-port is the embedded broker's, and KAFKA_BROKERS names others: leave one of them out"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := c.port.check(c.cfg)
			if c.want == "" {
				require.NoError(t, err)
				return
			}
			require.EqualError(t, err, c.want)
		})
	}
}

// A port that nobody asked for gives way, and the user is told where the broker is; one that was asked for does not.
func TestTheBrokersPortIsTaken(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { _ = l.Close() }()
	_, text, err := net.SplitHostPort(l.Addr().String())
	require.NoError(t, err)
	port, err := strconv.Atoi(text)
	require.NoError(t, err)

	var out bytes.Buffer
	_, err = startBroker(&out, t.TempDir(), kafkaPort{number: port, asked: true})
	require.EqualError(t, err, "port "+text+" is taken by another program: stop that, or choose another one with --kafka-port (0: any)")
	require.Empty(t, out.String())

	broker, err := startBroker(&out, t.TempDir(), kafkaPort{number: port})
	require.NoError(t, err)
	defer broker.Close()
	require.Equal(t, "port "+text+" is taken, so the embedded broker listens at "+broker.Addrs()[0]+"\n", out.String())

	out.Reset()
	free, err := startBroker(&out, t.TempDir(), kafkaPort{asked: true})
	require.NoError(t, err)
	defer free.Close()
	require.Empty(t, out.String(), "nothing is worth a word")
}

func TestDataDir(t *testing.T) {
	t.Parallel()
	t.Run("the_named_one_stays", func(t *testing.T) {
		t.Parallel()
		cfg := config.Config{DataDir: t.TempDir()}
		named := cfg.DataDir
		remove, err := dataDir(&cfg, false)
		require.NoError(t, err)
		remove()
		require.Equal(t, named, cfg.DataDir)
		require.DirExists(t, named)
	})
	t.Run("a_throw_away_one_goes", func(t *testing.T) {
		t.Parallel()
		cfg := config.Config{DataDir: "/named"}
		remove, err := dataDir(&cfg, true)
		require.NoError(t, err)
		require.NotEqual(t, "/named", cfg.DataDir)
		info, err := os.Stat(cfg.DataDir)
		require.NoError(t, err)
		if runtime.GOOS != "windows" {
			require.Equal(t, os.FileMode(0o711), info.Mode().Perm(), "the database's user walks through")
		}
		require.NoError(t, os.WriteFile(filepath.Join(cfg.DataDir, "file"), nil, 0o600))
		remove()
		require.NoDirExists(t, cfg.DataDir)
	})
	t.Run("there_is_always_one", func(t *testing.T) {
		t.Parallel()
		var cfg config.Config
		_, err := dataDir(&cfg, false)
		require.NoError(t, err)
		require.Equal(t, defaultDataDir(), cfg.DataDir)
		require.True(t, filepath.IsAbs(cfg.DataDir), cfg.DataDir)
		require.Contains(t, cfg.DataDir, "erpconnector")
	})
}

// Two on the same data would destroy it; the second is told whose it is.
func TestADataFolderHasOneUser(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "below", "data")
	unlock, err := lockDir(dir)
	require.NoError(t, err)
	_, err = lockDir(dir)
	require.EqualError(t, err, "another `erpconnector up` uses "+dir+": stop it, or choose another folder with DATA_DIR")
	unlock()
	unlock, err = lockDir(dir)
	require.NoError(t, err, "it was given back")
	unlock()

	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	_, err = lockDir(file)
	require.ErrorContains(t, err, "; another one can be set with DATA_DIR")
	require.NoError(t, os.Mkdir(file+".d", 0o700))
	require.NoError(t, os.Mkdir(filepath.Join(file+".d", "lock"), 0o700))
	_, err = lockDir(file + ".d")
	require.ErrorContains(t, err, "writing into the data folder: ")
}

// Secrets are made once, kept for their owner alone, and never stand in the place of those that the environment gives.
func TestSecretsOfUp(t *testing.T) {
	t.Parallel()
	secrets := func(dir string, cfg config.Config) config.Config {
		cfg.DataDir, cfg.HTTP.Addr = dir, ":8080"
		require.NoError(t, devSecrets(&cfg))
		return cfg
	}
	dir := t.TempDir()
	first := secrets(dir, config.Config{})
	seen := map[string]bool{}
	for file, secret := range map[string]config.Secret{TokenFile: first.HTTP.Token, "erp-api-key": first.ERP.APIKey, "erp-hmac-secret": first.ERP.HMAC} {
		require.Len(t, secret.Reveal(), 48)
		seen[secret.Reveal()] = true
		info, err := os.Stat(filepath.Join(dir, file))
		require.NoError(t, err)
		if runtime.GOOS != "windows" {
			require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
		}
	}
	require.Len(t, seen, 3, "each is another one")
	require.Equal(t, "http://127.0.0.1:8080"+httpapi.BasePath, first.Settings.ErpBaseURL, "the mock ERP is beside it")
	require.Equal(t, first, secrets(dir, config.Config{}), "a restart keeps them")

	require.NoError(t, os.Truncate(filepath.Join(dir, TokenFile), 0))
	again := secrets(dir, config.Config{})
	require.NotEqual(t, first.HTTP.Token, again.HTTP.Token, "a stop amid the writing has left the file empty")
	require.Equal(t, first.ERP.HMAC, again.ERP.HMAC)

	other := t.TempDir()
	given := config.Config{HTTP: config.HTTP{Token: "given"}, ERP: config.ERP{APIKey: "key", HMAC: "secret"}}
	given.Settings.ErpBaseURL = "https://erp"
	kept := secrets(other, given)
	require.Equal(t, []config.Secret{"given", "key", "secret"}, []config.Secret{kept.HTTP.Token, kept.ERP.APIKey, kept.ERP.HMAC})
	require.Equal(t, "https://erp", kept.Settings.ErpBaseURL)
	left, err := os.ReadDir(other)
	require.NoError(t, err)
	require.Empty(t, left)

	require.ErrorContains(t, devSecrets(&config.Config{DataDir: filepath.Join(other, "missing")}), "keeping a secret in the data folder: ")
	require.NoError(t, os.WriteFile(filepath.Join(other, TokenFile), []byte("two\nlines"), 0o600))
	require.ErrorContains(t, devSecrets(&config.Config{DataDir: other, ERP: given.ERP}), "; another one can be set with DATA_DIR")
}

// Who serves at every address is reached at the machine's own.
func TestBaseURL(t *testing.T) {
	t.Parallel()
	for addr, want := range map[string]string{
		":8080": "http://127.0.0.1:8080", "0.0.0.0:80": "http://127.0.0.1:80", "[::]:80": "http://127.0.0.1:80", "10.0.0.1:80": "http://10.0.0.1:80",
		"[::1]:80": "http://[::1]:80", "localhost:9": "http://localhost:9",
	} {
		require.Equal(t, want, baseURL(config.Config{HTTP: config.HTTP{Addr: addr}}))
	}
}

// All that a newcomer copies from the screen names this server and its token.
func TestTheBannerIsReadyToCopy(t *testing.T) {
	t.Parallel()
	text := banner(config.Config{
		HTTP: config.HTTP{Addr: ":8181", Token: "t0ken"}, DatabaseURL: "postgres://db", KafkaBrokers: []string{"a:1", "b:2"}, DataDir: "/data",
	})
	require.NotContains(t, text, "%!")
	for _, want := range []string{
		"  console   http://127.0.0.1:8181/console\n", "  API       http://127.0.0.1:8181" + httpapi.BasePath + "\n", "  token     t0ken\n", "  Postgres  postgres://db\n", "  Kafka     a:1,b:2\n",
		"  mock ERP  http://127.0.0.1:8181/mockerp/stats\n", "  data      /data\n",
		"\ncurl -sS http://127.0.0.1:8181" + httpapi.BasePath + "/events -H 'Authorization: Bearer t0ken' ",
		"\ncurl -sS http://127.0.0.1:8181" + httpapi.BasePath + "/sync-status/000000123 -H 'Authorization: Bearer t0ken'\n",
		"\nexport DATABASE_URL='postgres://db' KAFKA_BROKERS='a:1,b:2'\n", "\nexport API_TOKEN=t0ken\n", " demo --url http://127.0.0.1:8181\n", "Ctrl-C stops.\n",
	} {
		require.Contains(t, text, want)
	}
	for line := range strings.SplitSeq(text, "\n") {
		require.Equal(t, strings.TrimRight(line, " "), line)
	}
}

// Nothing is started for a command line that cannot be.
func TestUpThatCannotBe(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	for want, env := range map[string]variables{
		`HTTP_ADDR is "nonsense"; it must be host:port`: {"HTTP_ADDR": "nonsense", "DATA_DIR": dir},
		"--kafka-port is the embedded broker's":         {"KAFKA_BROKERS": "127.0.0.1:1", "DATA_DIR": dir},
		"HTTP cannot be served at 192.0.2.1:80":         {"HTTP_ADDR": "192.0.2.1:80", "DATA_DIR": dir},
	} {
		require.ErrorContains(t, up(WithEnvironment(t.Context(), env.lookup), io.Discard, io.Discard, false, kafkaPort{asked: true}), want)
		require.NoDirExists(t, dir)
	}
}

// A start that fails leaves no throw-away folder, and no broker that holds a port: whichever part of it failed.
func TestAStartThatFailsLeavesNothing(t *testing.T) {
	temporary := t.TempDir()
	t.Setenv("TMPDIR", temporary)
	t.Setenv("TMP", temporary) // on Windows
	port, err := strconv.Atoi(strings.TrimPrefix(testkit.FreeAddr(t), "127.0.0.1:"))
	require.NoError(t, err)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { _ = listener.Close() }()
	for want, env := range map[string]variables{
		"nothing listens at 127.0.0.1:1: start Postgres there, or name another address in DATABASE_URL": {"DATABASE_URL": "postgres://u:p@127.0.0.1:1/d"},
		"DATABASE_URL cannot be read: write postgres://user:password@host:5432/database":                {"DATABASE_URL": "nonsense"},
		"is taken by another program: stop that, or name another one with HTTP_ADDR":                    {"DATABASE_URL": "nonsense", "HTTP_ADDR": listener.Addr().String()},
	} {
		if env["HTTP_ADDR"] == "" {
			env["HTTP_ADDR"] = testkit.FreeAddr(t)
		}
		var out, stderr bytes.Buffer
		err := up(WithEnvironment(t.Context(), env.lookup), &out, &stderr, true, kafkaPort{number: port, asked: true})
		require.ErrorContains(t, err, want)
		require.Empty(t, out.String(), "nothing is up")
		require.Empty(t, stderr.String())
		left, err := os.ReadDir(temporary)
		require.NoError(t, err)
		require.Empty(t, left)
		free, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(port))
		require.NoError(t, err, "the broker has ended")
		require.NoError(t, free.Close())
	}
	t.Setenv("TMPDIR", temporary+"/missing")
	if runtime.GOOS != "windows" {
		_, err = dataDir(&config.Config{}, true)
		require.ErrorContains(t, err, "making a throw-away data folder: ")
		require.ErrorContains(t, err, "; another place can be set with TMPDIR")
	}
}

func configAt(addr string) config.Config { return config.Config{HTTP: config.HTTP{Addr: addr}} }
