package domain

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestSnapshotTime(t *testing.T) {
	for name, c := range map[string]struct {
		updatedAt, occurredAt string
		want                  *time.Time
	}{
		"of_the_order":              {"2026-01-01 11:00:00", "2026-01-01T12:00:00Z", ptr(noon.Add(-time.Hour))},
		"of_the_event":              {"", "2026-01-01T13:00:00+01:00", ptr(noon)},
		"of_neither":                {"", "", nil},
		"in_microseconds":           {"2026-01-01T11:59:59.9999999Z", "", ptr(noon.Add(-time.Microsecond))},
		"of_a_shop_east_of_here":    {"2026-01-02 02:00:00", "", ptr(noon.Add(14 * time.Hour))},
		"that_is_years_ahead":       {"9999-12-31 23:59:59", "2026-01-01T12:00:00Z", ptr(noon)},
		"of_nobody_is_years_ahead":  {"9999-12-31 23:59:59", "2099-01-01T12:00:00Z", nil},
		"that_is_no_time":           {"soon", "", nil},
		"that_is_none_but_for_zone": {"9999-12-31T23:59:59-05:00", "", nil},
	} {
		t.Run(name, func(t *testing.T) { require.Equal(t, c.want, SnapshotTime(c.updatedAt, c.occurredAt, noon)) })
	}
}

// Of any states in any order, the last kept one that has a time is the newest, or came when nothing was known that is newer.
func TestNewestSnapshot(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var newest, kept *time.Time
		for _, n := range rapid.SliceOf(rapid.IntRange(-1, 5)).Draw(t, "times; -1 is none") {
			var arrived *time.Time
			if n >= 0 {
				arrived = ptr(noon.Add(time.Duration(n) * time.Second))
			}
			next, older := NewestSnapshot(newest, arrived)
			require.Equal(t, arrived != nil && newest != nil && arrived.Before(*newest), older)
			require.False(t, newest != nil && (next == nil || next.Before(*newest)), "the newest time is never forgotten")
			require.True(t, arrived == nil || next != nil && !next.Before(*arrived))
			if !older && arrived != nil {
				kept = arrived
			}
			newest = next
		}
		require.Equal(t, newest, kept)
	})
}
