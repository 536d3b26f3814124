package txn

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/run"
)

const (
	abandonedInterval = 500 * time.Millisecond
	abandonedTimeout  = 5 * time.Second // for one look and what it finds
)

// Lease takes a slot (without the prefix) when nobody holds it; release gives it back.
type Lease func(ctx context.Context, slot string) (release func(), ok bool, err error)

// EndAbandoned ends, until ctx does, transactions that a killed process left open under a slot "name-…" that nobody holds any
// more. An open transaction hides all later records of its partitions from readers, for as long as the transaction's
// time-out; a slot may stay free for longer.
func EndAbandoned(ctx context.Context, cfg kafka.Config, name string, lease Lease, log *slog.Logger) {
	client, err := kgo.NewClient(cfg.Options()...)
	if err != nil {
		log.Error("abandoned transactions are left to their time-out", "error", err)
		return
	}
	defer client.Close()
	outage := run.Outage{
		Began: "cannot look for abandoned transactions; they end with their time-out", Ended: "looking for abandoned transactions again",
	}
	for run.Sleep(ctx, abandonedInterval) {
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
		slot, ours := strings.CutPrefix(slotOf(id), cfg.Prefix)
		if !ours || !strings.HasPrefix(slot, name+"-") {
			continue
		}
		failed = errors.Join(failed, endOne(ctx, cfg, id, slot, lease, log))
	}
	return failed
}

func endOne(ctx context.Context, cfg kafka.Config, id, slot string, lease Lease, log *slog.Logger) error {
	release, ok, err := lease(ctx, slot)
	if err != nil || !ok {
		return err
	}
	defer release()
	client, err := connect(ctx, id, NewProducer(cfg, slot).options)
	if err == nil {
		client.Close()
	}
	if err != nil && !errors.Is(err, errStuck) {
		return fmt.Errorf("ending an abandoned transaction: %w", err)
	}
	log.Warn("ended a transaction that a process left open when it died", "transactional_id", strings.TrimPrefix(id, cfg.Prefix))
	return nil
}
