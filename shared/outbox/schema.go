package outbox

import (
	stdsql "database/sql"
	"fmt"
	"maps"
	"slices"

	wsql "github.com/ThreeDotsLabs/watermill-sql/v3/pkg/sql"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/go-json-experiment/json/jsontext"
	fastjson "github.com/go-json-experiment/json/v1"

	"github.com/erpconnector/erpconnector/shared/event"
)

// MetadataPartitionKey is the metadata key that holds the record's key. It has a column of its own in erp_outbox.
const MetadataPartitionKey = event.MetadataPartitionKey

// Schema lets the publisher and subscriber of watermill-sql work on erp_outbox, one table for all topics. Our
// migrations create the table. The zero value is ready to use.
type Schema struct {
	BatchSize int // rows that a subscriber reads at once; 100 when zero
}

var _ wsql.SchemaAdapter = Schema{}

// InsertStatement is the statement of Publish and of Queue.
const InsertStatement = `
INSERT INTO erp_outbox (topic, key, uuid, metadata, payload)
SELECT m.topic, m.key, m.uuid, m.metadata, m.payload
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bytea[]) WITH ORDINALITY AS m (topic, key, uuid, metadata, payload, ordinality)
ORDER BY m.ordinality`

// inserted are the columns of rows that one InsertStatement inserts.
type inserted struct {
	topics, keys, uuids, metadata []string
	payloads                      [][]byte
}

func (c inserted) query() wsql.Query {
	return wsql.Query{Query: InsertStatement, Args: []any{c.topics, c.keys, c.uuids, c.metadata, c.payloads}}
}

func roomFor(rows int) inserted {
	column := func() []string { return make([]string, 0, rows) }
	return inserted{topics: column(), keys: column(), uuids: column(), metadata: column(), payloads: make([][]byte, 0, rows)}
}

// InsertQuery inserts all messages with one statement; their ids follow the order of msgs.
func (Schema) InsertQuery(topic string, msgs message.Messages) (wsql.Query, error) {
	c := roomFor(len(msgs))
	for _, msg := range msgs {
		c.add(topic, msg.Metadata.Get(MetadataPartitionKey), msg.UUID, msg.Metadata, msg.Payload)
	}
	return c.query(), nil
}

func (c *inserted) add(topic, key, uuid string, metadata map[string]string, payload []byte) {
	if payload == nil {
		payload = []byte{} // the column is NOT NULL
	}
	c.topics, c.keys, c.uuids = append(c.topics, topic), append(c.keys, key), append(c.uuids, uuid)
	c.metadata, c.payloads = append(c.metadata, encoded(metadata)), append(c.payloads, payload)
}

// encoded is the metadata as an object with its names in order, but for the key, which has a column of its own.
func encoded(metadata map[string]string) string {
	var room [16]string
	names := slices.AppendSeq(room[:0], maps.Keys(metadata))
	slices.Sort(names)
	out := append(make([]byte, 0, 512), '{')
	for _, name := range names {
		if name == MetadataPartitionKey {
			continue
		}
		if len(out) > 1 {
			out = append(out, ',')
		}
		out, _ = jsontext.AppendQuote(out, name) // the error is about bytes that are no UTF-8: it has replaced them
		out, _ = jsontext.AppendQuote(append(out, ':'), metadata[name])
	}
	return string(append(out, '}'))
}

