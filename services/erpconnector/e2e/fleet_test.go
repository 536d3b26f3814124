package e2e

import (
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/services/app"
	"github.com/erpconnector/erpconnector/shared/config"
	"github.com/erpconnector/erpconnector/shared/httpapi"
	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

// fleet is docker-compose.yml as processes on this machine: of each of our containers the image's program, the command
// and the environment, with the addresses of the test's servers.
type fleet struct {
	t       *testing.T
	img     image
	project *types.Project
	cfg     config.Config
	addr    map[string]string // of the first process of each service
	members []*member
	more    func(service string) []string // environment that is not in the Compose file; may be nil
}

// member is one process of the fleet.
type member struct {
	*process
	service types.ServiceConfig
	addr    string
	env     []string
}

// fleetWithERP is a fleet of the binary that calls an ERP of the test's own, and a pool of its database.
func fleetWithERP(t *testing.T, binary string, brokers kafka.Config, set map[string]string) (*fleet, *pgxpool.Pool) {
	t.Helper()
	f := newFleet(t, image{root: filepath.Dir(binary), entrypoint: "/" + filepath.Base(binary), bare: true}, brokers, set)
	delete(f.project.Services, "mockerp")
	pool, err := pgxpool.New(t.Context(), f.cfg.DatabaseURL)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	return f, pool
}

// newFleet reads the Compose file with short delays and what else the test sets; nothing runs yet.
func newFleet(t *testing.T, img image, brokers kafka.Config, set map[string]string) *fleet {
	t.Helper()
	const partitions = 4
	environment := map[string]string{
		"API_TOKEN": "token", "ERP_API_KEY": "key", "ERP_HMAC_SECRET": "secret", "ERP_MAX_IN_FLIGHT": "16", "ERP_TIMEOUT": "1s",
		"RETRY_BASE_DELAY": "100ms", "RETRY_MAX_ATTEMPTS": "3", "LOG_LEVEL": "warn",
		"KAFKA_TOPIC_PREFIX": brokers.Prefix, "KAFKA_PARTITIONS": strconv.Itoa(partitions),
	}
	maps.Copy(environment, set)
	f := &fleet{
		t: t, img: img, project: composeProject(t, environment), addr: map[string]string{},
		cfg: config.Config{
			DatabaseURL: testkit.Postgres(t).URL, KafkaBrokers: brokers.Brokers, TopicPrefix: brokers.Prefix, Partitions: partitions,
		},
	}
	for name, v := range set {
		require.True(t, slices.ContainsFunc(slices.Collect(maps.Values(f.project.Services)), func(s types.ServiceConfig) bool { return value(s, name) == v }),
			"docker-compose.yml hands %s to no container", name)
	}
	for name, s := range f.project.Services {
		if ours(s) {
			f.addr[name] = testkit.FreeAddr(t)
		}
	}
	return f
}

// up runs what the services wait for, then all of them, and waits until each container's health check passes.
func (f *fleet) up() {
	f.t.Helper()
	names := slices.Sorted(maps.Keys(f.project.Services))
	for _, name := range names {
		if s := f.project.Services[name]; ours(s) && oneShot(s) {
			cmd := f.img.command(s.Command...)
			cmd.Env = f.environment(s, f.addr[name])
			out, err := cmd.CombinedOutput()
			require.NoError(f.t, err, "%s: %s", name, out)
		}
	}
	for _, name := range names {
		if s := f.project.Services[name]; ours(s) && !oneShot(s) {
			f.start(s, f.addr[name])
			for range s.GetScale() - 1 {
				f.start(s, testkit.FreeAddr(f.t))
			}
		}
	}
	for _, m := range f.members {
		f.awaitHealth(m)
	}
}

func (f *fleet) start(s types.ServiceConfig, addr string) *member {
	f.t.Helper()
	m := &member{service: s, addr: addr, env: f.environment(s, addr)}
	cmd := f.img.command(s.Command...)
	cmd.Env = m.env
	m.process = launch(f.t, cmd)
	f.members = append(f.members, m)
	return m
}

// environment is the container's, with the test's addresses in place of the network's.
func (f *fleet) environment(s types.ServiceConfig, addr string) (env []string) {
	for name := range s.Environment {
		v := value(s, name)
		switch name {
		case "DATABASE_URL":
			v = f.cfg.DatabaseURL
		case "KAFKA_BROKERS":
			v = strings.Join(f.cfg.KafkaBrokers, ",")
		case "HTTP_ADDR":
			v = addr
		case "ERP_BASE_URL":
			v = strings.Replace(v, "mockerp:8080", f.addr["mockerp"], 1)
		}
		env = append(env, name+"="+v)
	}
	if f.more != nil {
		env = append(env, f.more(s.Name)...)
	}
	return env
}

// awaitHealth runs the container's own health check until it passes.
func (f *fleet) awaitHealth(m *member) {
	f.t.Helper()
	var said []byte
	testkit.Eventually(f.t, func() bool {
		check := f.img.command(m.service.HealthCheck.Test[2:]...)
		check.Env = m.env
		var err error
		said, err = check.CombinedOutput()
		return err == nil
	}, "%s is not healthy: %s", m.service.Name, said)
}

// stop ends every process as `docker compose stop` does; each must end well before it would be killed.
func (f *fleet) stop() {
	f.t.Helper()
	for _, m := range f.members {
		require.NoError(f.t, m.cmd.Process.Signal(syscall.SIGTERM))
	}
	deadline := time.Now()
	for _, m := range f.members {
		select {
		case <-m.done:
		case <-time.After(time.Until(deadline.Add(time.Duration(*m.service.StopGracePeriod)))):
			require.Fail(f.t, "not stopped in time", m.service.Name)
		}
		require.Zero(f.t, m.cmd.ProcessState.ExitCode(), "%s: %s", m.service.Name, m.cmd.ProcessState)
	}
}

func (f *fleet) product() *product {
	at := map[string]string{}
	for name, addr := range f.addr {
		at[name] = "http://" + addr
	}
	return &product{t: f.t, cfg: f.cfg, at: at}
}

// files lists what the image's folder holds.
func (i image) files(t *testing.T) (files []string) {
	t.Helper()
	require.NoError(t, filepath.WalkDir(i.root, func(path string, _ fs.DirEntry, err error) error {
		files = append(files, path)
		return err
	}))
	return files
}

// TestTheComposedSet puts orders through the containers of docker-compose.yml, run as processes.
func TestTheComposedSet(t *testing.T) {
	t.Parallel()
	img := buildImage(t)
	files := img.files(t)
	testkit.OnApacheFirst(t, func(t *testing.T, brokers kafka.Config) {
		f := newFleet(t, img, brokers, nil)
		f.up()
		require.Len(t, f.members, len(app.Names())+1, "one process of each service, two syncers")
		flow(t, f.product())
		f.stop()
		require.Equal(t, files, img.files(t), "a service wrote into the read-only root")
	})
}

func TestTheComposedSetWithOtherSettings(t *testing.T) {
	t.Parallel()
	img := buildImage(t)
	t.Run("the_connector_is_off", func(t *testing.T) {
		testkit.OnEmbedded(t, func(t *testing.T, brokers kafka.Config) {
			f := newFleet(t, img, brokers, map[string]string{"CONNECTOR_ENABLED": "false"})
			f.up()
			heldOrderWaits(t, f.product())
			f.stop()
		})
	})
	t.Run("the_erp_cannot_be_reached", func(t *testing.T) {
		testkit.OnEmbedded(t, func(t *testing.T, brokers kafka.Config) {
			addr := testkit.FreeAddr(t)
			f := newFleet(t, img, brokers, map[string]string{"ERP_BASE_URL": "http://" + addr + httpapi.BasePath, "RETRY_MAX_ATTEMPTS": "10"})
			f.up()
			erpComesBack(t, f.product(), addr)
			f.stop()
		})
	})
}
