package shop

import (
	"encoding/binary"
	"math/rand/v2"
)

// dice draw what happens with one order.
type dice struct{ *rand.Rand }

func newDice(seed uint64, order int) dice {
	var key [32]byte
	binary.LittleEndian.PutUint64(key[:], seed)
	binary.LittleEndian.PutUint64(key[8:], uint64(order)) //nolint:gosec // an order's place is not negative
	return dice{rand.New(rand.NewChaCha8(key))}           //nolint:gosec // sample data, to be drawn again
}

// chance is true in that many of a hundred cases.
func (d dice) chance(percent int) bool { return d.IntN(100) < percent }

// between draws from least to most, both included.
func (d dice) between(least, most int) int { return least + d.IntN(most-least+1) }

func pick[T any](d dice, from []T) T { return from[d.IntN(len(from))] }
