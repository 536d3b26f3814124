package egress_test

import (
	"context"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/egress"
)

func TestWhichAddressesAreCalled(t *testing.T) {
	for addr, why := range map[string]string{
		"127.0.0.1":       "",
		"127.9.9.9":       "",
		"::1":             "",
		"10.1.2.3":        "",
		"172.16.0.1":      "",
		"192.168.1.1":     "",
		"100.64.0.1":      "",
		"fd12:3456::1":    "",
		"8.8.8.8":         "",
		"2001:4860::8888": "",
		"169.253.255.255": "",
		"168.63.129.17":   "",
		"223.255.255.255": "",

		"169.254.169.254":        "the metadata service of a cloud",
		"169.254.170.2":          "the metadata service of a cloud",
		"fd00:ec2::254":          "the metadata service of a cloud",
		"fd20:ce::254":           "the metadata service of a cloud",
		"168.63.129.16":          "the metadata service of a cloud",
		"100.100.100.200":        "the metadata service of a cloud",
		"192.0.0.192":            "the metadata service of a cloud",
		"169.254.0.1":            "a link-local address",
		"169.254.255.255":        "a link-local address",
		"fe80::1":                "a link-local address",
		"fe80::1%eth0":           "a link-local address",
		"febf::1":                "a link-local address",
		"0.0.0.0":                "an unspecified address",
		"0.1.2.3":                "an unspecified address",
		"::":                     "an unspecified address",
		"224.0.0.1":              "a multicast address",
		"239.255.255.255":        "a multicast address",
		"ff02::1":                "a multicast address",
		"240.0.0.1":              "a reserved or broadcast address",
		"255.255.255.255":        "a reserved or broadcast address",
		"::ffff:127.0.0.1":       "",
		"::ffff:10.0.0.1":        "",
		"64:ff9b::10.0.0.1":      "",
		"2002:a00:1::":           "",
		"64:ff9b:1::a00:1":       "", // 10.0.0.1 in a prefix of 96 bits
		"64:ff9b:1:a00:0:100::":  "", // 10.0.0.1 in one of 48
		"64:ff9b:1:0:a:0:fa00::": "", // 10.0.0.250 in one of 64

		"::ffff:169.254.169.254":     "the metadata service of a cloud (169.254.169.254)",
		"::ffff:0.0.0.0":             "an unspecified address (0.0.0.0)",
		"::ffff:224.0.0.1":           "a multicast address (224.0.0.1)",
		"::169.254.169.254":          "the metadata service of a cloud (169.254.169.254)",
		"::ffff:0:169.254.1.1":       "a link-local address (169.254.1.1)",
		"64:ff9b::169.254.169.254":   "the metadata service of a cloud (169.254.169.254)",
		"64:ff9b::":                  "an unspecified address (0.0.0.0)",
		"64:ff9b:1::169.254.169.254": "the metadata service of a cloud (169.254.169.254)",
		"64:ff9b:1:a9fe:a9:fe00::":   "the metadata service of a cloud (169.254.169.254)", // 48 bits
		"64:ff9b:1:a9:fe:a9fe::":     "the metadata service of a cloud (169.254.169.254)", // 56
		"64:ff9b:1:0:a9:fea9:fe00::": "the metadata service of a cloud (169.254.169.254)", // 64
		"2002:a9fe:a9fe::1":          "the metadata service of a cloud (169.254.169.254)",
	} {
		t.Run(addr, func(t *testing.T) {
			parsed, err := netip.ParseAddr(addr)
			require.NoError(t, err)
			err = egress.Policy{}.Check(parsed)
			if why == "" {
				require.NoError(t, err)
				return
			}
			var refused *egress.RefusedError
			require.ErrorAs(t, err, &refused)
			require.Equal(t, why, refused.Why)
			require.ErrorContains(t, err, parsed.WithZone("").String()+" is "+why)
		})
	}
}

func TestNamedNetworksAreCalled(t *testing.T) {
	allowed, err := egress.ParseNetworks("169.254.10.7/24, fe80::/10,100.100.100.200")
	require.NoError(t, err)
	p := egress.Policy{Allowed: allowed}
	for _, addr := range []string{"169.254.10.1", "::ffff:169.254.10.1", "fe80::1", "100.100.100.200"} {
		require.NoError(t, p.Check(netip.MustParseAddr(addr)), addr)
	}
	require.Error(t, p.Check(netip.MustParseAddr("169.254.11.1")))
	require.NoError(t, p.CheckURL("http://erp.example.com/api"), "a name is looked up when it is dialled")
	require.NoError(t, p.CheckURL(""))
	require.NoError(t, p.CheckURL("http://0x7f.1"), "what some resolvers take for an address is a name here")
	for _, address := range []string{"http://[ff02::1]/", "https://user:pass@169.254.169.254:8443/latest?x", "http://[fe90::1%25eth0]"} {
		require.Error(t, egress.Policy{}.CheckURL(address), address)
	}
	_, err = egress.ParseNetworks("169.254.0.0/33, here")
	require.ErrorContains(t, err, `"169.254.0.0/33" is no network`)
	require.ErrorContains(t, err, `"here" is no network`)
}

