//go:build full

package ingest

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/testkit"
)

// A number like 1e131071 takes ten bytes in jsonb and 131,072 in text: so little jsonb is more text than Postgres can
// make, wherever it stands in the event. It takes Postgres a second and a gigabyte to find out: and slows down all that runs beside it, so it is for
// the full suite.
func TestERPPublishOfMoreTextThanPostgresCanMake(t *testing.T) {
	pool := testkit.Postgres(t).Pool
	const huge = `(SELECT jsonb_agg(1e131071) FROM generate_series(1, 8300))`
	for _, c := range []struct{ event, message string }{
		{`jsonb_build_object('event_id', 'e1', 'type', 'order.placed', 'order', jsonb_build_object('items', ` + huge + `))`, "event e1 cannot be kept as text"},
		{`jsonb_build_object('event_id', ` + huge + `, 'order', 1)`, "event ? has no type"},
		{`jsonb_build_object('event_id', 'e1', 'type', ` + huge + `)`, "event e1 has no order"},
	} {
		_, err := pool.Exec(t.Context(), `SELECT erp_publish(`+c.event+`)`)
		require.Equal(t, "22023", codeOf(err), "%v", err)
		require.ErrorContains(t, err, c.message)
	}
}
