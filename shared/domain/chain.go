package domain

// Passed reports whether the log has gone beyond a chain record: it was consumed before, and is read again, as after the loss of
// a group's offsets. known is the version of an attempt that stands in the log, of the same sync. Only the transaction that
// consumes a record of so many attempts writes the end of the next attempt, or the generation's end; an intent may repeat, and
// says nothing.
func Passed(s Sync, known Version) bool {
	switch {
	case known.Generation() != s.Generation || known.Class() != ClassAttempt:
		return false
	case known.Phase() == PhaseTerminal:
		return true
	default:
		return known > AttemptVersion(s.Generation, s.Attempts+1, PhaseBefore)
	}
}

// AttemptVersions are the lowest and the highest version that an attempt of the generation can have.
func AttemptVersions(generation int) (lowest, highest Version) {
	return pack(generation, ClassAttempt, 0), pack(generation, ClassAttempt, maxNumber)
}
