package testkit

import (
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/erpconnector/erpconnector/shared/kafka"
)

// Virtually runs a test in a bubble of synctest, with one embedded broker in it: time passes only while everybody waits.
func Virtually(t *testing.T, test func(t *testing.T, cfg kafka.Config)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		network := &kfake.VirtualNetwork{}
		cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.Ports(9092), kfake.ListenFn(network.Listen))
		require.NoError(t, err)
		t.Cleanup(cluster.Close)
		test(t, kafka.Config{Brokers: cluster.ListenAddrs(), Prefix: "v.", Dial: network.DialContext})
	})
}
