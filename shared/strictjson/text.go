package strictjson

import (
	"fmt"

	"github.com/erpconnector/erpconnector/shared/httpapi/problem"
)

// text checks the escapes of one string as it is written. It must see them undecoded: decoding replaces half a character without
// a word. It refuses a string once, for the first fault.
func (w *walker) text(literal []byte) {
	for i := 0; i+1 < len(literal); i++ {
		if literal[i] != '\\' {
			continue
		}
		if literal[i+1] != 'u' {
			i++
			continue
		}
		unit := hex4(literal, i+2)
		switch {
		case unit == 0:
			w.refuse(problem.CodeText, "contains U+0000, which cannot be stored; remove it")
			return
		case unit >= 0xD800 && unit < 0xDC00 && low(literal, i+6):
			i += 11
			continue
		case unit >= 0xD800 && unit < 0xE000:
			w.refuse(problem.CodeText, fmt.Sprintf("contains the lone surrogate \\u%04x; send whole characters", unit))
			return
		}
		i += 5
	}
}

// low reports whether the second half of a surrogate pair is at this index.
func low(literal []byte, at int) bool {
	if at+6 > len(literal) || literal[at] != '\\' || literal[at+1] != 'u' {
		return false
	}
	unit := hex4(literal, at+2)
	return unit >= 0xDC00 && unit < 0xE000
}

// hex4 reads four hexadecimal digits, without an allocation.
func hex4(literal []byte, at int) int {
	n := 0
	for _, c := range literal[at : at+4] { // the literal is valid: four digits follow
		n <<= 4
		switch {
		case c >= '0' && c <= '9':
			n |= int(c - '0')
		case c >= 'a' && c <= 'f':
			n |= int(c-'a') + 10
		case c >= 'A' && c <= 'F':
			n |= int(c-'A') + 10
		}
	}
	return n
}
