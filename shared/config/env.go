package config

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"strings"

	"github.com/erpconnector/erpconnector/shared/egress"
	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/postgres"
	"github.com/erpconnector/erpconnector/shared/setting"
)

// Lookup is os.LookupEnv, or a test's.
type Lookup func(name string) (string, bool)

// FromEnv reads the configuration and reports everything that is wrong with it at once. Durations are given as 30s, or
// as a bare number of seconds. A secret NAME may be in the file that NAME_FILE names. The run-time settings are those
// of setting.Fields.
func FromEnv(lookup Lookup) (Config, error) {
	e := env{lookup: lookup, reports: &reports{}}
	c := e.config()
	return c, errors.Join(e.problems...)
}

// Variables lists the environment variables that FromEnv reads, in groups that belong together.
func Variables() []Variable {
	e := env{lookup: func(string) (string, bool) { return "", false }, reports: &reports{}}
	e.config()
	return e.variables
}

// Variable is one environment variable.
type Variable struct {
	Name, Default, Meaning string
	Secret                 bool           // may be in the file that NAME_FILE names
	Setting                *setting.Field // what it gives the value of until somebody changes it at run time; nil: nothing
}

func (e *env) config() Config {
	url, liveURL := e.liveSecret("DATABASE_URL", SecretKey, "Postgres, as postgres://user:password@host/database. You may name several hosts (host1,host2): the one that takes writes is used. `?connect_timeout=` is how many seconds a session may take to begin, 5 where it is left out. Without DATABASE_URL, `up` starts a Postgres of its own.")
	if liveURL != nil {
		liveURL.check = func(s Secret) error {
			_, err := postgres.ParseConfig(s.Reveal())
			return err
		}
	}
	c := Config{
		DatabaseURL:    url.Reveal(),
		KafkaBrokers:   split(e.text("KAFKA_BROKERS", "", "Kafka brokers, host:port, comma-separated. Without it, `up` starts an embedded broker.")),
		TopicPrefix:    e.text("KAFKA_TOPIC_PREFIX", "", "Stands before every topic, group and transactional id."),
		KafkaAccess:    e.kafkaAccess(),
		Partitions:     e.number("KAFKA_PARTITIONS", 8, 1, 1000, "Partitions of every keyed topic; fixed once the topics exist."),
		HTTP:           e.http(),
		ERP:            e.erp(),
		Mail:           e.mail(),
		DataDir:        e.text("DATA_DIR", "", "Where `up` keeps its data. By default /var/lib/erpconnector for root, ~/.local/share/erpconnector for others, %LocalAppData%\\erpconnector on Windows."),
		PostgresMirror: e.text("POSTGRES_MIRROR", "", "Where `up` fetches a Postgres for a machine that has none, and no packages of Debian: a mirror of Maven Central, like https://mirror.example.com/maven2. Without it: Maven Central itself."),
		LogLevel:       e.text("LOG_LEVEL", "info", "debug, info, warn or error."),
		liveURL:        liveURL,
		reports:        e.reports,
	}
	c.Settings = e.settings(e.egress())
	c.ERP.InFlight = c.Settings.MaxInFlight
	if err := new(slog.Level).UnmarshalText([]byte(c.LogLevel)); err != nil {
		e.bad("LOG_LEVEL", c.LogLevel, "debug, info, warn or error")
	}
	if len(c.KafkaBrokers) == 0 && (c.KafkaAccess.TLS != nil || c.KafkaAccess.SASL != nil) {
		e.problems = append(e.problems, errors.New("KAFKA_TLS or KAFKA_SASL_MECHANISM is set and KAFKA_BROKERS is not: name the brokers"))
	}
	return c
}

// isAddress reports whether something can be served there and found again: a port that the system chooses could not.
func isAddress(addr string) bool {
	_, port, err := net.SplitHostPort(addr)
	n, notNumber := strconv.Atoi(port)
	return err == nil && notNumber == nil && n >= 1 && n <= 65535
}

func (e *env) kafkaAccess() (s kafka.Security) {
	encrypted := e.flag("KAFKA_TLS", "Encrypts connections to the brokers, and checks the brokers' certificates by the system's roots.")
	ca := e.text("KAFKA_TLS_CA_FILE", "", "A PEM file with the roots to use in place of the system's.")
	cert := e.text("KAFKA_TLS_CERT_FILE", "", "A PEM file with a client certificate, for brokers that ask for one. A changed file is read again.")
	key := e.text("KAFKA_TLS_KEY_FILE", "", "A PEM file with the key of that certificate.")
	mechanism := e.text("KAFKA_SASL_MECHANISM", "", "How to log in to the brokers: SCRAM-SHA-512, SCRAM-SHA-256, or PLAIN, which needs KAFKA_TLS. Without it there is no login.")
	username := e.text("KAFKA_SASL_USERNAME", "", "The user name for that login.")
	password, live := e.liveSecret("KAFKA_SASL_PASSWORD", SecretKey, "The password for that login.")
	current := func() string { return password.Reveal() }
	if live != nil {
		current = func() string { return live.current().Reveal() }
	}
	var err error
	switch {
	case encrypted:
		if s.TLS, err = clientTLS("KAFKA_TLS_CERT_FILE", ca, cert, key, e.reports.report); err != nil {
			e.problems = append(e.problems, fmt.Errorf("KAFKA_TLS_*_FILE: %w", err))
		}
	case ca+cert+key != "":
		e.problems = append(e.problems, errors.New("a KAFKA_TLS_*_FILE is set and KAFKA_TLS is not true: connections would not be encrypted"))
	}
	switch {
	case mechanism == kafka.Plain && !encrypted:
		e.problems = append(e.problems, errors.New("KAFKA_SASL_MECHANISM PLAIN would send the password readable: set KAFKA_TLS=true, or use SCRAM-SHA-512"))
	case mechanism != "":
		if s.SASL, err = kafka.SASL(mechanism, username, current); err != nil {
			e.problems = append(e.problems, fmt.Errorf("KAFKA_SASL_*: %w", err))
		}
	case username != "" || password != "":
		e.problems = append(e.problems, errors.New("KAFKA_SASL_USERNAME or _PASSWORD is set and KAFKA_SASL_MECHANISM is not: nobody would log in"))
	}
	return s
}

