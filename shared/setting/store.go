package setting

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/httpapi/problem"
	"github.com/erpconnector/erpconnector/shared/postgres"
)

// Channel is the Postgres notification channel for committed changes.
const Channel = "erp_setting"

const queryTimeout = 10 * time.Second

// Store keeps what somebody changed, and its history. It is safe for concurrent use, in any number of processes.
type Store struct {
	pool        *pgxpool.Pool
	environment Settings
	now         func() time.Time
	timeout     time.Duration // of one reading or one change
}

// NewStore makes a Store over the environment's values. A nil now is time.Now.
func NewStore(pool *pgxpool.Pool, environment Settings, now func() time.Time) *Store {
	if now == nil {
		now = time.Now
	}
	return &Store{pool: pool, environment: environment, now: now, timeout: queryTimeout}
}

// View is all settings at one version.
type View struct {
	Version     int64    // grows by one with each change
	Settings    Settings // in force
	Environment Settings
	Rows        []Row    // what somebody changed, by name
	Unused      Problems // rows that are not in force, and why
}

// Row is what somebody changed of a setting; ok is false when nobody did.
func (v View) Row(name string) (row Row, ok bool) {
	i := slices.IndexFunc(v.Rows, func(r Row) bool { return r.Name == name })
	if i < 0 {
		return Row{}, false
	}
	return v.Rows[i], true
}

// Unusable is why the setting's row is not in force; empty when it is, or when there is none.
func (v View) Unusable(name string) string {
	for _, p := range v.Unused {
		if p.Name == name {
			return p.Error()
		}
	}
	return ""
}

// Change is what somebody wants changed, together or not at all.
type Change struct {
	Values map[string]json.RawMessage // by name; null returns to the environment's value
	By     string
	Reason string // may be empty
	On     *int64 // the version that the caller knows; nil: any
}

// StaleError refuses a change that is based on another version than the one in force.
type StaleError struct{ Current View }

// Error says what to do.
func (e *StaleError) Error() string {
	return fmt.Sprintf("the settings were changed meanwhile, their version is %d: read them again, and change what is then still to be changed", e.Current.Version)
}

// View reads the settings.
func (s *Store) View(ctx context.Context) (View, error) {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	v, err := s.view(ctx, s.pool)
	if err != nil {
		return View{}, fmt.Errorf("reading the settings: %w", err)
	}
	return v, nil
}

type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

// view is one statement, so that version and rows belong together.
func (s *Store) view(ctx context.Context, q querier) (View, error) {
	v := View{Environment: s.environment}
	rows, err := q.Query(ctx, `
		SELECT h.version, s.name, s.value::text, s.version, s.changed_by, s.changed_at
		FROM (SELECT coalesce(max(version), 0) AS version FROM setting_history) h LEFT JOIN setting s ON true ORDER BY s.name`)
	if err != nil {
		return View{}, err
	}
	var name, value, by *string
	var version *int64
	var at *time.Time
	_, err = pgx.ForEachRow(rows, []any{&v.Version, &name, &value, &version, &by, &at}, func() error {
		if name != nil {
			v.Rows = append(v.Rows, Row{Name: *name, Value: json.RawMessage(*value), Version: *version, By: *by, At: at.UTC()})
		}
		return nil
	})
	v.Settings, v.Unused = Resolve(v.Environment, v.Rows)
	return v, err
}

// Change changes the settings and notifies every process. Values that are in the table already make no history. The error
// is Problems when values cannot be taken, and a *StaleError when the version is another one; then nothing was changed.
func (s *Store) Change(ctx context.Context, c Change) (View, error) {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	var after View
	err := postgres.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		// One change at a time; readers do not wait.
		if _, err := tx.Exec(ctx, "LOCK TABLE setting IN SHARE ROW EXCLUSIVE MODE"); err != nil {
			return err
		}
		before, err := s.view(ctx, tx)
		if err != nil {
			return err
		}
		if c.On != nil && *c.On != before.Version {
			return &StaleError{Current: before}
		}
		values, err := before.check(c)
		if err != nil || len(values) == 0 {
			after = before
			return err
		}
		if err := s.write(ctx, tx, values, c, before.Version+1); err != nil {
			return err
		}
		after, err = s.view(ctx, tx)
		return err
	})
	var stale *StaleError
	if err != nil && !errors.As(err, new(Problems)) && !errors.As(err, &stale) {
		err = fmt.Errorf("changing the settings: %w", err)
	}
	return after, err
}

