package kafka

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/erpconnector/erpconnector/shared/event"
)

// segmentBytes bounds the files of the topics that are trimmed. A broker frees whole files, and never the one it writes to, so
// each partition keeps up to this much of what is consumed: by default 1 GiB. It holds a few batches of the largest size. Less
// would be many files when a million retries are parked, three open ones each. Their age (segment.ms) need not be bounded: what
// stays is small.
const segmentBytes = 4 * event.MaxRecordBytes

// Warnings lists what services can work with and should be mended all the same, each with what mends it. Topics that are missing
// are no matter of it.
func (a *Admin) Warnings(ctx context.Context) ([]string, error) {
	var trimmed, large []string
	for _, t := range event.Topics() {
		if t.Retention == event.KeepConsumed {
			trimmed = append(trimmed, a.cfg.Topic(t.Name))
		}
	}
	configs, err := a.adm.DescribeTopicConfigs(ctx, trimmed...)
	if err != nil {
		return nil, fmt.Errorf("reading topic configurations: %w", err)
	}
	for _, name := range trimmed {
		config, err := configs.On(name, func(c *kadm.ResourceConfig) error { return c.Err })
		switch {
		case errors.Is(err, kerr.UnknownTopicOrPartition):
			continue
		case err != nil:
			return nil, fmt.Errorf("reading the configuration of topic %s: %w", name, err)
		}
		if segmentBytesOf(config) > segmentBytes {
			large = append(large, name)
		}
	}
	if len(large) == 0 {
		return nil, nil
	}
	return []string{fmt.Sprintf("segment.bytes is above %[1]d: each partition of %[2]s keeps a file of that size of what is consumed. "+
		"Lower it, at any time, for each: `kafka-configs.sh --bootstrap-server %[3]s --alter --entity-type topics --entity-name %[4]s --add-config segment.bytes=%[1]d`",
		segmentBytes, strings.Join(large, ", "), a.cfg.Brokers[0], large[0])}, nil
}

// segmentBytesOf is 0 where the broker does not say.
func segmentBytesOf(c kadm.ResourceConfig) int64 {
	for _, entry := range c.Configs {
		if entry.Key == "segment.bytes" {
			size, _ := strconv.ParseInt(entry.MaybeValue(), 10, 64)
			return size
		}
	}
	return 0
}
