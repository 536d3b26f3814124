package checkpoint

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/outbox"
)

func TestCheck(t *testing.T) {
	t.Parallel()
	at := Position{LastID: 50, UUID: "u50", System: "S", Timeline: 2}
	here := outbox.Server{System: "S", Timeline: 2}
	for name, c := range map[string]struct {
		position Position
		server   outbox.Server
		row      outbox.Trace
		says     string // empty: it fits
		moved    bool
	}{
		"nothing_was_ever_relayed":                  {server: here},
		"the_row_is_there":                          {position: at, server: here, row: outbox.Trace{UUID: "u50"}},
		"a_record_of_an_earlier_version":            {position: Position{LastID: 50}, server: here, row: outbox.Trace{UUID: "u50"}},
		"of_an_earlier_version_and_the_row_is_gone": {position: Position{LastID: 50}, server: here, says: "row 50 is not here"},
		"a_standby_that_had_the_row":                {position: at, server: outbox.Server{System: "S", Timeline: 3}, row: outbox.Trace{UUID: "u50"}, moved: true},
		"a_standby_that_lagged":                     {position: at, server: outbox.Server{System: "S", Timeline: 3}, says: "row 50 is not here", moved: true},
		"restored_in_place":                         {position: at, server: here, says: "row 50 is not here"},
		"restored_and_the_id_given_again":           {position: at, server: here, row: outbox.Trace{UUID: "another"}, says: "another message here (another)"},
		"a_primary_that_was_replaced":               {position: at, server: outbox.Server{System: "S", Timeline: 1}, row: outbox.Trace{UUID: "u50"}, says: "another server has taken"},
		"another_cluster":                           {position: at, server: outbox.Server{System: "T", Timeline: 2}, row: outbox.Trace{UUID: "u50"}, says: "another Postgres cluster"},
		"retention_has_dropped_the_row":             {position: at, server: here, row: outbox.Trace{Dropped: true}},
		"dropped_but_on_a_standby":                  {position: at, server: outbox.Server{System: "S", Timeline: 3}, row: outbox.Trace{Dropped: true}, says: "row 50 is not here", moved: true},
	} {
		err := c.position.Check(c.server, c.row)
		require.Equal(t, c.moved, c.position.Moved(c.server), name)
		if c.says == "" {
			require.NoError(t, err, name)
			continue
		}
		require.ErrorIs(t, err, ErrMismatch, name)
		require.ErrorContains(t, err, c.says, name)
		require.ErrorContains(t, err, "erpconnector repair", name)
	}
}

// Records of earlier versions stay readable, and those of this one are readable for them.
func TestTheRecordOfAPosition(t *testing.T) {
	t.Parallel()
	var old Position
	require.NoError(t, json.Unmarshal([]byte(`{"last_id":7,"at":"2026-01-02T03:04:05Z"}`), &old))
	require.Equal(t, Position{LastID: 7, At: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}, old)

	p := Position{LastID: 1<<40 + 7, At: old.At, UUID: "u", System: "7440123456789012345", Timeline: 2}
	record, err := p.Record()
	require.NoError(t, err)
	require.JSONEq(t, `{"last_id":1099511627783,"at":"2026-01-02T03:04:05Z","uuid":"u","system":"7440123456789012345","timeline":2}`, string(record.Value))
	var again Position
	require.NoError(t, json.Unmarshal(record.Value, &again))
	require.Equal(t, p, again)
}
