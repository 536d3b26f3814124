package txn

import (
	"context"
	"fmt"
	"strconv"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// mustDeclareOffsets reports whether a group must be added to a transaction before its offsets. Brokers with
// transactions version 2 do that themselves (KIP-890; a feature of the cluster, on in new clusters since Kafka 4.0).
func mustDeclareOffsets(ctx context.Context, client *kgo.Client) (bool, error) {
	req := kmsg.NewPtrApiVersionsRequest()
	req.ClientSoftwareName, req.ClientSoftwareVersion = "erpconnector", "1"
	resp, err := req.RequestWith(ctx, client)
	if err != nil {
		return false, fmt.Errorf("asking the brokers what they can do: %w", err)
	}
	for _, feature := range resp.FinalizedFeatures {
		if feature.Name == "transaction.version" && feature.MaxVersionLevel >= 2 {
			return false, nil
		}
	}
	return true, nil
}

// smallestLimit returns the smallest max.message.bytes of the records' topics, or 0 when it cannot be read.
func smallestLimit(ctx context.Context, client *kgo.Client, records []*kgo.Record) (smallest int32) {
	ctx, cancel := context.WithTimeout(ctx, abortTimeout)
	defer cancel()
	topics := map[string]bool{}
	var names []string
	for _, r := range records {
		if !topics[r.Topic] {
			topics[r.Topic] = true
			names = append(names, r.Topic)
		}
	}
	configs, err := kadm.NewClient(client).DescribeTopicConfigs(ctx, names...)
	if err != nil {
		return 0
	}
	for _, topic := range configs {
		for _, entry := range topic.Configs {
			if entry.Key != "max.message.bytes" {
				continue
			}
			if n, err := strconv.ParseInt(entry.MaybeValue(), 10, 32); err == nil && (smallest == 0 || int32(n) < smallest) {
				smallest = int32(n)
			}
		}
	}
	return smallest
}
