// Package devkafka runs the embedded broker (franz-go's kfake) for development and tests. It speaks the real protocol
// to any client and keeps its data in a folder, also over a kill -9. It is no production broker: it listens on
// 127.0.0.1, does not replicate, and has no limit on offset metadata, no log-append time and no quotas.
package devkafka

import (
	"fmt"

	"github.com/twmb/franz-go/pkg/kfake"
)

// Broker is a running embedded broker.
type Broker struct{ cluster *kfake.Cluster }

// Start runs a broker on the port (0: a free one) with its data in dir.
func Start(dir string, port int) (*Broker, error) {
	cluster, err := kfake.NewCluster(kfake.Ports(port), kfake.DataDir(dir))
	if err != nil {
		return nil, fmt.Errorf("starting the embedded broker on port %d: %w; is the port taken, or another one at work on %s?", port, err, dir)
	}
	return &Broker{cluster: cluster}, nil
}

// Addrs are the broker's addresses.
func (b *Broker) Addrs() []string { return b.cluster.ListenAddrs() }

// Close stops the broker; its data stays.
func (b *Broker) Close() { b.cluster.Close() }
