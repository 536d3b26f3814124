package stage

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/erpconnector/erpconnector/shared/run"
)

// Cluster is several brokers. Kill ends one of them, in turn; the others go on.
type Cluster struct {
	brokers []Broker
	mu      sync.Mutex
	next    int // the one that Kill ends
	down    int // the one that Restart starts
}

// NewCluster returns a cluster of running brokers.
func NewCluster(brokers []Broker) *Cluster { return &Cluster{brokers: brokers} }

// Addrs returns the addresses of all brokers.
func (c *Cluster) Addrs() []string { return c.brokers[0].Addrs() }

// Kill ends the next broker as kill -9 does.
func (c *Cluster) Kill() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.down = c.next
	c.next = (c.next + 1) % len(c.brokers)
	c.brokers[c.down].Kill()
}

// Restart starts the broker that was killed, and returns once all of them are in sync again.
func (c *Cluster) Restart() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.brokers[c.down].Restart(); err != nil {
		return err
	}
	return c.awaitInSync()
}

// Starve kills the one broker without which the thin partitions take no records (see Thin).
func (c *Cluster) Starve() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.down = thinBroker - 1
	c.brokers[c.down].Kill()
}

// Two brokers hold the thin partition of each keyed topic, and both must take a record.
const (
	thinPartition = 1
	thinBroker    = 2 // ids are from 1
)

// ThinPartition is the partition of each keyed topic that takes no records while its broker is away.
const ThinPartition = thinPartition

// Thin leaves one partition of each topic with two replicas instead of three. With min.insync.replicas=2 that partition takes
// no records while one of the two brokers is down, and the other partitions do.
func (c *Cluster) Thin(ctx context.Context, prefix string) error {
	return c.withAdmin(func(adm *kadm.Client) error {
		topics, err := adm.ListTopics(ctx)
		if err != nil {
			return fmt.Errorf("listing topics: %w", err)
		}
		assignments := kadm.AlterPartitionAssignmentsReq{}
		for _, t := range topics {
			if len(t.Topic) > len(prefix) && t.Topic[:len(prefix)] == prefix && len(t.Partitions) > 1 {
				assignments.Assign(t.Topic, thinPartition, []int32{1, thinBroker})
			}
		}
		responses, err := adm.AlterPartitionAssignments(ctx, assignments)
		if err != nil {
			return fmt.Errorf("thinning partitions: %w", err)
		}
		return responses.Error()
	})
}

// inSyncTimeout is generous, as a broker on a busy machine catches up slowly.
const inSyncTimeout = 2 * time.Minute

// awaitInSync waits until every replica is in sync. The next kill would leave too few replicas otherwise.
func (c *Cluster) awaitInSync() error {
	ctx, cancel := context.WithTimeout(context.Background(), inSyncTimeout)
	defer cancel()
	return c.withAdmin(func(adm *kadm.Client) error {
		for {
			behind, err := outOfSync(ctx, adm)
			if err == nil && behind == 0 {
				return nil
			}
			if !run.Sleep(ctx, 100*time.Millisecond) {
				return fmt.Errorf("%d partitions are not in sync after %s: %w", behind, inSyncTimeout, err)
			}
		}
	})
}

// outOfSync counts the partitions with a replica that is not in sync, internal topics included.
func outOfSync(ctx context.Context, adm *kadm.Client) (partitions int, err error) {
	topics, err := adm.ListTopicsWithInternal(ctx)
	if err != nil {
		return 0, err
	}
	for _, t := range topics {
		for _, p := range t.Partitions {
			if p.Leader < 0 || slices.ContainsFunc(p.Replicas, func(replica int32) bool { return !slices.Contains(p.ISR, replica) }) {
				partitions++
			}
		}
	}
	return partitions, nil
}

func (c *Cluster) withAdmin(do func(adm *kadm.Client) error) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(c.Addrs()...), kgo.MetadataMinAge(100*time.Millisecond))
	if err != nil {
		return err
	}
	defer client.Close()
	return do(kadm.NewClient(client))
}
