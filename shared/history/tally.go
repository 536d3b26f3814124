package history

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/erpconnector/erpconnector/shared/domain"
)

// key is the key of a row.
type key struct {
	span   time.Duration
	at     time.Time
	source string
}

func compareKeys(a, b key) int {
	return cmp.Or(cmp.Compare(a.span, b.span), a.at.Compare(b.at), cmp.Compare(a.source, b.source))
}

// Tally adds up what is to be written. Make it with make.
type Tally map[key]*Counts

// Add counts a fact. One that is older than Keep counts nothing.
func (t Tally) Add(f Fact, now time.Time) {
	span := spanOf(f.Time, now)
	if c, ok := countsOf(f); ok && span > 0 {
		t.add(key{span, f.Time.UTC().Truncate(span), f.Sync.Source}, c)
	}
}

func (t Tally) add(k key, c Counts) {
	if t[k] == nil {
		t[k] = &Counts{}
	}
	t[k].add(c)
}

// record is a row as Postgres takes it.
type record struct {
	Span   int64     `json:"span"`
	At     time.Time `json:"at"`
	Source string    `json:"source"`
	Counts
}

// JSON is the value that InsertInto takes. Rows come in the order of their keys, so that two writers do not wait for each other.
func (t Tally) JSON() (string, error) {
	records := make([]record, 0, len(t))
	for _, k := range slices.SortedFunc(maps.Keys(t), compareKeys) {
		c := *t[k]
		for _, h := range []*domain.Histogram{(*domain.Histogram)(&c.AttemptErrors), &c.Calls, &c.Orders} {
			if *h == nil {
				*h = domain.Histogram{}
			}
		}
		records = append(records, record{int64(k.span / time.Second), k.at, k.source, c})
	}
	text, err := json.Marshal(records)
	return string(text), err
}

// Table is where the history of the live projection stands. A rebuild makes another one like it.
const Table = "vendor_erp_sync_history"

// InsertInto is a statement that adds a tally to a table. Its parameter of that number is Tally.JSON. It may stand in a WITH.
func InsertInto(table string, parameter int) string {
	sum := func(column string) string {
		return fmt.Sprintf(`%[1]s = ARRAY(SELECT coalesce(a, 0) + coalesce(b, 0) FROM unnest(h.%[1]s, excluded.%[1]s) AS n (a, b))`, column)
	}
	return fmt.Sprintf(`
		INSERT INTO %s AS h (span, at, source, accepted, succeeded, failed, cancelled, attempts, attempt_errors, call_ms, order_ms)
		SELECT * FROM json_to_recordset($%d::json) AS r (span integer, at timestamptz, source text, accepted integer, succeeded integer,
			failed integer, cancelled integer, attempts integer, attempt_errors integer[], call_ms integer[], order_ms integer[])
		ON CONFLICT (span, at, source) DO UPDATE SET accepted = h.accepted + excluded.accepted, succeeded = h.succeeded + excluded.succeeded,
			failed = h.failed + excluded.failed, cancelled = h.cancelled + excluded.cancelled, attempts = h.attempts + excluded.attempts,
			%s, %s, %s`, table, parameter, sum("attempt_errors"), sum("call_ms"), sum("order_ms"))
}
