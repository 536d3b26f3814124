package txn_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/erpconnector/erpconnector/shared/devkafka"
	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/kafka/txn"
	"github.com/erpconnector/erpconnector/shared/run"
)

// greeter writes a greeting to "greetings" for each name in "names".
type greeter struct{ greeted chan string }

func (g *greeter) Take(t *txn.Task) (bool, time.Duration) {
	go func() { // the work, which may take a while
		t.Finish(&kgo.Record{Topic: "greetings", Key: t.Record.Key, Value: append([]byte("hello "), t.Record.Value...)})
	}()
	return true, 0
}

func (g *greeter) Committed(tasks []*txn.Task) {
	for _, t := range tasks {
		g.greeted <- string(t.Records()[0].Value)
	}
}

func (g *greeter) Prepare(context.Context, []*txn.Task) {}
func (g *greeter) Refused(t *txn.Task, _ error, _ int)  { t.Replace() } // writes nothing; a real handler would write a dead letter
func (g *greeter) Dropped([]*txn.Task)                  {}
func (g *greeter) Revoked()                             {}
func (g *greeter) Resumed([]int32)                      {}

func ExampleSession() {
	dir, _ := os.MkdirTemp("", "erpconnector-example-")
	defer func() { _ = os.RemoveAll(dir) }()
	broker, err := devkafka.Start(dir, 0)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer broker.Close()
	cfg := kafka.Config{Brokers: broker.Addrs()}
	client, _ := kgo.NewClient(cfg.Options()...)
	defer client.Close()
	admin := kadm.NewClient(client)
	_, _ = admin.CreateTopics(context.Background(), 1, 1, nil, "names", "greetings", "markers")
	start := kadm.Offsets{} // a group without an offset is a loss, so it gets one when its topic is made
	start.AddOffset("names", 0, 0, -1)
	_ = admin.CommitAllOffsets(context.Background(), "greeter", start)

	log := slog.New(slog.DiscardHandler)
	g := &greeter{greeted: make(chan string)}
	session := txn.New(txn.Config{
		Kafka: cfg, Name: "greeter", TransactionalID: "greeter-0", Group: "greeter", Topics: []string{"names"}, MarkerTopic: "markers",
		PollRecords: 100, BatchTasks: 100, BatchBytes: 1 << 20, Grace: time.Second, IdleCommit: time.Second,
		Log: log, Outage: &run.Outage{Began: "kafka fails", Ended: "kafka works again"},
	}, g)
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- session.Run(ctx) }()

	client.Produce(ctx, &kgo.Record{Topic: "names", Key: []byte("1"), Value: []byte("Ada")}, nil)
	fmt.Println(<-g.greeted, "is committed")
	stop()
	fmt.Println("ended with", <-done)
	// Output:
	// hello Ada is committed
	// ended with <nil>
}
