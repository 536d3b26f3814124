package syncer

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/erpconnector/erpconnector/services/syncer/internal/erphttp"
	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/kafka/topics"
	"github.com/erpconnector/erpconnector/shared/pace/pacetest"
	"github.com/erpconnector/erpconnector/shared/setting"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

type memoryGates struct {
	mu    sync.Mutex
	gates map[string]*domain.Gate
}

func (m *memoryGates) Advise(_ context.Context, records []domain.Sync) ([]domain.Advice, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := make([]domain.Advice, len(records))
	for i, r := range records {
		out[i] = domain.Advise(m.gates[r.Ref().Key()], r)
	}
	return out, nil
}

func (m *memoryGates) Committed(domain.Sync) {}

func (m *memoryGates) set(g domain.Gate) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.gates[g.Ref.Key()] = &g
}

type scriptedERP struct {
	mu      sync.Mutex
	answers map[string][]int // by order: statuses, the last one repeats
	calls   map[string]int
	active  map[string]int
	overlap bool                     // an order was called while a call of it was under way
	held    map[string]chan struct{} // by order: no answer before this is closed
	bodies  map[string]string        // by order: in place of the usual one
}

func (e *scriptedERP) Send(_ context.Context, r erphttp.Request) erphttp.Reply {
	var p struct {
		ID string `json:"order_increment_id"`
	}
	_ = json.Unmarshal(r.Payload, &p)
	e.mu.Lock()
	defer e.mu.Unlock()
	n := e.calls[p.ID]
	e.calls[p.ID]++
	e.active[p.ID]++
	defer func() { e.active[p.ID]-- }()
	e.overlap = e.overlap || e.active[p.ID] > 1
	if held := e.held[p.ID]; held != nil {
		e.mu.Unlock()
		<-held
		e.mu.Lock()
	}
	script := e.answers[p.ID]
	if len(script) == 0 {
		script = []int{201}
	}
	body := `{"erp_reference":"ERP-` + p.ID + `"}`
	if own, is := e.bodies[p.ID]; is {
		body = own
	}
	return erphttp.Reply{Answer: domain.Answer{StatusCode: script[min(n, len(script)-1)], Body: domain.AnswerBodyOf([]byte(body))}}
}

func (e *scriptedERP) LookUp(context.Context, string, erphttp.Request) erphttp.Reply {
	return erphttp.Reply{Answer: domain.Answer{StatusCode: 404}}
}

func (e *scriptedERP) Probe(context.Context) domain.Answer { return domain.Answer{StatusCode: 200} }

type bench struct {
	cfg   kafka.Config
	gates *memoryGates
	erp   *scriptedERP
	pace  *pacetest.Memory
	cl    *kgo.Client

	values map[string]event.Sync // the last that was collected, by "topic key"
}

func TestMain(m *testing.M) { testkit.Main(m) }

func setup(t *testing.T, cfg kafka.Config) *bench {
	t.Helper()
	b := &bench{
		cfg:    cfg,
		gates:  &memoryGates{gates: map[string]*domain.Gate{}},
		pace:   pacetest.New(),
		erp:    &scriptedERP{answers: map[string][]int{}, calls: map[string]int{}, active: map[string]int{}, held: map[string]chan struct{}{}, bodies: map[string]string{}},
		values: map[string]event.Sync{},
	}
	admin, err := topics.NewAdmin(b.cfg, 4)
	require.NoError(t, err)
	defer admin.Close()
	_, err = admin.Ensure(t.Context(), false)
	require.NoError(t, err)
	b.cl, err = kgo.NewClient(append(b.cfg.Options(), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.ConsumeRegex(),
		kgo.ConsumeTopics(`^`+regexp.QuoteMeta(cfg.Prefix)+`vendor_erp_sync_(before_send|after_send|success|failed|retry_.*|due|dead_letter)`))...)
	require.NoError(t, err)
	t.Cleanup(b.cl.Close)
	return b
}

func (b *bench) start(t *testing.T, change ...func(*Params)) (stop func()) {
	t.Helper()
	return b.run(t, b.syncer(change...))
}

