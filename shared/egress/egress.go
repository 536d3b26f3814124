// Package egress says which addresses the connector may call because of a setting. Somebody who may change the URL of the ERP must not
// reach services that trust the machine itself. One example is the metadata service of a cloud, which gives credentials to every
// program on the machine.
package egress

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strings"
	"syscall"
)

// Policy refuses addresses that no ERP has. Private networks and loopback are allowed, as ERPs are there, unless RefusePrivate says
// otherwise. The zero value allows no exception.
type Policy struct {
	Allowed       []netip.Prefix // networks that may be called though a rule refuses them
	RefusePrivate bool           // refuses private networks and loopback, too
}

// rule is what is refused, and why.
type rule struct {
	why      string
	prefixes []netip.Prefix
}

// The first rule that matches names the reason.
var (
	metadata = rule{"the metadata service of a cloud", prefixes(
		"169.254.169.254/32", // AWS, Azure, Google Cloud, Oracle, DigitalOcean, Hetzner, OpenStack
		"169.254.170.2/32",   // AWS ECS
		"fd00:ec2::/32",      // AWS: IMDS, EKS and others
		"fd20:ce::254/128",   // Google Cloud
		"168.63.129.16/32",   // Azure WireServer
		"100.100.100.200/32", // Alibaba Cloud
		"192.0.0.192/32",     // Oracle Cloud
	)}
	linkLocal = rule{"a link-local address", prefixes("169.254.0.0/16", "fe80::/10")}

	rules = []rule{
		metadata, linkLocal,
		{"an unspecified address", prefixes("0.0.0.0/8", "::/128")},
		{"a multicast address", prefixes("224.0.0.0/4", "ff00::/8")},
		{"a reserved or broadcast address", prefixes("240.0.0.0/4")},
	}

	// private are refused by ERP_REFUSE_PRIVATE.
	private = []rule{
		{"an address of the machine itself", prefixes("127.0.0.0/8", "::1/128")},
		{"a private address", prefixes("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7", "fec0::/10")}, // RFC 1918, 4193, 3879
		{"an address behind a carrier's NAT", prefixes("100.64.0.0/10")},                                          // RFC 6598
	}
)

func prefixes(texts ...string) (out []netip.Prefix) {
	for _, text := range texts {
		out = append(out, netip.MustParsePrefix(text))
	}
	return out
}

// RefusedError is an address that is not called.
type RefusedError struct {
	Addr netip.Addr
	Why  string
}

// Error names the address and the rule.
func (e *RefusedError) Error() string {
	return fmt.Sprintf("%s is %s, which is never called; if this must be, name its network in ERP_ALLOWED_NETWORKS", e.Addr, e.Why)
}

// Check is nil for an address that may be called, and a *RefusedError else. An IPv6 address that stands for an IPv4 one counts
// as both.
func (p Policy) Check(addr netip.Addr) error {
	addr = addr.WithZone("")
	for _, meant := range meanings(addr) {
		for _, rule := range p.rules() {
			if contains(rule.prefixes, meant) && !contains(p.Allowed, meant) {
				return &RefusedError{Addr: addr, Why: said(addr, meant, rule.why)}
			}
		}
	}
	return nil
}

func (p Policy) rules() []rule {
	if p.RefusePrivate {
		return refusingPrivate
	}
	return rules
}

var refusingPrivate = append(rules[:len(rules):len(rules)], private...)

func said(addr, meant netip.Addr, why string) string {
	if addr == meant {
		return why
	}
	return fmt.Sprintf("%s (%s)", why, meant)
}

func contains(prefixes []netip.Prefix, addr netip.Addr) bool {
	for _, p := range prefixes {
		if p.Contains(addr) {
			return true
		}
	}
	return false
}

// CheckURL checks the host of a URL when that is an address. A name is checked when it is dialled, see Control.
func (p Policy) CheckURL(text string) error {
	u, err := url.Parse(text)
	if err != nil {
		return nil //nolint:nilerr // other checks say what is wrong with a URL
	}
	addr, err := netip.ParseAddr(u.Hostname())
	if err != nil {
		return nil //nolint:nilerr // a name
	}
	return p.Check(addr)
}

// Control is for net.Dialer.ControlContext. It checks the address of each connection, after the name was resolved. So a name cannot
// lead to a refused address, even when it led to another one a moment ago.
func (p Policy) Control(_ context.Context, _, address string, _ syscall.RawConn) error {
	ap, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("connecting to %q: %w", address, err)
	}
	return p.Check(ap.Addr())
}

// The prefixes in which an IPv6 address stands for an IPv4 one.
var (
	mapped     = netip.MustParsePrefix("::ffff:0:0/96")   // RFC 4291
	compatible = netip.MustParsePrefix("::/96")           // RFC 4291, deprecated; :: and ::1 are none of these
	translated = netip.MustParsePrefix("::ffff:0:0:0/96") // RFC 2765
	nat64      = netip.MustParsePrefix("64:ff9b::/96")    // RFC 6052
	nat64Local = netip.MustParsePrefix("64:ff9b:1::/48")  // RFC 8215
	sixToFour  = netip.MustParsePrefix("2002::/16")       // RFC 3056
)

// meanings are the address, and the IPv4 addresses that it may stand for.
func meanings(addr netip.Addr) []netip.Addr {
	if !addr.Is6() {
		return []netip.Addr{addr}
	}
	b := addr.As16()
	v4 := func(at ...int) netip.Addr { return netip.AddrFrom4([4]byte{b[at[0]], b[at[1]], b[at[2]], b[at[3]]}) }
	switch {
	case mapped.Contains(addr), translated.Contains(addr), nat64.Contains(addr),
		compatible.Contains(addr) && !addr.IsUnspecified() && !addr.IsLoopback():
		return []netip.Addr{addr, v4(12, 13, 14, 15)}
	case sixToFour.Contains(addr):
		return []netip.Addr{addr, v4(2, 3, 4, 5)}
	case nat64Local.Contains(addr):
		// The network has chosen the length of its prefix: 96, 48, 56 or 64 bits. Read by a wrong one an address is any other, so
		// these count only where they are what must never be called.
		out := []netip.Addr{addr}
		for _, m := range []netip.Addr{v4(12, 13, 14, 15), v4(6, 7, 9, 10), v4(7, 9, 10, 11), v4(9, 10, 11, 12)} {
			if contains(metadata.prefixes, m) || contains(linkLocal.prefixes, m) {
				out = append(out, m)
			}
		}
		return out
	default:
		return []netip.Addr{addr}
	}
}

// ParseNetworks reads networks, comma-separated: 169.254.10.0/24, or one address.
func ParseNetworks(list string) (out []netip.Prefix, err error) {
	for part := range strings.SplitSeq(list, ",") {
		part = strings.TrimSpace(part)
		if part == "" {
			continue
		}
		p, failed := netip.ParsePrefix(part)
		if failed != nil {
			addr, notOne := netip.ParseAddr(part)
			if notOne != nil || addr.Zone() != "" {
				err = errors.Join(err, fmt.Errorf("%q is no network like 169.254.10.0/24, and no address", part))
				continue
			}
			p = netip.PrefixFrom(addr, addr.BitLen())
		}
		out = append(out, p.Masked())
	}
	return out, err
}
