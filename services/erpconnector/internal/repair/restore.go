package repair

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/failpoint"
	"github.com/erpconnector/erpconnector/shared/gate"
	"github.com/erpconnector/erpconnector/shared/kafka/pubsub"
	"github.com/erpconnector/erpconnector/shared/orders"
	"github.com/erpconnector/erpconnector/shared/postgres"
	"github.com/erpconnector/erpconnector/shared/reconcile"
)

// restore takes the lost records back into the database.
func (r *repairer) restore(ctx context.Context, found *reconcile.Comparison) error {
	r.noteRows(found)
	free, err := r.freePlaces(ctx, len(found.Lost))
	if err != nil {
		return err
	}
	return r.eachLost(ctx, found, func(ctx context.Context, records []lostRecord) error {
		err := postgres.InTx(ctx, r.Pool, func(tx pgx.Tx) error {
			b := &batch{r: r, tx: tx, topic: records[0].topic, records: records, now: domain.NormalizeTime(time.Now())}
			return b.run(ctx, free)
		})
		if err != nil {
			return fmt.Errorf("restoring %d records of %s: %w", len(records), records[0].topic, err)
		}
		failpoint.Hit("repair.batch")
		for _, record := range records {
			r.note(record)
		}
		return nil
	})
}

// batch restores some records of one topic in one transaction.
type batch struct {
	r       *repairer
	tx      pgx.Tx
	topic   string
	records []lostRecord
	now     time.Time

	gates map[string]domain.Gate
}

// run restores what follows from the records, then their rows. All is one transaction: a row that is there stands for all of it, so that
// the next comparison finds either nothing or the whole of the record missing.
func (b *batch) run(ctx context.Context, free places) error {
	readable, err := b.lock(ctx)
	if err != nil {
		return err
	}
	if b.topic == event.TopicSalesOrder {
		err = b.restoreEvents(ctx, readable)
	} else {
		err = b.restoreGates(ctx, readable)
	}
	if err != nil {
		return err
	}
	return b.restoreRows(ctx, free)
}

// lock locks the gates as accepting an event does; orders that have none get one. Of a record that cannot be read only the row is
// restored: it was relayed like that, and its consumers have put it among the dead letters.
func (b *batch) lock(ctx context.Context) (readable []*kgo.Record, err error) {
	var refs []domain.OrderRef
	for _, record := range b.records {
		ref, err := domain.ParseKey(string(record.Key))
		if err == nil {
			err = b.decodes(record.Record)
		}
		if err != nil {
			b.r.Log.Warn("record cannot be read; its row alone is restored", "topic", record.Topic, "partition", record.Partition, "offset", record.Offset)
			continue
		}
		refs, readable = append(refs, ref), append(readable, record.Record)
	}
	b.gates, err = gate.Lock(ctx, b.tx, refs, b.now)
	return readable, err
}

// decodes reports whether the record says what its topic's records say.
func (b *batch) decodes(record *kgo.Record) (err error) {
	if b.topic == event.TopicSalesOrder {
		_, err = acceptedOf(b.r.Kafka.Event(record))
	} else {
		_, err = b.r.Kafka.Event(record).Sync()
	}
	return err
}

// restoreGates takes the facts into the gates.
func (b *batch) restoreGates(ctx context.Context, records []*kgo.Record) error {
	before := map[string]int64{}
	changed := map[string]bool{}
	for _, record := range records {
		fact := b.r.Kafka.Event(record)
		v, err := fact.Sync()
		if err != nil {
			return err
		}
		if err := orders.RememberCallback(ctx, b.tx, v, fact.OccurredAt()); err != nil {
			return err
		}
		key := string(record.Key)
		was := b.gates[key]
		is := was.Restored(v.Sync)
		if is == was {
			continue
		}
		if !changed[key] {
			before[key] = was.SyncID
		}
		b.gates[key], changed[key] = is, true
	}
	var gates []domain.Gate
	var renamed []string
	for key := range changed {
		gates = append(gates, b.gates[key])
		if was := before[key]; was != 0 && was != b.gates[key].SyncID {
			renamed = append(renamed, key)
		}
	}
	given, err := b.giveWay(ctx, gates)
	if err != nil {
		return err
	}
	if err := gate.Save(ctx, b.tx, gates); err != nil {
		return err
	}
	return b.rename(ctx, append(renamed, given...))
}

