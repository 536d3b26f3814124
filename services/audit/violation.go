package audit

import (
	"fmt"
	"strings"
)

// Kind names what is broken.
type Kind string

// The kinds of violations.
const (
	RowNotInKafka        Kind = "row_not_in_kafka"
	TwiceInKafka         Kind = "twice_in_kafka"
	RecordUnknown        Kind = "record_unknown"
	EventNotPublished    Kind = "event_not_published"
	GateWithoutLog       Kind = "gate_without_log"
	LogWithoutGate       Kind = "log_without_gate"
	NeitherAliveNorEnded Kind = "neither_alive_nor_ended"
	TwoAlive             Kind = "two_alive"
	AliveAfterEnd        Kind = "alive_after_end"
	EndedTwice           Kind = "ended_twice"
	AfterSendTwice       Kind = "after_send_twice"
	BeforeSendAlone      Kind = "before_send_alone"
	Unreadable           Kind = "unreadable"
	GateOpenAfterEnd     Kind = "gate_open_after_end"
	GateClosedWithoutEnd Kind = "gate_closed_without_end"
	GateOpenButHeld      Kind = "gate_open_but_held"
	GateHeldButReleased  Kind = "gate_held_but_released"
	GateGeneration       Kind = "gate_generation"
	GateKey              Kind = "gate_key"
	GateSyncID           Kind = "gate_sync_id"
)

// Kinds lists them in the order in which the page has them.
var Kinds = []Kind{
	EventNotPublished, RowNotInKafka, TwiceInKafka, RecordUnknown, NeitherAliveNorEnded, TwoAlive, AliveAfterEnd, EndedTwice,
	BeforeSendAlone, AfterSendTwice, Unreadable, LogWithoutGate, GateWithoutLog, GateOpenAfterEnd, GateClosedWithoutEnd,
	GateOpenButHeld, GateHeldButReleased, GateGeneration, GateKey, GateSyncID,
}

// means says what each kind means and what to do.
var means = map[Kind]string{
	EventNotPublished: "The event was accepted, and neither the outbox nor Kafka has it: somebody deleted its row. " +
		"Let the shop publish it again under a new event id.",
	RowNotInKafka: "The relay's position is beyond this row, and Kafka does not have it: the position was moved, or the topic lost records. " +
		"Find out who did that; a request that is missing is made again by resync.",
	TwiceInKafka: "The record stands in Kafka more often than in the outbox: the relay's position was set back, or somebody else published it. " +
		"The ERP catches the second call by the idempotency key; look whether the order ended twice.",
	RecordUnknown: "The outbox, which alone writes this topic, has no row of this record: somebody deleted the row or published the record. " +
		"Find out who writes to the topic.",
	NeitherAliveNorEnded: "The generation was requested, all its records are consumed, and no end was written: nothing will follow. " +
		"Somebody moved the position of a consumer group past them. Resync the order.",
	TwoAlive: "Two records of one generation are waiting to be sent: it would end twice. A retry or request was published beside the chain. " +
		"Cancel or settle the order, so that no call is made, and find out who wrote the record.",
	AliveAfterEnd: "The generation has ended, yet a record of it waits to be sent: a record was published beside the chain, or a position set back. " +
		"A closed gate ends the record without a call; look that it is closed.",
	EndedTwice: "The generation has two terminal events. Subscribers have seen both; look in the ERP under the idempotency key what it booked.",
	BeforeSendAlone: "The attempt was announced, its record is consumed, and no outcome stands in the log: whether the ERP was called is not known. " +
		"Ask the ERP about the idempotency key; then settle the order or resync it.",
	AfterSendTwice: "The attempt has two outcomes: its record was consumed twice. Look in the ERP under the idempotency key what it booked.",
	Unreadable:     "Nobody can read this record: it is not the connector's. The dead letters have it with the reason. Find out who writes to the topic.",
	LogWithoutGate: "Events, outbox or log know the order, and it has no gate: its row was deleted. Its records pass with an alarm, " +
		"and can neither be settled nor cancelled. Restore the row from a backup.",
	GateWithoutLog: "The gate has made a request or taken a settlement that neither the outbox nor the log has: the gate or the outbox was changed by hand. " +
		"Resync the order if it must be sent.",
	GateOpenAfterEnd: "The generation has ended and the projection has applied it, yet the gate is open: it was changed by hand. " +
		"Requests take the order for being on its way. Settle it, or close the gate as its terminal event says.",
	GateClosedWithoutEnd: "The gate says that the generation has ended, and the log has no end of it: the log lost records, or the gate was changed by hand. " +
		"A record of it that is alive ends without a call. Find out in vendor_erp_sync and in the ERP how it ended before it is sent again.",
	GateOpenButHeld: "The gate is open, yet the request was held and never released: the gate was changed by hand, and nobody will send the order. " +
		"Set the gate back to held, or resync the order.",
	GateHeldButReleased: "The gate holds a request that the log has released: the gate was changed by hand. " +
		"The next release would send the order a second time; the idempotency key is the same. Open or close the gate as the log says.",
	GateGeneration: "The log has a newer generation than the gate: the gate was changed by hand or restored from an older backup. " +
		"Set the gate to the log's generation before anybody asks for a resync.",
	GateKey: "The gate has another idempotency key than the request in the log: the gate was changed by hand. " +
		"A resync would send a key that the ERP does not know, and book the order twice. Set the gate's key to the log's.",
	GateSyncID: "The gate has another sync id than the log: the gate was changed by hand. Set it to the log's.",
}

// Violation is one thing that is broken, of one order.
type Violation struct {
	Kind       Kind   `json:"break"`
	Source     string `json:"source"`
	Order      string `json:"order_increment_id"`
	SyncID     int64  `json:"sync_id,omitempty"`
	Generation int    `json:"generation,omitempty"`
	Attempt    int    `json:"attempt,omitempty"`
	Topic      string `json:"topic,omitempty"` // without the prefix, as the next two
	Partition  *int32 `json:"partition,omitempty"`
	Offset     *int64 `json:"offset,omitempty"`
	OutboxID   int64  `json:"outbox_id,omitempty"`
	Found      string `json:"found,omitempty"` // what differs, where the kind does not say it
	Means      string `json:"means"`

	event uint64 // of an event that was not published, whose id is looked up
}

// Where says where a violation shows: the attempt, the id in the outbox, the place in Kafka, and what differs. It is empty when the order
// alone is known.
func (v Violation) Where() string {
	var parts []string
	if v.Attempt != 0 {
		parts = append(parts, fmt.Sprintf("attempt %d", v.Attempt))
	}
	if v.OutboxID != 0 {
		parts = append(parts, fmt.Sprintf("outbox id %d", v.OutboxID))
	}
	switch {
	case v.Offset != nil:
		parts = append(parts, fmt.Sprintf("%s partition %d offset %d", v.Topic, *v.Partition, *v.Offset))
	case v.Topic != "":
		parts = append(parts, v.Topic)
	}
	if v.Found != "" {
		parts = append(parts, v.Found)
	}
	return strings.Join(parts, ", ")
}
