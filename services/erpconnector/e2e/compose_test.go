package e2e

import (
	"context"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/types"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/setting"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

// loadCompose reads a Compose file as Compose does: schema, variables, merges, and that what is named exists.
func loadCompose(ctx context.Context, text string, environment map[string]string) (*types.Project, error) {
	return loader.LoadWithContext(ctx, types.ConfigDetails{
		WorkingDir: repository, Environment: environment,
		ConfigFiles: []types.ConfigFile{{Filename: "docker-compose.yml", Content: []byte(text)}},
	})
}

func composeText(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(repository + "/docker-compose.yml")
	require.NoError(t, err)
	return string(text)
}

// composeProject is docker-compose.yml under an environment.
func composeProject(t *testing.T, environment map[string]string) *types.Project {
	t.Helper()
	project, err := loadCompose(t.Context(), composeText(t), environment)
	require.NoError(t, err)
	return project
}

func TestComposeFitsTheProgram(t *testing.T) {
	require.Empty(t, composeProblems(composeProject(t, nil)))
}

// Symptom: ERP_RATE=50 docker compose up had no effect.
func TestComposeHandsEverySettingOn(t *testing.T) {
	const set = "set by the user"
	environment := map[string]string{}
	for _, f := range setting.Fields() {
		environment[f.Variable] = set
	}
	for name, s := range composeProject(t, environment).Services {
		for _, f := range setting.Fields() {
			if ours(s) {
				require.Equal(t, set, value(s, f.Variable), "%s of %s", f.Variable, name)
			}
		}
	}
}

// Each variant is docker-compose.yml with one thing wrong, and the words in which it must be found.
func TestComposeProblemsAreFound(t *testing.T) {
	text := composeText(t)
	for name, v := range map[string]struct{ old, broken, found string }{
		"unknown_key":              {"read_only: true", "readonly: true", "readonly"},
		"unknown_service":          {"command: [run, relay]", "command: [run, relais]", `relay: command: there is no service "relais"`},
		"unknown_command":          {"command: [topics, ensure]", "command: [topics, create]", "topics: command"},
		"unknown_flag":             {"command: [migrate]", "command: [migrate, --force]", "migrate: command"},
		"a_service_forgotten":      {"command: [run, delayer]", "command: [run, relay]", "no container runs delayer"},
		"a_service_twice":          {"command: [run, api]", "command: [run, api, relay]", "relay runs in 2 definitions"},
		"unknown_variable":         {"ERP_MAX_IN_FLIGHT: ", "ERP_IN_FLIGHT: ", "syncer: ERP_IN_FLIGHT is no variable"},
		"refused_value":            {"KAFKA_PARTITIONS: ${KAFKA_PARTITIONS:-8}", "KAFKA_PARTITIONS: many", "KAFKA_PARTITIONS is"},
		"a_setting_of_one_service": {"demo-erp-hmac-secret}\n\n  delayer", "demo-erp-hmac-secret}\n      RETRY_MAX_ATTEMPTS: 7\n\n  delayer", "syncer: its settings differ from ingest's"},
		"no_database":              {"DATABASE_URL: ", "LOG_LEVEL_: ", "DATABASE_URL is not set"},
		"unset_required":           {"ERP_API_KEY: ${ERP_API_KEY:-demo-erp-api-key}", "ERP_API_KEY: ${ERP_API_KEY:?set it}", "required variable ERP_API_KEY"},
		"callbacks_refused":        {"ERP_HMAC_SECRET: ${ERP_HMAC_SECRET:-demo-erp-hmac-secret} #", "LOG_LEVEL: info #", "api: ERP_HMAC_SECRET is not mockerp's, so it would refuse the ERP's callbacks"},
		"calls_refused":            {"ERP_HMAC_SECRET: ${ERP_HMAC_SECRET:-demo-erp-hmac-secret}\n\n  delayer", "ERP_HMAC_SECRET: demo\n\n  delayer", "syncer: ERP_HMAC_SECRET is not mockerp's, so the ERP would refuse its calls"},
		"real_secret":              {":-demo-token}", ":-hunter2}", "API_TOKEN is not marked as demo"},
		"another_password":         {"  POSTGRES_PASSWORD: ${POSTGRES_PASSWORD:-demo-postgres-password}", "  POSTGRES_PASSWORD: demo", "DATABASE_URL does not lead to postgres"},
		"health_of_nothing":        {"test: [CMD, /erpconnector, health]", "test: [CMD, /erpconnector, healthy]", "health check"},
		"health_by_a_shell":        {"test: [CMD, /erpconnector, health]", "test: [CMD-SHELL, curl localhost]", "health check"},
		"health_cut_off":           {"timeout: 5s\n    retries: 3", "timeout: 1s\n    retries: 3", "health check is cut off"},
		"port_nobody_listens_on":   {"INGEST_PORT:-8080}:8080", "INGEST_PORT:-8080}:80", "ingest: port 80 is not that of HTTP_ADDR"},
		"port_taken_twice":         {"API_PORT:-8081", "API_PORT:-8080", "published port 8080 is taken"},
		"port_open_to_the_world":   {"127.0.0.1:${API_PORT", "0.0.0.0:${API_PORT", "published to 0.0.0.0"},
		"not_reachable":            {`    ports: ["127.0.0.1:${API_PORT:-8081}:8080"]`, "", "api: publishes no port"},
		"killed_while_stopping":    {"stop_grace_period: 20s", "stop_grace_period: 10s", "stop_grace_period 10s is shorter than 15s"},
		"not_started_again":        {"<<: *program\n  restart: unless-stopped", "<<: *program", "restart"},
		"waits_for_nothing":        {"topics: {condition: service_completed_successfully}", "topics: {condition: service_started}", "must wait until topics has completed"},
		"waits_for_nobody":         {"kafka: {condition: service_healthy}", "kaffka: {condition: service_healthy}", "kaffka"},
		"root":                     {`user: "65532:65532"`, `user: "0"`, "runs as root"},
		"writable_root":            {"read_only: true", "read_only: false", "root file system is writable"},
		"capabilities":             {"  cap_drop: [ALL]\n  security", "  security", "keeps capabilities"},
		"new_privileges":           {"security_opt: [no-new-privileges:true]\n  logging", "logging", "may gain privileges"},
		"endless_log":              {`, max-file: "3"`, "", "log has no limit"},
		"one_syncer":               {"replicas: 2", "replicas: 1", "1 syncers"},
		"other_image":              {"dockerfile: infra/Dockerfile", "dockerfile: Dockerfile", "is not built by infra/Dockerfile"},
		"volume_nobody_declared":   {"  kafka-data: {}", "", "kafka-data"},
		"data_lost_with_upgrades":  {"postgres-data:/var/lib/postgresql]", "postgres-data:/var/lib/postgresql/data]", "postgres: keeps no volume at /var/lib/postgresql"},
		"logs_outside_the_volume":  {"KAFKA_LOG_DIRS: /var/lib/kafka/data", "KAFKA_LOG_DIRS: /tmp/data", "kafka: keeps no volume at /tmp/data"},
		"store_unhealthy":          {`test: [CMD, bash, -c, "</dev/tcp/127.0.0.1/9092"]`, "disable: true", "kafka: has no health check"},
		"image_that_moves":         {"postgres:18.4", "postgres:18", "is not pinned"},
		"untested_kafka":           {"apache/kafka:4.2.0", "apache/kafka:4.0.0", "is not the one tests run on"},
		"too_few_connections":      {"max_connections=200", "max_connections=100", "max_connections"},
		"another_database_host":    {"@postgres:5432", "@db:5432", "DATABASE_URL does not lead to postgres"},
		"another_database_user":    {"POSTGRES_USER: erpconnector", "POSTGRES_USER: admin", "DATABASE_URL does not lead to postgres"},
		"another_broker":           {"KAFKA_BROKERS: kafka:9092", "KAFKA_BROKERS: kafka:9094", "KAFKA_BROKERS is not what kafka advertises"},
		"three_copies_on_one":      {"KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR: 1", "KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR: 3", "KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR"},
		"another_erp":              {"http://mockerp:8080/", "http://mockerp:8081/", "ERP_BASE_URL does not lead to mockerp"},
	} {
		t.Run(name, func(t *testing.T) {
			require.Contains(t, text, v.old)
			project, err := loadCompose(t.Context(), strings.ReplaceAll(text, v.old, v.broken), nil)
			var problems []string
			if err != nil {
				problems = []string{err.Error()}
			} else {
				problems = composeProblems(project)
			}
			require.Contains(t, strings.Join(problems, "\n"), v.found)
		})
	}
}

// The broker's variables are settings that the broker has, and its health check tells it from nobody.
func TestComposeFitsTheBroker(t *testing.T) {
	testkit.OnApache(t, func(t *testing.T, brokers kafka.Config) {
		client, err := kgo.NewClient(kgo.SeedBrokers(brokers.Brokers...))
		require.NoError(t, err)
		defer client.Close()
		configs, err := kadm.NewClient(client).DescribeBrokerConfigs(t.Context(), 1)
		require.NoError(t, err)
		known := map[string]bool{}
		for _, c := range configs[0].Configs {
			known[c.Key] = true
		}
		for name := range composeProject(t, nil).Services["kafka"].Environment {
			setting, isSetting := strings.CutPrefix(name, "KAFKA_")
			if isSetting && name != "KAFKA_HEAP_OPTS" {
				require.True(t, known[strings.ToLower(strings.ReplaceAll(setting, "_", "."))], "%s is no setting of the broker", name)
			}
		}
		health := func(addr string) error {
			_, port, err := net.SplitHostPort(addr)
			require.NoError(t, err)
			test := composeProject(t, nil).Services["kafka"].HealthCheck.Test[1:]
			last := strings.ReplaceAll(test[len(test)-1], "9092", port)
			return exec.CommandContext(t.Context(), test[0], append(test[1:len(test)-1:len(test)-1], last)...).Run() //nolint:gosec // the Compose file's
		}
		require.NoError(t, health(brokers.Brokers[0]))
		require.Error(t, health(testkit.FreeAddr(t)))
	})
}
