package replay

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/kafka/logreader"
)

// milliseconds is RFC 3339 with three digits always, so that lines stand below each other.
const milliseconds = "2006-01-02T15:04:05.000Z07:00"

// object is one record as JSON.
type object struct {
	Topic     string            `json:"topic"` // without the prefix
	Partition int32             `json:"partition"`
	Offset    int64             `json:"offset"`
	Time      string            `json:"time"` // of the record; when the fact occurred is the header ce_time
	Key       string            `json:"key"`
	Headers   map[string]string `json:"headers"`
	Value     json.RawMessage   `json:"value,omitempty"`
	Bytes     []byte            `json:"value_base64,omitempty"` // in place of a value that is not JSON
}

// JSON writes each record as an object on a line of its own.
func JSON(cfg kafka.Config, w io.Writer) logreader.Sink { return &printer{w, cfg, line} }

// Timeline writes each record as a readable line.
func Timeline(cfg kafka.Config, w io.Writer) logreader.Sink { return &printer{w, cfg, readable} }

// printer writes a line for each record.
type printer struct {
	w    io.Writer
	cfg  kafka.Config
	line func(v event.View, r *kgo.Record) ([]byte, error)
}

// Take writes the records, all of them before it returns.
func (p *printer) Take(_ context.Context, records []*kgo.Record) error {
	out := bufio.NewWriter(p.w)
	for _, r := range records {
		text, err := p.line(p.cfg.Event(r), r)
		if err != nil {
			return fmt.Errorf("writing %s partition %d offset %d: %w", r.Topic, r.Partition, r.Offset, err)
		}
		_, _ = out.Write(append(text, '\n')) // Flush returns the error
	}
	if err := out.Flush(); err != nil {
		return fmt.Errorf("writing the records: %w", err)
	}
	return nil
}

// line keeps a value that is JSON as JSON, for tools like jq. Any other is in base64, as JSON holds no bytes.
func line(record event.View, r *kgo.Record) ([]byte, error) {
	o := object{
		Topic: record.Topic, Partition: r.Partition, Offset: r.Offset, Time: r.Timestamp.UTC().Format(milliseconds),
		Key: string(r.Key), Headers: kafka.Headers(r),
	}
	if json.Valid(r.Value) {
		o.Value = r.Value
	} else {
		o.Bytes = r.Value
	}
	return domain.EncodeJSON(o)
}

const longText = 120 // of an error on a readable line

// readable says when it was, what it was, of which order, and how the sync was then.
func readable(record event.View, r *kgo.Record) ([]byte, error) {
	topic := record.Topic
	text := fmt.Sprintf("%s  %-27s  %s", record.OccurredAt().Format(milliseconds), cmp.Or(record.Type(), topic), r.Key)
	if v, err := record.Sync(); err == nil {
		text += fmt.Sprintf("  %s, generation %d, attempts %d of %d", v.Sync.Status, v.Sync.Generation, v.Sync.Attempts, v.Sync.MaxAttempts)
		if v.Response != nil && v.Response.Status != 0 {
			text += fmt.Sprintf(", HTTP %d", v.Response.Status)
		}
		if v.Sync.NextAttemptAt != nil {
			text += ", again at " + v.Sync.NextAttemptAt.UTC().Format(time.TimeOnly)
		}
		if len(v.Warnings) > 0 {
			text += ", warning: " + shorten(strings.Join(v.Warnings, "; "))
		}
		switch {
		case v.Error != nil:
			text += ": " + shorten(*v.Error)
		case topic == event.TopicCallback && v.Sync.IsRedrive(): // who sent the record back, and why
			text += ": " + shorten(v.Sync.Cause)
		case topic == event.TopicAfterSend && v.Sync.Cause != "": // a success, and what is wrong with it all the same
			text += ": " + shorten(v.Sync.Cause)
		}
	}
	text += fmt.Sprintf("  (%s/%d@%d)", topic, r.Partition, r.Offset)
	return []byte(domain.Printable(text)), nil
}

// shorten counts characters, not bytes: half a character would be shown as none.
func shorten(s string) string {
	if runes := []rune(s); len(runes) > longText {
		return string(runes[:longText-1]) + "…"
	}
	return s
}
