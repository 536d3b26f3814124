package setting

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// Past is one value that was changed. Those of one Change share its version.
type Past struct {
	Version int64
	Name    string
	Before  json.RawMessage // nil: the environment's value
	After   json.RawMessage // nil: back to the environment's value
	By      string
	At      time.Time
	Reason  string
}

// Filter selects a page of the history.
type Filter struct {
	Name  string // only of this setting; empty: of all
	After Cursor // start after this one; zero: at the newest
	Limit int    // how many entries a page has
}

// Cursor is a place in the history.
type Cursor struct {
	Version int64
	Name    string
}

// String is the cursor as ParseCursor reads it.
func (c Cursor) String() string { return fmt.Sprintf("%d.%s", c.Version, c.Name) }

// ParseCursor reads a cursor that an earlier page gave.
func ParseCursor(text string) (Cursor, error) {
	version, name, ok := strings.Cut(text, ".")
	n, err := strconv.ParseInt(version, 10, 64)
	if !ok || err != nil || n < 1 || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz_") != "" {
		return Cursor{}, errors.New("is no cursor; give the next of an earlier page, or leave it out to begin with the newest")
	}
	return Cursor{Version: n, Name: name}, nil
}

// History is what was changed, the newest first, and the cursor of the next page when there is one.
func (s *Store) History(ctx context.Context, f Filter) (past []Past, next *Cursor, err error) {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	f.Limit = max(1, f.Limit)
	rows, err := s.pool.Query(ctx, `
		SELECT version, name, before, after, changed_by, changed_at, coalesce(reason, '') FROM setting_history
		WHERE ($1 = '' OR name = $1) AND ($2 = 0 OR version < $2 OR (version = $2 AND name > $3))
		ORDER BY version DESC, name LIMIT $4`, f.Name, f.After.Version, f.After.Name, f.Limit+1)
	if err == nil {
		past, err = pgx.CollectRows(rows, pgx.RowToStructByPos[Past])
	}
	if err != nil {
		return nil, nil, fmt.Errorf("reading the history of the settings: %w", err)
	}
	if len(past) > f.Limit {
		past = past[:f.Limit]
		next = &Cursor{Version: past[f.Limit-1].Version, Name: past[f.Limit-1].Name}
	}
	for i := range past {
		past[i].At = past[i].At.UTC()
	}
	return past, next, nil
}
