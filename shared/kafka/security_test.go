package kafka_test

import (
	"context"
	"crypto/tls"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/kafka/topics"
	"github.com/erpconnector/erpconnector/shared/kafka/txn"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

var mechanisms = []string{kafka.Plain, kafka.ScramSHA256, kafka.ScramSHA512}

// secured returns a broker that asks for a password.
func secured(t *testing.T, c testkit.Certificates) []string {
	t.Helper()
	pair, err := tls.LoadX509KeyPair(c.Server, c.ServerKey)
	require.NoError(t, err)
	options := []kfake.Opt{kfake.NumBrokers(1), kfake.EnableSASL(), kfake.TLS(&tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12})}
	for _, mechanism := range mechanisms {
		options = append(options, kfake.Superuser(mechanism, testkit.SecuredUser, testkit.SecuredPassword))
	}
	cluster, err := kfake.NewCluster(options...)
	require.NoError(t, err)
	t.Cleanup(cluster.Close)
	return cluster.ListenAddrs()
}

func login(t *testing.T, c testkit.Certificates, mechanism, password string) (s kafka.Security) {
	t.Helper()
	var err error
	s.TLS, err = kafka.TLS(c.CA, "", "")
	require.NoError(t, err)
	s.SASL, err = kafka.SASL(mechanism, testkit.SecuredUser, func() string { return password })
	require.NoError(t, err)
	return s
}

// used makes topics, writes a transaction and reads it: an administrator, a producer and a consumer.
func used(t *testing.T, cfg kafka.Config) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	admin, err := topics.NewAdmin(cfg, 1)
	require.NoError(t, err)
	defer admin.Close()
	_, err = admin.Ensure(ctx, false)
	require.NoError(t, err)
	producer := txn.NewProducer(cfg, "secured")
	defer producer.Close()
	require.NoError(t, producer.Commit(ctx, txn.Batch{Records: []*kgo.Record{{Topic: cfg.Topic(event.TopicSuccess), Value: []byte("kept")}}}))
	client, err := kgo.NewClient(append(cfg.Options(), kgo.ConsumeTopics(cfg.Topic(event.TopicSuccess)), kgo.FetchIsolationLevel(kgo.ReadCommitted()))...)
	require.NoError(t, err)
	defer client.Close()
	fetches := client.PollFetches(ctx)
	require.NoError(t, fetches.Err())
	require.Equal(t, "kept", string(fetches.Records()[0].Value))
}

// refused checks that a client that lists topics gets this error.
func refused(t *testing.T, said string, cfg kafka.Config) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	admin, err := topics.NewAdmin(cfg, 1)
	require.NoError(t, err)
	defer admin.Close()
	_, err = admin.Check(ctx)
	require.ErrorContains(t, err, said)
}

func TestSecuredBrokers(t *testing.T) {
	t.Parallel()
	c, others := testkit.NewCertificates(t), testkit.NewCertificates(t)
	on := func(t *testing.T, brokers []string, wrongPassword, notEncrypted string) {
		t.Helper()
		for _, mechanism := range mechanisms {
			t.Run(mechanism, func(t *testing.T) {
				used(t, kafka.Config{Brokers: brokers, Prefix: mechanism + ".", Security: login(t, c, mechanism, testkit.SecuredPassword)})
			})
		}
		with := login(t, c, kafka.ScramSHA512, testkit.SecuredPassword)
		for said, s := range map[string]kafka.Security{
			wrongPassword: login(t, c, kafka.ScramSHA512, "wrong"),
			"certificate signed by unknown authority": login(t, others, kafka.ScramSHA512, testkit.SecuredPassword),
			notEncrypted:       {SASL: with.SASL},
			"is SASL missing?": {TLS: with.TLS},
		} {
			refused(t, said, kafka.Config{Brokers: brokers, Security: s})
		}
	}
	t.Run("embedded_broker", func(t *testing.T) { on(t, secured(t, c), "EOF", "is TLS missing?") })
	t.Run("apache_kafka", func(t *testing.T) {
		apache := testkit.NewSecuredApache(t, c)
		on(t, apache.SASL, "SASL_AUTHENTICATION_FAILED", "is this a plaintext connection speaking to a tls endpoint?")
		t.Run("mutual_TLS", func(t *testing.T) {
			known, err := kafka.TLS(c.CA, c.Client, c.ClientKey)
			require.NoError(t, err)
			used(t, kafka.Config{Brokers: apache.MutualTLS, Prefix: "mutual.", Security: kafka.Security{TLS: known}})
			nobody, err := kafka.TLS(c.CA, "", "")
			require.NoError(t, err)
			refused(t, "tls: bad certificate", kafka.Config{Brokers: apache.MutualTLS, Security: kafka.Security{TLS: nobody}})
		})
	})
}

// Symptom: a password that was changed at the brokers was used until the process was started again, and then by none of them.
func TestAPasswordThatIsChangedCountsForNewConnections(t *testing.T) {
	t.Parallel()
	c := testkit.NewCertificates(t)
	brokers := secured(t, c)
	for _, mechanism := range mechanisms {
		t.Run(mechanism, func(t *testing.T) {
			t.Parallel()
			var password atomic.Value
			password.Store("wrong")
			security := login(t, c, mechanism, testkit.SecuredPassword)
			var err error
			security.SASL, err = kafka.SASL(mechanism, testkit.SecuredUser, func() string { return password.Load().(string) }) //nolint:forcetypeassert // a test's own
			require.NoError(t, err)
			client, err := kgo.NewClient(kafka.Config{Brokers: brokers, Security: security}.Options()...)
			require.NoError(t, err)
			defer client.Close()
			require.Error(t, client.Ping(t.Context()))
			password.Store(testkit.SecuredPassword)
			testkit.Eventually(t, func() bool { return client.Ping(t.Context()) == nil }, "the client still logs in with the old password")
		})
	}
}