func (b *bench) syncer(change ...func(*Params)) *Syncer {
	s := setting.Defaults()
	s.BaseDelay, s.MaxInFlight = time.Second, 16
	p := Params{
		Kafka: b.cfg, LeaseID: "syncer-0", Pace: b.pace, Gates: b.gates, ERP: b.erp, Settings: setting.Fixed(s),
		Log:        slog.New(slog.DiscardHandler),
		CloseGates: func(context.Context, []GenerationEnd) error { return nil },
	}
	for _, c := range change {
		c(&p)
	}
	return New(p)
}

func (b *bench) run(t *testing.T, y *Syncer) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- y.Run(ctx) }()
	var once sync.Once
	stop = func() { once.Do(func() { cancel(); require.NoError(t, <-done) }) }
	t.Cleanup(stop)
	return stop
}

func (b *bench) request(t *testing.T, id string) domain.Sync {
	t.Helper()
	return b.requestNamed(t, id, "an item")
}

func (b *bench) requestNamed(t *testing.T, id, name string) domain.Sync {
	t.Helper()
	return b.requestIn(t, id, name, domain.RequestPolicy{Enabled: true, ImmediateSync: true, MaxAttempts: 3})
}

func (b *bench) requestIn(t *testing.T, id, name string, in domain.RequestPolicy) domain.Sync {
	t.Helper()
	s, r := b.requestRecord(t, domain.OrderRef{Source: domain.DefaultSource, IncrementID: id}, name, in)
	require.NoError(t, b.cl.ProduceSync(t.Context(), r).FirstErr())
	return s
}

// requestRecord makes the gate of an order, and the record of its request.
func (b *bench) requestRecord(t *testing.T, ref domain.OrderRef, name string, in domain.RequestPolicy) (domain.Sync, *kgo.Record) {
	t.Helper()
	g, ok := domain.Gate{Ref: ref, State: domain.GateNone}.Request(1, in, time.Now())
	require.True(t, ok)
	b.gates.set(g)
	s, id := g.RequestedSync(nil, "evt"), ref.IncrementID
	order := json.RawMessage(fmt.Sprintf(`{"order_increment_id":%q,"items":[{"sku":"A","name":%q,"qty":1,"price":"1.50","row_total":"1.50"}],"totals":{"grand_total":"1.50"}}`, id, name))
	r, err := event.NewSync(event.TopicRequested, event.Sync{Sync: s, Order: order}, event.Context{At: time.Now()})
	require.NoError(t, err)
	return s, b.cfg.Record(r)
}

// collect reads lifecycle records until enough is true.
func (b *bench) collect(t *testing.T, enough func(seen map[string]int) bool) map[string]int {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), testkit.Patience)
	defer cancel()
	seen := map[string]int{}
	for !enough(seen) {
		fetches := b.cl.PollFetches(ctx)
		require.NoError(t, ctx.Err(), "seen so far: %v", seen)
		fetches.EachRecord(func(r *kgo.Record) {
			what := r.Topic[len(b.cfg.Prefix):] + " " + string(r.Key)
			seen[what]++
			b.values[what], _ = event.DecodeSync(r.Value)
		})
	}
	return seen
}

func TestAnOrderAcceptedAtOnceSucceeds(t *testing.T) {
	t.Parallel()
	testkit.OnBrokers(t, func(t *testing.T, cfg kafka.Config) {
		b := setup(t, cfg)
		b.start(t)
		b.request(t, "1")
		seen := b.collect(t, func(s map[string]int) bool { return s["vendor_erp_sync_success 1"] > 0 })
		require.Equal(t, map[string]int{
			"vendor_erp_sync_before_send 1": 1, "vendor_erp_sync_after_send 1": 1, "vendor_erp_sync_success 1": 1,
		}, seen)
	})
}

func TestABusyERPParksTheOrder(t *testing.T) {
	t.Parallel()
	testkit.OnEmbeddedFirst(t, func(t *testing.T, cfg kafka.Config) {
		b := setup(t, cfg)
		b.erp.answers["2"] = []int{503}
		b.start(t)
		b.request(t, "2")
		b.collect(t, func(s map[string]int) bool {
			return s["vendor_erp_sync_retry_1s 2"] == 1 && s["vendor_erp_sync_after_send 2"] == 1
		})
	})
}

