package stage

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Hanging returns the partitions in which records are hidden behind a transaction that has ended for its coordinator: the
// broker has lost the marker of its end. Apache Kafka 4.3.0 and 4.3.1 do so when a transaction ends while a partition has no
// leader (KAFKA-20734): after kill -9 of the broker, or when it was silent for longer than broker.session.timeout.ms.
// Records of an aborted transaction can be read then, as soon as the same producer commits there. No client can mend that.
// The product's promises need a broker that keeps its own.
func Hanging(ctx context.Context, brokers []string, prefix string) ([]string, error) {
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...))
	if err != nil {
		return nil, err
	}
	defer client.Close()
	adm := kadm.NewClient(client)
	hidden, err := hiddenPartitions(ctx, adm, prefix)
	if err != nil || len(hidden) == 0 {
		return nil, err
	}
	transactions, err := adm.ListTransactions(ctx, nil, nil)
	if err != nil {
		return nil, fmt.Errorf("listing transactions: %w", err)
	}
	for _, t := range transactions {
		if t.State == "Ongoing" || strings.HasPrefix(t.State, "Prepare") {
			return nil, nil // that one may hide them
		}
	}
	return hidden, nil
}

// hiddenPartitions returns those whose last stable offset is before their end.
func hiddenPartitions(ctx context.Context, adm *kadm.Client, prefix string) (hidden []string, err error) {
	topics, err := adm.ListTopics(ctx)
	if err != nil {
		return nil, fmt.Errorf("listing topics: %w", err)
	}
	names := slices.DeleteFunc(topics.Names(), func(name string) bool { return !strings.HasPrefix(name, prefix) })
	ends, err := adm.ListEndOffsets(ctx, names...)
	if err != nil {
		return nil, fmt.Errorf("reading the ends of topics: %w", err)
	}
	stable, err := adm.ListCommittedOffsets(ctx, names...)
	if err != nil {
		return nil, fmt.Errorf("reading the committed ends of topics: %w", err)
	}
	ends.Each(func(end kadm.ListedOffset) {
		if at, known := stable.Lookup(end.Topic, end.Partition); known && at.Offset < end.Offset {
			hidden = append(hidden, fmt.Sprintf("%s %d from %d to %d", end.Topic, end.Partition, at.Offset, end.Offset))
		}
	})
	slices.Sort(hidden)
	return hidden, nil
}
