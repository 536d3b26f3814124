// Package history is what a run of the crash harness leaves behind: what shops and operators asked, what the ERP was
// sent, what stands in topics and tables, and what was killed. The driver writes it, the checker reads it; it holds facts
// and no judgement. It shares no code with the product.
package history

import (
	"encoding/json"
	"time"
)

// History is one run. All times are of one machine's clock, in UTC.
type History struct {
	Seed       uint64
	Broker     string // "embedded" or "Apache Kafka 4.2.0"
	Partitions int
	Thin       int32 // the partition of keyed topics that takes no records while its broker is away (see Disturbance); -1: none
	Began      time.Time
	Ended      time.Time

	Policy Policy
	Limits Limits

	Publications []Publication
	Requests     []Request
	Calls        []Call
	Records      []Record   // read_committed, by topic, partition, offset
	Sightings    []Sighting // of the live reader
	Starts       []Start    // of every partition; records before them were trimmed
	Outbox       []OutboxRow
	Table        []SyncRow
	Gates        []Gate
	Disturbances []Disturbance
	Switches     []Switch
	Failovers    []Failover
	Alarms       []Alarm
	Exits        []Exit
}

// Policy is the retry policy that the product was started with.
type Policy struct {
	MaxAttempts int
	BaseDelay   time.Duration
	MaxDelay    time.Duration // 0: none
}

// Limits are what a disturbance may cost; 0 means that the figure is told and never a violation.
type Limits struct {
	Stall    time.Duration // promise 12: readers of every topic go on within
	TakeOver time.Duration // promise 12: work of a killed process is done within
	Late     time.Duration // promise 5: a retry goes out at most so long after its time
}

// Known says what a client knows of what it asked.
type Known string

// What a client may know.
const (
	Accepted Known = "accepted" // answered with success, or its transaction's commit was confirmed
	Refused  Known = "refused"  // answered with a refusal, or rolled back: it must leave no trace
	Unknown  Known = "unknown"  // the connection broke: either is right, half of it is not
)

// Publication is one event that a shop handed over, with every repetition of it.
type Publication struct {
	Door    string // http, sql, pgx, database/sql, watermill
	EventID string
	Type    string // order.placed, order.updated, invoice.created
	Source  string
	Order   string // increment id
	First   time.Time
	Last    time.Time // when its last answer came
	Known   Known
}

// Request is what an operator or the ERP's webhook asked of an order.
type Request struct {
	What     string // sync, resync, resync-new-key, resync-again (with a new key, after the answer that the ERP has the order), webhook-accepted, webhook-rejected, cancel, settle, send-now
	Source   string
	Order    string
	Key      string // the idempotency key that a webhook echoed
	Named    string // the reference that a webhook named
	Began    time.Time
	Ended    time.Time
	Known    Known
	HTTPCode int // 0: no answer
}

// Call is one request in the ERP's own book.
type Call struct {
	Number    int // in order of arrival
	Source    string
	Order     string // as the payload names it
	Key       string // X-Idempotency-Key
	Began     time.Time
	Ended     time.Time // answered, or the caller was gone
	Behaviour string    // what the ERP was told to do: ok, busy, refuse, hang, cut-before, cut-after, slow, not-json, …
	Status    int       // 0: no answer was sent
	Booked    bool      // this call made a booking; a repeated key is answered with the booking it made before
	Reference string
	Problem   string // signature, header or body that was wrong; empty: none
	BodyHash  string
}

// Record is one record of a topic.
type Record struct {
	Topic     string // without prefix
	Partition int32
	Offset    int64
	Timestamp time.Time // milliseconds
	Key       string
	Headers   map[string]string
	Value     json.RawMessage
}

// Sighting is when the live read_committed reader was given a record.
type Sighting struct {
	Topic     string
	Partition int32
	Offset    int64
	At        time.Time
}

// Start is the first offset that a partition still held when its topic was read: retries are trimmed once consumed.
type Start struct {
	Topic     string // without prefix
	Partition int32
	Offset    int64
}

// OutboxRow is one row of erp_outbox.
type OutboxRow struct {
	ID      int64
	Topic   string // without prefix
	Key     string
	UUID    string
	EventID string // ce_id
}

// SyncRow is one row of vendor_erp_sync, by column name, and erp_synced of its order; times are RFC 3339 with
// microseconds, NULL is null.
type SyncRow map[string]any

// Gate is one row of erp_sync_gate, by column name.
type Gate map[string]any

// Disturbance is one thing done to the product.
type Disturbance struct {
	What    string // kill, term, stop (SIGSTOP), starve (the broker is killed without which the thin partition takes no records)
	Target  string // syncer-1, relay-0, broker, postgres, …
	At      time.Time
	Back    time.Time // when it, or its successor, was started again
	Ready   time.Time // when that was ready; zero: never
	Service string    // syncer; empty for broker and postgres
	Others  int       // how many processes of the service lived on

	Set   time.Duration // of a stop: so far its clock was put back meanwhile
	Right time.Time     // when that clock was right again
}

// Switch is one time in which an operator had a setting off.
type Switch struct {
	Setting string    // enabled, immediate_sync
	Asked   time.Time // to turn it off
	Off     time.Time // that was answered with success
	AskedOn time.Time
	On      time.Time // that was answered with success
}

// Failover is a time in which what Postgres confirmed could be lost: its standby was cut off, and took its place. Shops send
// what they published in it again; what somebody else asked is not asked again.
type Failover struct {
	From time.Time // the standby is cut off
	To   time.Time // the database has back what Kafka has
}

// Exit is the end of one of the product's processes.
type Exit struct {
	Target  string // syncer-1
	Service string
	At      time.Time
	Code    int    // -1: by a signal
	Signal  string // that ended it; empty: none
	Told    string // kill, term; empty: it ended by itself
	Ready   bool   // it had been ready
	Away    string // the servers that were away then, or had just come back: it may end by itself for want of them
	Reason  string // why it could not be started
}

// Alarm is a line of a process's log in which it says that an order's gate and its log are at odds.
type Alarm struct {
	At         time.Time
	Target     string // syncer-1
	Text       string
	Source     string
	Order      string // increment id
	Generation int
}
