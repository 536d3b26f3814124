// Package kafka is the connector's Kafka plumbing on franz-go: how to reach a cluster, one partitioner for all writers, records,
// and the administration of topics. Transactions stand in txn, Watermill's interfaces in pubsub.
package kafka

import (
	"context"
	"net"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Config names the cluster. The prefix is on topics, groups and transactional ids, so that several installations share it.
type Config struct {
	Brokers    []string
	Prefix     string
	ClientID   string
	Partitions int // of each of the connector's keyed topics; 0: as many as a topic has
	Security   Security
	Dial       func(ctx context.Context, network, addr string) (net.Conn, error) // nil: TCP, with TLS where Security says so; never with TLS
}

// As is the same cluster for a client that brokers know by another name.
func (c Config) As(clientID string) Config {
	c.ClientID = clientID
	return c
}

// fetchMaxWait is how long a broker holds an idle fetch. A resumed partition waits for the fetch in flight, so it stays
// short; a new record ends the wait at once.
const fetchMaxWait = 100 * time.Millisecond

// maxRecordBytes is what a client sends and fetches at most in one batch; topics are created with the same limit.
const maxRecordBytes = 8 << 20

// fetchMaxBytes of a bounded fetch are some thousand records of the log.
const fetchMaxBytes = 1 << 20

// Group timing (promise 12): a killed member is noticed after the session time-out.
const (
	SessionTimeout    = 6 * time.Second
	HeartbeatInterval = time.Second
	RebalanceTimeout  = 20 * time.Second // a revocation may let calls finish for 5 s and a transaction for 9 s
)

// Topic is a topic's name on the cluster.
func (c Config) Topic(name string) string { return c.Prefix + name }

// Topics are the names of several topics on the cluster.
func (c Config) Topics(names []string) []string {
	out := make([]string, 0, len(names))
	for _, name := range names {
		out = append(out, c.Topic(name))
	}
	return out
}

// Group is a group's name on the cluster.
func (c Config) Group(name string) string { return c.Prefix + name }

// Options are what every client is made with.
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

// BoundedFetch is for clients that read long logs. What they fetch ahead is compressed: 50 MiB, the default, become many times
// that in memory. A batch that is larger comes whole.
func BoundedFetch() []kgo.Opt {
	return []kgo.Opt{kgo.FetchMaxBytes(fetchMaxBytes), kgo.FetchMaxPartitionBytes(fetchMaxBytes / 4)}
}

// retryBackoff begins short, as the brokers' common refusal (a transaction whose markers are not written yet) passes in
// milliseconds, and doubles, so that a broker that is away is not hammered.
func retryBackoff(tries int) time.Duration {
	return min(4*time.Millisecond<<min(tries, 10), time.Second)
}
