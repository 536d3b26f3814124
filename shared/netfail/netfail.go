// Package netfail tells by its error why a connection or an address could not be had, on every system: Windows has numbers of
// its own, which the names in package syscall do not mean.
package netfail

import "errors"

// Refused reports whether nobody listens at the address.
func Refused(err error) bool { return errors.Is(err, refused) }

// Taken reports whether another program listens at the address.
func Taken(err error) bool { return errors.Is(err, taken) }
