package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/erpconnector/erpconnector/services/api/internal/stream"
	"github.com/erpconnector/erpconnector/shared/httpapi"
	"github.com/erpconnector/erpconnector/shared/httpapi/problem"
	"github.com/erpconnector/erpconnector/shared/spelling"
	"github.com/erpconnector/erpconnector/shared/syncs"
)

const (
	streamPath        = httpapi.BasePath + "/events/stream"
	headerLastEventID = "Last-Event-ID"
)

// times are those of a stream.
type times struct {
	heartbeat time.Duration // of silence, until a comment is sent; and until the token is looked at again
	write     time.Duration // that a client may take for what it was sent
}

var streamTimes = times{heartbeat: 15 * time.Second, write: 30 * time.Second}

// retryMillis is how long a client waits before it comes again.
const retryMillis = 3000

// What ends a stream beside the errors of package stream.
var (
	errStopping = errors.New("the connector stops")
	errRevoked  = errors.New("the token is not in force any more")
)

func (h *handler) streamRoute() httpapi.Route {
	return httpapi.Route{
		Method: http.MethodGet, Path: streamPath, Query: []string{"order", sourceParameter, "status", "type"},
		Resource: httpapi.ResourceViewStatus, BySource: true, Handler: http.HandlerFunc(h.streamEvents),
	}
}

// streamEvents sends the facts of the log as they come, as Server-Sent Events. It ends when the client goes, and before that with an
// event that says why.
func (h *handler) streamEvents(w http.ResponseWriter, r *http.Request) {
	p := httpapi.ParametersOf(r)
	filter := streamFilter(p)
	of := syncs.Filter{Source: filter.Source}
	if !taken(w, r, p, &of) {
		return
	}
	filter.Source = of.Source
	after, ok := lastEventID(w, r)
	if !ok {
		return
	}
	if r.Method == http.MethodHead {
		streamHeaders(w)
		return
	}
	reader, err := h.stream.Subscribe(r.Context(), after)
	if err != nil {
		h.streamRefused(w, r, err)
		return
	}
	defer reader.Close()
	s := &eventStream{to: http.NewResponseController(w), w: w, reader: reader, filter: filter, times: h.streamTimes}
	s.end(s.run(r.Context()))
}

func streamFilter(p *httpapi.Parameters) stream.Filter {
	f := stream.Filter{Source: sourceOfList(p), Order: p.Text("order"), Statuses: statusesOf(p)}
	if p.Text("type") == "" {
		return f
	}
	for _, name := range strings.Split(p.Text("type"), ",") {
		full, ok := stream.TypeNamed(name)
		if !ok {
			p.Refuse("type", problem.CodeInvalid, fmt.Sprintf("has %.100q, which is no type of an event: %s", name, spelling.Hint(name, stream.Names)))
			continue
		}
		f.Types = append(f.Types, full)
	}
	return f
}

// lastEventID is where the client was, nil when it begins; ok is false when it has answered with a problem.
func lastEventID(w http.ResponseWriter, r *http.Request) (after *stream.ID, ok bool) {
	text := r.Header.Get(headerLastEventID)
	if text == "" {
		return nil, true
	}
	id, err := stream.ParseID(text)
	if err != nil {
		problem.Write(w, problem.Problem{Status: http.StatusBadRequest, Code: "last_event_id_invalid", Detail: "Last-Event-ID " + err.Error()})
		return nil, false
	}
	return &id, true
}

func (h *handler) streamRefused(w http.ResponseWriter, r *http.Request, err error) {
	if errors.Is(err, stream.ErrFull) {
		w.Header().Set("Retry-After", "30")
		problem.Write(w, problem.Problem{
			Status: http.StatusServiceUnavailable, Code: "too_many_streams",
			Detail: fmt.Sprintf("this process has %d streams open, and takes no more: close one, or ask again later", stream.DefaultLimits.Readers),
		})
		return
	}
	httpapi.Failed(w, r, h.log, "event stream not begun", err, problem.Problem{
		Code: "kafka_unavailable", Detail: "the log cannot be read at the moment: ask again, or read GET " + syncsPath,
	})
}

func streamHeaders(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Accel-Buffering", "no") // nginx would keep events back
	w.WriteHeader(http.StatusOK)
}

// eventStream writes one stream.
type eventStream struct {
	to     *http.ResponseController
	w      http.ResponseWriter
	reader *stream.Reader
	filter stream.Filter
	times  times
}

