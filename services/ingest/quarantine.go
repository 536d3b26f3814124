package ingest

import (
	"context"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/erpconnector/erpconnector/services/ingest/internal/quarantine"
	"github.com/erpconnector/erpconnector/shared/httpapi/problem"
)

type (
	// QuarantineEntry is one event in the quarantine, with the reason.
	QuarantineEntry = quarantine.Entry
	// QuarantineWords are a filter as people write it.
	QuarantineWords = quarantine.Words
)

// QuarantineHTTP is the door of events that were refused over HTTP.
const QuarantineHTTP = quarantine.HTTP

var (
	// QuarantineCodes are the kinds of reasons.
	QuarantineCodes = quarantine.Codes
	// QuarantineDoors are the ways by which events come.
	QuarantineDoors = quarantine.Doors
	// QuarantineSelectingWords are the names of the words that select entries.
	QuarantineSelectingWords = quarantine.SelectingWords
)

// CheckQuarantineReason finds what is wrong with the reason of a discard.
func CheckQuarantineReason(reason string) []problem.FieldError { return checkReason(reason) }

// QuarantineEntryOf reads one entry with its payload, for a command that works on the stores.
func QuarantineEntryOf(ctx context.Context, pool *pgxpool.Pool, id int64) (QuarantineEntry, error) {
	return quarantine.Get(ctx, pool, id, "", 0)
}
