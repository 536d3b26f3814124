package relay

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"pgregory.net/rapid"

	"github.com/erpconnector/erpconnector/shared/checkpoint"
	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/kafka/txn"
	"github.com/erpconnector/erpconnector/shared/outbox"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

// Writers begin, write, commit and roll back, lanes are held and go on, and sessions end, in any order between the relay's steps. Each
// committed row comes to Kafka once, those of one key in the order of their commits. What is open delays no row of another transaction.
func TestRowsThatComeLateGoOutOnce(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(context.Background(), 2*testkit.Patience)
	t.Cleanup(cancel)
	cfg := testkit.EmbeddedBroker(t)
	cfg.Partitions = lanes
	client, err := kgo.NewClient(append(cfg.Options(), kgo.ConsumeTopics(cfg.Topic(event.TopicRequested)), kgo.FetchIsolationLevel(kgo.ReadCommitted()))...)
	require.NoError(t, err)
	t.Cleanup(client.Close)
	for topic, partitions := range map[string]int32{event.TopicRequested: lanes, event.TopicPosition: 1} {
		_, err = kadm.NewClient(client).CreateTopics(ctx, partitions, 1, nil, cfg.Topic(topic))
		require.NoError(t, err)
	}
	r := New(Params{Pool: testkit.Postgres(t).Pool, Kafka: cfg, Log: slog.New(slog.DiscardHandler), Limits: outbox.Limits{Rows: 2}})
	r.producer, r.lanes = txn.NewProducer(cfg, checkpoint.TransactionalID), txn.NewLanes[string](r.p.Log)
	worlds := 0
	rapid.Check(t, func(t *rapid.T) {
		if worlds++; worlds > mostWorlds && !testkit.Full() {
			return // each takes a tenth of a second
		}
		w := &lateWorld{ctx: ctx, r: r, client: client, kept: map[string][]string{}}
		defer w.abandon()
		w.restart(t)
		t.Repeat(map[string]func(*rapid.T){
			"begin": w.begin, "write": w.write, "end": w.end, "overtake": w.overtake, "hold": w.hold, "go on": w.goOn, "step": w.step, "steps": w.steps, "restart": w.restart,
		})
		w.finish(t)
	})
}

const (
	lanes      = 2
	mostWorlds = 30
)

type lateWorld struct {
	ctx    context.Context //nolint:containedctx // rapid's actions take none
	r      *Relay
	client *kgo.Client // of what is in Kafka
	s      *session
	read   checkpoint.Position
	open   []*lateWriter
	held   []string
	kept   map[string][]string // uuids by key, in the order of their commits
	names  int
}

// lateWriter writes rows of a key that nobody else writes meanwhile.
type lateWriter struct {
	tx    pgx.Tx
	key   string
	uuids []string
}

func (w *lateWorld) begin(t *rapid.T) {
	key := fmt.Sprint("k", rapid.IntRange(0, 5).Draw(t, "key"))
	if slices.ContainsFunc(w.open, func(o *lateWriter) bool { return o.key == key }) {
		return // it would wait for the lock
	}
	tx, err := w.r.p.Pool.Begin(w.ctx)
	require.NoError(t, err)
	w.open = append(w.open, &lateWriter{tx: tx, key: key})
	w.writeTo(t, w.open[len(w.open)-1])
}

func (w *lateWorld) write(t *rapid.T) {
	if len(w.open) > 0 {
		w.writeTo(t, rapid.SampledFrom(w.open).Draw(t, "writer"))
	}
}

func (w *lateWorld) writeTo(t *rapid.T, o *lateWriter) {
	var recs []event.Record
	for range rapid.IntRange(1, 4).Draw(t, "rows") {
		w.names++
		uuid := fmt.Sprint(o.key, "-", w.names)
		recs = append(recs, event.Record{Topic: event.TopicRequested, Key: o.key, UUID: uuid, Value: []byte(uuid)})
		o.uuids = append(o.uuids, uuid)
	}
	require.NoError(t, outbox.Publish(w.ctx, o.tx, recs))
}

func (w *lateWorld) end(t *rapid.T) {
	if len(w.open) > 0 {
		w.conclude(t, rapid.SampledFrom(w.open).Draw(t, "writer"), rapid.IntRange(0, 3).Draw(t, "fate") > 0)
	}
}

func (w *lateWorld) conclude(t *rapid.T, o *lateWriter, commit bool) {
	w.open = slices.DeleteFunc(w.open, func(other *lateWriter) bool { return other == o })
	if !commit {
		require.NoError(t, o.tx.Rollback(w.ctx))
		return
	}
	require.NoError(t, o.tx.Commit(w.ctx))
	w.kept[o.key] = append(w.kept[o.key], o.uuids...)
}

