package workload

import (
	"context"
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/infra/crash/history"
	"github.com/erpconnector/erpconnector/infra/crash/nemesis"
)

// What a shop believes is what the checker holds the product to. An event that counts as unknown though it was accepted may
// be lost unseen.
func TestAnEventIsPublishedUntilItIsAcceptedOrRefused(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		answers []answer
		want    history.Outcome
	}{
		"accepted":                     {[]answer{{202, ""}}, history.Accepted},
		"a duplicate":                  {[]answer{{200, ""}}, history.Accepted},
		"refused":                      {[]answer{{422, ""}}, history.Refused},
		"a conflict":                   {[]answer{{409, ""}}, history.Refused},
		"accepted after a restart":     {[]answer{{0, ""}, {503, ""}, {202, ""}}, history.Accepted},
		"refused after a server error": {[]answer{{500, ""}, {422, ""}}, history.Refused},
		"too busy at first":            {[]answer{{429, ""}, {200, ""}}, history.Accepted},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newProduct(t, c.answers...)
			const body = `{"event_id":"1"}`
			require.Equal(t, c.want, p.shops(t, "").post(t.Context(), []byte(body)))
			require.Len(t, p.got(), len(c.answers))
			for _, r := range p.got() {
				require.JSONEq(t, body, r.body)
				require.Equal(t, "Bearer token", r.header.Get("Authorization"))
				require.Equal(t, "/events", r.path)
			}
		})
	}
}

func TestAnEventThatIsNeverAnsweredIsUnknown(t *testing.T) {
	t.Parallel()
	p := newProduct(t, answer{500, ""})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	s := p.shops(t, "")
	require.Equal(t, history.Unknown, s.post(ctx, []byte(`{}`)))
	require.Equal(t, history.Unknown, s.postInBatch(ctx, []byte(`{}`))) // nobody makes batches any more
}

// Each event of a batch gets its own result, and an answer that lacks it proves nothing.
func TestEachEventOfABatchHasItsOwnOutcome(t *testing.T) {
	t.Parallel()
	p := newProduct(t, answer{0, ""}, answer{503, ""}, answer{207, `not JSON`},
		answer{207, `{"results": [{"result": "accepted"}, {"result": "duplicate"}, {"result": "refused"}, {"result": "conflict"}, {"result": "later"}]}`})
	var batch []batchedEvent
	for i := range 6 {
		body, err := json.Marshal(i)
		require.NoError(t, err)
		batch = append(batch, batchedEvent{body: body, answer: make(chan history.Outcome, 1)})
	}
	p.shops(t, "").postBatch(t.Context(), batch)
	var got []history.Outcome
	for _, w := range batch {
		got = append(got, <-w.answer)
	}
	require.Equal(t, []history.Outcome{history.Accepted, history.Accepted, history.Refused, history.Refused, history.Unknown, history.Unknown}, got)
	require.Len(t, p.got(), 4)
	require.Equal(t, `[0,1,2,3,4,5]`, p.got()[3].body)
}

// A batch goes out when it is full, and also when it is not.
func TestBatchesGoOut(t *testing.T) {
	t.Parallel()
	p := newProduct(t, answer{200, `{"results": [{"result": "accepted"}]}`})
	s := p.shops(t, "")
	collecting, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); s.makeBatches(collecting, t.Context()) }()
	require.Equal(t, history.Accepted, s.postInBatch(t.Context(), []byte(`1`)))
	stop()
	<-ended
	require.Equal(t, `[1]`, p.got()[0].body)
}

// Two doors at once: one acceptance is enough, and the event is one publication.
func TestADuplicateThatIsAcceptedCounts(t *testing.T) {
	t.Parallel()
	for _, answers := range [][]answer{{{202, ""}, {422, ""}}, {{422, ""}, {202, ""}}} {
		p := newProduct(t, answers...)
		s := p.shops(t, "")
		scenario := nemesis.Scenario{Source: "shop-b", Order: "7"}
		got := s.publish(t.Context(), scenario, nemesis.Event{ID: "e", Type: nemesis.InvoiceCreated, Door: nemesis.HTTP, DuplicateDoor: nemesis.HTTP})
		require.Equal(t, history.Accepted, got)
		require.Len(t, s.Publications(), 1)
		require.Equal(t, p.got()[0].body, p.got()[1].body)
		publication := s.Publications()[0]
		require.False(t, publication.Last.Before(publication.First))
		publication.First, publication.Last = time.Time{}, time.Time{}
		require.Equal(t, history.Publication{
			Door: nemesis.HTTP, EventID: "e", Type: nemesis.InvoiceCreated, Source: "shop-b", Order: "7", Outcome: history.Accepted,
		}, publication)
	}
}

// After a failover shops publish what was accepted since, and no more.
func TestRepublishTakesWhatWasAcceptedSince(t *testing.T) {
	t.Parallel()
	p := newProduct(t, answer{202, ""}, answer{422, ""}, answer{202, ""})
	s := p.shops(t, "")
	var since time.Time
	for _, id := range []string{"before", "refused", "since"} {
		s.publish(t.Context(), nemesis.Scenario{Order: "7"}, nemesis.Event{ID: id, Type: nemesis.OrderPlaced, Door: nemesis.HTTP})
		if id == "before" {
			since = s.accepted[0].at
		}
	}
	require.Equal(t, 1, s.Republish(t.Context(), since))
	require.Len(t, p.got(), 4)
	require.Equal(t, p.got()[2].body, p.got()[3].body)
	require.Equal(t, http.MethodPost, p.got()[3].method)
}
