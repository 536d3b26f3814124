package e2e

import (
	"fmt"
	"maps"
	"net"
	"net/url"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/compose-spec/compose-go/v2/types"

	"github.com/erpconnector/erpconnector/services/app"
	"github.com/erpconnector/erpconnector/services/erpconnector/internal/cli"
	"github.com/erpconnector/erpconnector/shared/config"
	"github.com/erpconnector/erpconnector/shared/httpapi"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

const entrypoint = "/erpconnector" // of infra/Dockerfile

// connectionsOf is what one process opens at Postgres: its pool, a lease's session and the relay's listening one.
const connectionsOf = 16 + 2

// composeProblems is everything in which a Compose project does not fit the program; none means that it does.
func composeProblems(p *types.Project) (problems []string) {
	for _, name := range slices.Sorted(maps.Keys(p.Services)) {
		s := p.Services[name]
		checks := []func(*types.Project, types.ServiceConfig) []string{checkStore}
		if ours(s) {
			checks = []func(*types.Project, types.ServiceConfig) []string{checkCommand, checkEnvironment, checkSettings, checkHardening, checkAddresses}
		}
		if ours(s) && !oneShot(s) {
			checks = append(checks, checkSupervision, checkHealth, checkPorts)
		}
		for _, check := range append(checks, checkLog) {
			for _, problem := range check(p, s) {
				problems = append(problems, name+": "+problem)
			}
		}
	}
	return append(problems, checkSet(p)...)
}

func ours(s types.ServiceConfig) bool { return strings.HasPrefix(s.Image, "erpconnector:") }

// oneShot tells a command that ends by itself.
func oneShot(s types.ServiceConfig) bool { return len(s.Command) == 0 || s.Command[0] != "run" }

func lookupOf(s types.ServiceConfig) config.Lookup {
	return func(name string) (string, bool) {
		v := s.Environment[name]
		if v == nil {
			return "", false
		}
		return *v, true
	}
}

func value(s types.ServiceConfig, name string) string {
	v, _ := lookupOf(s)(name)
	return v
}

func checkCommand(_ *types.Project, s types.ServiceConfig) (problems []string) {
	if err := parses(s.Command); err != nil {
		problems = append(problems, "command: "+err.Error())
	}
	if s.Build == nil || s.Build.Dockerfile != "infra/Dockerfile" {
		problems = append(problems, "its image is not built by infra/Dockerfile")
	}
	return problems
}

func checkEnvironment(p *types.Project, s types.ServiceConfig) (problems []string) {
	known, secret := map[string]bool{}, map[string]bool{}
	for _, v := range config.Variables() {
		known[v.Name], secret[v.Name] = true, v.Secret
		known[v.Name+"_FILE"] = v.Secret
	}
	for name := range s.Environment {
		if !known[name] {
			problems = append(problems, name+" is no variable of the program")
		}
		if v := value(s, name); secret[name] && v != "" && !strings.Contains(v, "demo") { // one that is handed on when you set it is none here
			problems = append(problems, name+" is not marked as demo")
		}
	}
	if _, err := cli.CompleteConfig(lookupOf(s)); err != nil {
		problems = append(problems, err.Error())
	}
	return append(problems, checkSigning(p, s)...)
}

// checkSigning: who signs what the ERP checks, and who checks what the ERP signs, has the ERP's secret.
func checkSigning(p *types.Project, s types.ServiceConfig) (problems []string) {
	for service, or := range map[string]string{"syncer": "the ERP would refuse its calls", "api": "it would refuse the ERP's callbacks"} {
		if !oneShot(s) && slices.Contains(s.Command, service) && value(s, "ERP_HMAC_SECRET") != value(p.Services["mockerp"], "ERP_HMAC_SECRET") {
			problems = append(problems, "ERP_HMAC_SECRET is not mockerp's, so "+or)
		}
	}
	return problems
}

// checkSettings compares with ingest: each setting is read by some services, and by which ones may change.
func checkSettings(p *types.Project, s types.ServiceConfig) []string {
	first, err := config.FromEnv(lookupOf(p.Services["ingest"]))
	own, failed := config.FromEnv(lookupOf(s))
	if err == nil && failed == nil && !reflect.DeepEqual(first.Settings, own.Settings) {
		return []string{"its settings differ from ingest's"}
	}
	return nil
}

func checkHardening(_ *types.Project, s types.ServiceConfig) (problems []string) {
	if uid, _, _ := strings.Cut(s.User, ":"); !regexp.MustCompile(`^[1-9][0-9]*$`).MatchString(uid) {
		problems = append(problems, fmt.Sprintf("runs as root or by a name: user is %q", s.User))
	}
	if !s.ReadOnly {
		problems = append(problems, "root file system is writable")
	}
	if !slices.Equal(s.CapDrop, []string{"ALL"}) || len(s.CapAdd) > 0 || s.Privileged {
		problems = append(problems, "keeps capabilities")
	}
	if !slices.Contains(s.SecurityOpt, "no-new-privileges:true") {
		problems = append(problems, "may gain privileges")
	}
	return problems
}

// checkAddresses follows each address to the container that it names.
func checkAddresses(p *types.Project, s types.ServiceConfig) (problems []string) {
	pg := p.Services["postgres"]
	at, err := url.Parse(value(s, "DATABASE_URL"))
	if err == nil {
		password, _ := at.User.Password()
		want := []string{"postgres:5432", value(pg, "POSTGRES_USER"), value(pg, "POSTGRES_PASSWORD"), "/" + value(pg, "POSTGRES_DB")}
		if !slices.Equal(want, []string{at.Host, at.User.Username(), password, at.Path}) {
			problems = append(problems, "DATABASE_URL does not lead to postgres")
		}
	}
	if value(p.Services["kafka"], "KAFKA_ADVERTISED_LISTENERS") != "PLAINTEXT://"+value(s, "KAFKA_BROKERS") {
		problems = append(problems, "KAFKA_BROKERS is not what kafka advertises")
	}
	if erp := value(s, "ERP_BASE_URL"); erp != "" && erp != "http://mockerp:"+port(p.Services["mockerp"])+httpapi.BasePath {
		problems = append(problems, "ERP_BASE_URL does not lead to mockerp")
	}
	return problems
}

// port is the one the container listens on.
func port(s types.ServiceConfig) string {
	cfg, _ := config.FromEnv(lookupOf(s))
	_, port, _ := net.SplitHostPort(cfg.HTTP.Addr)
	return port
}

func checkSupervision(_ *types.Project, s types.ServiceConfig) (problems []string) {
	if s.StopGracePeriod == nil || app.StopTimeout >= time.Duration(*s.StopGracePeriod) {
		problems = append(problems, fmt.Sprintf("stop_grace_period %s is shorter than %s, in which the program stops", s.StopGracePeriod, app.StopTimeout))
	}
	if s.Restart != "unless-stopped" && s.Restart != "always" {
		problems = append(problems, "restart: a service that ends by itself is not started again")
	}
	for _, first := range []string{"migrate", "topics"} {
		if s.DependsOn[first].Condition != types.ServiceConditionCompletedSuccessfully {
			problems = append(problems, "must wait until "+first+" has completed")
		}
	}
	return problems
}

func checkHealth(_ *types.Project, s types.ServiceConfig) (problems []string) {
	h := s.HealthCheck
	if h == nil || h.Disable || len(h.Test) < 3 || h.Test[0] != "CMD" || h.Test[1] != entrypoint || h.Test[2] != "health" {
		return []string{"health check is not the program's"}
	}
	if err := parses(h.Test[2:]); err != nil {
		problems = append(problems, "health check: "+err.Error())
	}
	if h.Timeout == nil || time.Duration(*h.Timeout) <= cli.HealthTimeout {
		problems = append(problems, fmt.Sprintf("health check is cut off: it may take %s", cli.HealthTimeout))
	}
	return problems
}

func checkPorts(_ *types.Project, s types.ServiceConfig) (problems []string) {
	for _, published := range s.Ports {
		if strconv.Itoa(int(published.Target)) != port(s) {
			problems = append(problems, fmt.Sprintf("port %d is not that of HTTP_ADDR", published.Target))
		}
		if published.HostIP != "127.0.0.1" {
			problems = append(problems, "port is published to "+published.HostIP+", and its token is a demo")
		}
	}
	if len(s.Ports) == 0 && slices.Contains([]string{"ingest", "api", "mockerp"}, s.Command[1]) {
		problems = append(problems, "publishes no port")
	}
	return problems
}

func checkLog(_ *types.Project, s types.ServiceConfig) []string {
	if s.Logging == nil || s.Logging.Options["max-size"] == "" || s.Logging.Options["max-file"] == "" {
		return []string{"log has no limit"}
	}
	return nil
}

// checkStore is for the containers that are not ours.
func checkStore(p *types.Project, s types.ServiceConfig) (problems []string) {
	if !regexp.MustCompile(`:\d+\.\d+(\.\d+)?$`).MatchString(s.Image) {
		problems = append(problems, "image "+s.Image+" is not pinned")
	}
	if s.HealthCheck == nil || s.HealthCheck.Disable {
		problems = append(problems, "has no health check")
	}
	data := map[string]string{"postgres": "/var/lib/postgresql", "kafka": value(s, "KAFKA_LOG_DIRS")}[s.Name]
	if !slices.ContainsFunc(s.Volumes, func(v types.ServiceVolumeConfig) bool {
		return v.Type == "volume" && v.Source != "" && v.Target == data
	}) {
		problems = append(problems, "keeps no volume at "+data)
	}
	switch s.Name {
	case "postgres":
		const reserved = 3 // for superusers
		if most, needed := maxConnections(s), connections(p); most-reserved < needed {
			problems = append(problems, fmt.Sprintf("max_connections is %d, and the processes may open %d", most, needed))
		}
		if !strings.Contains(value(s, "POSTGRES_PASSWORD"), "demo") {
			problems = append(problems, "POSTGRES_PASSWORD is not marked as demo")
		}
	case "kafka":
		if s.Image != "apache/kafka:"+testkit.ApacheVersion {
			problems = append(problems, "image "+s.Image+" is not the one tests run on")
		}
		for name := range s.Environment {
			if (strings.HasSuffix(name, "_REPLICATION_FACTOR") || strings.HasSuffix(name, "_MIN_ISR")) && value(s, name) != "1" {
				problems = append(problems, name+" is more than the one broker can keep")
			}
		}
	}
	return problems
}

func maxConnections(s types.ServiceConfig) int {
	for _, arg := range s.Command {
		if n, ok := strings.CutPrefix(arg, "max_connections="); ok {
			most, _ := strconv.Atoi(n)
			return most
		}
	}
	return 100 // PostgreSQL's default
}

// connections is what all processes may open at once.
func connections(p *types.Project) (n int) {
	for _, s := range p.Services {
		if ours(s) && !oneShot(s) {
			n += connectionsOf * s.GetScale()
		}
	}
	return n
}

// checkSet looks at the containers together.
func checkSet(p *types.Project) (problems []string) {
	runs, taken := map[string]int{}, map[string]bool{}
	for _, name := range slices.Sorted(maps.Keys(p.Services)) {
		s := p.Services[name]
		if ours(s) && !oneShot(s) {
			for _, service := range s.Command[1:] {
				runs[service]++
			}
		}
		for _, published := range s.Ports {
			if taken[published.Published] {
				problems = append(problems, "published port "+published.Published+" is taken twice")
			}
			taken[published.Published] = true
		}
	}
	for _, service := range app.Names() {
		switch runs[service] {
		case 0:
			problems = append(problems, "no container runs "+service)
		case 1:
		default:
			problems = append(problems, fmt.Sprintf("%s runs in %d definitions", service, runs[service]))
		}
	}
	syncer := p.Services["syncer"]
	if n := syncer.GetScale(); n < 2 {
		problems = append(problems, fmt.Sprintf("%d syncers: one that dies leaves nobody to go on", n))
	}
	return problems
}
