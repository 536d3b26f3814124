package httpapi

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// CallerAddress is the address that a request counts for. A trusted proxy says in X-Forwarded-For whom it asks for; each proxy adds its
// caller at the end, and what stands before the last untrusted address may be invented. Of an IPv6 address it is the network of 64 bits:
// that is what one customer of a provider has, with all its addresses.
func CallerAddress(r *http.Request, proxies []netip.Prefix) netip.Addr {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{} // a listener without addresses, as in tests
	}
	addr := peer.Addr().Unmap().WithZone("")
	var hops []string
	if forwarded := r.Header.Values("X-Forwarded-For"); len(forwarded) > 0 {
		hops = strings.Split(strings.Join(forwarded, ","), ",")
	}
	for _, hop := range slices.Backward(hops) {
		if !slices.ContainsFunc(proxies, func(p netip.Prefix) bool { return p.Contains(addr) }) {
			break
		}
		before, err := netip.ParseAddr(strings.TrimSpace(hop))
		if err != nil {
			break
		}
		addr = before.Unmap().WithZone("")
	}
	if addr.Is6() {
		network, _ := addr.Prefix(64)
		return network.Addr()
	}
	return addr
}
