package outbox

import (
	stdsql "database/sql"
	"encoding/json"
	"fmt"

	wsql "github.com/ThreeDotsLabs/watermill-sql/v3/pkg/sql"
	"github.com/ThreeDotsLabs/watermill/message"
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

const insertQuery = `
INSERT INTO erp_outbox (topic, key, uuid, metadata, payload)
SELECT $1, m.key, m.uuid, m.metadata, m.payload
FROM unnest($2::text[], $3::text[], $4::text[], $5::bytea[]) WITH ORDINALITY AS m (key, uuid, metadata, payload, ordinality)
ORDER BY m.ordinality`

// InsertQuery inserts all messages with one statement; their ids follow the order of msgs.
func (Schema) InsertQuery(topic string, msgs message.Messages) (wsql.Query, error) {
	keys, uuids := make([]string, len(msgs)), make([]string, len(msgs))
	metadata, payloads := make([]string, len(msgs)), make([][]byte, len(msgs))
	for i, msg := range msgs {
		rest := make(message.Metadata, len(msg.Metadata))
		for name, value := range msg.Metadata {
			if name != MetadataPartitionKey {
				rest[name] = value
			}
		}
		encoded, err := json.Marshal(rest)
		if err != nil {
			return wsql.Query{}, fmt.Errorf("encoding the metadata of message %s: %w", msg.UUID, err)
		}
		keys[i], uuids[i], metadata[i] = msg.Metadata.Get(MetadataPartitionKey), msg.UUID, string(encoded)
		payloads[i] = msg.Payload
		if msg.Payload == nil {
			payloads[i] = []byte{} // the column is NOT NULL
		}
	}
	return wsql.Query{Query: insertQuery, Args: []any{topic, keys, uuids, metadata, payloads}}, nil
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
