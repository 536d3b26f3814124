package txn

import (
	"context"
	"log/slog"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

func TestAnAbandonedTransactionIsEndedOnceItsLeaseIsFree(t *testing.T) {
	t.Parallel()
	testkit.OnBrokers(t, func(t *testing.T, cfg kafka.Config) {
		ctx, cancel := context.WithTimeout(t.Context(), testkit.Patience)
		defer cancel()
		dead, err := kgo.NewClient(append(cfg.Options(), kgo.TransactionalID(cfg.Prefix+"worker-3"), kgo.TransactionTimeout(time.Minute))...)
		require.NoError(t, err)
		t.Cleanup(dead.Close)
		topic := cfg.Topic("log")
		_, err = kadm.NewClient(dead).CreateTopic(ctx, 1, 1, nil, topic)
		require.NoError(t, err)
		require.NoError(t, dead.BeginTransaction())
		require.NoError(t, dead.ProduceSync(ctx, &kgo.Record{Topic: topic, Value: []byte("never committed")}).FirstErr())

		plain, err := kgo.NewClient(append(cfg.Options(), kgo.ConsumeTopics(topic), kgo.FetchIsolationLevel(kgo.ReadCommitted()))...)
		require.NoError(t, err)
		t.Cleanup(plain.Close)
		require.NoError(t, plain.ProduceSync(ctx, &kgo.Record{Topic: topic, Value: []byte("hidden behind it")}).FirstErr())

		var held atomic.Bool
		held.Store(true)
		tried, released := make(chan struct{}, 100), make(chan struct{}, 100)
		lease := func(_ context.Context, id string) (func(), bool, error) {
			tried <- struct{}{}
			return func() { released <- struct{}{} }, id == "worker-3" && !held.Load(), nil
		}
		go EndAbandoned(ctx, cfg, "worker", new(Activity), lease, slog.New(slog.DiscardHandler))
		<-tried
		<-tried // while the lease is held the transaction stays open
		open, err := kadm.NewClient(plain).ListTransactions(ctx, nil, []string{"Ongoing"})
		require.NoError(t, err)
		require.Contains(t, open, cfg.Prefix+"worker-3")

		held.Store(false)
		fetches := plain.PollFetches(ctx)
		require.NoError(t, fetches.Err())
		require.Equal(t, "hidden behind it", string(fetches.Records()[0].Value))
		<-released
	})
}

func TestWhoReceivesRecordsLooksForAbandonedTransactionsOften(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var a Activity
		require.Equal(t, abandonedIdleInterval, a.abandonedWait(), "at the start nothing has come")
		a.note()
		time.Sleep(idleAfter - 1)
		require.Equal(t, abandonedInterval, a.abandonedWait())
		time.Sleep(time.Nanosecond)
		require.Equal(t, abandonedIdleInterval, a.abandonedWait())
		(*Activity)(nil).note() // nobody asks
	})
}
