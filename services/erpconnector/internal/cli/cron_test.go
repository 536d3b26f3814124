package cli

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/testkit"
)

// A run by hand says how many went out and how many are left; while the connector is off it says why none did.
func testCronRun(t *testing.T, database testkit.Database, env variables) {
	require.Equal(t, "0 orders released; 0 still wait for the cron\n", does(t, env, "cron", "run"))

	env["IMMEDIATE_SYNC"], env["CRON_BATCH"] = "false", "2"
	file := filepath.Join(t.TempDir(), "event.json")
	for _, order := range []string{"11", "12", "13"} { // accepted while orders wait for the cron
		require.NoError(t, os.WriteFile(file, []byte(invoiceEvent("i"+order, order)), 0o600))
		id := setAside(t, database.Pool, "default", "refused", "{}")
		require.Contains(t, does(t, env, "quarantine", "send", "--event", file, itoa(id)), "accepted: order "+order+" is pending")
	}
	off := invoke(t, variables{"DATABASE_URL": env["DATABASE_URL"], "CONNECTOR_ENABLED": "false"}, "cron", "run")
	require.EqualError(t, off.err, "the connector is off, so no order is released: turn it on (erpconnector settings set enabled=true), then run the cron again")
	require.Equal(t, 1, off.code())
	require.Empty(t, off.out)

	require.Equal(t, "2 orders released; 1 still wait for the cron\n", does(t, env, "cron", "run"))
	env["CRON_BATCH"] = "0"
	require.Equal(t, "1 order released; 0 still wait for the cron\n", does(t, env, "cron", "run"), "0 stands for all")
	var released int
	require.NoError(t, database.Pool.QueryRow(t.Context(), `SELECT count(*) FROM erp_sync_gate WHERE state = 'open'`).Scan(&released))
	require.Equal(t, 3, released)
}