func TestARejectedOrderFailsAtOnce(t *testing.T) {
	t.Parallel()
	testkit.OnEmbeddedFirst(t, func(t *testing.T, cfg kafka.Config) {
		b := setup(t, cfg)
		b.erp.answers["3"] = []int{422}
		b.start(t)
		b.request(t, "3")
		seen := b.collect(t, func(s map[string]int) bool { return s["vendor_erp_sync_failed 3"] > 0 })
		require.Equal(t, 1, b.erp.calls["3"])
		require.Zero(t, seen["vendor_erp_sync_retry_1s 3"])
	})
}

func TestAClosedGateEndsTheRecordWithoutACall(t *testing.T) {
	t.Parallel()
	testkit.OnEmbeddedFirst(t, func(t *testing.T, cfg kafka.Config) {
		b := setup(t, cfg)
		s := b.request(t, "4")
		g := *b.gates.gates["4"]
		g.State, g.ClosedBy = domain.GateClosed, domain.ClosedByWebhook
		b.gates.set(g)
		b.start(t)
		b.collect(t, func(seen map[string]int) bool { return seen["vendor_erp_sync_success 4"] == 1 })
		require.Zero(t, b.erp.calls["4"])
		require.Equal(t, 1, s.Generation)
	})
}

// Symptom: a dead letter closed the gate during the call. The order was booked but shown as failed, and a resync would
// have booked it again under a new key.
func TestADeadLetterDuringACallDoesNotOverrideItsAnswer(t *testing.T) {
	t.Parallel()
	testkit.OnEmbeddedFirst(t, func(t *testing.T, cfg kafka.Config) {
		b := setup(t, cfg)
		answer := make(chan struct{})
		b.erp.held["6"] = answer
		b.request(t, "6")
		b.start(t)
		b.collect(t, func(seen map[string]int) bool { return seen["vendor_erp_sync_before_send 6"] == 1 })
		testkit.Eventually(t, func() bool {
			b.erp.mu.Lock()
			defer b.erp.mu.Unlock()
			return b.erp.calls["6"] == 1
		}, "the ERP is called")
		g, ok := b.gates.gates["6"].SetAside(domain.DeadLetter{Version: domain.RequestVersion(1, 0)}, 0, time.Now())
		require.True(t, ok)
		b.gates.set(g)
		close(answer)
		b.collect(t, func(seen map[string]int) bool { return seen["vendor_erp_sync_success 6"] == 1 })
	})
}

func TestARestartRepeatsNothingThatIsDone(t *testing.T) {
	t.Parallel()
	testkit.OnBrokers(t, func(t *testing.T, cfg kafka.Config) {
		b := setup(t, cfg)
		stop := b.start(t)
		for i := range 100 {
			b.request(t, fmt.Sprintf("a%d", i))
		}
		terminal := func(s map[string]int) (n int) {
			for k, v := range s {
				if len(k) > 24 && k[:24] == "vendor_erp_sync_success " {
					n += v
				}
			}
			return n
		}
		b.collect(t, func(s map[string]int) bool { return terminal(s) == 100 })
		stop()
		b.start(t)
		b.request(t, "last")
		seen := b.collect(t, func(s map[string]int) bool { return s["vendor_erp_sync_success last"] == 1 })
		require.Equal(t, 1, terminal(seen), "an order came twice: %v", seen)
		for id, n := range b.erp.calls {
			require.Equal(t, 1, n, "order %s", id)
		}
	})
}

func TestAnUnreadableRecordGoesToTheDeadLettersAndBlocksNothing(t *testing.T) {
	t.Parallel()
	testkit.OnEmbeddedFirst(t, func(t *testing.T, cfg kafka.Config) {
		b := setup(t, cfg)
		b.start(t)
		bad := &kgo.Record{Topic: b.cfg.Topic(event.TopicRequested), Key: []byte("5"), Value: []byte("{")}
		require.NoError(t, b.cl.ProduceSync(t.Context(), bad).FirstErr())
		b.request(t, "5")
		b.collect(t, func(s map[string]int) bool {
			return s["vendor_erp_sync_success 5"] == 1 && s["vendor_erp_sync_dead_letter 5"] == 1
		})
	})
}