// giveWay gives new sync ids to orders that have those of the gates: they were given a second time here, before the
// sequence was moved on.
func (b *batch) giveWay(ctx context.Context, gates []domain.Gate) (keys []string, err error) {
	var own []string
	var ids []int64
	for _, g := range gates {
		own, ids = append(own, g.Ref.Key()), append(ids, g.SyncID)
	}
	rows, err := b.tx.Query(ctx, `
		SELECT g.order_key FROM erp_sync_gate g JOIN unnest($1::text[], $2::bigint[]) AS n (k, i) ON n.i = g.sync_id AND n.k <> g.order_key
		ORDER BY g.order_key COLLATE "C" FOR UPDATE OF g`, own, ids)
	if err == nil {
		keys, err = pgx.CollectRows(rows, pgx.RowTo[string])
	}
	if err == nil && len(keys) > 0 {
		_, err = b.tx.Exec(ctx, `
			UPDATE erp_sync_gate g SET sync_id = n.i
			FROM unnest($1::text[]) WITH ORDINALITY AS o (k, place)
			JOIN (SELECT i, row_number() OVER () AS place FROM erp_sync_ids($2) AS i) AS n USING (place)
			WHERE g.order_key = o.k`, keys, len(keys))
	}
	if err != nil {
		return nil, fmt.Errorf("giving new sync ids: %w", err)
	}
	return keys, nil
}

// rename writes the orders' sync ids of now into what is to be relayed of them still.
func (b *batch) rename(ctx context.Context, keys []string) error {
	if len(keys) == 0 {
		return nil
	}
	b.r.report.Renamed += len(keys)
	rows, err := b.tx.Query(ctx, `
		SELECT o.id, o.payload, g.sync_id FROM erp_outbox o JOIN erp_sync_gate g ON g.order_key = o.key
		WHERE o.id > $1 AND o.key = ANY($2) AND o.topic = ANY($3)`, b.r.report.Position.LastID, keys, []string{event.TopicRequested, event.TopicCallback})
	if err != nil {
		return fmt.Errorf("reading what %d orders have to relay: %w", len(keys), err)
	}
	var id, syncID int64
	var payload []byte
	var ids []int64
	var payloads [][]byte
	_, err = pgx.ForEachRow(rows, []any{&id, &payload, &syncID}, func() error {
		v, err := event.DecodeSync(payload)
		if err != nil {
			return err
		}
		v.Sync.SyncID = syncID
		value, err := domain.EncodeJSON(v)
		ids, payloads = append(ids, id), append(payloads, value)
		return err
	})
	if err != nil {
		return fmt.Errorf("reading what %d orders have to relay: %w", len(keys), err)
	}
	_, err = b.tx.Exec(ctx, `UPDATE erp_outbox o SET payload = n.p FROM unnest($1::bigint[], $2::bytea[]) AS n (i, p) WHERE o.id = n.i`, ids, payloads)
	if err != nil {
		return fmt.Errorf("renaming the syncs of %d orders: %w", len(keys), err)
	}
	return nil
}

// restoreRows gives the records their rows back, under ids that are free below the position.
func (b *batch) restoreRows(ctx context.Context, free places) error {
	n := len(b.records)
	ids := make([]int64, n)
	keys, uuids, metadata := make([]string, n), make([]string, n), make([]string, n)
	payloads, times := make([][]byte, n), make([]time.Time, n)
	for i, record := range b.records {
		msg, err := pubsub.Unmarshal(record.Record)
		if err != nil {
			return err
		}
		delete(msg.Metadata, event.MetadataPartitionKey)
		encoded, err := json.Marshal(msg.Metadata)
		if err != nil {
			return err
		}
		ids[i] = free.at(record.place)
		keys[i], uuids[i], metadata[i], payloads[i], times[i] = string(record.Key), msg.UUID, string(encoded), record.Value, record.Timestamp
	}
	_, err := b.tx.Exec(ctx, `
		INSERT INTO erp_outbox (id, topic, key, uuid, metadata, payload, created_at)
		SELECT i, $1, k, u, m, p, t FROM unnest($2::bigint[], $3::text[], $4::text[], $5::text[], $6::bytea[], $7::timestamptz[]) AS n (i, k, u, m, p, t)`,
		b.topic, ids, keys, uuids, metadata, payloads, times)
	if err != nil {
		return fmt.Errorf("writing %d rows of the outbox: %w", n, err)
	}
	return nil
}

// accepted is an event, read from its record.
type accepted struct {
	event.Commerce

	key    string
	digest []byte
	at     time.Time
}

// restoreEvents restores accepted events and the orders' states that came with them.
func (b *batch) restoreEvents(ctx context.Context, records []*kgo.Record) error {
	all := make([]accepted, 0, len(records))
	for _, record := range records {
		a, err := acceptedOf(b.r.Kafka.Event(record))
		if err != nil {
			return err
		}
		all = append(all, a)
	}
	if err := b.restoreAccepted(ctx, all); err != nil {
		return err
	}
	return b.restoreSnapshots(ctx, all)
}

// acceptedOf reads an event as it was accepted: its digest is of the record's value, as that of the event was.
func acceptedOf(record event.View) (a accepted, err error) {
	if err := json.Unmarshal(record.Value, &a.Commerce); err != nil {
		return a, fmt.Errorf("decoding the event: %w", err)
	}
	if a.Source == "" {
		a.Source = domain.DefaultSource
	}
	digest := event.Digest(record.Value)
	a.key, a.digest = string(record.Key), digest[:]
	a.at, err = record.Time()
	return a, err
}
