package domain

// Passed reports whether a chain record was consumed before. That happens when the log is read again, as after the loss of a group's
// offsets. known is the version of an attempt of the same sync that is in the log. The rule is: only the transaction that consumes a
// record writes the end of the next attempt, or of the generation. An intent may be repeated, so it proves nothing.
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