func TestASlowOrderDelaysNoOtherAndIsNeverCalledTwiceAtOnce(t *testing.T) {
	t.Parallel()
	testkit.OnEmbeddedFirst(t, func(t *testing.T, cfg kafka.Config) {
		b := setup(t, cfg)
		answer := make(chan struct{})
		b.erp.held["slow"] = answer
		release := sync.OnceFunc(func() { close(answer) })
		b.start(t)
		t.Cleanup(release) // before the syncer is stopped
		b.request(t, "slow")
		b.request(t, "slow") // a second record of the same order: it waits for the first
		for i := range 20 {
			b.request(t, fmt.Sprintf("quick%d", i))
		}
		seen := b.collect(t, func(s map[string]int) bool {
			n := 0
			for i := range 20 {
				n += s[fmt.Sprintf("vendor_erp_sync_success quick%d", i)]
			}
			return n == 20
		})
		require.Zero(t, seen["vendor_erp_sync_after_send slow"])
		release()
		b.collect(t, func(s map[string]int) bool { return s["vendor_erp_sync_success slow"] == 2 })
		require.False(t, b.erp.overlap)
	})
}

// Symptom: tasks were given up when a heartbeat was late, and nothing read their records again before a rebalance.
func TestALateHeartbeatDelaysCallsAndLosesNone(t *testing.T) {
	t.Parallel()
	testkit.OnBrokers(t, func(t *testing.T, cfg kafka.Config) {
		b := setup(t, cfg)
		var checks atomic.Int64
		y := b.syncer()
		fresh := y.caller.owns
		y.caller.owns = func() bool { return checks.Add(1) > 20 && fresh() }
		b.run(t, y)
		for i := range 5 {
			b.request(t, fmt.Sprint("late", i))
		}
		b.collect(t, func(s map[string]int) bool {
			n := 0
			for i := range 5 {
				n += s[fmt.Sprint("vendor_erp_sync_success late", i)]
			}
			return n == 5
		})
	})
}

// A process that was halted for longer than its session finds generations that other processes have ended. That is no
// reason for an alarm.
func TestOnlyAnOwnerLogsThatGateAndLogAreAtOdds(t *testing.T) {
	t.Parallel()
	testkit.OnEmbeddedFirst(t, func(t *testing.T, cfg kafka.Config) {
		b := setup(t, cfg)
		log, warned := testkit.Said("gate and log are at odds")
		ended := func(id string) {
			s := b.request(t, id)
			b.gates.set(domain.Gate{Ref: s.Ref(), Generation: 1, State: domain.GateClosed, ClosedBy: domain.ClosedByAnswer})
		}
		ended("1")
		y := b.syncer(func(p *Params) { p.Log = log })
		y.caller.owns = func() bool { return false }
		stop := b.run(t, y)
		b.through(t, 1)
		stop()
		require.Empty(t, warned)
		ended("2")
		b.start(t, func(p *Params) { p.Log = log })
		testkit.Await(t, warned)
	})
}

// through waits until the group has consumed as many requests.
func (b *bench) through(t *testing.T, requests int64) {
	t.Helper()
	testkit.Eventually(t, func() bool {
		offsets, err := kadm.NewClient(b.cl).FetchOffsets(t.Context(), b.cfg.Group(string(event.GroupSyncer)))
		var done int64
		offsets.Each(func(o kadm.OffsetResponse) {
			if o.Topic == b.cfg.Topic(event.TopicRequested) {
				done += o.At
			}
		})
		return err == nil && done >= requests
	}, "%d requests are consumed", requests)
}

