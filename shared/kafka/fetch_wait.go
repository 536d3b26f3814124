package kafka

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"net"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// How long a broker may hold a fetch without records. A new record ends the wait at once.
const (
	// fetchMaxWait is short, as a partition that is resumed waits for the fetch in flight, and under load partitions are paused all
	// the time. With 500 ms a burst on Apache Kafka had 0.9 times the rate.
	fetchMaxWait = 100 * time.Millisecond
	// patientMaxWait is for fetches that no partition waits for. At rest, fetches are the largest part of what a process takes: with
	// 100 ms half of it.
	patientMaxWait = 5 * time.Second
	// restingMaxWait is for clients that pause partitions at times. A partition may go on between the making of a request and its sending;
	// then it waits no longer than this.
	restingMaxWait = time.Second
	// youth is how long the fetches of a new connection are short. The client begins to fetch while it is still told of its partitions, so
	// the first fetch may be without most of them, and their records would wait for its end.
	youth = time.Second
)

// PatientFetch returns options for clients that pause no partition. The options come after those of Options.
func (c Config) PatientFetch() []kgo.Opt {
	return c.waits(patientMaxWait, func(opened time.Time) bool { return time.Since(opened) > youth })
}

// PatientFetchWhile returns options for clients that pause partitions at times. Their fetches wait for a second while
// patient is true. It is asked at each fetch, and must not block. The options come after those of Options.
func (c Config) PatientFetchWhile(patient func() bool) []kgo.Opt {
	return c.waits(restingMaxWait, func(time.Time) bool { return patient() })
}

// waits lets fetches wait for that long while patient is true of a connection that was opened then.
//
// franz-go has one wait for all fetches of a client. So it is changed in the request, on its way to the broker.
func (c Config) waits(wait time.Duration, patient func(opened time.Time) bool) []kgo.Opt {
	dial := c.dialer()
	return []kgo.Opt{kgo.DialTLSConfig(nil), kgo.Dialer(func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return &fetchConn{Conn: conn, wait: wait, opened: time.Now(), patient: patient}, nil
	})}
}

const dialTimeout = 10 * time.Second // franz-go's

// dialer connects as a client does by itself.
func (c Config) dialer() func(ctx context.Context, network, addr string) (net.Conn, error) {
	switch plain := (&net.Dialer{Timeout: dialTimeout}); {
	case c.Dial != nil:
		return c.Dial
	case c.Security.TLS != nil: // without a name in the configuration, the certificate must be the address's
		return (&tls.Dialer{NetDialer: plain, Config: c.Security.TLS}).DialContext
	default:
		return plain.DialContext
	}
}

// fetchConn is a connection whose fetches are patient at times.
type fetchConn struct {
	net.Conn

	wait    time.Duration
	opened  time.Time
	patient func(opened time.Time) bool
}

// Write passes a request on. The client writes each at once.
func (c *fetchConn) Write(request []byte) (int, error) {
	if at := maxWaitAt(request); at > 0 && c.patient(c.opened) {
		longer := append([]byte(nil), request...)
		binary.BigEndian.PutUint32(longer[at:], uint32(c.wait.Milliseconds()))
		request = longer
	}
	return c.Conn.Write(request)
}

// maxWaitAt returns where in the request the wait of a fetch stands. It is 0 when there is none, or another one than a client has that
// waits for records.
func maxWaitAt(request []byte) int {
	const (
		fetch       = 1
		beforeID    = 4 + 2 + 2 + 4 // length, key, version, correlation id
		withTags    = 12            // the first version whose header ends with tags
		withoutSelf = 15            // the first version that does not begin with the id of a replica
	)
	if len(request) < beforeID+2 || binary.BigEndian.Uint16(request[4:]) != fetch || int(binary.BigEndian.Uint32(request)) != len(request)-4 {
		return 0
	}
	version := binary.BigEndian.Uint16(request[6:])
	at := beforeID + 2
	if n := int16(binary.BigEndian.Uint16(request[beforeID:])); n > 0 { //nolint:gosec // -1: no client id
		at += int(n)
	}
	if version >= withTags {
		at++ // their number, which is 0
	}
	if version < withoutSelf {
		at += 4
	}
	if len(request) < at+4 || binary.BigEndian.Uint32(request[at:]) != uint32(fetchMaxWait.Milliseconds()) {
		return 0
	}
	return at
}
