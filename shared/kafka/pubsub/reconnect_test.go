package pubsub_test

import (
	"net"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/devkafka"
	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

// broker comes back at the same address with the same data.
type broker interface {
	Addrs() []string
	restart(t *testing.T)
}

// restartable is an embedded broker.
type restartable struct {
	*devkafka.Broker

	dir  string
	port int
}

func (r *restartable) restart(t *testing.T) {
	t.Helper()
	r.Close()
	r.start(t)
}

// killable is an Apache Kafka.
type killable struct{ *testkit.Apache }

func (k killable) restart(t *testing.T) {
	t.Helper()
	k.Kill()
	k.Start(t)
}

func startRestartable(t *testing.T) *restartable {
	t.Helper()
	r := &restartable{dir: t.TempDir()}
	r.start(t)
	_, port, err := net.SplitHostPort(r.Addrs()[0])
	require.NoError(t, err)
	r.port, err = strconv.Atoi(port)
	require.NoError(t, err)
	t.Cleanup(func() { r.Close() })
	return r
}

func (r *restartable) start(t *testing.T) {
	t.Helper()
	var err error
	r.Broker, err = devkafka.Start(r.dir, r.port)
	require.NoError(t, err)
}

// This does the same as the suite's TestReconnect, with its numbers (see features): the broker restarts while 100
// goroutines publish and one reads. A message counts as published once Publish has returned nil, and every such message
// must come.
func TestNothingIsLostWhenTheBrokerRestarts(t *testing.T) {
	t.Run("embedded_broker", func(t *testing.T) {
		t.Parallel()
		loseNothing(t, startRestartable(t))
	})
	t.Run("apache_kafka", func(t *testing.T) {
		t.Parallel()
		loseNothing(t, killable{testkit.OwnApache(t)})
	})
}

func loseNothing(t *testing.T, b broker) {
	t.Helper()
	const count, publishers, topic = 10_000, 100, "in"
	p := pubSub{cfg: kafka.Config{Brokers: b.Addrs()}}
	pub, sub := p.group(t, "g")
	messages, err := sub.Subscribe(t.Context(), topic)
	require.NoError(t, err)

	published, work, restart := make(chan string, count), make(chan int), make(chan bool)
	var publishing sync.WaitGroup
	for range publishers {
		publishing.Go(func() {
			for range work {
				msg := message.NewMessage(watermill.NewUUID(), []byte("x"))
				for pub.Publish(topic, msg) != nil { // again
				}
				published <- msg.UUID
			}
		})
	}
	go func() {
		defer close(work)
		for i := range count {
			if i == count/3 || i == count/2 {
				restart <- true
			}
			work <- i
		}
	}()

	missing := map[string]bool{}
	received := map[string]bool{}
	deadline := time.After(2 * testkit.Patience)
	for len(missing) > 0 || len(received) < count {
		select {
		case <-restart:
			b.restart(t)
		case uuid := <-published:
			if !received[uuid] {
				missing[uuid] = true
			}
		case msg := <-messages:
			received[msg.UUID] = true
			delete(missing, msg.UUID)
			require.True(t, msg.Ack())
		case <-deadline:
			require.Fail(t, "waited in vain", "%d received, %d published ones missing", len(received), len(missing))
		}
	}
	publishing.Wait()
	require.Len(t, received, count)
	require.NoError(t, pub.Close())
	require.NoError(t, sub.Close())
}

// A process that stops while Kafka is down must not hang. Nothing can be committed, so acked messages come again.
func TestCloseReturnsWhileNoBrokerAnswers(t *testing.T) {
	t.Parallel()
	broker := startRestartable(t)
	p := pubSub{cfg: kafka.Config{Brokers: broker.Addrs()}}
	pub, sub := p.group(t, "g")
	messages, err := sub.Subscribe(t.Context(), "in")
	require.NoError(t, err)
	require.NoError(t, pub.Publish("in", message.NewMessage("u1", nil)))
	msg := <-messages
	broker.Close()
	require.True(t, msg.Ack())
	closed := make(chan error, 2)
	go func() { closed <- sub.Close() }()
	go func() { closed <- pub.Close() }()
	for range 2 {
		select {
		case err := <-closed:
			require.NoError(t, err)
		case <-time.After(testkit.Patience):
			require.Fail(t, "Close hangs")
		}
	}
	_, open := <-messages
	require.False(t, open)
	broker.start(t)
	pub, sub = p.group(t, "g")
	messages, err = sub.Subscribe(t.Context(), "in")
	require.NoError(t, err)
	again := <-messages
	require.Equal(t, "u1", again.UUID)
	require.True(t, again.Ack())
	require.NoError(t, sub.Close())
	require.NoError(t, pub.Close())
}