// limit sets the largest record of topics.
func (b *bench) limit(t *testing.T, bytes int, topics ...string) {
	t.Helper()
	limit := fmt.Sprint(bytes)
	alter := []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "max.message.bytes", Value: &limit}}
	responses, err := kadm.NewClient(b.cl).AlterTopicConfigs(t.Context(), alter, b.cfg.Topics(topics)...)
	require.NoError(t, err)
	for _, r := range responses {
		require.NoError(t, r.Err)
	}
	for _, topic := range topics {
		testkit.Eventually(t, func() bool {
			large := &kgo.Record{Topic: b.cfg.Topic(topic), Key: []byte("probe"), Value: []byte(randomText(2 * bytes))}
			return errors.Is(b.cl.ProduceSync(t.Context(), large).FirstErr(), kerr.MessageTooLarge)
		}, "the limit of %s is in force", topic)
	}
}

// Symptom: one outcome that no broker takes stopped the whole syncer. 20 other orders were called, and none of them ended.
func TestAnOutcomeThatNoBrokerTakesEndsItsOrderAndDelaysNoOther(t *testing.T) {
	t.Parallel()
	testkit.OnBrokers(t, func(t *testing.T, cfg kafka.Config) {
		b := setup(t, cfg)
		b.limit(t, 10_000, event.TopicAfterSend, event.TopicSuccess, event.TopicFailed, event.TopicDeadLetter)
		b.erp.bodies["large"] = `{"erp_reference":"ERP-large","echo":"` + randomText(20_000) + `"}`
		b.erp.bodies["busy"], b.erp.answers["busy"] = randomText(20_000), []int{503}
		b.erp.bodies["refused"], b.erp.answers["refused"] = randomText(20_000), []int{422}
		b.start(t)
		for i := range 10 {
			b.request(t, fmt.Sprint("a", i))
		}
		for _, id := range []string{"large", "busy", "refused"} {
			b.request(t, id)
		}
		for i := range 10 {
			b.request(t, fmt.Sprint("b", i))
		}
		b.collect(t, func(s map[string]int) bool {
			n := 0
			for i := range 10 {
				n += s[fmt.Sprint("vendor_erp_sync_success a", i)] + s[fmt.Sprint("vendor_erp_sync_success b", i)]
			}
			return n == 20 && s["vendor_erp_sync_success large"] == 1 && s["vendor_erp_sync_failed busy"] == 1 && s["vendor_erp_sync_failed refused"] == 1 &&
				s["vendor_erp_sync_dead_letter busy"] == 1 && s["vendor_erp_sync_dead_letter refused"] == 1 && s["vendor_erp_sync_after_send large"] == 1
		})
		success := b.values["vendor_erp_sync_success large"].Sync
		require.Equal(t, "ERP-large", *success.ErpReference, "the ERP's number stays")
		require.Equal(t, 1, success.Attempts)
		require.Equal(t, 201, b.values["vendor_erp_sync_after_send large"].Response.Status)
		require.Equal(t, domain.ErrorRecordRefused, b.values["vendor_erp_sync_failed busy"].Sync.ErrorCode, "it cannot be parked")
		require.Equal(t, 1, b.values["vendor_erp_sync_failed busy"].Sync.Attempts)
		require.Equal(t, domain.ErrorRejected, b.values["vendor_erp_sync_failed refused"].Sync.ErrorCode)
		for id, n := range b.erp.calls {
			require.Equal(t, 1, n, "order %s", id)
		}
	})
}

func TestAnIntentThatTheBrokersRefuseBecomesADeadLetter(t *testing.T) {
	t.Parallel()
	testkit.OnBrokers(t, func(t *testing.T, cfg kafka.Config) {
		b := setup(t, cfg)
		b.limit(t, 10_000, event.TopicBeforeSend)
		b.start(t)
		b.requestNamed(t, "large", randomText(20_000))
		b.request(t, "small")
		b.collect(t, func(s map[string]int) bool {
			return s["vendor_erp_sync_success small"] == 1 && s["vendor_erp_sync_dead_letter large"] == 1 && s["vendor_erp_sync_failed large"] == 1
		})
		failed := b.values["vendor_erp_sync_failed large"]
		require.Equal(t, domain.ErrorRecordRefused, failed.Sync.ErrorCode)
		require.Zero(t, failed.Sync.Attempts)
		require.Zero(t, b.erp.calls["large"])
	})
}

// randomText does not compress.
func randomText(n int) string {
	random := make([]byte, n/2)
	_, _ = rand.Read(random)
	return hex.EncodeToString(random)
}
