package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/message/router/middleware"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/kafka/pubsub"
	"github.com/erpconnector/erpconnector/shared/outbox"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m) }

var noon = time.Date(2026, 1, 15, 12, 0, 0, 0, time.UTC)

// terminal is a terminal event of an order's generation; sku stands for what was ordered then.
func terminal(t *testing.T, topic, order string, generation int, sku string) *message.Message {
	t.Helper()
	status, reference := domain.Failed, (*string)(nil)
	if topic == event.TopicSuccess {
		erp := "ERP-" + order
		status, reference = domain.Success, &erp
	}
	rec, err := event.NewSync(topic, event.Sync{
		Sync: domain.Sync{
			SyncID: 1, Source: domain.DefaultSource, OrderIncrementID: order, Status: status, ErpReference: reference,
			Generation: generation, Version: domain.AttemptVersion(generation, 1, domain.PhaseTerminal),
		},
		Order: json.RawMessage(`{"items":[{"sku":"` + sku + `","name":"Scooter","qty":"2"}]}`),
	}, event.Context{At: noon.Add(time.Duration(generation) * time.Minute), Traceparent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"})
	require.NoError(t, err)
	return outbox.Message(rec)
}

// warehouse is the service at work, and what a test needs to feed and watch it.
type warehouse struct {
	*testing.T

	cfg       kafka.Config
	pool      *pgxpool.Pool
	publisher *pubsub.Publisher
	registry  *prometheus.Registry
	poisoned  <-chan *message.Message
}

func open(t *testing.T, cfg kafka.Config, around message.HandlerMiddleware) *warehouse {
	t.Helper()
	w := &warehouse{T: t, cfg: cfg, pool: testkit.Postgres(t).Pool, registry: prometheus.NewRegistry()}
	subscriber, err := pubsub.NewSubscriber(pubsub.SubscriberConfig{Config: cfg, Create: &pubsub.NewTopic{Partitions: 2}})
	require.NoError(t, err)
	for _, topic := range []string{event.TopicSuccess, event.TopicFailed} {
		require.NoError(t, subscriber.SubscribeInitialize(topic))
	}
	w.poisoned, err = subscriber.Subscribe(t.Context(), poisonTopic)
	require.NoError(t, err)
	w.publisher, err = pubsub.NewPublisher(pubsub.PublisherConfig{Config: cfg})
	require.NoError(t, err)
	s, err := newService(t.Context(), params{
		kafka: cfg, pool: w.pool, registry: w.registry, log: slog.New(slog.DiscardHandler), firstRetry: time.Millisecond, around: around,
	})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- s.run(ctx) }()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-done)
		require.NoError(t, w.publisher.Close())
		require.NoError(t, subscriber.Close())
	})
	return w
}

func (w *warehouse) publish(topic string, messages ...*message.Message) {
	w.Helper()
	require.NoError(w, w.publisher.Publish(topic, messages...))
}

// row is an order's row as text, empty when there is none.
func row(t *testing.T, pool *pgxpool.Pool, order string) string {
	t.Helper()
	var text string
	require.NoError(t, pool.QueryRow(t.Context(), `SELECT coalesce(min(state || ' ' || (lines->0->>'sku') || ' ' || coalesce(erp_reference, '-') || ' ' || facts), '')
		FROM warehouse.pick WHERE increment_id = $1`, order).Scan(&text))
	return text
}

func (w *warehouse) becomes(order, want string) {
	w.Helper()
	got := ""
	require.Eventually(w, func() bool { got = row(w.T, w.pool, order); return got == want }, testkit.Patience, 10*time.Millisecond,
		"order %s does not become %q", order, want)
}

func (w *warehouse) nextPoisoned() *message.Message {
	w.Helper()
	select {
	case msg := <-w.poisoned:
		require.True(w, msg.Ack())
		return msg
	case <-time.After(testkit.Patience):
		require.Fail(w, "nothing came to the poison topic")
		panic("unreachable")
	}
}