// check is the values that differ from the table's, in the form in which it keeps them; nil returns to the environment's.
func (v View) check(c Change) (map[string]json.RawMessage, error) {
	problems := checkReason(c.Reason)
	values := map[string]json.RawMessage{}
	var rows []Row
	for _, name := range slices.Sorted(maps.Keys(c.Values)) {
		value, err := canonical(name, c.Values[name])
		if err != nil {
			var p Problem
			errors.As(err, &p) // it is one
			problems = append(problems, p)
			continue
		}
		f, _ := FieldOf(name)
		if value != nil {
			rows = append(rows, Row{Name: name, Value: value})
		}
		if v.differs(f, value) {
			values[name] = value
		}
	}
	if len(problems) > 0 {
		return nil, problems
	}
	for _, row := range v.Rows {
		if _, named := c.Values[row.Name]; !named {
			rows = append(rows, row)
		}
	}
	_, unused := Resolve(v.Environment, rows)
	return values, slices.DeleteFunc(unused, func(p Problem) bool { return slices.Contains(v.Unused, p) }).err()
}

// canonical is the value of a name as the table keeps it; the error is a Problem.
func canonical(name string, raw json.RawMessage) (json.RawMessage, error) {
	f, err := Find(name)
	if err != nil {
		return nil, err
	}
	return f.canonical(raw)
}

// canonical is the value as the table keeps it; nil for null.
func (f Field) canonical(raw json.RawMessage) (json.RawMessage, error) {
	if strings.TrimSpace(string(raw)) == "null" {
		return nil, nil
	}
	var s Settings
	if err := f.Decode(&s, raw); err != nil {
		return nil, err
	}
	return f.JSON(s), nil
}

// differs reports whether a change would change anything in the table. Setting a value to the environment's own counts as a change: from
// then on the environment no longer decides.
func (v View) differs(f Field, value json.RawMessage) bool {
	row, ok := v.Row(f.Name)
	if !ok || value == nil {
		return ok != (value != nil)
	}
	kept, err := f.canonical(row.Value) // jsonb writes it in its own way
	return err != nil || string(kept) != string(value)
}

// checkReason takes an empty reason: an operator in a hurry should not be kept from changing a setting.
func checkReason(reason string) (ps Problems) {
	if err := domain.ReasonText.Check(reason); err != nil {
		ps = append(ps, Problem{Name: "reason", Code: problem.TextCode(err), Said: err.Error()})
	}
	return ps
}

func (s *Store) write(ctx context.Context, tx pgx.Tx, values map[string]json.RawMessage, c Change, version int64) error {
	names, after := slices.Sorted(maps.Keys(values)), make([]*string, 0, len(values))
	for _, name := range names {
		var text *string
		if v := values[name]; v != nil {
			text = new(string(v))
		}
		after = append(after, text)
	}
	_, err := tx.Exec(ctx, `
		WITH change AS (SELECT name, value::jsonb FROM unnest($1::text[], $2::text[]) AS c (name, value)),
		history AS (
			INSERT INTO setting_history (name, version, before, after, changed_by, reason, changed_at)
			SELECT c.name, $3, s.value, c.value, $4, nullif($5, ''), $6 FROM change c LEFT JOIN setting s USING (name)
		),
		unset AS (DELETE FROM setting WHERE name IN (SELECT name FROM change WHERE value IS NULL))
		INSERT INTO setting (name, value, version, changed_by, changed_at)
		SELECT name, value, $3, $4, $6 FROM change WHERE value IS NOT NULL
		ON CONFLICT (name) DO UPDATE SET value = excluded.value, version = excluded.version,
			changed_by = excluded.changed_by, changed_at = excluded.changed_at`,
		names, after, version, domain.WhoText.Fit(c.By), c.Reason, domain.NormalizeTime(s.now()))
	if err != nil {
		return err
	}
	// Changes are rare: a notification in their own transaction slows nobody's commits, and cannot be lost between the two.
	_, err = tx.Exec(ctx, "SELECT pg_notify($1, '')", Channel)
	return err
}
