package platform

import (
	"errors"
	"fmt"
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
	d := setting.Defaults()
	c := Config{
		DatabaseURL:  e.text("DATABASE_URL", ""),
		KafkaBrokers: split(e.text("KAFKA_BROKERS", "")),
		TopicPrefix:  e.text("KAFKA_TOPIC_PREFIX", ""),
		Partitions:   e.number("KAFKA_PARTITIONS", 8, 1, 1000),
		HTTPAddr:     e.text("HTTP_ADDR", ":8080"),
		APIToken:     e.secret("API_TOKEN"),
		ErpAPIKey:    e.secret("ERP_API_KEY"),
		ErpHMAC:      e.secret("ERP_HMAC_SECRET"),
		ErpInFlight:  e.number("ERP_MAX_IN_FLIGHT", 64, 1, 10_000),
		DataDir:      e.text("DATA_DIR", ""),
		LogLevel:     e.text("LOG_LEVEL", "info"),
		Settings: setting.Settings{
			Enabled:         e.boolean("CONNECTOR_ENABLED", d.Enabled),
			ImmediateSync:   e.boolean("IMMEDIATE_SYNC", d.ImmediateSync),
			RefuseBadTotals: e.boolean("REFUSE_BAD_TOTALS", d.RefuseBadTotals),
			ErpBaseURL:      e.text("ERP_BASE_URL", ""),
			ErpTimeout:      e.duration("ERP_TIMEOUT", d.ErpTimeout),
			MaxAttempts:     e.number("RETRY_MAX_ATTEMPTS", d.MaxAttempts, 1, 1000),
			BaseDelay:       e.duration("RETRY_BASE_DELAY", d.BaseDelay),
			MaxDelay:        e.duration("RETRY_MAX_DELAY", d.MaxDelay),
		},
	}
	for _, code := range split(e.text("RETRYABLE_CODES", "")) {
		n, err := strconv.Atoi(code)
		if err != nil {
			e.bad("RETRYABLE_CODES", code, "a list of HTTP statuses like 409,423")
		}
		c.Settings.RetryableCodes = append(c.Settings.RetryableCodes, n)
	}
	e.problems = append(e.problems, c.Settings.Validate())
	return c, errors.Join(e.problems...)
}

type env struct {
	lookup   Lookup
	problems []error
}

func (e *env) bad(name, value, want string) {
	e.problems = append(e.problems, fmt.Errorf("%s is %q; it must be %s", name, value, want))
}

func (e *env) text(name, fallback string) string {
	if v, ok := e.lookup(name); ok && v != "" {
		return v
	}
	return fallback
}

func (e *env) secret(name string) Secret {
	if file := e.text(name+"_FILE", ""); file != "" {
		content, err := os.ReadFile(file)
		if err != nil {
			e.problems = append(e.problems, fmt.Errorf("%s_FILE: %w", name, err))
		}
		return Secret(strings.TrimRight(string(content), "\r\n"))
	}
	return Secret(e.text(name, ""))
}

func (e *env) number(name string, fallback, least, most int) int {
	v := e.text(name, "")
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

func (e *env) boolean(name string, fallback bool) bool {
	v := e.text(name, "")
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

func (e *env) duration(name string, fallback time.Duration) time.Duration {
	v := e.text(name, "")
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

func split(list string) []string {
	var out []string
	for _, part := range strings.Split(list, ",") {
		if part = strings.TrimSpace(part); part != "" {
			out = append(out, part)
		}
	}
	return out
}
