package kafka_test

import (
	"context"
	"fmt"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/erpconnector/erpconnector/shared/kafka"
)

// passed is what a client over the configuration's connection writes for a request.
func passed(t *testing.T, patient bool, request []byte) []byte {
	t.Helper()
	return passedBy(t, func(cfg kafka.Config) []kgo.Opt { return cfg.PatientFetchWhile(func() bool { return patient }) }, 0, request)
}

// passedBy is what a client with these options writes for a request on a connection of that age.
func passedBy(t *testing.T, options func(kafka.Config) []kgo.Opt, age time.Duration, request []byte) []byte {
	t.Helper()
	here, there := net.Pipe()
	cfg := kafka.Config{Brokers: []string{"broker:9092"}, Dial: func(context.Context, string, string) (net.Conn, error) { return here, nil }}
	client, err := kgo.NewClient(append(cfg.Options(), options(cfg)...)...)
	require.NoError(t, err)
	defer client.Close()
	dial, is := client.OptValue(kgo.Dialer).(func(context.Context, string, string) (net.Conn, error))
	require.True(t, is)
	conn, err := dial(t.Context(), "tcp", "broker:9092")
	require.NoError(t, err)
	time.Sleep(age)
	go func() {
		n, err := conn.Write(request)
		_ = conn.Close()
		if err != nil || n != len(request) {
			t.Errorf("wrote %d of %d bytes: %v", n, len(request), err)
		}
	}()
	got := make([]byte, 0, len(request))
	buffer := make([]byte, 1<<16)
	for {
		n, err := there.Read(buffer)
		got = append(got, buffer[:n]...)
		if err != nil {
			return got
		}
	}
}

// fetchOf is a fetch as the library writes it.
func fetchOf(version int16, wait time.Duration, options ...kmsg.RequestFormatterOpt) []byte {
	r := kmsg.NewPtrFetchRequest()
	r.Version, r.MaxWaitMillis, r.MinBytes, r.SessionID = version, int32(wait.Milliseconds()), 1, 7
	one := kmsg.NewFetchRequestTopic()
	one.Topic, one.TopicID = "in", [16]byte{1}
	one.Partitions = []kmsg.FetchRequestTopicPartition{kmsg.NewFetchRequestTopicPartition()}
	r.Topics = []kmsg.FetchRequestTopic{one}
	return kmsg.NewRequestFormatter(options...).AppendRequest(nil, r, 1)
}

// Of a client that pauses nothing, only the fetches of a new connection are short.
func TestFetchesOfANewConnectionAreShort(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		usual := fetchOf(13, 100*time.Millisecond)
		require.Equal(t, usual, passedBy(t, kafka.Config.PatientFetch, time.Second, usual))
		require.Equal(t, fetchOf(13, 5*time.Second), passedBy(t, kafka.Config.PatientFetch, time.Second+1, usual))
	})
}

// A fetch of each version differs in its wait alone. Other requests, and fetches that do not wait for records, stay as they are.
func TestAPatientFetchDiffersInItsWaitAlone(t *testing.T) {
	t.Parallel()
	const usual = 100 * time.Millisecond
	for version := int16(4); version <= kmsg.NewPtrFetchRequest().MaxVersion(); version++ {
		for _, id := range []string{"", "erpconnector"} {
			t.Run(fmt.Sprintf("version %d, client id %q", version, id), func(t *testing.T) {
				t.Parallel()
				options := []kmsg.RequestFormatterOpt{kmsg.FormatterClientID(id)}
				if id == "" {
					options = nil
				}
				fetch := func(wait time.Duration) []byte { return fetchOf(version, wait, options...) }
				require.Equal(t, fetch(time.Second), passed(t, true, fetch(usual)))
				require.Equal(t, fetch(usual), passed(t, false, fetch(usual)))
				require.Equal(t, fetch(time.Millisecond), passed(t, true, fetch(time.Millisecond)))
			})
		}
	}
	produce := kmsg.NewRequestFormatter().AppendRequest(nil, kmsg.NewPtrProduceRequest(), 1)
	require.Equal(t, produce, passed(t, true, produce))
	require.Equal(t, []byte{0, 0}, passed(t, true, []byte{0, 0}))
}