// Records come twice, and a generation's end after the end of the one that replaced it.
func TestThePickListIsRightWhateverComesTwiceAndLate(t *testing.T) {
	t.Parallel()
	testkit.OnEmbeddedFirst(t, func(t *testing.T, cfg kafka.Config) {
		w := open(t, cfg, nil)
		w.publish(event.TopicSuccess, terminal(t, event.TopicSuccess, "1", 1, "a"), terminal(t, event.TopicSuccess, "1", 1, "a"))
		w.becomes("1", "to_pick a ERP-1 1")
		w.publish(event.TopicSuccess, terminal(t, event.TopicSuccess, "2", 2, "new"))
		w.becomes("2", "to_pick new ERP-2 1")
		w.publish(event.TopicFailed, terminal(t, event.TopicFailed, "2", 1, "old"), terminal(t, event.TopicFailed, "2", 1, "old"))
		w.becomes("2", "to_pick new ERP-2 2")
		w.publish(event.TopicFailed, terminal(t, event.TopicFailed, "1", 2, "b"))
		w.becomes("1", "stopped b - 2")
		w.publish(event.TopicSuccess, terminal(t, event.TopicSuccess, "1", 1, "a"), terminal(t, event.TopicSuccess, "3", 1, "c"))
		w.becomes("3", "to_pick c ERP-3 1")
		require.Eventually(t, func() bool { return handled(t, w.registry, "true") == 8 }, testkit.Patience, 10*time.Millisecond)
		require.Equal(t, "stopped b - 2", row(t, w.pool, "1"), "what was seen long ago changes nothing")
	})
}

// handled is how often Watermill's metrics say that a handler ended, in success or not.
func handled(t *testing.T, registry *prometheus.Registry, success string) (n int) {
	t.Helper()
	families, err := registry.Gather()
	require.NoError(t, err)
	for _, f := range families {
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if f.GetName() == "warehouse_handler_execution_time_seconds" && l.GetName() == "success" && l.GetValue() == success {
					n += int(m.GetHistogram().GetSampleCount())
				}
			}
		}
	}
	return n
}

// One message cannot be read, one makes the handler panic: both end in the poison topic, the rest goes on, in order.
func TestAPoisonMessageGoesAsideAndTheRestGoesOn(t *testing.T) {
	t.Parallel()
	testkit.OnEmbeddedFirst(t, func(t *testing.T, cfg kafka.Config) {
		panics := make(chan string, 10)
		w := open(t, cfg, func(h message.HandlerFunc) message.HandlerFunc {
			return func(msg *message.Message) ([]*message.Message, error) {
				if msg.Metadata.Get(event.MetadataPartitionKey) == "7" {
					panics <- middleware.MessageCorrelationID(msg)
					panic("a bug in the handler")
				}
				return h(msg)
			}
		})
		unreadable := terminal(t, event.TopicSuccess, "6", 1, "x")
		unreadable.Payload = []byte(`{"sync":{}}`)
		noText := terminal(t, event.TopicSuccess, "8", 1, `\u0000`) // which jsonb does not take
		w.publish(event.TopicSuccess, unreadable, terminal(t, event.TopicSuccess, "7", 1, "x"), noText,
			terminal(t, event.TopicSuccess, "6", 2, "y"), terminal(t, event.TopicSuccess, "7", 2, "y"), terminal(t, event.TopicSuccess, "9", 1, "z"))
		w.becomes("6", "to_pick y ERP-6 1")
		w.becomes("9", "to_pick z ERP-9 1")
		reasons := map[string][]string{}
		for range 4 {
			msg := w.nextPoisoned()
			key := msg.Metadata.Get(event.MetadataPartitionKey)
			reasons[key] = append(reasons[key], msg.Metadata.Get(middleware.ReasonForPoisonedKey))
			require.Equal(t, event.TopicSuccess, msg.Metadata.Get(middleware.PoisonedTopicKey))
		}
		require.Len(t, reasons["6"], 1)
		require.Contains(t, reasons["6"][0], errUnreadable.Error())
		require.Len(t, reasons["7"], 2)
		require.Contains(t, reasons["7"][0], "a bug in the handler")
		require.Len(t, reasons["8"], 1)
		require.Contains(t, reasons["8"][0], "SQLSTATE 22P05")
		require.Equal(t, "4bf92f3577b34da6a3ce929d0e0e4736", <-panics, "the trace is the correlation id")
		require.Len(t, panics, 7, "each was tried four times")
		require.Empty(t, row(t, w.pool, "7"))
	})
}

