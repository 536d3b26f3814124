package stage

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/erpconnector/erpconnector/infra/crash/nemesis"
	"github.com/erpconnector/erpconnector/shared/devkafka"
	"github.com/erpconnector/erpconnector/shared/run"
)

// Broker can be ended and started again, at the same address with the data it had.
type Broker interface {
	Addrs() []string
	Kill()
	Restart() error
}

// KillAction returns how a broker's Kill ends it. The embedded broker gets SIGTERM. After kill -9 its open transactions
// would be torn: their records could be read, and the offsets that belong to them would be lost. No real broker does that.
func KillAction(b Broker) nemesis.Action {
	if _, is := b.(*Embedded); is {
		return nemesis.Term
	}
	return nemesis.Kill
}

// embeddedEnv makes a copy of this program be the embedded broker. Its value is the port and the folder.
const embeddedEnv = "ERPCONNECTOR_CRASH_EMBEDDED_BROKER"

// RunEmbeddedIfAsked makes this process the embedded broker if embeddedEnv is set. Then it does not return.
func RunEmbeddedIfAsked() {
	port, dir, ok := parseEmbedded(os.Getenv(embeddedEnv))
	if !ok {
		return
	}
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGTERM)
	b, err := devkafka.Start(dir, port)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	<-ended
	b.Close()
	os.Exit(0)
}

func parseEmbedded(value string) (port int, dir string, ok bool) {
	before, dir, found := strings.Cut(value, "=")
	port, err := strconv.Atoi(before)
	return port, dir, found && err == nil
}

// Embedded is the embedded broker in a process of its own, so that it can be ended.
type Embedded struct {
	addr, dir string
	log       io.Writer
	process   *process
}

// StartEmbedded starts a broker with its data in dir.
func StartEmbedded(dir string, log io.Writer) (*Embedded, error) {
	addr, err := FreeAddr()
	if err != nil {
		return nil, err
	}
	b := &Embedded{addr: addr, dir: dir, log: log}
	return b, b.Restart()
}

// Addrs returns its addresses.
func (b *Embedded) Addrs() []string { return []string{b.addr} }

// Kill ends it by SIGTERM, see KillAction.
func (b *Embedded) Kill() {
	b.process.signal(syscall.SIGTERM)
	<-b.process.done
}

// Restart starts it again at the same address with the data it had.
func (b *Embedded) Restart() error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	_, port, err := net.SplitHostPort(b.addr)
	if err != nil {
		return err
	}
	if b.process, err = launch(b.log, []string{embeddedEnv + "=" + port + "=" + b.dir}, self); err != nil {
		return fmt.Errorf("starting the embedded broker: %w", err)
	}
	return awaitBroker(b.addr)
}

// awaitBroker waits until a broker answers.
func awaitBroker(addr string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	client, err := kgo.NewClient(kgo.SeedBrokers(addr))
	if err != nil {
		return err
	}
	defer client.Close()
	for {
		brokers, err := kadm.NewClient(client).ListBrokers(ctx)
		if err == nil && len(brokers) > 0 {
			return nil
		}
		if !run.Sleep(ctx, 20*time.Millisecond) {
			return fmt.Errorf("the embedded broker does not answer at %s: %w", addr, err)
		}
	}
}
