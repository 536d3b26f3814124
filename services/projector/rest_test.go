package projector

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

// The rests grow while records wait at the end of each, and are short again once a poll had to wait.
func TestRestsGrowWhileRecordsWait(t *testing.T) {
	t.Parallel()
	rest := minRest
	for _, one := range []struct {
		took time.Duration
		busy bool
		then time.Duration
	}{
		{took: 0, then: 2 * minRest},
		{took: waited, then: 4 * minRest},
		{took: 0, then: 8 * minRest},
		{took: 0, then: maxRest},
		{took: 0, busy: true, then: busyRest},
		{took: waited + 1, then: minRest},
		{took: 0, busy: true, then: 2 * minRest},
	} {
		rest = restAfter(rest, mostRest(one.busy), one.took)
		require.Equal(t, one.then, rest)
	}
}

// Symptom: a status was seen two rests after the answer. The client fetches when it is asked, so a read after a rest got what had come by
// the last read.
func TestAReadAfterARestGetsWhatCameInIt(t *testing.T) {
	t.Parallel()
	testkit.Virtually(t, func(t *testing.T, cfg kafka.Config) {
		topic := cfg.Topic(event.TopicSuccess)
		client, err := kgo.NewClient(append(cfg.Options(), kgo.ConsumeTopics(topic))...)
		require.NoError(t, err)
		defer client.Close()
		_, err = kadm.NewClient(client).CreateTopic(t.Context(), 1, 1, nil, topic)
		require.NoError(t, err)
		come := func(records int) {
			for range records {
				require.NoError(t, client.ProduceSync(t.Context(), &kgo.Record{Topic: topic}).FirstErr())
			}
		}
		p := &Projector{cfg: cfg, store: &store{}}
		reads := func() int {
			n, _, err := p.read(t.Context(), client, newGathered())
			require.NoError(t, err)
			return n
		}
		come(1)
		require.Equal(t, 1, reads())
		come(2)
		time.Sleep(maxRest)
		require.Positive(t, client.BufferedFetchRecords(), "these are fetched, before the others come")
		come(3)
		time.Sleep(maxRest)
		require.Equal(t, 5, reads())
		began := time.Now()
		time.AfterFunc(time.Second, func() { come(1) })
		require.Equal(t, 1, reads())
		require.Equal(t, time.Second, time.Since(began).Truncate(moreWait), "after a poll that had to wait, none follows")
	})
}
