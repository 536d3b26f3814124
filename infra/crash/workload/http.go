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

// errRetry is an answer after which a shop publishes again.
var errRetry = errors.New("neither accepted nor refused")

// post publishes one event. It tries one process after the other until one accepts or refuses it.
func (s *Shops) post(runCtx context.Context, body []byte) history.Outcome {
	outcome := history.Unknown
	s.postUntilAnswered(runCtx, body, func(status int, _ []byte) error {
		switch status {
		case http.StatusOK, http.StatusAccepted:
			outcome = history.Accepted
		case http.StatusUnprocessableEntity, http.StatusConflict:
			outcome = history.Refused
		default:
			return fmt.Errorf("%w: %d", errRetry, status)
		}
		return nil
	})
	return outcome
}

// batchedEvent is an event that waits for its batch, and for its part of the batch's answer.
type batchedEvent struct {
	body   []byte
	answer chan history.Outcome
}

// postInBatch publishes the event together with others.
func (s *Shops) postInBatch(runCtx context.Context, body []byte) history.Outcome {
	w := batchedEvent{body: body, answer: make(chan history.Outcome, 1)}
	select {
	case s.batched <- w:
		return <-w.answer
	case <-runCtx.Done():
		return history.Unknown
	}
}

// makeBatches makes batches of the events that wait, until collecting ends. A batch goes out when it is full, or after
// batchTimeout.
func (s *Shops) makeBatches(collecting, runCtx context.Context) {
	tick := time.NewTicker(batchTimeout)
	defer tick.Stop()
	var batch []batchedEvent
	flush := func() {
		if len(batch) > 0 {
			full := batch
			batch = nil
			go s.postBatch(runCtx, full)
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

// postBatch publishes the batch, and gives each event its own result.
func (s *Shops) postBatch(runCtx context.Context, batch []batchedEvent) {
	events := make([]json.RawMessage, 0, len(batch))
	for _, w := range batch {
		events = append(events, w.body)
	}
	body, err := json.Marshal(events)
	if err != nil {
		panic(err) // valid JSON always encodes
	}
	var answer struct {
		Results []struct {
			Result string `json:"result"`
		} `json:"results"`
	}
	s.postUntilAnswered(runCtx, body, func(status int, body []byte) error {
		switch status {
		case http.StatusOK, http.StatusMultiStatus, http.StatusUnprocessableEntity: // all, some or none are accepted
			return json.Unmarshal(body, &answer)
		default:
			return fmt.Errorf("%w: %d", errRetry, status)
		}
	})
	for i, w := range batch {
		outcome := history.Unknown // also when the answer has no result of it, or one that is not known here
		if i < len(answer.Results) {
			outcome = outcomeOf(answer.Results[i].Result)
		}
		w.answer <- outcome
	}
}

// outcomeOf returns what a result in the answer to a batch says.
func outcomeOf(result string) history.Outcome {
	switch result {
	case "accepted", "duplicate":
		return history.Accepted
	case "refused", "conflict":
		return history.Refused
	default:
		return history.Unknown
	}
}

// postUntilAnswered posts events until read takes an answer, or runCtx ends. It begins with any process, and goes on with
// the next one: the first may be dead.
func (s *Shops) postUntilAnswered(runCtx context.Context, body []byte, read func(status int, answer []byte) error) {
	for try := rand.IntN(len(s.cfg.Ingest)); runCtx.Err() == nil; try++ { //nolint:gosec // any will do
		status, answer, err := s.call(runCtx, http.MethodPost, s.cfg.Ingest[try%len(s.cfg.Ingest)]+"/events", body, nil)
		if err == nil && read(status, answer) == nil {
			return
		}
		run.Sleep(runCtx, retryInterval)
	}
}

// call makes one request. An error means that no whole answer came, so the outcome is unknown.
func (s *Shops) call(runCtx context.Context, method, url string, body []byte, header map[string]string) (int, []byte, error) {
	req, err := http.NewRequestWithContext(runCtx, method, url, bytes.NewReader(body))
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
	answer, err := io.ReadAll(resp.Body)
	return resp.StatusCode, answer, err
}
