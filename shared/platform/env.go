package platform

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/erpconnector/erpconnector/shared/setting"
)

// Lookup is os.LookupEnv, or a test's.
type Lookup func(name string) (string, bool)

// FromEnv reads the configuration and reports everything that is wrong with it at once. Durations are given as 30s, or
// as a bare number of seconds. A secret NAME may stand in the file that NAME_FILE names.
func FromEnv(lookup Lookup) (Config, error) {
	e := env{lookup: lookup}
	c := e.config()
	return c, errors.Join(e.problems...)
}

// Variables lists the environment variables that FromEnv reads, in groups that belong together.
func Variables() []Variable {
	e := env{lookup: func(string) (string, bool) { return "", false }}
	e.config()
	return e.variables
}

// Variable is one environment variable.
type Variable struct {
	Name, Default, Meaning string
	Secret                 bool // may stand in the file that NAME_FILE names
}

func (e *env) config() Config {
	d := setting.Defaults()
	c := Config{
		DatabaseURL:  e.text("DATABASE_URL", "", "Postgres, as postgres://user:password@host/database. `up` starts its own when it is not set."),
		KafkaBrokers: split(e.text("KAFKA_BROKERS", "", "Kafka brokers, host:port, comma-separated. `up` starts an embedded one when it is not set.")),
		TopicPrefix:  e.text("KAFKA_TOPIC_PREFIX", "", "Stands before every topic, group and transactional id."),
		Partitions:   e.number("KAFKA_PARTITIONS", 8, 1, 1000, "Partitions of every keyed topic; fixed once the topics exist."),
		HTTPAddr:     e.text("HTTP_ADDR", ":8080", "Where HTTP is served."),
		APIToken:     e.secret("API_TOKEN", "The first admin token, sent as `Authorization: Bearer …`."),
		ErpAPIKey:    e.secret("ERP_API_KEY", "Sent to the ERP as X-API-KEY."),
		ErpHMAC:      e.secret("ERP_HMAC_SECRET", "Signs what is sent to the ERP; an ERP checks X-Signature with it."),
		ErpInFlight:  e.number("ERP_MAX_IN_FLIGHT", 64, 1, 10_000, "ERP calls at once, of one process."),
		DataDir:      e.text("DATA_DIR", "", "Where `up` keeps its data. By default /var/lib/erpconnector for root, ~/.local/share/erpconnector for others."),
		LogLevel:     e.text("LOG_LEVEL", "info", "debug, info, warn or error."),
		Settings: setting.Settings{
			Enabled:         e.boolean("CONNECTOR_ENABLED", d.Enabled, "Off: invoices are accepted and held, their status is `pending`."),
			ImmediateSync:   e.boolean("IMMEDIATE_SYNC", d.ImmediateSync, "Off: invoices wait for the cron."),
			RefuseBadTotals: e.boolean("REFUSE_BAD_TOTALS", d.RefuseBadTotals, "On: orders whose totals do not add up are refused. Off: they are accepted with a warning."),
			ErpBaseURL:      e.text("ERP_BASE_URL", "", "The ERP: orders are posted to {this}/orders/sync."),
			ErpTimeout:      e.duration("ERP_TIMEOUT", d.ErpTimeout, "Of one ERP call, from dialling to the last byte of the answer; 100ms to 10m."),
			MaxAttempts:     e.number("RETRY_MAX_ATTEMPTS", d.MaxAttempts, 1, 1000, "ERP calls of one sync before it has failed."),
			BaseDelay:       e.duration("RETRY_BASE_DELAY", d.BaseDelay, "After attempt n the next one follows in 2^n times this; 1ms to 24h."),
			MaxDelay:        e.duration("RETRY_MAX_DELAY", d.MaxDelay, "A cap on that; 0: none."),
			CronEnabled:     e.boolean("CRON_ENABLED", d.CronEnabled, "Off: what waits for the cron waits on."),
			CronSchedule:    e.text("CRON_SCHEDULE", d.CronSchedule, "When the cron releases what waits for it: minute, hour, day, month, weekday, in UTC."),
			CronBatch:       e.number("CRON_BATCH", d.CronBatch, 1, 10_000, "Orders that one run of the cron releases at most."),
			Jitter:          e.share("RETRY_JITTER", d.Jitter, "Lengthens a delay by a random part of it, up to this share; 0 to 1."),
		},
	}
	for _, code := range split(e.text("RETRYABLE_CODES", "", "HTTP statuses of the ERP, beside 429 and 5xx, that are tried again, like 409,423.")) {
		n, err := strconv.Atoi(code)
		if err != nil {
			e.bad("RETRYABLE_CODES", code, "a list of HTTP statuses like 409,423")
		}
		c.Settings.RetryableCodes = append(c.Settings.RetryableCodes, n)
	}
	if err := new(slog.Level).UnmarshalText([]byte(c.LogLevel)); err != nil {
		e.bad("LOG_LEVEL", c.LogLevel, "debug, info, warn or error")
	}
	e.problems = append(e.problems, c.Settings.Validate())
	return c
}

type env struct {
	lookup    Lookup
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

func (e *env) value(name, fallback string) string {
	if v, ok := e.lookup(name); ok && v != "" {
		return v
	}
	return fallback
}

func (e *env) secret(name, meaning string) Secret {
	e.variables = append(e.variables, Variable{Name: name, Meaning: meaning, Secret: true})
	if file := e.value(name+"_FILE", ""); file != "" {
		content, err := os.ReadFile(file)
		if err != nil {
			e.problems = append(e.problems, fmt.Errorf("%s_FILE: %w", name, err))
		}
		return Secret(strings.TrimRight(string(content), "\r\n"))
	}
	return Secret(e.value(name, ""))
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

func (e *env) boolean(name string, fallback bool, meaning string) bool {
	e.note(name, strconv.FormatBool(fallback), meaning)
	v := e.value(name, "")
	if v == "" {
		return fallback
	}
	b, err := strconv.ParseBool(v)
	if err != nil {
		e.bad(name, v, "true or false")
		return fallback
	}
	return b
}

func (e *env) duration(name string, fallback time.Duration, meaning string) time.Duration {
	e.note(name, fallback.String(), meaning)
	v := e.value(name, "")
	if v == "" {
		return fallback
	}
	if seconds, err := strconv.ParseFloat(v, 64); err == nil {
		return time.Duration(seconds * float64(time.Second))
	}
	d, err := time.ParseDuration(v)
	if err != nil {
		e.bad(name, v, "a duration like 30s, or a number of seconds")
		return fallback
	}
	return d
}

func (e *env) share(name string, fallback float64, meaning string) float64 {
	e.note(name, strconv.FormatFloat(fallback, 'g', -1, 64), meaning)
	v := e.value(name, "")
	if v == "" {
		return fallback
	}
	n, err := strconv.ParseFloat(v, 64)
	if err != nil {
		e.bad(name, v, "a number from 0 to 1")
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