func (e *env) egress() egress.Policy {
	allowed, err := egress.ParseNetworks(e.text("ERP_ALLOWED_NETWORKS", "", "Networks like 169.254.10.0/24, comma-separated, that ERP calls and alerts may go to although they are refused otherwise: link-local, multicast, unspecified, the metadata services of clouds."))
	if err != nil {
		e.problems = append(e.problems, fmt.Errorf("ERP_ALLOWED_NETWORKS: %w", err))
	}
	return egress.Policy{
		Allowed:       allowed,
		RefusePrivate: e.flag("ERP_REFUSE_PRIVATE", "Refuses ERP calls and alerts to private networks, to the machine itself, and to addresses behind a carrier's NAT, but for those in ERP_ALLOWED_NETWORKS: for a connector that should reach the internet only."),
	}
}

// settings are the run-time settings until somebody changes them. Problems are reported by variable.
func (e *env) settings(policy egress.Policy) setting.Settings {
	s, before := setting.Defaults(), len(e.problems)
	s.Egress = policy
	for _, f := range setting.Fields() {
		e.variables = append(e.variables, Variable{Name: f.Variable, Default: f.Text(setting.Defaults()), Meaning: f.Meaning, Setting: &f})
		if v := e.value(f.Variable, ""); v != "" {
			e.refuse(f.Parse(&s, v))
		}
	}
	if len(e.problems) == before { // else those that were not read would be compared with defaults
		e.refuse(s.Validate())
	}
	return s
}

func (e *env) refuse(err error) {
	var one setting.Problem
	var all setting.Problems
	if errors.As(err, &one) {
		all = setting.Problems{one}
	} else {
		errors.As(err, &all)
	}
	for _, p := range all {
		e.problems = append(e.problems, errors.New(p.Variable+" "+p.Said))
	}
}

type env struct {
	lookup    Lookup
	reports   *reports
	problems  []error
	variables []Variable
}

func (e *env) note(name, fallback, meaning string) {
	e.variables = append(e.variables, Variable{Name: name, Default: fallback, Meaning: meaning})
}

func (e *env) bad(name, value, want string) {
	e.problems = append(e.problems, fmt.Errorf("%s is %q; it must be %s", name, value, want))
}

func (e *env) text(name, fallback, meaning string) string {
	e.note(name, fallback, meaning)
	return e.value(name, fallback)
}

// value is a variable without the line ends that editors and here-documents leave behind it.
func (e *env) value(name, fallback string) string {
	if v, ok := e.lookup(name); ok && withoutLineEnds(v) != "" {
		return withoutLineEnds(v)
	}
	return fallback
}

// secret is the secret of a variable, or of the file that NAME_FILE names.
func (e *env) secret(name string, use SecretUse, meaning string) (s Secret) {
	e.variables = append(e.variables, Variable{Name: name, Meaning: meaning, Secret: true})
	var err error
	if file := e.value(name+"_FILE", ""); file != "" {
		if s, err = ReadSecret(file, use); err != nil {
			err = fmt.Errorf("%s_FILE: %w", name, err)
		}
	} else if s, err = NewSecret(e.value(name, ""), use); err != nil {
		err = fmt.Errorf("%s %w", name, err)
	}
	if err != nil {
		e.problems = append(e.problems, err)
	}
	return s
}

// liveSecret is secret, and its file, which is read again when it changes; nil: it has none.
func (e *env) liveSecret(name string, use SecretUse, meaning string) (Secret, *liveFile[Secret]) {
	s, file := e.secret(name, use, meaning), e.value(name+"_FILE", "")
	if file == "" {
		return s, nil
	}
	return s, newFileSecret(file, s, use, func(err error) { e.reports.report(name, err) })
}

func (e *env) flag(name, meaning string) bool {
	switch v := e.text(name, "false", meaning); v {
	case "true":
		return true
	case "false":
	default:
		e.bad(name, v, "true or false")
	}
	return false
}

func (e *env) number(name string, fallback, least, most int, meaning string) int {
	e.note(name, strconv.Itoa(fallback), meaning)
	v := e.value(name, "")
	if v == "" {
		return fallback
	}
	n, err := strconv.Atoi(v)
	if err != nil || n < least || n > most {
		e.bad(name, v, fmt.Sprintf("a number from %d to %d", least, most))
		return fallback
	}
	return n
}

func split(list string) []string {
	var out []string
	for _, part := range strings.Split(list, ",") {
		if part = strings.TrimSpace(part); part != "" {
			out = append(out, part)
		}
	}
	return out
}
