package scheduler

import (
	"context"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/erpconnector/erpconnector/shared/checkpoint"
	"github.com/erpconnector/erpconnector/shared/history"
	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/outbox"
	"github.com/erpconnector/erpconnector/shared/run"
	"github.com/erpconnector/erpconnector/shared/setting"
	"github.com/erpconnector/erpconnector/shared/syncs"
	"github.com/erpconnector/erpconnector/shared/timeline"
)

const (
	extendInterval = 10 * time.Second
	dropInterval   = time.Minute
	dropTimeout    = 30 * time.Second // a drop waits for transactions that have read the outbox before it; a later look ends it
	cleanInterval  = 10 * time.Minute // until the next look for old timelines and events, once none is left
	cleanRows      = 5_000            // lines of timelines, or events, that a statement deletes at most
	cleanTimeout   = 30 * time.Second // of one statement
	keepGroups     = 90 * 24 * time.Hour
)

// keeper keeps the partitions of the outbox: it makes those that are needed next, and drops those that are relayed and older than
// outbox_retention. It deletes the timelines that are older than timeline_retention, and forgets the events that are older than
// event_retention, and the kinds of errors that were seen so long ago (keepGroups) and that no sync has any more. It adds up old rows
// of the history.
type keeper struct {
	pool     *pgxpool.Pool
	kafka    kafka.Config
	settings setting.Reader
	log      *slog.Logger

	dropAt, cleanAt            time.Time
	making, dropping, cleaning run.Outage
}

func newKeeper(pool *pgxpool.Pool, cfg kafka.Config, settings setting.Reader, log *slog.Logger) *keeper {
	return &keeper{
		pool: pool, kafka: cfg, settings: settings, log: log,
		making:   run.Outage{Began: "no place is made for new rows of the outbox; trying on", Ended: "place is made for new rows of the outbox again"},
		dropping: run.Outage{Began: "old rows of the outbox are not dropped; trying on", Ended: "old rows of the outbox are dropped again"},
		cleaning: run.Outage{Began: "old timelines and events are not deleted; trying on", Ended: "old timelines and events are deleted again"},
	}
}

// run keeps the partitions until ctx ends. Only the leader does.
func (k *keeper) run(ctx context.Context) {
	for ctx.Err() == nil {
		if err := k.extend(ctx); ctx.Err() == nil {
			k.making.Report(k.log, err)
		}
		if time.Now().After(k.dropAt) {
			if err := k.drop(ctx); ctx.Err() == nil {
				k.dropping.Report(k.log, err)
			}
			k.dropAt = time.Now().Add(dropInterval)
		}
		if time.Now().After(k.cleanAt) {
			more, err := k.clean(ctx)
			if ctx.Err() == nil {
				k.cleaning.Report(k.log, err)
			}
			if !more {
				k.cleanAt = time.Now().Add(cleanInterval)
			}
		}
		run.Sleep(ctx, extendInterval)
	}
}

func (k *keeper) extend(ctx context.Context) error {
	width, err := outbox.Width(ctx, k.pool, time.Now())
	if err != nil {
		return err
	}
	made, err := outbox.Extend(ctx, k.pool, width, max(outbox.Ahead, 2*width))
	if made > 0 {
		k.log.Info("place made for new rows of the outbox", "partitions", made, "ids", width)
	}
	return err
}

// drop drops the partitions whose rows are all relayed, and older than outbox_retention.
func (k *keeper) drop(ctx context.Context) error {
	retention := k.settings.Current().OutboxRetention
	if retention == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, dropTimeout)
	defer cancel()
	names, err := outbox.DropRest(ctx, k.pool)
	if err != nil {
		return err
	}
	for _, name := range names {
		k.log.Info("old rows of the outbox dropped", "table", name)
	}
	partitions, err := outbox.Partitions(ctx, k.pool)
	if err != nil {
		return err
	}
	relayed := int64(-1) // not read yet: Kafka is asked only when something is old
	for _, p := range partitions {
		if p.To == 0 {
			return nil
		}
		done, err := p.IsDone(ctx, k.pool, time.Now().Add(-retention))
		if err != nil || !done && !p.Detaching {
			return err
		}
		if relayed < 0 {
			at, err := checkpoint.Read(ctx, k.kafka)
			if err != nil {
				return err
			}
			relayed = at.Whole()
		}
		if p.To > relayed && !p.Detaching {
			return nil
		}
		if err := p.Drop(ctx, k.pool); err != nil {
			return err
		}
		k.log.Info("old rows of the outbox dropped", "table", p.Name)
	}
	return nil
}

// clean deletes timelines that are older than timeline_retention, and events that are older than event_retention, some thousand rows at a
// time. While there are more, run comes back after extendInterval: so it takes some hundred rows a second, and leaves the database to
// the others.
func (k *keeper) clean(ctx context.Context) (more bool, err error) {
	s := k.settings.Current()
	rolled, err := k.roll(ctx)
	if err != nil {
		return false, err
	}
	more = rolled == cleanRows
	for _, c := range []struct {
		retention time.Duration
		table     string
		delete    func(ctx context.Context, pool *pgxpool.Pool, before time.Time, limit int) (int, error)
	}{
		{s.TimelineRetention, "vendor_erp_sync_event", timeline.Clean},
		{s.EventRetention, "accepted_event", forgetEvents},
		{keepGroups, "vendor_erp_sync_error_group", syncs.CleanGroups},
	} {
		if c.retention == 0 {
			continue
		}
		ctx, cancel := context.WithTimeout(ctx, cleanTimeout)
		deleted, err := c.delete(ctx, k.pool, time.Now().Add(-c.retention), cleanRows)
		cancel()
		if err != nil {
			return false, err
		}
		if deleted > 0 {
			k.log.Info("old rows deleted", "table", c.table, "rows", deleted)
		}
		more = more || deleted == cleanRows
	}
	return more, nil
}

// roll adds up old rows of the history.
func (k *keeper) roll(ctx context.Context) (rows int, err error) {
	ctx, cancel := context.WithTimeout(ctx, cleanTimeout)
	defer cancel()
	return history.Roll(ctx, k.pool, time.Now(), cleanRows)
}
