package netfail

import "golang.org/x/sys/windows"

const refused, taken = windows.WSAECONNREFUSED, windows.WSAEADDRINUSE
