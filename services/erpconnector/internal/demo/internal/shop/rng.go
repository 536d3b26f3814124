package shop

import (
	"encoding/binary"
	"math/rand/v2"
)

// rng draw what happens with one order.
type rng struct{ *rand.Rand }

// newDice makes the draws of one order depend on the seed and the order's place alone. So a longer run has the same orders.
func newDice(seed uint64, order int) rng {
	var key [32]byte
	binary.LittleEndian.PutUint64(key[:], seed)
	binary.LittleEndian.PutUint64(key[8:], uint64(order)) //nolint:gosec // an order's place is not negative
	return rng{rand.New(rand.NewChaCha8(key))}            //nolint:gosec // sample data, to be drawn again
}

// chance is true in that many of a hundred cases.
func (d rng) chance(percent int) bool { return d.IntN(100) < percent }

// between draws from least to most, both included.
func (d rng) between(least, most int) int { return least + d.IntN(most-least+1) }

func pick[T any](d rng, from []T) T { return from[d.IntN(len(from))] }
