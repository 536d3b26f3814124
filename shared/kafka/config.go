// Package kafka has what every Kafka client of the connector needs, on franz-go: how to reach a cluster, one
// partitioner for all writers, records and offsets. Transactions are in txn, Watermill's interfaces in pubsub, the
// administration of topics in topics, and reading parts of the log in logreader.
package kafka

import (
	"context"
	"net"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Config describes the cluster. The prefix goes before topics, groups and transactional ids, so that several
// installations can share a cluster.
type Config struct {
	Brokers    []string
	Prefix     string
	ClientID   string
	Partitions int // of each keyed topic of the connector; 0: as many as the topic has
	Security   Security
	Dial       func(ctx context.Context, network, addr string) (net.Conn, error) // nil: TCP, or TLS by Security; not together with TLS
}

// As returns the configuration with another client id.
func (c Config) As(clientID string) Config {
	c.ClientID = clientID
	return c
}

// maxRecordBytes is the largest batch that a client sends. Topics are created with the same limit.
const maxRecordBytes = 8 << 20

// fetchMaxBytes limits a bounded fetch. It is enough for some thousand records of the log.
const fetchMaxBytes = 1 << 20

// Group timing (promise 12): a killed member is noticed after the session time-out.
const (
	SessionTimeout    = 6 * time.Second
	HeartbeatInterval = time.Second
	RebalanceTimeout  = 20 * time.Second // during a revocation calls may finish for 5 s and a transaction for 9 s
)

// Topic returns a topic's name on the cluster.
func (c Config) Topic(name string) string { return c.Prefix + name }

// Topics returns the names of several topics on the cluster.
func (c Config) Topics(names []string) []string {
	out := make([]string, 0, len(names))
	for _, name := range names {
		out = append(out, c.Topic(name))
	}
	return out
}

// Group returns a group's name on the cluster.
func (c Config) Group(name string) string { return c.Prefix + name }

// Options returns the options of every client.
func (c Config) Options() []kgo.Opt {
	clientID := c.ClientID
	if clientID == "" {
		clientID = "erpconnector"
	}
	options := []kgo.Opt{
		kgo.SeedBrokers(c.Brokers...),
		kgo.ClientID(clientID),
		kgo.MetadataMinAge(100 * time.Millisecond),
		kgo.RecordPartitioner(c.partitioner()),
		kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.ProducerLinger(0),
		kgo.ProducerBatchMaxBytes(maxRecordBytes),
		kgo.MaxBufferedRecords(100_000),
		kgo.FetchMaxWait(fetchMaxWait),
		kgo.RetryBackoffFn(retryBackoff),
	}
	if c.Dial != nil {
		options = append(options, kgo.Dialer(c.Dial))
	}
	if c.Security.TLS != nil {
		options = append(options, kgo.DialTLSConfig(c.Security.TLS))
	}
	if c.Security.SASL != nil {
		options = append(options, kgo.SASL(c.Security.SASL))
	}
	return options
}

// BoundedFetch returns options for clients that read long logs. Fetched batches are compressed, so the default of 50
// MiB becomes many times that in memory. A single batch above the limit is still fetched whole.
func BoundedFetch() []kgo.Opt {
	return []kgo.Opt{kgo.FetchMaxBytes(fetchMaxBytes), kgo.FetchMaxPartitionBytes(fetchMaxBytes / 4)}
}

// retryBackoff starts small, as the most common refusal (the markers of a transaction are not written yet) passes in
// milliseconds. It doubles, to spare a broker that is down.
func retryBackoff(tries int) time.Duration {
	return min(4*time.Millisecond<<min(tries, 10), time.Second)
}
