package domain

import "fmt"

// Version orders the facts of one order: generation<<28 | class<<24 | number. It is below 2^53, so that JSON readers that keep
// numbers as doubles read it exactly.
type Version int64

// Class says who allots the numbers.
type Class int

// The classes of facts.
const (
	ClassRequest  Class = 0 // acceptance (0) and releases (1…), allotted under the gate's lock
	ClassAttempt  Class = 1 // attempt<<3 | phase, written by the chain record
	ClassCallback Class = 2 // settling callbacks (1…), allotted under the gate's lock
)

// Phase is the part of an attempt that a fact is about.
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

// RequestVersion is the version of the n-th request fact of a generation: 0 is the acceptance, 1… are the releases.
func RequestVersion(generation, n int) Version { return pack(generation, ClassRequest, n) }

// AttemptVersion is the version of a phase of an attempt. A terminal event without a call, because the gate was closed, has as its
// attempt the number of calls made (0 when there was none); one because its time was over has one more.
func AttemptVersion(generation, attempt int, phase Phase) Version {
	return pack(generation, ClassAttempt, attempt<<3|int(phase))
}

// CallbackVersion is the version of the n-th settling callback of a generation, from 1.
func CallbackVersion(generation, n int) Version { return pack(generation, ClassCallback, n) }

func pack(generation int, class Class, number int) Version {
	return Version(int64(generation)<<28 | int64(class)<<24 | int64(number&maxNumber))
}

// Generation is the generation of the fact.
func (v Version) Generation() int { return int(v >> 28) }

// Class is the fact's class.
func (v Version) Class() Class { return Class(v >> 24 & 0xf) }

// Number is the fact's number within its class.
func (v Version) Number() int { return int(v & maxNumber) }

// Attempt is the attempt of a ClassAttempt version.
func (v Version) Attempt() int { return v.Number() >> 3 }

// Phase is the phase of a ClassAttempt version.
func (v Version) Phase() Phase { return Phase(v.Number() & 7) }

// SameAttempt reports whether both are facts of the same attempt; requests count as attempt 0.
func (v Version) SameAttempt(o Version) bool {
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
