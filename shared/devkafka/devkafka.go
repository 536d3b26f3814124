// Package devkafka runs the embedded broker (franz-go's kfake) for development and tests. It speaks the real protocol
// to any client and keeps its data in a folder, also over a kill -9 (on Windows in memory, see Keeps). It is no production broker: it listens on
// 127.0.0.1, does not replicate, and has no limit on offset metadata, no log-append time and no quotas.
package devkafka

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/erpconnector/erpconnector/shared/netfail"
)

// Broker is a running embedded broker.
type Broker struct {
	cluster *kfake.Cluster
	stop    chan struct{}
	running sync.WaitGroup
}

// compactInterval is how often compacted topics shrink: after a restart the broker does not do so by itself.
const compactInterval = time.Minute

// ErrPortTaken means that another program listens on the port.
var ErrPortTaken = errors.New("the port is taken")

// Start runs a broker on the port (0: a free one) with its data in dir.
func Start(dir string, port int) (*Broker, error) {
	options := []kfake.Opt{kfake.Ports(port)}
	if Keeps {
		options = append(options, kfake.DataDir(dir))
	}
	cluster, err := kfake.NewCluster(options...)
	switch {
	case netfail.Taken(err):
		return nil, fmt.Errorf("starting the embedded broker on port %d: %w", port, ErrPortTaken)
	case err != nil:
		return nil, fmt.Errorf("starting the embedded broker on port %d: %w; is another one at work on %s?", port, err, dir)
	}
	members, err := watchMembers(cluster)
	if err != nil {
		cluster.Close()
		return nil, fmt.Errorf("starting the embedded broker on port %d: %w", port, err)
	}
	b := &Broker{cluster: cluster, stop: make(chan struct{})}
	b.running.Go(b.compact)
	b.running.Go(func() { members.run(b.stop) })
	return b, nil
}

func (b *Broker) compact() {
	tick := time.NewTicker(compactInterval)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			b.cluster.Compact()
		case <-b.stop:
			return
		}
	}
}

// Addrs are the broker's addresses.
func (b *Broker) Addrs() []string { return b.cluster.ListenAddrs() }

// Close stops the broker; its data stays.
func (b *Broker) Close() {
	close(b.stop)
	b.running.Wait()
	b.cluster.Close()
}
