package egress_test

import (
	"context"
	"net"
	"net/netip"
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
	require.NoError(t, p.CheckHost("erp.example.com"), "a name is looked up when it is dialled")
	require.Error(t, p.CheckHost("[ff02::1]"))
	_, err = egress.ParseNetworks("169.254.0.0/33, here")
	require.ErrorContains(t, err, `"169.254.0.0/33" is no network`)
	require.ErrorContains(t, err, `"here" is no network`)
}

// A name that resolves to a refused address is refused as well, at each dial, and where it has others these are tried.
func TestNamesAreCheckedAtEachDial(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { _ = l.Close() }()
	loopback, err := egress.ParseNetworks("0.0.0.0")
	require.NoError(t, err)
	_, port, err := net.SplitHostPort(l.Addr().String())
	require.NoError(t, err)
	dial := func(p egress.Policy, host string) error {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		conn, err := (&net.Dialer{ControlContext: p.Control}).DialContext(ctx, "tcp", net.JoinHostPort(host, port))
		if err == nil {
			_ = conn.Close()
		}
		return err
	}
	require.NoError(t, dial(egress.Policy{}, "localhost"))
	var refused *egress.RefusedError
	require.ErrorAs(t, dial(egress.Policy{}, "0.0.0.0"), &refused, "which reaches this machine")
	require.NoError(t, dial(egress.Policy{Allowed: loopback}, "0.0.0.0"))
}
