package testkit

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"sync"
	"sync/atomic"
)

// Network is what lies between a Kafka client and its brokers, when given as kafka.Config's Dial. It can lose the answer
// to a request that the broker has carried out, and then be down for new connections.
type Network struct {
	key     atomic.Int32 // of the request whose answer is lost, beyond 0
	down    atomic.Bool
	mu      sync.Mutex
	refused chan struct{}
}

// EndTxn is the key of the request that ends a transaction.
const EndTxn = 26

var errNetwork = errors.New("the network is down")

// LoseAnswer loses the answer to the next request of this key, and takes the network down with it. The channel closes at the
// first connection that is refused because of that.
func (n *Network) LoseAnswer(key int16) (refused <-chan struct{}) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.refused = make(chan struct{})
	n.key.Store(int32(key))
	return n.refused
}

// Up takes connections again.
func (n *Network) Up() { n.down.Store(false) }

// Dial connects, unless the network is down.
func (n *Network) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	if n.down.Load() {
		n.mu.Lock()
		defer n.mu.Unlock()
		select {
		case <-n.refused:
		default:
			close(n.refused)
		}
		return nil, errNetwork
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	return &connection{Conn: conn, n: n}, nil
}

type connection struct {
	net.Conn

	n     *Network
	loses atomic.Bool
}

// Write passes a request on: four bytes of length, two of the key. The client writes each at once.
func (c *connection) Write(request []byte) (int, error) {
	if len(request) > 5 {
		if key := int32(binary.BigEndian.Uint16(request[4:])); key > 0 && c.n.key.CompareAndSwap(key, 0) {
			c.loses.Store(true)
			c.n.down.Store(true)
		}
	}
	return c.Conn.Write(request)
}

// Read loses what comes once an answer is to be lost: it has come, so the broker has done what was asked.
func (c *connection) Read(into []byte) (int, error) {
	n, err := c.Conn.Read(into)
	if c.loses.Load() {
		_ = c.Close()
		return 0, errNetwork
	}
	return n, err
}
