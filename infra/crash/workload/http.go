package workload

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/erpconnector/erpconnector/infra/crash/history"
	"github.com/erpconnector/erpconnector/shared/run"
)

const (
	answerTimeout = 5 * time.Second
	retryInterval = 100 * time.Millisecond
	batchTimeout  = 150 * time.Millisecond
	maxBatch      = 10
)

// errRetry is an answer after which a shop asks again.
var errRetry = errors.New("not taken")

// post publishes one event, at one process after the other until one answers.
func (s *Shops) post(life context.Context, body []byte) history.Outcome {
	known := history.Unknown
	s.postUntilAnswered(life, body, func(status int, _ []byte) error {
		switch status {
		case http.StatusOK, http.StatusAccepted:
			known = history.Accepted
		case http.StatusUnprocessableEntity, http.StatusConflict:
			known = history.Refused
		default:
			return fmt.Errorf("%w: %d", errRetry, status)
		}
		return nil
	})
	return known
}

// batchedEvent is an event that goes out with others.
type batchedEvent struct {
	body   []byte
	answer chan history.Outcome
}

// postInBatch lets the event go out in a batch.
func (s *Shops) postInBatch(life context.Context, body []byte) history.Outcome {
	w := batchedEvent{body: body, answer: make(chan history.Outcome, 1)}
	select {
	case s.batched <- w:
		return <-w.answer
	case <-life.Done():
		return history.Unknown
	}
}

// makeBatches makes batches of what waits, until collecting ends.
func (s *Shops) makeBatches(collecting, life context.Context) {
	tick := time.NewTicker(batchTimeout)
	defer tick.Stop()
	var batch []batchedEvent
	flush := func() {
		if len(batch) > 0 {
			full := batch
			batch = nil
			go s.postBatch(life, full)
		}
	}
	for {
		select {
		case w := <-s.batched:
			if batch = append(batch, w); len(batch) == maxBatch {
				flush()
			}
		case <-tick.C:
			flush()
		case <-collecting.Done():
			flush()
			return
		}
	}
}

func (s *Shops) postBatch(life context.Context, batch []batchedEvent) {
	events := make([]json.RawMessage, 0, len(batch))
	for _, w := range batch {
		events = append(events, w.body)
	}
	body, err := json.Marshal(events)
	if err != nil {
		panic(err) // what was JSON encodes
	}
	var answer struct {
		Results []struct {
			Result string `json:"result"`
		} `json:"results"`
	}
	s.postUntilAnswered(life, body, func(status int, said []byte) error {
		switch status {
		case http.StatusOK, http.StatusMultiStatus, http.StatusUnprocessableEntity: // all, some or none are taken
			return json.Unmarshal(said, &answer)
		default:
			return fmt.Errorf("%w: %d", errRetry, status)
		}
	})
	for i, w := range batch {
		known := history.Unknown
		if i < len(answer.Results) {
			known = map[string]history.Outcome{"accepted": history.Accepted, "duplicate": history.Accepted, "refused": history.Refused, "conflict": history.Refused}[answer.Results[i].Result]
		}
		w.answer <- known
	}
}

// postUntilAnswered posts events until an answer is taken, or life ends.
func (s *Shops) postUntilAnswered(life context.Context, body []byte, take func(status int, said []byte) error) {
	for try := rand.IntN(len(s.cfg.Ingest)); life.Err() == nil; try++ { //nolint:gosec // any will do
		status, said, err := s.call(life, http.MethodPost, s.cfg.Ingest[try%len(s.cfg.Ingest)]+"/events", body, nil)
		if err == nil && take(status, said) == nil {
			return
		}
		run.Sleep(life, retryInterval)
	}
}

// call makes one request; the error is that no whole answer came.
func (s *Shops) call(life context.Context, method, url string, body []byte, header map[string]string) (int, []byte, error) {
	req, err := http.NewRequestWithContext(life, method, url, bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	req.Header.Set("Authorization", "Bearer "+s.cfg.Token)
	req.Header.Set("Content-Type", "application/json")
	for name, value := range header {
		req.Header.Set(name, value)
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	said, err := io.ReadAll(resp.Body)
	return resp.StatusCode, said, err
}
