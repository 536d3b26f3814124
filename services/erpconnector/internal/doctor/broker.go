package doctor

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/kafka/topics"
)

func brokerChecks(in Installation, adm *kadm.Client) []check {
	checks := []check{
		{"kafka", func(ctx context.Context) Finding { return brokers(ctx, adm) }},
		{"topics", func(ctx context.Context) Finding { return topicsOf(ctx, in) }},
	}
	for _, g := range []event.Group{event.GroupSyncer, event.GroupDelayer} {
		checks = append(checks, check{"group " + string(g), func(ctx context.Context) Finding { return group(ctx, in, adm, g) }})
	}
	return checks
}

func brokers(ctx context.Context, adm *kadm.Client) Finding {
	cluster, err := adm.BrokerMetadata(ctx)
	if err != nil {
		return cannotTell(err)
	}
	said := counted(len(cluster.Brokers), "broker")
	if versions, err := adm.ApiVersions(ctx); err == nil {
		for _, v := range versions.Sorted() {
			said += ", " + v.VersionGuess()
			break
		}
	}
	if len(cluster.Brokers) < 3 {
		return warn(said, "in production run three: with fewer, what was confirmed can be lost with a broker")
	}
	return ok(said)
}

// topicsOf is what `topics check` says.
func topicsOf(ctx context.Context, in Installation) Finding {
	a, err := topics.NewAdmin(in.Config.Kafka(), in.Config.Partitions)
	if err != nil {
		return cannotTell(err)
	}
	defer a.Close()
	problems, err := a.Check(ctx)
	if err != nil {
		return cannotTell(err)
	}
	if len(problems) > 0 {
		return fail(strings.Join(problems, "; "), "see `erpconnector topics check`; `erpconnector topics ensure` creates what is missing")
	}
	warnings, err := a.Warnings(ctx)
	switch {
	case err != nil:
		return cannotTell(err)
	case len(warnings) > 0:
		return warn(strings.Join(warnings, "; "), "do what `erpconnector topics check` says")
	}
	return ok("all are there, as they should be")
}

// longLag is a backlog that is worth a look. A reader has up to this behind it after a burst.
const longLag = 100_000

// group tells whether somebody reads for a group, and how far behind it is.
func group(ctx context.Context, in Installation, adm *kadm.Client, g event.Group) Finding {
	service := strings.TrimPrefix(string(g), "erpconnector-")
	lags, err := adm.Lag(ctx, in.Config.Kafka().Group(string(g)))
	if err == nil {
		err = lags.Error()
	}
	if errors.Is(err, kerr.GroupIDNotFound) {
		return fail("no "+service+" has ever run here", "start one: `erpconnector run "+service+"`")
	}
	if err != nil {
		return cannotTell(err)
	}
	lag := lags[in.Config.Kafka().Group(string(g))]
	said := fmt.Sprintf("%s, at most %s to read", counted(len(lag.Members), service), counted(int(lag.Lag.Total()), "record")) // ends of transactions count too
	if len(lag.Members) == 0 {
		return fail(said, "start a "+service+": `erpconnector run "+service+"`; until then nothing of this is done")
	}
	if lag.Lag.Total() > longLag {
		return warn(said, "look again in a minute: if it grows, see whether calls go out (`erpconnector erp status`), and start another "+service)
	}
	return ok(said)
}

// counted is a number of things.
func counted(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return fmt.Sprintf("%d %s", n, what)
}
