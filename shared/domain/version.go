package domain

import "fmt"

// Version orders the facts of one order: generation<<28 | class<<24 | number. It stays below 2^53, so that JSON readers
// that keep numbers as doubles see it exactly.
type Version int64

// Class says who allots the number of a version.
type Class int

// The classes of facts.
const (
	ClassRequest  Class = 0 // acceptance (0) and releases (1…), allotted under the gate's lock
	ClassAttempt  Class = 1 // attempt<<3 | phase, written by the chain record
	ClassCallback Class = 2 // settling callbacks (1…), allotted under the gate's lock
)

// Phase is where in an attempt a fact stands.
type Phase int

// The phases of an attempt.
const (
	PhaseBefore   Phase = 1
	PhaseAfter    Phase = 2
	PhaseTerminal Phase = 3
)

// Limits of the fields packed into a Version.
const (
	MaxGeneration = 1<<25 - 1
	maxNumber     = 1<<24 - 1
	// MaxAttempts is the largest setting of max attempts that fits a version.
	MaxAttempts = maxNumber >> 3
)

// RequestVersion is that of the n-th request fact of a generation: 0 its acceptance, 1… its releases.
func RequestVersion(generation, n int) Version { return pack(generation, ClassRequest, n) }

// AttemptVersion is that of a phase of an attempt. A terminal event that follows no call, because the gate was closed,
// has the number of calls made as its attempt (0 when there was none).
func AttemptVersion(generation, attempt int, phase Phase) Version {
	return pack(generation, ClassAttempt, attempt<<3|int(phase))
}

// CallbackVersion is that of the n-th settling callback of a generation, from 1.
func CallbackVersion(generation, n int) Version { return pack(generation, ClassCallback, n) }

func pack(generation int, class Class, number int) Version {
	return Version(int64(generation)<<28 | int64(class)<<24 | int64(number&maxNumber))
}

// Generation is the effort the fact belongs to.
func (v Version) Generation() int { return int(v >> 28) }

// Class is the fact's class.
func (v Version) Class() Class { return Class(v >> 24 & 0xf) }

// Number is the fact's number inside its class.
func (v Version) Number() int { return int(v & maxNumber) }

// Attempt is the attempt of a ClassAttempt version.
func (v Version) Attempt() int { return v.Number() >> 3 }

// Phase is the phase of a ClassAttempt version.
func (v Version) Phase() Phase { return Phase(v.Number() & 7) }

// sameAttempt reports whether both are facts of one attempt; requests count as attempt 0.
func (v Version) sameAttempt(o Version) bool {
	return v.Generation() == o.Generation() && v.attemptOrZero() == o.attemptOrZero()
}

func (v Version) attemptOrZero() int {
	if v.Class() != ClassAttempt {
		return 0
	}
	return v.Attempt()
}

func (v Version) String() string {
	return fmt.Sprintf("g%d/c%d/n%d", v.Generation(), v.Class(), v.Number())
}
