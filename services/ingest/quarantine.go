package ingest

import (
	"github.com/erpconnector/erpconnector/services/ingest/internal/quarantine"
	"github.com/erpconnector/erpconnector/shared/httpapi/problem"
)

// QuarantineWords are a filter as people write it.
type QuarantineWords = quarantine.Words

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
