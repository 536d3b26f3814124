package crash

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/erpconnector/erpconnector/infra/crash/history"
)

// report stands in for the checker's.
type report struct{ Violations []string }

func (r report) String() string { return strings.Join(r.Violations, "\n") }

// check counts bookings, terminal events and ends of each order.
func check(h *history.History) (r report) {
	add := func(format string, args ...any) { r.Violations = append(r.Violations, fmt.Sprintf(format, args...)) }
	keys, newKeys := map[string]map[string]bool{}, map[string]int{}
	for _, c := range h.Calls {
		order := c.Source + "/" + c.Order
		if c.Problem != "" {
			add("call %d of %s: %s", c.Number, order, c.Problem)
		}
		if c.Booked {
			if keys[order] == nil {
				keys[order] = map[string]bool{}
			}
			keys[order][c.Key] = true
		}
	}
	for _, q := range h.Requests {
		if strings.HasPrefix(q.What, "resync") && q.Known != history.Refused {
			newKeys[q.Source+"/"+q.Order]++
		}
	}
	for order, booked := range keys {
		if len(booked) > 1+newKeys[order] {
			add("order %s: %d bookings, %d resyncs", order, len(booked), newKeys[order])
		}
	}
	terminal, requested := map[string]int{}, map[string]bool{}
	for _, rec := range h.Records {
		var v struct {
			Sync struct{ Generation int } `json:"sync"`
		}
		_ = json.Unmarshal(rec.Value, &v)
		generation := fmt.Sprint(rec.Key, " ", v.Sync.Generation)
		switch rec.Topic {
		case "vendor_erp_sync_success", "vendor_erp_sync_failed":
			terminal[generation]++
		case "vendor_erp_sync_requested":
			requested[generation] = true
		}
	}
	for g := range requested {
		if terminal[g] != 1 {
			add("%s: %d terminal events", g, terminal[g])
		}
	}
	rows := map[string]history.SyncRow{}
	for _, row := range h.Table {
		rows[fmt.Sprint(row["source"], "/", row["order_increment_id"])] = row
	}
	for _, p := range h.Publications {
		row, known := rows[p.Source+"/"+p.Order]
		switch {
		case p.Known == history.Accepted && p.Type == "invoice.created" && !known:
			add("order %s/%s, event %s: accepted by %s and lost", p.Source, p.Order, p.EventID, p.Door)
		case p.Known == history.Refused && known:
			add("order %s/%s, event %s: refused at %s and there", p.Source, p.Order, p.EventID, p.Door)
		case known && row["status"] != "success" && row["status"] != "failed":
			add("order %s/%s: %v", p.Source, p.Order, row["status"])
		}
	}
	return r
}

func collectRecords(ctx context.Context, brokers []string, prefix, databaseURL string, h *history.History) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords(),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		return err
	}
	defer client.Close()
	adm := kadm.NewClient(client)
	topics, err := adm.ListTopics(ctx)
	if err != nil {
		return err
	}
	var names []string
	for _, name := range topics.Names() {
		if strings.HasPrefix(name, prefix) && !strings.HasSuffix(name, "_position") {
			names = append(names, name)
		}
	}
	ends, err := adm.ListCommittedOffsets(ctx, names...)
	if err != nil {
		return err
	}
	starts, err := adm.ListStartOffsets(ctx, names...)
	if err != nil {
		return err
	}
	left := 0
	ends.Each(func(o kadm.ListedOffset) {
		if start, _ := starts.Lookup(o.Topic, o.Partition); o.Offset > start.Offset {
			left++
		}
	})
	client.AddConsumeTopics(names...)
	for left > 0 && ctx.Err() == nil {
		client.PollFetches(ctx).EachRecord(func(r *kgo.Record) {
			if end, _ := ends.Lookup(r.Topic, r.Partition); end.Offset == r.Offset+1 {
				left--
			}
			if !r.Attrs.IsControl() {
				h.Records = append(h.Records, history.Record{
					Topic: strings.TrimPrefix(r.Topic, prefix), Partition: r.Partition, Offset: r.Offset, Timestamp: r.Timestamp, Key: string(r.Key), Value: r.Value,
				})
			}
		})
	}
	conn, err := pgx.Connect(ctx, databaseURL)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(ctx) }()
	rows, err := conn.Query(ctx, `SELECT source, order_increment_id, status, generation, attempts FROM vendor_erp_sync`)
	if err != nil {
		return err
	}
	table, err := pgx.CollectRows(rows, pgx.RowToMap)
	for _, row := range table {
		h.Table = append(h.Table, row)
	}
	return err
}

func save(o outcome) error {
	o.history.Ended = o.history.Ended.Round(time.Millisecond)
	return o.history.Save(filepath.Join(o.folder, "history.json"))
}
