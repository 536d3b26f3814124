// Package config reads the process's configuration from the environment: variables with their defaults, and secrets that never
// print.
package config

import (
	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/setting"
)

// Config is the process's configuration, read once in main from the environment (see FromEnv and docs/config.md).
type Config struct {
	DatabaseURL    string         // DATABASE_URL (or DATABASE_URL_FILE), with the password
	KafkaBrokers   []string       // KAFKA_BROKERS, comma-separated
	TopicPrefix    string         // KAFKA_TOPIC_PREFIX, on topics, groups and transactional ids
	KafkaAccess    kafka.Security // KAFKA_TLS…, KAFKA_SASL_…
	Partitions     int            // KAFKA_PARTITIONS of every keyed topic, default 8; fixed once topics exist
	HTTP           HTTP
	ERP            ERP
	Mail           Mail
	PostgresMirror string           // POSTGRES_MIRROR of `up`
	DataDir        string           // DATA_DIR of `up`
	LogLevel       string           // LOG_LEVEL debug|info|warn|error, default info
	Settings       setting.Settings // the run-time settings' defaults: ERP_BASE_URL, ERP_TIMEOUT, RETRY_*, …

	liveURL *liveFile[Secret] // the file of DATABASE_URL; nil: there is none
	reports *reports
}

// CurrentDatabaseURL is DatabaseURL as its file says it now, for the login of new sessions.
func (c Config) CurrentDatabaseURL() string {
	if c.liveURL == nil {
		return c.DatabaseURL
	}
	return c.liveURL.current().Reveal()
}

// ReportSecrets sends what becomes of files that are read again to a function, like logging.Secrets, from now on. Those of the ERP have
// one of their own (see ERP.Secrets).
func (c Config) ReportSecrets(to func(variable string, err error)) {
	if c.reports != nil {
		c.reports.to.Store(&to)
	}
}

// Kafka is the cluster.
func (c Config) Kafka() kafka.Config {
	return kafka.Config{Brokers: c.KafkaBrokers, Prefix: c.TopicPrefix, Partitions: c.Partitions, Security: c.KafkaAccess}
}
