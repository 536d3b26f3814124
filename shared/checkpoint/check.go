package checkpoint

import (
	"context"
	"errors"
	"fmt"

	"github.com/erpconnector/erpconnector/shared/outbox"
	"github.com/erpconnector/erpconnector/shared/postgres"
)

// ErrMismatch means that the outbox and Kafka do not belong together. No retry helps.
var ErrMismatch = errors.New("the relay's position does not fit the outbox")

// remedy is in each message.
const remedy = "`erpconnector repair` shows what differs and mends it; docs/deploy.md tells more"

// Check compares the position with a server and its row LastID. It returns nil when this outbox is the one that was
// relayed, as far as the row shows. After a failover the caller must check more (see Moved).
func (p Position) Check(server outbox.Server, row outbox.Trace) error {
	switch {
	case p.LastID == 0:
		return nil
	case p.System != "" && p.System != server.System:
		return p.mismatch(server, "this is another Postgres cluster: was the database moved, or is DATABASE_URL another installation's?")
	case p.Timeline > server.Timeline:
		return p.mismatch(server, "another server has taken this one's place and was relayed from: stop this one, and let DATABASE_URL name the other;")
	case row.Dropped && !p.Moved(server): // there is nothing to compare
		return nil
	case row.UUID == "":
		return p.mismatch(server, fmt.Sprintf("row %d is not here: was a standby promoted that lagged, or the database restored from a backup?", p.LastID))
	case p.UUID != "" && p.UUID != row.UUID:
		return p.mismatch(server, fmt.Sprintf("row %d is another message here (%s): the database was restored from a backup and gave the id again;", p.LastID, row.UUID))
	default:
		return nil
	}
}

func (p Position) mismatch(server outbox.Server, what string) error {
	from := ""
	if p.System != "" {
		from = fmt.Sprintf(" of Postgres %s", outbox.Server{System: p.System, Timeline: p.Timeline})
	}
	return fmt.Errorf("%w: Kafka has relayed up to row %d%s; at %s %s %s", ErrMismatch, p.LastID, from, server, what, remedy)
}

// Moved reports whether the server has a newer timeline than the one that was relayed last: a standby was promoted. It
// has the row LastID, but rows with lower ids may have been committed after that row, and may be lost.
func (p Position) Moved(server outbox.Server) bool {
	return p.Timeline != 0 && p.Timeline < server.Timeline
}

// Lost returns the error for a server that has the row LastID, but lacks other rows that were relayed.
func (p Position) Lost(server outbox.Server, records int) error {
	return p.mismatch(server, fmt.Sprintf("%s not here: a standby was promoted that lagged;", counted(records)))
}

func counted(records int) string {
	if records == 1 {
		return "1 message of those that Kafka has is"
	}
	return fmt.Sprintf("%d messages of those that Kafka has are", records)
}

// CheckAt reads the server and its row LastID, and calls Check.
func (p Position) CheckAt(ctx context.Context, on postgres.Querier) (outbox.Server, error) {
	server, err := outbox.ServerOf(ctx, on)
	if err != nil {
		return server, err
	}
	row, err := outbox.TraceOf(ctx, on, p.LastID)
	if err != nil {
		return server, err
	}
	return server, p.Check(server, row)
}
