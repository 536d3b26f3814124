package kafka

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	abandonedEvery = 500 * time.Millisecond
	abandonedWait  = 5 * time.Second // for one look and what it finds
)

// Claim takes the slot of a transactional id (without the prefix) when nobody holds it; release gives it back.
type Claim func(ctx context.Context, id string) (release func(), ok bool, err error)

// EndAbandoned ends, until ctx does, transactions that a killed process left open under an id "name-…" whose slot nobody
// holds any more. An open transaction hides all later records of its partitions from readers, for as long as the
// transaction's time-out; a slot may stay free for longer.
func EndAbandoned(ctx context.Context, cfg Config, name string, claim Claim, log *slog.Logger) {
	client, err := kgo.NewClient(cfg.Options()...)
	if err != nil {
		log.Error("abandoned transactions are left to their time-out", "error", err)
		return
	}
	defer client.Close()
	tick := time.NewTicker(abandonedEvery)
	defer tick.Stop()
	failing := false
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		err := endAbandoned(ctx, cfg, kadm.NewClient(client), name, claim, log)
		if err != nil && !failing && ctx.Err() == nil {
			log.Warn("cannot look for abandoned transactions; they end with their time-out", "error", err)
		}
		failing = err != nil
	}
}

func endAbandoned(ctx context.Context, cfg Config, adm *kadm.Client, name string, claim Claim, log *slog.Logger) error {
	ctx, cancel := context.WithTimeout(ctx, abandonedWait)
	defer cancel()
	open, err := adm.ListTransactions(ctx, nil, []string{"Ongoing"})
	if err != nil {
		return fmt.Errorf("listing open transactions: %w", err)
	}
	var failed error
	for _, txn := range open.Sorted() {
		id, ours := strings.CutPrefix(txn.TxnID, cfg.Prefix)
		if !ours || !strings.HasPrefix(id, name+"-") {
			continue
		}
		failed = errors.Join(failed, endOne(ctx, cfg, id, claim, log))
	}
	return failed
}

func endOne(ctx context.Context, cfg Config, id string, claim Claim, log *slog.Logger) error {
	release, ok, err := claim(ctx, id)
	if err != nil || !ok {
		return err
	}
	defer release()
	p := NewTxnProducer(cfg, id)
	defer p.Close()
	if err := p.Open(ctx); err != nil {
		return err
	}
	log.Warn("ended a transaction that a process left open when it died", "transactional_id", id)
	return nil
}
