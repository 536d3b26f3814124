package replay

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
)

func names(topics map[string]bool) []string { return slices.Sorted(maps.Keys(topics)) }

// bounds are each partition's first offset and the one up to which all transactions have ended.
func bounds(ctx context.Context, adm *kadm.Client, topics []string) (starts, ends kadm.ListedOffsets, err error) {
	if starts, err = listed(adm.ListStartOffsets(ctx, topics...)); err != nil {
		return nil, nil, fmt.Errorf("reading the starts of topics: %w", err)
	}
	if ends, err = listed(adm.ListCommittedOffsets(ctx, topics...)); err != nil {
		return nil, nil, fmt.Errorf("reading the ends of topics: %w", err)
	}
	return starts, ends, nil
}

func listed(offsets kadm.ListedOffsets, err error) (kadm.ListedOffsets, error) {
	err = errors.Join(err, offsets.Error())
	if errors.Is(err, kerr.UnknownTopicOrPartition) {
		err = fmt.Errorf("%w: are KAFKA_BROKERS and KAFKA_TOPIC_PREFIX those of the connector? `erpconnector topics check` looks", err)
	}
	return offsets, err
}
