package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/gorilla/mux"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/httpapi"
	"github.com/erpconnector/erpconnector/shared/httpapi/problem"
	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/kafka/logreader"
	"github.com/erpconnector/erpconnector/shared/syncs"
	"github.com/erpconnector/erpconnector/shared/timeline"
)

// recordTimeout bounds the reading of one record. A place that the log does not reach any more is waited for until then.
const recordTimeout = 10 * time.Second

// errNoRecord says that the log does not hold the record of a fact.
var errNoRecord = errors.New("the log does not hold the record (any more)")

// factRecord is the record of a fact, as it stands in the log. It holds what was sent and answered.
type factRecord struct {
	Topic     string            `json:"topic"` // without the prefix
	Partition int32             `json:"partition"`
	Offset    int64             `json:"offset"`
	Key       string            `json:"key"`
	WrittenAt string            `json:"written_at"`
	Headers   map[string]string `json:"headers"`
	Value     json.RawMessage   `json:"value"`
}

// showRecord answers with the record of one fact of a sync's timeline, which is read from Kafka. It is logged who has seen it, and no cache
// may keep it.
func (h *handler) showRecord(w http.ResponseWriter, r *http.Request) {
	s, ok := h.readSync(w, r)
	if !ok {
		return
	}
	place, known, err := h.placeOf(r, s)
	switch {
	case err != nil:
		h.syncsFailed(w, r, err)
		return
	case !known:
		problem.Write(w, problem.Problem{
			Status: http.StatusNotFound, Code: "record_not_found", OrderIncrementID: s.OrderIncrementID, Source: s.Source,
			Detail: fmt.Sprintf("the timeline of the sync has no such place: GET %s/%d/events lists them", syncsPath, s.SyncID),
		})
		return
	}
	record, err := h.readRecord(r.Context(), domain.OrderRef{Source: s.Source, IncrementID: s.OrderIncrementID}, place)
	if err != nil {
		httpapi.Failed(w, r, h.log, "record not read from Kafka", err, problem.Problem{
			Code: "kafka_unavailable", Detail: "the record could not be read from Kafka: the log says why", OrderIncrementID: s.OrderIncrementID, Source: s.Source,
		}, "sync_id", s.SyncID)
		return
	}
	h.log.Info("record shown", "sync_id", s.SyncID, "topic", place.Topic, "partition", place.Partition, "offset", place.Offset, "by", requester(r))
	w.Header().Set("Cache-Control", "no-store")
	problem.JSON(w, http.StatusOK, factRecord{
		Topic: place.Topic, Partition: place.Partition, Offset: place.Offset, Key: string(record.Key), WrittenAt: record.Timestamp.UTC().Format(timelineTime),
		Headers: kafka.Headers(record), Value: record.Value,
	})
}

// placeOf is the place that the path names; known says whether it is one of the sync's timeline.
func (h *handler) placeOf(r *http.Request, s syncs.Sync) (place timeline.Place, known bool, err error) {
	vars := mux.Vars(r)
	partition, err := strconv.ParseInt(vars["partition"], 10, 32)
	offset, err2 := strconv.ParseInt(vars["offset"], 10, 64)
	if errors.Join(err, err2) != nil {
		return place, false, nil //nolint:nilerr // a number that is too large is no place
	}
	place = timeline.Place{Topic: vars["topic"], Partition: int32(partition), Offset: offset}
	known, err = timeline.Holds(r.Context(), h.pool, s.SyncID, place)
	return place, known, err
}

// readRecord reads the record at a place. One of another order, or none, means that the topic was trimmed or made anew.
func (h *handler) readRecord(ctx context.Context, ref domain.OrderRef, place timeline.Place) (*kgo.Record, error) {
	ctx, cancel := context.WithTimeout(ctx, recordTimeout)
	defer cancel()
	at := kafka.TopicPartition{Topic: h.kafka.Topic(place.Topic), Partition: place.Partition}
	found, err := logreader.Fetch(ctx, h.kafka, map[kafka.TopicPartition][]int64{at: {place.Offset}})
	if err != nil {
		return nil, fmt.Errorf("reading %s/%d@%d: %w", at.Topic, at.Partition, place.Offset, err)
	}
	record := found[at][place.Offset]
	if record == nil || string(record.Key) != ref.Key() || !json.Valid(record.Value) {
		return nil, fmt.Errorf("%s/%d@%d of order %s: %w", at.Topic, at.Partition, place.Offset, ref.Key(), errNoRecord)
	}
	return record, nil
}
