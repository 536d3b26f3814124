package txn

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/run"
)

const (
	abandonedInterval     = 500 * time.Millisecond
	abandonedIdleInterval = 2 * time.Second  // the same after idleAfter without records
	idleAfter             = 10 * time.Second // an open transaction hides nothing that comes while nothing comes
	abandonedTimeout      = 5 * time.Second  // for one round
)

// Activity is when a session of this process has last received records. The zero value is none. It is safe for concurrent use.
type Activity struct{ at atomic.Int64 }

func (a *Activity) note() {
	if a != nil {
		a.at.Store(time.Now().UnixNano())
	}
}

// abandonedWait is how long to wait until the next round.
func (a *Activity) abandonedWait() time.Duration {
	if time.Since(time.Unix(0, a.at.Load())) < idleAfter {
		return abandonedInterval
	}
	return abandonedIdleInterval
}

// Lease takes the lease on a transactional id (without the prefix), when it is free. release gives it back.
type Lease func(ctx context.Context, id string) (release func(), ok bool, err error)

// EndAbandoned ends transactions that killed processes left open, under ids "name-…" whose lease is free. It runs until
// ctx ends, less often while the sessions that note their activity receive nothing. An open transaction hides all later records of its
// partitions from readers until it times out, and it may take longer until another process uses the id.
func EndAbandoned(ctx context.Context, cfg kafka.Config, name string, activity *Activity, lease Lease, log *slog.Logger) {
	client, err := kgo.NewClient(cfg.Options()...)
	if err != nil {
		log.Error("abandoned transactions are left to their time-out", "error", err)
		return
	}
	defer client.Close()
	outage := run.Outage{
		Began: "cannot look for abandoned transactions; they end with their time-out", Ended: "looking for abandoned transactions again",
	}
	for run.Sleep(ctx, activity.abandonedWait()) {
		err := endAbandoned(ctx, cfg, kadm.NewClient(client), name, lease, log)
		if ctx.Err() == nil {
			outage.Report(log, err)
		}
	}
}

func endAbandoned(ctx context.Context, cfg kafka.Config, adm *kadm.Client, name string, lease Lease, log *slog.Logger) error {
	ctx, cancel := context.WithTimeout(ctx, abandonedTimeout)
	defer cancel()
	open, err := openTransactions(ctx, adm)
	if err != nil {
		return err
	}
	var failed error
	for _, id := range open {
		base, ours := strings.CutPrefix(baseOf(id), cfg.Prefix)
		if !ours || !strings.HasPrefix(base, name+"-") {
			continue
		}
		failed = errors.Join(failed, endOne(ctx, cfg, id, base, lease, log))
	}
	return failed
}

// endOne fences the id while it holds the lease on its base. errStuck is fine: the transaction is decided, and ends
// with its partitions.
func endOne(ctx context.Context, cfg kafka.Config, id, base string, lease Lease, log *slog.Logger) error {
	release, ok, err := lease(ctx, base)
	if err != nil || !ok {
		return err
	}
	defer release()
	client, err := connect(ctx, id, NewProducer(cfg, base).options)
	if err == nil {
		client.Close()
	}
	if err != nil && !errors.Is(err, errStuck) {
		return fmt.Errorf("ending an abandoned transaction: %w", err)
	}
	log.Warn("ended a transaction that a process left open when it died", "transactional_id", strings.TrimPrefix(id, cfg.Prefix))
	return nil
}
