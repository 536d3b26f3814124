package deadletter

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/kafka/logreader"
)

const fetchTimeout = 10 * time.Second

// ErrGone means that the topic was read, and does not hold the record.
var ErrGone = errors.New("does not hold")

// Fetch reads a dead letter from the topic, which has what the table leaves out: the content and the headers of the record.
func Fetch(ctx context.Context, cfg kafka.Config, l Letter) (*kgo.Record, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	at := kafka.TopicPartition{Topic: cfg.Topic(event.TopicDeadLetter)}
	found, err := logreader.Fetch(ctx, cfg, map[kafka.TopicPartition][]int64{at: {l.ID}})
	if err != nil {
		return nil, fmt.Errorf("reading dead letter %d: %w", l.ID, err)
	}
	r := found[at][l.ID]
	if r == nil || !l.Same(Read(cfg, r)) {
		return nil, fmt.Errorf("%s %w dead letter %d (any more): was the topic trimmed or made anew, or is KAFKA_BROKERS another cluster than the projector's?", at.Topic, ErrGone, l.ID)
	}
	return r, nil
}

// Original makes of a dead letter the record as it was before, for the outbox. A row of the outbox has headers of text, and each
// name once. So some records cannot be carried byte for byte; the error says why.
func Original(cfg kafka.Config, letter *kgo.Record) (event.Record, error) {
	l := Read(cfg, letter)
	out := event.Record{Topic: l.Topic, Key: string(letter.Key), Headers: map[string]string{}, Value: letter.Value}
	if kafka.Header(letter, event.HeaderDeadLetterReference) != nil {
		return out, fmt.Errorf("the dead letter only names it, as it was too large to be kept: resync the order")
	}
	if !keepableText(out.Key) {
		return out, fmt.Errorf("its key is no text")
	}
	for _, h := range originalHeaders(letter) {
		_, twice := out.Headers[h.Key]
		switch {
		case twice:
			return out, fmt.Errorf("it has the header %q twice", h.Key)
		case !keepableText(h.Key) || !keepableText(string(h.Value)):
			return out, fmt.Errorf("its header %q is no text", h.Key)
		case h.Key == event.HeaderUUID:
			out.UUID = string(h.Value)
		default:
			out.Headers[h.Key] = string(h.Value)
		}
	}
	if out.UUID == "" {
		return out, fmt.Errorf("it has no header %s", event.HeaderUUID)
	}
	return out, nil
}

// keepableText reports whether Postgres keeps the text as it is.
func keepableText(s string) bool { return utf8.ValidString(s) && !strings.Contains(s, "\x00") }
