package txn

import (
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

// For a broker without transactions version 2 the group must be added to a transaction before its offsets. Symptom: the
// offsets stayed pending, or were refused, and nothing was ever committed.
func TestABrokerFromBeforeTransactionsVersion2(t *testing.T) {
	for name, start := range map[string]func(testing.TB) *testkit.Apache{
		testkit.ApacheOldVersion:               testkit.OwnOldApache,
		"upgraded to " + testkit.ApacheVersion: testkit.OwnUpgradedApache,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			commitsOffsetsInTransactions(t, start(t))
		})
	}
}

func commitsOffsetsInTransactions(t *testing.T, broker *testkit.Apache) {
	t.Helper()
	cfg := kafka.Config{Brokers: broker.Addrs(), Prefix: "o."}
	client, err := kgo.NewClient(cfg.Options()...)
	require.NoError(t, err)
	defer client.Close()
	b := &bench{&testkit.Bench{T: t, Ctx: t.Context(), Cfg: cfg, Client: client, Adm: kadm.NewClient(client)}}
	prepared(b)
	c, stop := copying(b.Bench, quiet)
	b.send("1", "wait 2", "3")
	require.ElementsMatch(t, []string{"1", "3"}, b.copied(2))
	b.Within("the second waits", func() bool { return c.has("wait 2") })
	at, metadata := b.Committed("g", "in")
	require.Equal(t, int64(1), at)
	require.NotEmpty(t, metadata)
	c.finish("wait 2")
	require.Len(t, b.copied(3), 3)
	stop()
	at, _ = b.Committed("g", "in")
	require.Equal(t, int64(3), at)
}
