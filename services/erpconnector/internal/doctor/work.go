package doctor

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/erpconnector/erpconnector/shared/checkpoint"
	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/pace"
	"github.com/erpconnector/erpconnector/shared/setting"
	"github.com/erpconnector/erpconnector/shared/syncs"
)

// relayLate is how old a row may be that is not in Kafka yet: the relay takes milliseconds.
const relayLate = time.Minute

func workChecks(in Installation) []check {
	checks := []check{
		{"erp", in.erp},
		{"connector", in.enabled},
		{"orders", in.orders},
		{"quarantine", in.waiting("commerce_quarantine", "state = 'open'", "events that were refused",
			"`erpconnector quarantine list` says which, and why")},
		{"dead letters", in.waiting("erp_dead_letter", "state = 'open'", "records that nobody could read",
			"`erpconnector deadletter list` says which, and why")},
	}
	if in.Kafka != nil {
		checks = append([]check{{"relay", in.relay}}, checks...)
	}
	return checks
}

// relay compares the outbox with the position that the relay has written into Kafka.
func (in Installation) relay(ctx context.Context) Finding {
	at, err := checkpoint.Read(ctx, in.Config.Kafka())
	if err != nil {
		return cannotTell(err)
	}
	var oldest time.Time
	err = in.Pool.QueryRow(ctx, `SELECT created_at FROM erp_outbox WHERE id > $1 ORDER BY id LIMIT 1`, at.LastID).Scan(&oldest)
	switch {
	case len(at.Behind) > 0:
		return fail(fmt.Sprintf("%d partitions take no records, and their rows wait in the outbox", len(at.Behind)),
			"see which brokers are away: `erpconnector topics check`; the relay goes on by itself")
	case errors.Is(err, pgx.ErrNoRows):
		return ok("all rows of the outbox are in Kafka")
	case err != nil:
		return cannotTell(err)
	case time.Since(oldest) > relayLate:
		return fail(fmt.Sprintf("rows of the outbox wait for Kafka since %s", oldest.UTC().Format(time.RFC3339)),
			"see whether a relay runs (`erpconnector run relay`), and what its log says")
	}
	return ok("rows of the outbox reach Kafka as they come")
}

// settings are those in force.
func (in Installation) settings(ctx context.Context) (setting.Settings, error) {
	v, err := setting.NewStore(in.Pool, in.Config.Settings, nil).View(ctx)
	return v.Settings, err
}

func (in Installation) enabled(ctx context.Context) Finding {
	s, err := in.settings(ctx)
	switch {
	case err != nil:
		return cannotTell(err)
	case !s.Enabled:
		return warn("it is off: orders are accepted, and wait", "`erpconnector settings set enabled=true --reason …` lets them go out")
	}
	return ok("it is on")
}

// erp tells whether calls go out to the ERP, and whether something listens where it should be. It makes no HTTP request: an ERP may
// count it.
func (in Installation) erp(ctx context.Context) Finding {
	s, err := in.settings(ctx)
	if err != nil {
		return cannotTell(err)
	}
	if s.ErpBaseURL == "" {
		return fail("erp_base_url is not set here", "set ERP_BASE_URL as the services have it, or for all: `erpconnector settings set erp_base_url=https://…`")
	}
	report, err := pace.NewStore(in.Pool).Report(ctx, s, 0)
	if err != nil {
		return cannotTell(err)
	}
	if report.WaitsFor != "" {
		return warn("each order "+domain.Printable(report.WaitsFor), "`erpconnector erp status` says since when, and why")
	}
	at, err := dialed(s.ErpBaseURL)
	if err != nil {
		return fail("erp_base_url cannot be read: "+err.Error(), "`erpconnector settings set erp_base_url=https://…` mends it")
	}
	began := time.Now()
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", at)
	if err != nil {
		return fail("nothing takes connections at "+at+" from this machine: "+domain.Printable(err.Error()),
			"see whether the ERP runs, and whether the network lets services reach it")
	}
	_ = conn.Close()
	return ok(fmt.Sprintf("%s takes connections, after %.0f ms; calls go out", at, float64(time.Since(began).Microseconds())/1000))
}

// dialed is the host and port of a base URL.
func dialed(base string) (string, error) {
	u, err := url.Parse(base)
	if err != nil {
		return "", err
	}
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	return net.JoinHostPort(u.Hostname(), port), nil
}

// orders tells how many orders there are by status. Failed ones wait for a person.
func (in Installation) orders(ctx context.Context) Finding {
	counts, ready, err := syncs.Counts(ctx, in.Pool, syncs.Filter{})
	if err != nil {
		return cannotTell(err)
	}
	if !ready {
		return warn("they are not counted yet", "see whether a projector runs: `erpconnector run projector`")
	}
	by := map[domain.Status]int64{}
	for _, c := range counts {
		by[c.Status] += c.Syncs
	}
	var parts []string
	for _, s := range domain.Statuses {
		if by[s] > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", by[s], s))
		}
	}
	if len(parts) == 0 {
		return ok("there are none yet")
	}
	said := strings.Join(parts, ", ")
	if by[domain.Failed] > 0 {
		return warn(said, "`GET …/syncs/errors?status=failed` groups the failed ones by what is wrong")
	}
	return ok(said)
}

// mostCounted bounds a count of rows that wait for somebody.
const mostCounted = 1000

// waiting counts rows of a table that wait for somebody.
func (in Installation) waiting(table, condition, said, do string) func(context.Context) Finding {
	return func(ctx context.Context) Finding {
		var n int
		err := in.Pool.QueryRow(ctx, `SELECT count(*) FROM (SELECT FROM `+table+` WHERE `+condition+` LIMIT $1) AS waiting`, mostCounted).Scan(&n)
		switch {
		case err != nil:
			return cannotTell(err)
		case n == 0:
			return ok("none waits")
		case n == mostCounted:
			return warn(fmt.Sprintf("%d or more wait for somebody: %s", n, said), do)
		}
		return warn(fmt.Sprintf("waiting for somebody: %d %s", n, said), do)
	}
}
