package replay

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/erpconnector/erpconnector/shared/kafka"
)

// names are sorted, so that a request to the brokers looks the same each time.
func names(topics map[string]bool) []string { return slices.Sorted(maps.Keys(topics)) }

// bounds are each partition's first offset and the one up to which all transactions have ended.
func bounds(ctx context.Context, adm *kadm.Client, topics []string) (starts, ends kadm.ListedOffsets, err error) {
	if starts, err = kafka.Listed(adm.ListStartOffsets(ctx, topics...)); err != nil {
		return nil, nil, fmt.Errorf("reading the starts of topics: %w", err)
	}
	if ends, err = kafka.Listed(adm.ListCommittedOffsets(ctx, topics...)); err != nil {
		return nil, nil, fmt.Errorf("reading the ends of topics: %w", err)
	}
	return starts, ends, nil
}
