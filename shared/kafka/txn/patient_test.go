package txn

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// fetchLog is a network that notes the fetches, as the brokers see them.
type fetchLog struct {
	mu     sync.Mutex
	waits  []time.Duration // how long each of a group may wait
	again  int             // fetches of records that were passed over
	behind int             // those of them on a connection where a fetch of a group may wait
}

func (l *fetchLog) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, network, addr)
	return &fetchLogConn{Conn: conn, l: l}, err
}

func (l *fetchLog) since(n int) []time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.waits[min(n, len(l.waits)):]
}

// readAgain is how many fetches were of records that were passed over, and how many of those were behind fetches of a group.
func (l *fetchLog) readAgain() (n, behind int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.again, l.behind
}

func (l *fetchLog) last() time.Duration {
	all := l.since(0)
	if len(all) == 0 {
		return 0
	}
	return all[len(all)-1]
}

type fetchLogConn struct {
	net.Conn

	l       *fetchLog
	ofGroup bool // it has carried a fetch of a group
}

func (c *fetchLogConn) Write(request []byte) (int, error) {
	r := kmsg.NewPtrFetchRequest()
	if len(request) > 14 && int16(binary.BigEndian.Uint16(request[4:])) == r.Key() { //nolint:gosec // it was an int16
		r.Version = int16(binary.BigEndian.Uint16(request[6:]))         //nolint:gosec // likewise
		body := request[14+int(binary.BigEndian.Uint16(request[12:])):] // after the client's id
		if err := r.ReadFrom(body[1:]); err == nil {
			c.note(r)
		}
	}
	return c.Conn.Write(request)
}

func (c *fetchLogConn) note(r *kmsg.FetchRequest) {
	c.l.mu.Lock()
	defer c.l.mu.Unlock()
	switch {
	case r.SessionEpoch >= 0:
		c.ofGroup = true
		c.l.waits = append(c.l.waits, time.Duration(r.MaxWaitMillis)*time.Millisecond)
	case r.SessionID == 0: // else a client ends its session
		c.l.again++
		if c.ofGroup {
			c.l.behind++
		}
	}
}

// At rest a session's fetches wait for long. While a partition is paused, they wait for short: once it
// goes on it would have to wait for the fetch in flight, which is without it.
func TestFetchesAreLongAtRestAndShortWhileAPartitionIsPaused(t *testing.T) {
	onBrokers(t, func(b *bench) {
		const long, short = time.Second, 100 * time.Millisecond
		b.Topic("in", 2)
		b.Topic("out", 1)
		b.Topic("markers", 1)
		b.StartAt("g", "in", 2, 0)
		network, over := &fetchLog{}, *b.Bench
		over.Cfg.Dial = network.dial
		open := make(chan struct{})
		h, _, _ := stubbornSession(&bench{&over}, func(value string) (bool, time.Duration) {
			select {
			case <-open:
				return true, 0
			default:
				return value == "first", time.Millisecond
			}
		}, func(c *Config) { c.Backlog = 0 })

		b.Within("a long fetch", func() bool { return network.last() == long })
		require.Equal(b, short, network.since(0)[0], "the first one may be without most of the partitions")
		b.send("first")
		first := <-h.kept

		b.send("paused")
		b.Within("the partition is paused", func() bool { return h.offers.Load() > 1 })
		n := len(network.since(0)) + 1 // one may be on its way, with the partition
		b.Within("fetches without it", func() bool { return len(network.since(n)) > 3*int(patientAfter/short)/2 })
		for _, wait := range network.since(n) {
			require.Equal(b, short, wait)
		}
		n = len(network.since(0)) + 1
		close(open)
		second := <-h.kept
		for _, t := range []*Task{first, second} {
			t.Finish(&kgo.Record{Topic: b.Cfg.Topic("out"), Value: t.Record.Value})
		}
		b.Within("a long fetch again", func() bool { return network.last() == long })
		require.Equal(b, short, network.since(n)[0], "it may have been made before the partition went on")
	})
}

// Symptom: a client's first fetch went out when it had been told of some partitions only, and the records of the others waited for its end.
func TestARecordDoesNotWaitForTheFirstFetch(t *testing.T) {
	onBrokers(t, func(b *bench) {
		const topics, partitions = 8, 12
		b.Topic("t0", partitions)
		b.Feed("t0", 1, 1)
		starts := map[string]map[int32]kgo.Offset{}
		for i := range topics {
			name := fmt.Sprintf("t%d", i)
			if i > 0 {
				b.Topic(name, partitions)
			}
			starts[b.Cfg.Topic(name)] = map[int32]kgo.Offset{}
			for p := range int32(partitions) {
				starts[b.Cfg.Topic(name)][p] = kgo.NewOffset().At(0)
			}
		}
		for range 60 {
			reader, err := kgo.NewClient(append(b.Cfg.Options(), b.Cfg.PatientFetch()...)...)
			require.NoError(b, err)
			reader.AddConsumePartitions(starts)
			began := time.Now()
			fetches := reader.PollFetches(b.Ctx)
			reader.Close()
			require.Equal(b, 1, fetches.NumRecords())
			require.Less(b, time.Since(began), 3*time.Second)
		}
	})
}