// While Postgres refuses, nothing is poison: the message comes again until it is taken.
func TestAnOutageOfPostgresPoisonsNothing(t *testing.T) {
	t.Parallel()
	testkit.OnEmbeddedFirst(t, func(t *testing.T, cfg kafka.Config) {
		w := open(t, cfg, nil)
		_, err := w.pool.Exec(t.Context(), "ALTER TABLE warehouse.pick RENAME TO away")
		require.NoError(t, err)
		w.publish(event.TopicSuccess, terminal(t, event.TopicSuccess, "1", 1, "a"))
		require.Eventually(t, func() bool { return handled(t, w.registry, "false") > 1 }, testkit.Patience, 10*time.Millisecond)
		_, err = w.pool.Exec(t.Context(), "ALTER TABLE warehouse.away RENAME TO pick")
		require.NoError(t, err)
		w.becomes("1", "to_pick a ERP-1 1")
		unreadable := terminal(t, event.TopicSuccess, "1", 2, "a")
		unreadable.Payload = nil
		w.publish(event.TopicSuccess, unreadable)
		require.Empty(t, w.nextPoisoned().Payload, "the first that was set aside")
	})
}

// All orders of arrival of four facts, each of them twice, give the same row.
func TestFactsInAnyOrderGiveTheSameRow(t *testing.T) {
	t.Parallel()
	pool := testkit.Postgres(t).Pool
	list := pickList{pool: pool}
	require.NoError(t, list.prepare(t.Context()))
	require.NoError(t, list.prepare(t.Context()), "a second start finds the tables")
	sameVersionLater := terminal(t, event.TopicFailed, "n", 3, "last")
	sameVersionLater.Metadata.Set(event.HeaderTime, noon.Add(time.Hour).Format(time.RFC3339))
	messages := []*message.Message{
		terminal(t, event.TopicSuccess, "n", 1, "a"), terminal(t, event.TopicFailed, "n", 2, "b"), terminal(t, event.TopicSuccess, "n", 3, "c"), sameVersionLater,
	}
	n := 0
	for _, order := range permutations([]int{0, 1, 2, 3}) {
		n++
		for _, i := range slices.Concat(order, order) {
			f, err := readFact(messages[i])
			require.NoError(t, err)
			f.ref.IncrementID, f.id = fmt.Sprint(n), fmt.Sprint(n, "/", f.id)
			_, err = list.apply(t.Context(), f)
			require.NoError(t, err)
		}
		require.Equal(t, "stopped last - 4", row(t, pool, fmt.Sprint(n)), "%v", order)
	}
	require.Equal(t, 24, n)
}

func permutations(of []int) [][]int {
	if len(of) < 2 {
		return [][]int{of}
	}
	var all [][]int
	for i := range of {
		rest := slices.Concat(of[:i], of[i+1:])
		for _, p := range permutations(rest) {
			all = append(all, append([]int{of[i]}, p...))
		}
	}
	return all
}

func TestTheOutcomeOfAFactIsTold(t *testing.T) {
	t.Parallel()
	list := pickList{pool: testkit.Postgres(t).Pool}
	require.NoError(t, list.prepare(t.Context()))
	var got []string
	for _, generation := range []int{2, 2, 1, 3} {
		f, err := readFact(terminal(t, event.TopicSuccess, "1", generation, "a"))
		require.NoError(t, err)
		outcome, err := list.apply(t.Context(), f)
		require.NoError(t, err)
		got = append(got, outcome)
	}
	require.Equal(t, []string{applied, duplicate, older, applied}, got)
}
