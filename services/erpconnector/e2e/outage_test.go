package e2e

import (
	"fmt"
	"net"
	"net/http"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/devkafka"
	"github.com/erpconnector/erpconnector/shared/kafka"
)

// While Kafka is away events are accepted all the same; once it is back, each order goes out once.
func TestKafkaIsAwayForAWhile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	broker, err := devkafka.Start(dir, 0)
	require.NoError(t, err)
	_, port, err := net.SplitHostPort(broker.Addrs()[0])
	require.NoError(t, err)
	number, err := strconv.Atoi(port)
	require.NoError(t, err)
	p := start(t, configured(t, kafka.Config{Brokers: broker.Addrs(), Prefix: "t."}))

	publish := func(orders ...int) {
		for _, o := range orders {
			status, answer := p.publish(invoice(fmt.Sprint("e", o), fmt.Sprint(o)))
			require.Equal(t, http.StatusAccepted, status)
			require.Equal(t, "queued", answer["status"])
		}
	}
	publish(1, 2)
	p.becomes("1", ended("success"))
	broker.Close()
	publish(3, 4, 5)
	broker, err = devkafka.Start(dir, number)
	require.NoError(t, err)
	t.Cleanup(broker.Close)
	publish(6)
	for o := 1; o <= 6; o++ {
		p.becomes(strconv.Itoa(o), ended("success"))
	}
	_, stats := p.do(http.MethodGet, "/mockerp/stats", nil)
	require.InDelta(t, 6, stats["bookings"], 0)
	require.InDelta(t, 0, stats["doubles"], 0)
}
