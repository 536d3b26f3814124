// Package stream gives the facts of the log to many readers as they come: from a ring in memory, which one Kafka client of the process
// fills. The client begins with the first reader and ends with the last.
//
// An example, without the errors:
//
//	reader, _ := hub.Subscribe(ctx, nil) // from now on; or an ID: from there on
//	defer reader.Close()
//	_ = reader.CatchUp(ctx, send) // what the ring does not hold, from Kafka
//	for {
//		facts, _ := reader.Next(ctx)
//		for _, f := range facts {
//			send(f, reader.Took(f)) // the id after this fact
//		}
//	}
//
// What bounds it: so many readers at a time (Limits), one ring for all of them, and a reader that the ring has left behind is
// cut (ErrTooSlow) in place of facts that are kept for it. A reader that comes back far behind is told so (Reader.Gap).
package stream

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/run"
)

// Limits bound what the streams of a process may take.
type Limits struct {
	Readers   int   // streams at a time
	Behind    int64 // records of the log that a reader may be behind when it comes back; markers of transactions count too
	RingFacts int   // facts that are kept in memory, for all readers together
	RingBytes int   // of these facts
}

// DefaultLimits are those of the product.
var DefaultLimits = Limits{Readers: 100, Behind: 100_000, RingFacts: 4096, RingBytes: 16 << 20}

const (
	openTimeout  = 10 * time.Second // until Kafka has said where the log ends
	maxCatchUps  = 4                // at a time: each has a Kafka client
	factsAtATime = 64
)

// What ends a stream.
var (
	ErrFull    = errors.New("there are as many streams as the process may have")
	ErrTooSlow = errors.New("the reader took facts too slowly, and fell behind what is kept in memory")
	ErrLog     = errors.New("the log cannot be read")
)

// Hub is what the streams of a process share. It is safe for concurrent use.
type Hub struct {
	cfg      kafka.Config
	log      *slog.Logger
	limits   Limits
	outage   run.Outage
	catchUps chan struct{} // holds a value for each that may begin

	mu      sync.Mutex
	readers int
	current *session // nil: nobody reads
}

// NewHub makes a Hub. It does nothing until somebody reads.
func NewHub(cfg kafka.Config, limits Limits, log *slog.Logger) *Hub {
	h := &Hub{
		cfg: cfg, limits: limits, log: log, catchUps: make(chan struct{}, maxCatchUps),
		outage: run.Outage{Began: "event streams are cut, as the log cannot be read", Ended: "event streams work again"},
	}
	for range maxCatchUps {
		h.catchUps <- struct{}{}
	}
	return h
}

// Subscribe begins a stream after the id, or, when it is nil, now. It returns ErrFull when there are too many streams, and ErrLog when Kafka
// does not answer. Close the reader.
func (h *Hub) Subscribe(ctx context.Context, after *ID) (*Reader, error) {
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	s, err := h.join()
	if err != nil {
		return nil, err
	}
	select {
	case <-s.ready:
	case <-ctx.Done():
		h.leave(s)
		return nil, errors.Join(ErrLog, ctx.Err())
	}
	r, err := s.reader(ctx, h, after)
	if err != nil {
		h.leave(s)
	}
	return r, err
}

// join finds the session that reads, or begins one.
func (h *Hub) join() (*session, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.readers >= h.limits.Readers {
		return nil, ErrFull
	}
	if h.current == nil || h.current.failed() != nil {
		h.current = startSession(h.cfg, h.limits, func(err error) { h.outage.Report(h.log, err) })
	}
	h.readers++
	h.current.readers++
	openStreams.Inc()
	return h.current, nil
}

// leave ends the session with its last reader.
func (h *Hub) leave(s *session) {
	h.mu.Lock()
	h.readers--
	s.readers--
	last := s.readers == 0
	if last && h.current == s {
		h.current = nil
	}
	h.mu.Unlock()
	openStreams.Dec()
	if last {
		s.stop()
	}
}
