package app

import (
	"context"
	"fmt"
	"log/slog"
	"strings"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/erpconnector/erpconnector/services/audit"
	"github.com/erpconnector/erpconnector/services/projector"
	"github.com/erpconnector/erpconnector/shared/audits"
	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/kafka"
)

// works are what the scheduler runs for those who ask for an audit or a verification. They stand here, as services do not know each other.
func works(pool *pgxpool.Pool, brokers kafka.Config, log *slog.Logger) audits.Works {
	return audits.Works{
		audits.Audit: func(ctx context.Context, p audits.Plan, progress func(done, of int64)) (audits.Result, error) {
			params := audit.Params{Kafka: brokers, Pool: pool, Limit: audits.MaxFindings, OnProgress: progress}
			if p.From != nil {
				params.From = *p.From
			}
			if p.To != nil {
				params.To = *p.To
			}
			if p.Source != nil {
				params.Source = *p.Source
			}
			r, err := audit.Run(ctx, params)
			if err != nil {
				return audits.Result{}, err
			}
			return AuditResult(r), nil
		},
		audits.Verify: func(ctx context.Context, _ audits.Plan, progress func(done, of int64)) (r audits.Result, err error) {
			v, err := projector.Verify(ctx, brokers, pool, log.With("service", "scheduler"), func(p projector.Progress) { progress(p.Done, p.Of) },
				func(d projector.Difference) { r.Add(DifferenceFound(d)) })
			if err != nil {
				return audits.Result{}, err
			}
			r.Counts = VerifyCounts(v)
			return r, nil
		},
	}
}

// AuditResult is a report as a run keeps it.
func AuditResult(r *audit.Report) audits.Result {
	t := r.Total()
	out := audits.Result{At: new(r.At.UTC()), Counts: map[string]int64{}, Found: int64(r.ViolationsAll), ByKind: map[string]int64{}}
	for name, n := range map[string]int{
		"accepted": t.Accepted, "relayed": t.Relayed, "under_way": t.UnderWay, "success": t.Success, "failed": t.Failed,
		"outbox": t.Alive.Outbox, "held": t.Alive.Held, "requested": t.Alive.Requested, "parked": t.Alive.Parked, "due": t.Alive.Due,
		"set_aside": t.Alive.SetAside, "not_requested": t.NotRequested, "broken": t.Broken,
	} {
		out.Counts[name] = int64(n)
	}
	for kind, n := range r.Broken {
		out.ByKind[string(kind)] = int64(n)
	}
	for _, v := range r.Violations[:min(len(r.Violations), audits.MaxFindings)] {
		out.Findings = append(out.Findings, audits.Finding{
			Kind: string(v.Kind), Source: v.Source, Order: domain.Printable(v.Order), SyncID: v.SyncID, Generation: v.Generation,
			Where: domain.Printable(v.Where()), Means: v.Means,
		})
	}
	return out
}

// VerifyCounts are the counts of a verdict by name.
func VerifyCounts(v projector.Verdict) map[string]int64 {
	out := map[string]int64{"offsets": v.Offsets}
	for name, l := range map[string]projector.Lines{
		"rows":     {Compared: v.Rows, Differing: v.Differing, OnlyInLive: v.OnlyInLive, OnlyInLog: v.OnlyInLog},
		"timeline": v.Timeline, "dead_letters": v.DeadLetters,
	} {
		out[name], out[name+"_differ"], out[name+"_only_in_table"], out[name+"_only_in_log"] = l.Compared, l.Differing, l.OnlyInLive, l.OnlyInLog
	}
	return out
}

const rebuilds = " erpconnector rebuild makes it as the log says: docs/verify.md."

// DifferenceFound is a difference as a run keeps it.
func DifferenceFound(d projector.Difference) audits.Finding {
	f := audits.Finding{Source: d.Source, Order: domain.Printable(d.OrderIncrementID), SyncID: d.SyncID, Where: domain.Printable(d.Line)}
	what, thing := "row", "The row"
	switch {
	case d.Line != "" && d.SyncID == 0:
		what, thing = "dead_letter", "The dead letter"
	case d.Line != "":
		what, thing = "timeline", "The line of the timeline"
	}
	switch d.OnlyIn {
	case "live":
		f.Kind, f.Means = what+"_only_in_table", thing+" stands in the table, and the log does not tell of it: was Kafka lost, or the row written by hand?"
	case "log":
		f.Kind, f.Means = what+"_only_in_log", thing+" is missing from the table, and the log tells of it."+rebuilds
	default:
		f.Kind = what + "_differs"
		f.Means = fmt.Sprintf("%s says %s in %s, and the log says %s.%s", thing, shown(d.Live), d.Column, shown(d.Log), rebuilds)
	}
	return f
}

// shown is a value of a column, shortened.
func shown(value string) string {
	return domain.Truncate(strings.TrimSpace(domain.Printable(value)), 200)
}
