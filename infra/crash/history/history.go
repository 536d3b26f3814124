// Package history holds what a run of the crash harness leaves behind: what shops and operators requested, what the ERP
// received, what the topics and tables contain, and what was killed. The harness writes it and the checker reads it. It
// holds facts and no judgement. It shares no code with the product.
package history

import (
	"encoding/json"
	"time"
)

// History is one run. All times come from the clock of one machine, in UTC. Every field is exported, as a history is saved
// as JSON: a field that is not saved would hide a violation from the checker.
type History struct {
	Seed          uint64
	Broker        string // "embedded" or "Apache Kafka 4.2.0"
	Partitions    int
	ThinPartition int32 // the partition of keyed topics that takes no records while a broker is starved; -1: none
	Began         time.Time
	Ended         time.Time

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
	Breaker      []BreakerChange // by time
	Alarms       []Alarm
	Notices      []Notice // by arrival
	Alerts       []AlertRow
	Deliveries   []DeliveryRow
	FailedGroups []string // of errors that failed orders have at the end; what an operator has cancelled is none
	Exits        []Exit
}

// Policy is the product's retry policy in this run. The checker computes from it when each retry is due.
type Policy struct {
	MaxAttempts int
	BaseDelay   time.Duration
	MaxDelay    time.Duration // 0: none
	GiveUpAfter time.Duration // from the request on; 0: nobody gives up
}

// Limits bound what a disturbance may cost. With 0 the checker reports the figure, and it is never a violation.
type Limits struct {
	Stall    time.Duration // promise 12: the longest time without new records for a reader
	TakeOver time.Duration // promise 12: the longest time until another process continues the work of a killed one
	Late     time.Duration // promise 5: the longest delay of a retry after its time
}

// Outcome is what a client knows of its request. Jepsen calls the three ok, fail and info.
type Outcome string

// The outcomes.
const (
	Accepted Outcome = "accepted" // answered with success, or its transaction's commit was confirmed
	Refused  Outcome = "refused"  // answered with a refusal, or rolled back: it must have no effect
	Unknown  Outcome = "unknown"  // the connection broke: all or nothing may have been done, but not half of it
)

// Publication is one event that a shop published, with all its repetitions under the same event id.
type Publication struct {
	Door    string // http, http-batch, sql, pgx, database/sql, watermill
	EventID string
	Type    string // order.placed, order.updated, invoice.created
	Source  string
	Order   string // increment id
	First   time.Time
	Last    time.Time // when the last answer came
	Outcome Outcome
}

// Request is one request of an operator, or one callback of the ERP, about an order. Its kind is sync, resync, resync-new-key,
// resync-again, cancel, settle, send-now, webhook-accepted or webhook-rejected. resync-again asks for a new key after the
// answer that the ERP has the order already.
type Request struct {
	Kind      string
	Source    string
	Order     string
	Key       string // the idempotency key in a callback
	Reference string // the ERP's reference in a callback
	Began     time.Time
	Ended     time.Time
	Outcome   Outcome
	HTTPCode  int // 0: no answer
}

// Call is one request that the ERP received, as the ERP itself recorded it.
type Call struct {
	Number    int // in order of arrival
	Source    string
	Order     string // as the payload names it
	Key       string // X-Idempotency-Key
	Began     time.Time
	Ended     time.Time // when it was answered, or the caller had gone
	Behaviour string    // what the plan lets the ERP do: ok, busy, refuse, hang, cut-before, slow, …
	Status    int       // 0: no answer was sent
	Booked    bool      // this call made a booking; a repeated key is answered with the booking it made before
	Reference string
	HoldUntil time.Time // what the ERP asked all its callers to wait for, by Retry-After; zero: nothing
	Problem   string    // the signature, header or body that was wrong; empty: none
	BodyHash  string
}

// Record is one record of a topic, as a reader of committed records gets it.
type Record struct {
	Topic     string // without prefix
	Partition int32
	Offset    int64
	Timestamp time.Time // to the millisecond
	Key       string
	Headers   map[string]string
	Value     json.RawMessage
}

// Sighting is the time at which the live reader of committed records got a record. The checker measures stalls by it.
type Sighting struct {
	Topic     string
	Partition int32
	Offset    int64
	At        time.Time
}

// Start is the first offset that a partition still held when its topic was read. The product trims retries that were
// consumed, so what lies before it is not missing.
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

// Disturbance is one fault that the nemesis injected.
type Disturbance struct {
	Kind      string // kill, term, stop (SIGSTOP), down (the ERP), storm (the ERP turns all calls away), fail-over (Postgres), starve (see nemesis.Starve)
	Target    string // syncer-1, relay-0, broker, postgres, …
	At        time.Time
	Restarted time.Time // when the target, or its successor, was started again
	Ready     time.Time // when it was ready again; zero: never
	Service   string    // syncer; empty for broker and postgres
	Survivors int       // how many other processes of the service were running

	ClockStep     time.Duration // of a stop: how far the clock of the process was set back
	ClockRestored time.Time     // when the clock was set right again
}

// Switch is one period in which an operator had a setting off, or a maintenance window of the ERP set. Between a request and its answer either value may apply.
type Switch struct {
	Setting      string    // enabled, immediate_sync, erp_maintenance
	OffRequested time.Time // the request to turn it off
	Off          time.Time // its answer, a success
	OnRequested  time.Time // the last request to turn it on again
	On           time.Time // its answer, a success; zero: none came

	Begins, Ends time.Time // of the maintenance window that the setting named
}

// Maintenance is the setting of the ERP's maintenance windows.
const Maintenance = "erp_maintenance"

// Failover is a period in which Postgres could lose what it confirmed: its standby received nothing, and then took over.
// Shops publish again what they published in it. Requests of operators are not repeated.
type Failover struct {
	From time.Time // the standby stops receiving
	To   time.Time // the repair has brought back what Kafka has
}

// BreakerChange is one line of the circuit breaker's history, as the product wrote it.
type BreakerChange struct {
	At       time.Time
	From, To string // closed, open, probing, closing
	By       string
}

// Exit is the end of one process of the product.
type Exit struct {
	Target      string // syncer-1
	Service     string
	At          time.Time
	Code        int    // -1: a signal ended it
	Signal      string // the signal that ended it; empty: none
	Requested   string // kill or term, by the harness; empty: it ended by itself
	Ready       bool   // whether it had been ready
	ServersDown string // servers that were down, or had just come back: a process may end by itself without them
	Reason      string // why it could not be started; empty: it was
}

// Notice is one time that a notice of an alert reached the destination, as the destination recorded it.
type Notice struct {
	At       time.Time
	ID       string // webhook-id
	AlertID  int64
	Alert    string // orders_failed, breaker, …
	Event    string // opened, repeated, resolved
	Subject  string
	BodyHash string
	Taken    bool   // somebody has read it; otherwise it was turned away
	Problem  string // the signature, header or body that was wrong; empty: none
}

// AlertRow is one row of alert, by column name, without the words.
type AlertRow map[string]any

// DeliveryRow is one row of alert_delivery, by column name, without the words.
type DeliveryRow map[string]any

// Alarm is a line in which a process logs that the gate and the log of an order are at odds.
type Alarm struct {
	At         time.Time
	Target     string // syncer-1
	Text       string
	Source     string
	Order      string // increment id
	Generation int
}
