// Package doctor looks at what an installation needs, and says of each thing whether it is well and else what to do.
//
//	findings := doctor.Examine(ctx, doctor.Installation{Config: cfg, Pool: pool})
//	// {Check: "clock", Level: Warn, Said: "this machine's clock is 4.1 s ahead of Postgres'", Do: "let both follow NTP"}
//
// It only reads: nothing is changed by a look. What cannot be asked, as its server is away, is a finding of its own and keeps no
// other check. The files: database.go asks Postgres, broker.go Kafka, work.go what waits and why,
// provider.go where people sign in.
package doctor

import (
	"context"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/erpconnector/erpconnector/shared/config"
)

// Level says how much a finding matters.
type Level string

// The levels.
const (
	OK   Level = "ok"
	Warn Level = "warn" // it works; look at it soon
	Fail Level = "fail" // orders do not arrive, or will not for long
)

// Finding is what one check found.
type Finding struct {
	Check string `json:"check"`
	Level Level  `json:"level"`
	Said  string `json:"said"`
	Do    string `json:"do,omitempty"` // what to do about it; empty where there is nothing
}

func ok(said string) Finding       { return Finding{Level: OK, Said: said} }
func warn(said, do string) Finding { return Finding{Level: Warn, Said: said, Do: do} }
func fail(said, do string) Finding { return Finding{Level: Fail, Said: said, Do: do} }

// cannotTell is the finding of a check whose question was not answered.
func cannotTell(err error) Finding {
	return fail("could not be told: "+err.Error(), "mend that first, and look again")
}

// Installation is what is examined. Without a pool or a client, what asks them is left out.
type Installation struct {
	Config config.Config
	Pool   *pgxpool.Pool
	Kafka  *kgo.Client
}

// checkTimeout bounds each check; all run at once.
const checkTimeout = 10 * time.Second

type check struct {
	name string
	look func(context.Context) Finding
}

// Examine makes all checks at once. The findings stand in a fixed order: the servers first, then the work.
func Examine(ctx context.Context, in Installation) []Finding {
	var checks []check
	if in.Pool != nil {
		checks = append(checks, databaseChecks(in)...)
	}
	if in.Kafka != nil {
		checks = append(checks, brokerChecks(in, kadm.NewClient(in.Kafka))...)
	}
	if in.Pool != nil {
		checks = append(checks, workChecks(in)...)
	}
	if in.Config.HTTP.OIDC.Issuer != "" {
		checks = append(checks, check{"identity provider", in.provider})
	}
	findings := make([]Finding, len(checks))
	var all sync.WaitGroup
	for i, c := range checks {
		all.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, checkTimeout)
			defer cancel()
			findings[i] = c.look(ctx)
			findings[i].Check = c.name
		})
	}
	all.Wait()
	return findings
}

// Worst is the highest level among findings; OK when there are none.
func Worst(findings []Finding) Level {
	worst := OK
	for _, f := range findings {
		if f.Level == Fail || worst == OK {
			worst = f.Level
		}
		if worst == Fail {
			break
		}
	}
	return worst
}