// overtake lets a writer's rows come after those of another transaction, and after its lane was held.
func (w *lateWorld) overtake(t *rapid.T) {
	w.write(t)
	w.begin(t)
	if len(w.open) < 2 {
		return
	}
	w.conclude(t, w.open[len(w.open)-1], true)
	w.steps(t)
	w.hold(t)
	w.conclude(t, w.open[0], true)
	w.steps(t)
	w.goOn(t)
	w.steps(t)
}

// hold says of a lane that its partition takes no records.
func (w *lateWorld) hold(t *rapid.T) {
	lane := checkpoint.LaneOfPartition(int32(rapid.IntRange(0, lanes-1).Draw(t, "lane"))) //nolint:gosec // small
	w.r.lanes.Hold(lane, w.r.p.Kafka.Topic(event.TopicRequested), errors.New("test"))
	w.held = append(w.held, lane)
}

func (w *lateWorld) goOn(*rapid.T) {
	w.r.lanes.Try(w.held)
	w.held = nil
}

// step is a turn of session.run.
func (w *lateWorld) step(t *rapid.T) { w.turn(t) }

func (w *lateWorld) turn(t *rapid.T) (relayed bool) {
	before := w.s.last.At
	batch, next, err := w.s.next(w.ctx, w.read)
	require.NoError(t, err)
	rows, at := w.s.split(batch, next)
	if len(rows) > 0 {
		require.NoError(t, w.s.await(w.s.commit(w.ctx, rows, at), at))
	}
	w.read = at
	return len(batch.Rows) > 0 || !w.s.last.At.Equal(before)
}

// steps goes on until nothing comes any more. When no lane is behind, then all that is committed is in Kafka.
func (w *lateWorld) steps(t *rapid.T) {
	for w.turn(t) {
	}
	if len(w.read.Behind) > 0 {
		return
	}
	var waiting int
	require.NoError(t, w.r.p.Pool.QueryRow(w.ctx, `SELECT count(*) FROM erp_outbox WHERE id > $1`, w.s.last.LastID).Scan(&waiting))
	require.Zero(t, waiting, "rows that no gap may delay")
}

// restart lets a new session go on with the position that is in Kafka.
func (w *lateWorld) restart(t *rapid.T) {
	if w.s != nil {
		w.s.close(w.ctx)
	}
	var err error
	w.r.rows = w.r.p.Limits.Rows // it grows with what is written
	w.s, err = openSession(w.ctx, w.r)
	require.NoError(t, err)
	w.read = w.s.last
}

func (w *lateWorld) finish(t *rapid.T) {
	for len(w.open) > 0 {
		w.end(t)
	}
	ends := map[string]bool{}
	for i := range 6 { // a last row of each key
		o := &lateWriter{key: fmt.Sprint("k", i)}
		var err error
		o.tx, err = w.r.p.Pool.Begin(w.ctx)
		require.NoError(t, err)
		w.writeTo(t, o)
		ends[o.uuids[len(o.uuids)-1]] = true
		w.conclude(t, o, true)
	}
	for {
		w.goOn(t)
		for w.turn(t) {
		}
		if len(w.read.Behind) == 0 && len(w.read.Open) == 0 {
			break
		}
	}
	got := map[string][]string{}
	for len(ends) > 0 {
		fetches := w.client.PollFetches(w.ctx)
		require.NoError(t, fetches.Err())
		fetches.EachRecord(func(r *kgo.Record) {
			got[string(r.Key)] = append(got[string(r.Key)], string(r.Value))
			delete(ends, string(r.Value))
		})
	}
	require.Equal(t, w.kept, got)
}

func (w *lateWorld) abandon() {
	for _, o := range w.open {
		_ = o.tx.Rollback(w.ctx)
	}
	w.r.lanes.Forget()
	w.s.close(w.ctx)
}

// A wake-up may come while the relay reads. It must not wait for the next one then.
func TestAWakeUpThatComesWithAnAnswerIsKept(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), testkit.Patience)
	t.Cleanup(cancel)
	pool := testkit.Postgres(t).Pool
	s, err := openSource(ctx, pool)
	require.NoError(t, err)
	t.Cleanup(func() { s.close(context.Background()) })
	outbox.Wake(ctx, pool)
	testkit.Eventually(t, func() bool {
		_, err := s.conn.Exec(ctx, "SELECT 1")
		return err == nil && s.woken
	}, "no wake-up has come")
	began := time.Now()
	require.NoError(t, s.wait(ctx, testkit.Patience/2))
	require.Less(t, time.Since(began), testkit.Patience/4)
}
