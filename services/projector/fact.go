package projector

import (
	"time"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/kafka"
)

// fact is one record of the log and its coordinates.
type fact struct {
	domain.Fact
	at         kafka.TopicPartition
	offset     int64
	httpStatus *int
	warnings   []string
	notSent    []string
	reference  *string        // what the ERP's answer calls the order
	took       *time.Duration // of the call that the fact is about
}

// read makes the fact of a record. It fails when the record is none of a sync.
func read(tp kafka.TopicPartition, offset int64, record event.View) (fact, error) {
	v, err := record.Facts()
	if err != nil {
		return fact{}, err
	}
	at, err := record.Time()
	if err != nil {
		return fact{}, err
	}
	f := fact{
		at: tp, offset: offset, warnings: v.Warnings, notSent: v.NotSent,
		Fact: domain.Fact{Sync: v.Sync, Time: at, Payload: keepable(v.Payload), Error: keepable(v.Error)},
	}
	if v.TookMS != nil {
		f.took = new(time.Duration(*v.TookMS) * time.Millisecond)
	}
	if v.Response != nil && tp.Topic != event.TopicCallback {
		f.Response, f.httpStatus = keepable(&v.Response.Body), &v.Response.Status
		if tp.Topic == event.TopicAfterSend && v.Sync.ErrorCode == "" {
			f.reference = referenceOf(v.Response)
		}
	}
	return f, nil
}

// referenceOf is what the answer calls the order. The record has it as a field of its own, as it may stand behind the part of
// the body that is kept. Records of older releases have no such field; there the kept body tells.
func referenceOf(r *event.Response) *string {
	if r.Reference != nil {
		return keepable(r.Reference)
	}
	return domain.AnswerReference([]byte(r.Body))
}

// keepable is a text that Postgres can keep.
func keepable(s *string) *string {
	if s == nil {
		return nil
	}
	out := domain.KeepableText(*s)
	return &out
}
