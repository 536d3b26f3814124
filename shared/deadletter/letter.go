package deadletter

import (
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/kafka"
)

// Limits of what the table keeps of texts that somebody else wrote.
const (
	maxKey   = 512 // an order's key is shorter
	maxName  = 255
	maxCeID  = 1 << 10
	maxYears = 9999
)

// Letter is one dead letter without the content of its record. All its fields follow from the topic; the tags are the table's
// columns.
type Letter struct {
	ID        int64      `db:"id"` // its offset in the topic, which has one partition
	WrittenAt time.Time  `db:"written_at"`
	By        Writer     `db:"written_by"` // empty when the record does not say
	Topic     string     `db:"topic"`      // where the original record is, without the prefix; empty when the dead letter does not say
	Partition int32      `db:"partition"`
	Offset    int64      `db:"offset"`
	OrderKey  string     `db:"order_key"` // the key of the record
	CeID      string     `db:"ce_id"`
	RecordAt  *time.Time `db:"record_at"` // the record's ce_time; nil when it has none
	DueAt     *time.Time `db:"due_at"`    // of a retry
	Bytes     int        `db:"bytes"`     // of the record's value
	Reason    string     `db:"reason"`
	Ended     bool       `db:"ended"` // see Cause
}

// Read makes the Letter of a record of the dead-letter topic. It never fails, whatever the record holds: anybody may have written
// it, and what the table refused would hold up the projection for ever.
func Read(cfg kafka.Config, r *kgo.Record) Letter {
	text := func(header string, maxBytes int) string { return shorten(string(kafka.Header(r, header)), maxBytes) }
	l := Letter{
		ID: r.Offset, By: Writer(text(event.HeaderDeadLetterBy, maxName)),
		OrderKey: shorten(string(r.Key), maxKey), CeID: text(event.HeaderID, maxCeID), Bytes: len(r.Value), Reason: text(event.HeaderReason, maxReason),
	}
	partition, err := strconv.ParseInt(text(event.HeaderOriginPartition, maxName), 10, 32)
	offset, err2 := strconv.ParseInt(text(event.HeaderOriginOffset, maxName), 10, 64)
	topic, ours := strings.CutPrefix(text(event.HeaderOriginTopic, maxName), cfg.Prefix)
	if err == nil && err2 == nil && ours && topic != "" {
		l.Topic, l.Partition, l.Offset = topic, int32(partition), offset
	} else { // a place of its own, so that no other dead letter seems to be of the same record
		l.Partition, l.Offset = r.Partition, r.Offset
	}
	record := cfg.Event(r)
	l.RecordAt, l.DueAt = keepable(record.Time()), keepable(record.Due())
	if at := keepable(domain.NormalizeTime(r.Timestamp), nil); at != nil {
		l.WrittenAt = *at
	}
	group, chain := event.ChainGroup(l.Topic)
	if l.By == "" && chain && r.Attrs.IsTransactional() { // of an older release, which did not name the writer; nobody else writes them in transactions
		l.By = chainConsumers[group]
	}
	l.Ended = text(event.HeaderDeadLetterEnded, maxName) == "true"
	return l
}

// mayStop reports whether the record may have been the living one of a generation, which then has no end.
func (l Letter) mayStop() bool {
	return !l.Ended && l.byChainConsumer() && l.ChainRecord().Version != 0
}

// Same compares two readings of one dead letter.
func (l Letter) Same(o Letter) bool {
	same := l.WrittenAt.Equal(o.WrittenAt) && sameTime(l.RecordAt, o.RecordAt) && sameTime(l.DueAt, o.DueAt)
	for _, one := range []*Letter{&l, &o} {
		one.WrittenAt, one.RecordAt, one.DueAt = time.Time{}, nil, nil
	}
	return same && l == o
}

func sameTime(a, b *time.Time) bool { return (a == nil) == (b == nil) && (a == nil || a.Equal(*b)) }

// keepable is a time that Postgres and JSON can keep; nil for any other.
func keepable(t time.Time, err error) *time.Time {
	if err != nil || t.Year() < 1 || t.Year() > maxYears {
		return nil
	}
	return &t
}

// chainConsumers names the service that consumes the chain records of a group's topics.
var chainConsumers = map[event.Group]Writer{event.GroupSyncer: BySyncer, event.GroupDelayer: ByDelayer}

// byChainConsumer reports whether this is a chain record that its own consumer could not use. The projector reads requests too; a
// request that it cannot apply stops no order.
func (l Letter) byChainConsumer() bool {
	group, chain := event.ChainGroup(l.Topic)
	return chain && l.By == chainConsumers[group]
}

// ChainRecord is what the headers say of the record. The version is 0 for a record that the connector has not written: only one
// with the ce_id of a request or a retry of the order that its key names can have kept a generation alive.
func (l Letter) ChainRecord() domain.DeadLetter {
	ceType, class := event.TypeRetry, domain.ClassAttempt
	if l.Topic == event.TopicRequested {
		ceType, class = event.TopicRequested, domain.ClassRequest
	}
	out := domain.DeadLetter{NextAttemptAt: l.DueAt}
	if l.RecordAt != nil {
		out.At = *l.RecordAt
	}
	if v, ok := event.VersionOf(l.CeID, l.OrderKey, ceType); ok && v.Class() == class {
		out.Version = v
	}
	return out
}