// selectQuery stops at a gap in the ids while the transaction that owns the missing id may still commit.
// watermill-sql's subscriber remembers nothing between queries, so it cannot wait for the holders of the lock as Reader
// does. It does this instead:
//
// A gap is dead when the row after it was written 5 s before the statement began, and no suspect may own the missing
// id. The owner got the id before that row was written, and its xid well within those 5 s. So it is in the snapshot's
// list of transactions in progress (xip), or it ended before the snapshot. A transaction of that list is no suspect in
// two cases. It is still in progress after the locks were listed and holds none on the outbox: an owner keeps its lock
// to the end (see gap). CASE makes sure that the locks are read first. Or it began 10 s or more after the row was
// written; the margin is for clocks that are set back. A transaction that ended meanwhile is left to the next query.
//
// The query uses statement_timestamp, not the clock: the statement may have waited for the offset's row lock with an
// old snapshot. It reads only the ids up to the page's last row, so a backlog costs nothing. The topic's offsets hold
// an id; last_processed_transaction_id stays 0.
const selectQuery = `
WITH last_processed AS MATERIALIZED (%s),
page AS MATERIALIZED (
    SELECT id, key, uuid, payload, metadata FROM erp_outbox
    WHERE topic = $%d AND id > (SELECT offset_acked FROM last_processed)
    ORDER BY id
    LIMIT %d
),
locks AS MATERIALIZED (SELECT * FROM pg_locks),
writer AS MATERIALIZED (
    SELECT own.transactionid AS xid
    FROM locks w JOIN locks own ON own.virtualtransaction = w.virtualtransaction
    WHERE own.locktype = 'transactionid' AND own.mode = 'ExclusiveLock'
      AND w.locktype = 'relation' AND w.mode = 'RowExclusiveLock' AND w.granted
      AND w.database = (SELECT oid FROM pg_database WHERE datname = current_database())
      AND w.relation IN (SELECT relid FROM pg_partition_tree('erp_outbox'))
),
suspect AS MATERIALIZED (
    SELECT a.xact_start
    FROM pg_snapshot_xip(pg_current_snapshot()) AS x LEFT JOIN pg_stat_activity a ON a.backend_xid = x::xid
    WHERE CASE WHEN x::xid IN (SELECT xid FROM writer) THEN true ELSE pg_xact_status(x) IS DISTINCT FROM 'in progress' END
),
gap AS (
    SELECT min(id) AS id
    FROM (
        SELECT id, created_at, lag(id) OVER (ORDER BY id) AS before FROM erp_outbox
        WHERE id > (SELECT offset_acked FROM last_processed) AND id <= (SELECT max(id) FROM page)
    ) AS ahead
    WHERE id <> coalesce(before, (SELECT offset_acked FROM last_processed)) + 1
      AND (created_at > statement_timestamp() - interval '5 s'
        OR EXISTS (SELECT FROM suspect WHERE xact_start IS NULL OR xact_start < ahead.created_at + interval '10 s'))
)
SELECT id AS "offset", key, uuid, payload, metadata FROM page
WHERE id < coalesce((SELECT id FROM gap), 9223372036854775807)
ORDER BY id`

// SelectQuery reads the topic's next rows for watermill-sql's subscriber.
func (s Schema) SelectQuery(topic, group string, offsets wsql.OffsetsAdapter) wsql.Query {
	next := offsets.NextOffsetQuery(topic, group)
	limit := s.BatchSize
	if limit <= 0 {
		limit = 100
	}
	args := append(append([]any{}, next.Args...), topic)
	return wsql.Query{Query: fmt.Sprintf(selectQuery, next.Query, len(args), limit), Args: args}
}

// UnmarshalMessage returns the message as it was published, with the partition key in its metadata.
func (Schema) UnmarshalMessage(row wsql.Scanner) (wsql.Row, error) {
	var (
		r   wsql.Row
		key string
	)
	if err := row.Scan(&r.Offset, &key, &r.UUID, &r.Payload, &r.Metadata); err != nil {
		return wsql.Row{}, fmt.Errorf("scanning an outbox row: %w", err)
	}
	msg, err := newMessage(string(r.UUID), key, r.Metadata, r.Payload)
	if err != nil {
		return wsql.Row{}, fmt.Errorf("outbox row %d: %w", r.Offset, err)
	}
	r.Msg = msg
	r.ExtraData = map[string]any{"transaction_id": int64(0)} // required by Watermill's offsets table
	return r, nil
}

// SchemaInitializingQueries returns none: migrations create the table.
func (Schema) SchemaInitializingQueries(string) []wsql.Query { return nil }

// SubscribeIsolationLevel is read committed: the subscriber's transaction takes a new snapshot for each statement.
func (Schema) SubscribeIsolationLevel() stdsql.IsolationLevel { return stdsql.LevelReadCommitted }

// roomForMetadata is enough for the headers of a record and its key. A map that grows for the ninth costs twice as much.
const roomForMetadata = 12

func newMessage(uuid, key string, metadata, payload []byte) (*message.Message, error) {
	msg := message.NewMessage(uuid, payload)
	msg.Metadata = make(message.Metadata, roomForMetadata)
	if err := fastjson.Unmarshal(metadata, &msg.Metadata); err != nil {
		return nil, fmt.Errorf("decoding metadata: %w", err)
	}
	if msg.Metadata == nil {
		msg.Metadata = message.Metadata{}
	}
	msg.Metadata.Set(MetadataPartitionKey, key)
	return msg, nil
}