// run sends facts until something ends the stream, and says what.
func (s *eventStream) run(ctx context.Context) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	defer httpapi.OnStop(ctx, func() { stop(errStopping) })()
	if err := s.begin(); err != nil {
		return err
	}
	err := s.reader.CatchUp(ctx, s.send)
	for checked := time.Now(); err == nil; {
		err = s.next(ctx)
		if time.Since(checked) >= s.times.heartbeat {
			if !httpapi.StillGranted(ctx) {
				return errRevoked
			}
			checked = time.Now()
		}
	}
	if cause := context.Cause(ctx); cause != nil && !errors.Is(err, errGone) {
		return cause
	}
	return err
}

// begin sends the headers and where the stream begins, so that a client can come back before the first event.
func (s *eventStream) begin() error {
	streamHeaders(s.w)
	_ = s.to.SetReadDeadline(time.Time{}) // nothing more is read, and the request's time would end the stream
	text := fmt.Sprintf("retry: %d\nid: %s\n\n", retryMillis, s.reader.ID())
	if s.reader.Gap != "" {
		text += fmt.Sprintf("event: gap\nid: %s\ndata: {\"reason\":%q,\"detail\":%q}\n\n", s.reader.ID(), s.reader.Gap, gapDetails[s.reader.Gap])
	}
	return s.write(text)
}

var gapDetails = map[stream.Gap]string{
	stream.GapTooOld: fmt.Sprintf("more than %d records came since your Last-Event-ID, so those up to now are not sent: read GET %s?updated_since=", stream.DefaultLimits.Behind, syncsPath),
	stream.GapOther:  "your Last-Event-ID is of another log, so the stream begins now: read GET " + syncsPath + "?updated_since=",
}

// next waits for facts, and sends a comment in place of a long silence. The comment has an id: who asks for few facts comes back to here.
func (s *eventStream) next(ctx context.Context) error {
	wait, cancel := context.WithTimeout(ctx, s.times.heartbeat)
	defer cancel()
	facts, err := s.reader.Next(wait)
	switch {
	case err == nil:
		return s.send(facts)
	case wait.Err() != nil && ctx.Err() == nil:
		return s.write(fmt.Sprintf(": heartbeat\nid: %s\n\n", s.reader.ID()))
	default:
		return err
	}
}

// send writes the facts that are asked for.
func (s *eventStream) send(facts []stream.Fact) error {
	var text strings.Builder
	for _, f := range facts {
		s.reader.Took(f)
		if s.filter.Matches(f) {
			_, _ = fmt.Fprintf(&text, "event: %s\nid: %s\ndata: %s\n\n", f.Type, s.reader.ID(), f.Data)
		}
	}
	if text.Len() == 0 {
		return nil
	}
	return s.write(text.String())
}

// errGone says that the client has left, or takes nothing (os.ErrDeadlineExceeded).
var errGone = errors.New("the client does not take what it is sent")

// write gives the client its time for this part alone: a healthy stream lasts longer than an answer may.
func (s *eventStream) write(text string) error {
	_ = s.to.SetWriteDeadline(time.Now().Add(s.times.write))
	if _, err := s.w.Write([]byte(text)); err != nil {
		return errors.Join(errGone, err)
	}
	if err := s.to.Flush(); err != nil {
		return errors.Join(errGone, err)
	}
	return nil
}

// end tells the client why the stream ends.
func (s *eventStream) end(err error) {
	reason := ""
	switch {
	case errors.Is(err, errStopping):
		reason = "stopping"
	case errors.Is(err, errRevoked):
		reason = "revoked"
	case errors.Is(err, stream.ErrTooSlow):
		reason = "too_slow"
	case errors.Is(err, stream.ErrLog):
		reason = "log_unavailable"
	case errors.Is(err, os.ErrDeadlineExceeded):
		reason = "stuck"
	default: // the client has left
		return
	}
	stream.Cuts.WithLabelValues(reason).Inc()
	if reason != "stuck" {
		_ = s.write(fmt.Sprintf("event: cut\ndata: {\"reason\":%q,\"detail\":%q}\n\n", reason, cutDetails[reason]))
	}
}

var cutDetails = map[string]string{
	"stopping":        "the process stops; come again with Last-Event-ID",
	"revoked":         "the token is not in force any more; come again with another one, and Last-Event-ID",
	"too_slow":        "you took events too slowly, and the next ones are not in memory any more; come again with Last-Event-ID, or ask for fewer",
	"log_unavailable": "the log cannot be read at the moment; come again with Last-Event-ID",
}