// A connector that should reach the internet only reaches no neighbour by a URL or a name.
func TestPrivateAddressesAreRefusedWhereASettingSaysSo(t *testing.T) {
	allowed, err := egress.ParseNetworks("10.1.0.0/16")
	require.NoError(t, err)
	open, closed := egress.Policy{}, egress.Policy{RefusePrivate: true, Allowed: allowed}
	for addr, why := range map[string]string{
		"127.0.0.1": "an address of the machine itself", "::1": "an address of the machine itself", "::ffff:127.0.0.1": "an address of the machine itself (127.0.0.1)",
		"10.2.0.1": "a private address", "172.31.255.255": "a private address", "192.168.0.1": "a private address", "fd12::1": "a private address",
		"fec0::1": "a private address", "64:ff9b::10.2.0.1": "a private address (10.2.0.1)", "100.64.0.1": "an address behind a carrier's NAT",
		"10.1.0.1": "", "172.32.0.1": "", "100.128.0.1": "", "93.184.216.34": "", "2606:2800:220:1::1": "",
	} {
		parsed := netip.MustParseAddr(addr)
		require.NoError(t, open.Check(parsed), addr)
		err := closed.Check(parsed)
		if why == "" {
			require.NoError(t, err, addr)
			continue
		}
		var refused *egress.RefusedError
		require.ErrorAs(t, err, &refused, addr)
		require.Equal(t, why, refused.Why, addr)
	}
	require.Error(t, closed.Check(netip.MustParseAddr("169.254.169.254")))
}

// nameserver answers every question for an A record with the address in force, and all others with none.
type nameserver struct {
	conn net.PacketConn
	addr atomic.Pointer[netip.Addr]
}

func startNameserver(t *testing.T) *nameserver {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	require.NoError(t, err)
	s := &nameserver{conn: conn}
	var serving sync.WaitGroup
	serving.Go(func() {
		for query := make([]byte, 512); ; {
			n, from, err := conn.ReadFrom(query)
			if err != nil {
				return
			}
			_, _ = conn.WriteTo(s.answer(query[:n]), from)
		}
	})
	t.Cleanup(func() {
		_ = conn.Close()
		serving.Wait()
	})
	return s
}

// answer is in the wire format of RFC 1035: the question once more, and one record.
func (s *nameserver) answer(query []byte) []byte {
	end := 12 // of the question: behind its name, type and class
	for query[end] != 0 {
		end += int(query[end]) + 1
	}
	end += 5
	out := append([]byte{}, query[:end]...)
	out[2], out[3] = 0x81, 0x80 // a response, no error
	copy(out[6:12], make([]byte, 6))
	if query[end-3] != 1 { // not an A record
		return out
	}
	out[7] = 1
	ip := s.addr.Load().As4()
	return append(append(out, 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4), ip[:]...)
}

func (s *nameserver) resolver() *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "udp", s.conn.LocalAddr().String())
	}}
}

// A name that leads to the metadata service was called: whoever may set the ERP's URL could send orders there, and read the
// answer in an order's last_error. A name may lead elsewhere a moment after it was looked at.
func TestNamesAreCheckedAtEachConnection(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { _ = l.Close() }()
	_, port, err := net.SplitHostPort(l.Addr().String())
	require.NoError(t, err)
	names := startNameserver(t)
	dialer := &net.Dialer{ControlContext: egress.Policy{}.Control, Resolver: names.resolver()}
	dial := func(addr string) error {
		names.addr.Store(new(netip.MustParseAddr(addr)))
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		conn, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort("erp.test", port))
		if err == nil {
			_ = conn.Close()
		}
		return err
	}
	require.NoError(t, dial("127.0.0.1"))
	var refused *egress.RefusedError
	require.ErrorAs(t, dial("169.254.169.254"), &refused)
	require.ErrorContains(t, refused, "169.254.169.254 is the metadata service of a cloud")
	require.ErrorAs(t, dial("0.0.0.0"), &refused, "which reaches this machine")
	require.NoError(t, dial("127.0.0.1"))
}
