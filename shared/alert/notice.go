package alert

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"strconv"
	"time"

	"github.com/erpconnector/erpconnector/shared/domain"
)

// Notice is what a destination is told, as its JSON stands in the body of a webhook. Members may be added, and none is changed.
type Notice struct {
	Type      string    `json:"type"`      // orders_failed.opened, …; or test
	Timestamp time.Time `json:"timestamp"` // when it was found
	Data      Data      `json:"data"`
}

// Data is what a notice says of its alert. The table keeps that of the newest one.
type Data struct {
	AlertID  string            `json:"alert_id,omitempty"` // a number, as text
	Alert    domain.AlertKind  `json:"alert,omitempty"`
	Event    domain.AlertEvent `json:"event,omitempty"`
	Subject  string            `json:"subject,omitempty"` // what of the kind, like an error group
	OpenedAt *time.Time        `json:"opened_at,omitempty"`
	Level    int64             `json:"level"` // how many there are, or seconds; 0: it is over
	More     int64             `json:"more"`  // by how much that has grown since the notice before
	Text     string            `json:"text"`  // for people
	Next     string            `json:"next,omitempty"`
	Details  map[string]any    `json:"details,omitempty"`
}

// TestType is the type of a notice that only tries a destination.
const TestType = "test"

// TestNotice is one that tries a destination.
func TestNotice(by string, now time.Time) Notice {
	return Notice{Type: TestType, Timestamp: now.UTC(), Data: Data{Text: "This is a test of an alert's destination, asked for by " + domain.Printable(by) + ". Nothing is wrong."}}
}

// noticeOf is the notice of a change.
func noticeOf(id int64, c Change, now time.Time) Notice {
	d := c.Data
	d.AlertID, d.Alert, d.Event, d.Subject = strconv.FormatInt(id, 10), c.Kind, c.Event, c.Subject
	d.Level, d.More = c.Level, c.More
	opened := c.OpenedAt.UTC()
	d.OpenedAt = &opened
	return Notice{Type: string(c.Kind) + "." + string(c.Event), Timestamp: now.UTC(), Data: d}
}

// Body is the notice's JSON. A message is sent as it was written first, so it is made once.
func (n Notice) Body() (string, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err := enc.Encode(n)
	return string(bytes.TrimSuffix(b.Bytes(), []byte("\n"))), err
}

// NewMessageID is a random webhook-id.
func NewMessageID() string { return "msg_" + rand.Text() }
