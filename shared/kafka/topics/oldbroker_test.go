package topics_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kversion"

	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/kafka/topics"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

// Brokers that cannot commit a member's offsets in a transaction: the ERP would be called, and no outcome ever committed.
func TestCheckRefusesBrokersThatAreTooOld(t *testing.T) {
	for _, c := range []struct {
		version *kversion.Versions
		missing string
	}{
		{kversion.V2_4_0(), "offsets in a transaction with their member, the description of transactions, the list of transactions"},
		{kversion.V2_8_0(), "the description of transactions, the list of transactions"},
	} {
		cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.MaxVersions(c.version))
		require.NoError(t, err)
		defer cluster.Close()
		admin, err := topics.NewAdmin(kafka.Config{Brokers: cluster.ListenAddrs()}, 1)
		require.NoError(t, err)
		defer admin.Close()
		problems, err := admin.Check(t.Context())
		require.NoError(t, err)
		require.Len(t, problems, 1)
		require.Contains(t, problems[0], "does not know "+c.missing+": use Apache Kafka 3.0 or later")
	}
}

// Most managed clusters run this version.
func TestCheckTakesAnOlderBroker(t *testing.T) {
	t.Parallel()
	broker := testkit.OwnOldApache(t)
	admin, err := topics.NewAdmin(kafka.Config{Brokers: broker.Addrs()}, 2)
	require.NoError(t, err)
	defer admin.Close()
	_, err = admin.Ensure(t.Context(), false)
	require.NoError(t, err)
	problems, err := admin.Check(t.Context())
	require.NoError(t, err)
	require.Empty(t, problems)
}
