package alerter

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/alert"
	"github.com/erpconnector/erpconnector/shared/config"
	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/setting"
	"github.com/erpconnector/erpconnector/shared/setting/settingtest"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

// bench is an alerter whose clock a test moves, with a receiver that is told everything.
type bench struct {
	*Alerter

	t        *testing.T
	pool     *pgxpool.Pool
	settings *settingtest.Changeable
	receiver *receiver
	hook     alert.Destination
	clock    time.Time
	log      *testkit.Log
}

func setup(t *testing.T) *bench {
	t.Helper()
	b := &bench{
		t: t, pool: testkit.Postgres(t).Pool, settings: settingtest.New(setting.Defaults()), receiver: receiving(t),
		clock: domain.NormalizeTime(time.Now()), log: new(testkit.Log),
	}
	b.Alerter = b.another()
	b.hook = b.add(alert.Destination{Name: "on-call", Kind: alert.KindWebhook, Address: b.receiver.URL + "/hook?token=hunter2", Secret: alert.NewSecret(), Enabled: true})
	b.receiver.secret = b.hook.Secret.Reveal()
	b.exec(`UPDATE vendor_erp_sync_counted SET offsets = 0`) // the projector has counted
	return b
}

// another is one more alerter at the same clock.
func (b *bench) another() *Alerter {
	a := New(b.pool, config.ERP{}, config.Mail{}, b.settings, slog.New(slog.NewJSONHandler(b.log, &slog.HandlerOptions{Level: slog.LevelDebug})))
	a.now = func() time.Time { return b.clock }
	return a
}

func (b *bench) add(d alert.Destination) alert.Destination {
	b.t.Helper()
	require.Empty(b.t, d.Check(alert.Rules{}))
	made, err := b.store.Add(b.t.Context(), d, "test")
	require.NoError(b.t, err)
	return made
}

func (b *bench) exec(sql string, args ...any) {
	b.t.Helper()
	_, err := b.pool.Exec(b.t.Context(), sql, args...)
	require.NoError(b.t, err)
}

// fails has so many orders failed with the error of a group.
func (b *bench) fails(group, n int) {
	b.t.Helper()
	b.exec(`INSERT INTO vendor_erp_sync_error_group VALUES ($1, 422, 'erp_rejected', 'no such sku #', now(), now()) ON CONFLICT DO NOTHING`, group)
	b.exec(`INSERT INTO vendor_erp_sync_count VALUES ('default', 'failed', $1, $2) ON CONFLICT (source, status, group_id) DO UPDATE SET n = excluded.n`, group, n)
}

// after looks and sends a while later, and returns what the receiver has got by that.
func (b *bench) after(d time.Duration) []received {
	b.t.Helper()
	b.clock = b.clock.Add(d)
	require.NoError(b.t, b.look(b.t.Context()))
	b.sent()
	return b.receiver.take()
}

func (b *bench) sent() {
	b.t.Helper()
	_, err := b.deliverer.deliver(b.t.Context())
	require.NoError(b.t, err)
}

// types are those of the notices.
func types(all []received) (out []string) {
	for _, n := range all {
		out = append(out, n.Type)
	}
	return out
}

// Each thing that an alert is about: it begins, gets worse, and is over.
func TestEachConditionIsTold(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		kind                string
		begins, grows, ends func(b *bench)
		opened, repeated    string // what the texts say; repeated empty: it does not grow
	}{
		"orders_failed": {
			kind:   "orders_failed",
			begins: func(b *bench) { b.fails(7, 3) }, grows: func(b *bench) { b.fails(7, 8) }, ends: func(b *bench) { b.fails(7, 0) },
			opened:   "3 orders have failed with: HTTP 422: no such sku # (erp_rejected)",
			repeated: "5 more orders have failed, which makes 8, with: HTTP 422: no such sku # (erp_rejected)",
		},
		"breaker": {
			kind: "breaker",
			begins: func(b *bench) {
				b.exec(`UPDATE erp_pace SET breaker = '{"state": "open", "epoch": 1, "out_since": "2024-01-15T10:30:00Z", "out_why": "no answer"}', version = version + 1`)
			},
			grows: func(b *bench) {
				b.exec(`UPDATE erp_pace SET breaker = breaker || '{"state": "probing"}', version = version + 1`)
			},
			ends:   func(b *bench) { b.exec(`UPDATE erp_pace SET breaker = '{}', version = version + 1`) },
			opened: "The breaker is open: calls to the ERP are held back, and orders wait. Why: no answer",
		},
		"backlog_of_orders": {
			kind: "backlog",
			begins: func(b *bench) {
				b.exec(`INSERT INTO erp_sync_gate (order_key, source, increment_id, sync_id, generation, state, idempotency_key, requested_at, updated_at)
					VALUES ('k', 'default', 'k', 1, 1, 'open', 'K', $1, $1) ON CONFLICT (order_key) DO UPDATE SET state = 'open', closed_by = NULL`, b.clock.Add(-2*time.Hour))
			},
			grows:    func(*bench) {},
			ends:     func(b *bench) { b.exec(`UPDATE erp_sync_gate SET state = 'closed', closed_by = 'answer'`) },
			opened:   "The oldest order waits since ",
			repeated: "The oldest order waits since ",
		},
		"backlog_of_the_commerce_outbox": {
			kind: "backlog",
			begins: func(b *bench) {
				b.exec(`INSERT INTO commerce_outbox (source, payload, created_at) VALUES ('default', '', $1)`, b.clock.Add(-2*time.Hour))
			},
			grows: func(*bench) {}, ends: func(b *bench) { b.exec(`DELETE FROM commerce_outbox`) },
			opened: "The oldest event in the commerce outbox waits since ", repeated: "The oldest event in the commerce outbox waits since ",
		},
		"quarantine": {
			kind:   "quarantine",
			begins: func(b *bench) { b.quarantines(1) }, grows: func(b *bench) { b.quarantines(2) }, ends: func(b *bench) { b.exec(`DELETE FROM commerce_quarantine`) },
			opened: "1 event is in the quarantine: it could not be accepted.", repeated: "2 more: 3 events are in the quarantine: they could not be accepted.",
		},
		"dead_letters": {
			kind:   "dead_letters",
			begins: func(b *bench) { b.letters(0, 2) }, grows: func(b *bench) { b.letters(2, 3) },
			ends:   func(b *bench) { b.exec(`UPDATE erp_dead_letter SET state = 'discarded', decided_at = now()`) },
			opened: "2 dead letters are open: nobody could read the records.", repeated: "1 more: 3 dead letters are open",
		},
		"audit": {
			kind: "audit",
			begins: func(b *bench) {
				require.NoError(b.t, b.store.NoteAudit(b.t.Context(), alert.Audit{At: b.clock, Breaks: 1, Found: map[string]int{"row_not_in_kafka": 1}}))
			},
			grows: func(b *bench) {
				require.NoError(b.t, b.store.NoteAudit(b.t.Context(), alert.Audit{At: b.clock, Breaks: 4, Found: map[string]int{"ended_twice": 4}}))
			},
			ends: func(b *bench) {
				require.NoError(b.t, b.store.NoteAudit(b.t.Context(), alert.Audit{At: b.clock, Found: map[string]int{}}))
			},
			opened:   " has found 1 break: orders are not where they should be.",
			repeated: " has found 4 breaks: ",
		},
		"audits_that_could_not_be_done": {
			kind:   "audit",
			begins: func(b *bench) { b.audited("failed"); b.audited("cancelled") },
			grows:  func(b *bench) { b.audited("failed"); b.audited("failed") },
			ends:   func(b *bench) { b.audited("done") },
			opened: "An audit could not be done: no answer from Kafka", repeated: "The last 3 audits could not be done: no answer from Kafka",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			require.Empty(t, b.after(0), "nothing is wrong")
			c.begins(b)
			got := b.after(10 * time.Second)
			require.Equal(t, []string{c.kind + ".opened"}, types(got))
			require.Contains(t, got[0].Data.Text, c.opened)
			require.True(t, got[0].Verified)
			require.Equal(t, "opened", got[0].Data.Event)
			require.Empty(t, b.after(10*time.Second), "nothing is new")
			c.grows(b)
			require.Empty(t, b.after(10*time.Second), "it was told a moment ago")
			got = b.after(time.Hour)
			if c.repeated == "" {
				require.Empty(t, got)
			} else {
				require.Equal(t, []string{c.kind + ".repeated"}, types(got))
				require.Contains(t, got[0].Data.Text, c.repeated)
				require.Positive(t, got[0].Data.More)
			}
			c.ends(b)
			require.Empty(t, b.after(10*time.Second), "it may come again")
			require.Equal(t, []string{c.kind + ".resolved"}, types(b.after(time.Minute)))
			require.Empty(t, b.after(time.Minute))
			c.begins(b)
			require.Equal(t, []string{c.kind + ".opened"}, types(b.after(time.Second)), "it is another alert")
		})
	}
}

func (b *bench) quarantines(n int) {
	b.t.Helper()
	b.exec(`INSERT INTO commerce_quarantine (source, code, problems, payload, published_at, quarantined_at) SELECT 'default', 'refused', '[]', '', now(), now() FROM generate_series(1, $1)`, n)
}

// audited adds a run of the scheduler that has ended, and a failed one of a command, whose caller has seen it fail.
func (b *bench) audited(state string) {
	b.t.Helper()
	b.exec(`INSERT INTO audit_run (kind, reason, asked_by, asked_at, ended_at, made_by, seen_at, state, error, counts)
		SELECT 'audit', '', 'jane', now(), now(), by, CASE by WHEN 'command' THEN now() END, state, 'no answer from Kafka', CASE state WHEN 'done' THEN '{}'::jsonb END
		FROM (VALUES ('scheduler', $1), ('command', 'failed')) AS run (by, state)`, state)
}

// letters writes dead letters with the ids from one up to another, and opens them again.
func (b *bench) letters(from, to int) {
	b.t.Helper()
	b.exec(`INSERT INTO erp_dead_letter (id, written_at, written_by, topic, partition, "offset", order_key, ce_id, bytes, reason, ended, judged)
		SELECT i, now(), 'syncer', 'any', 0, i, 'k', '', 0, 'no JSON', false, true FROM generate_series($1::int, $2::int - 1) AS i
		ON CONFLICT (id) DO UPDATE SET state = 'open', decided_at = NULL`, from, to)
}

// Groups of errors have an alert each, up to a number; what an operator has cancelled has none, and nothing is told while the counts are
// not those of the rows.
func TestFailedOrdersAreToldByGroup(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.exec(`INSERT INTO vendor_erp_sync_error_group VALUES (3, 0, 'closed', 'cancel by jane: sold twice', now(), now())`)
	b.fails(3, 4)
	require.Empty(t, b.after(0))
	for group := range maxGroups + 10 {
		b.fails(100+group, 1+group)
	}
	got := b.after(10 * time.Second)
	require.Len(t, got, maxGroups+1)
	others := got[len(got)-1]
	require.Equal(t, domain.AlertOthers, others.Data.Subject)
	require.Equal(t, "55 orders have failed with: errors beyond the 50 that have alerts of their own", others.Data.Text)

	b.exec(`UPDATE vendor_erp_sync_counted SET offsets = -1`)
	b.exec(`UPDATE vendor_erp_sync_count SET n = 0`)
	require.Empty(t, b.after(2*time.Minute))
	require.Empty(t, b.after(2*time.Minute), "a rebuild resolves nothing")
	b.exec(`UPDATE vendor_erp_sync_counted SET offsets = 0`)
	require.Empty(t, b.after(time.Second))
	got = b.after(time.Minute)
	require.Len(t, got, maxGroups+1)
	require.Equal(t, "orders_failed.resolved", got[0].Type)
}

// While nothing is to go out, what waits is no backlog; its age counts from the end of that.
func TestWhatIsKeptIsNoBacklog(t *testing.T) {
	t.Parallel()
	for name, keep := range map[string]func(s *setting.Settings, kept bool){
		"the_connector_is_off": func(s *setting.Settings, kept bool) { s.Enabled = !kept },
		"a_window": func(s *setting.Settings, kept bool) {
			s.Maintenance = map[bool]string{true: "* * * * * 24h UTC"}[kept]
		},
		"no_threshold": func(s *setting.Settings, kept bool) {
			s.AlertBacklogAge = map[bool]time.Duration{false: time.Hour}[kept]
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.exec(`INSERT INTO erp_sync_gate (order_key, source, increment_id, sync_id, generation, state, idempotency_key, requested_at, updated_at)
				VALUES ('k', 'default', 'k', 1, 1, 'open', 'K', $1, $1)`, b.clock)
			b.settings.Change(func(s *setting.Settings) { keep(s, true) })
			require.Empty(t, b.after(5*time.Hour))
			b.settings.Change(func(s *setting.Settings) { keep(s, false) })
			if name != "no_threshold" {
				require.Empty(t, b.after(59*time.Minute))
			}
			require.Equal(t, []string{"backlog.opened"}, types(b.after(2*time.Minute)))
		})
	}
}

// A notice that is not taken is sent again, under the same id, until a day has passed. Notices of one alert keep their order.
func TestANoticeIsTriedAgain(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.receiver.answer(http.StatusInternalServerError, http.StatusFound, http.StatusBadRequest, http.StatusServiceUnavailable)
	b.letters(0, 1)
	first := b.after(0)
	require.Len(t, first, 1)
	require.Empty(t, b.after(9*time.Second), "not yet")
	again := b.after(4 * time.Second)
	require.Len(t, again, 1)
	require.Equal(t, first[0].ID, again[0].ID)
	require.True(t, again[0].Verified, "each attempt is signed with its own time")
	b.exec(`UPDATE erp_dead_letter SET state = 'discarded', decided_at = now()`)
	require.Len(t, b.after(30*time.Second), 1, "400 is tried again, too")
	require.Equal(t, []string{"dead_letters.opened"}, types(b.after(time.Minute)), "that it is over waits until it is taken that it has begun")
	got := b.after(2 * time.Minute)
	require.Equal(t, []string{"dead_letters.opened", "dead_letters.resolved"}, types(got))
	require.Equal(t, first[0].ID, got[0].ID)
	past, _, err := b.store.List(t.Context(), alert.Filter{Limit: 10})
	require.NoError(t, err)
	require.Len(t, past, 1)
	require.Equal(t, []int{1, 5}, []int{past[0].Deliveries[0].Attempts, past[0].Deliveries[1].Attempts})
	require.Equal(t, alert.Delivered, past[0].Deliveries[1].State)
	require.Equal(t, `thank you\x1b[2J`, past[0].Deliveries[1].Said)
}

func TestANoticeIsGivenUpAfterADay(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.receiver.Close()
	b.letters(0, 1)
	b.after(0)
	b.clock = b.clock.Add(24 * time.Hour)
	b.sent()
	past, _, err := b.store.List(t.Context(), alert.Filter{Limit: 10})
	require.NoError(t, err)
	d := past[0].Deliveries[0]
	require.Equal(t, alert.Failed, d.State)
	require.Nil(t, d.HTTPStatus)
	require.Contains(t, d.Said, "connection refused")
	require.NotContains(t, fmt.Sprint(past)+b.log.String(), "hunter2", "the address is a secret")
	require.Contains(t, b.log.String(), "notice of an alert given up")
}

// Retry-After is heeded, and 410 turns the destination off.
func TestWhatTheReceiverAsksForIsDone(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.receiver.answer(http.StatusTooManyRequests, http.StatusGone)
	b.receiver.header.Set("Retry-After", "600")
	b.letters(0, 1)
	require.Len(t, b.after(0), 1)
	require.Empty(t, b.after(9*time.Minute))
	require.Len(t, b.after(2*time.Minute), 1)
	d, err := b.store.Get(t.Context(), b.hook.ID)
	require.NoError(t, err)
	require.False(t, d.Enabled)
	require.Equal(t, "alerter, as it answered 410", d.ChangedBy)
	require.Contains(t, b.log.String(), "says that it is gone")
	b.quarantines(1)
	require.Empty(t, b.after(time.Hour), "nobody is told")
}

// Each destination is told what it wants, in its form. One that hangs or fails does not hold up the others.
func TestDestinationsAreToldWhatTheyWant(t *testing.T) {
	t.Parallel()
	b := setup(t)
	slack, off := receiving(t), receiving(t)
	b.add(alert.Destination{Name: "#orders", Kind: alert.KindSlack, Address: slack.URL, Enabled: true, Alerts: []domain.AlertKind{domain.AlertQuarantine, domain.AlertOrdersFailed}})
	b.add(alert.Destination{Name: "off", Kind: alert.KindSlack, Address: off.URL})
	b.add(alert.Destination{Name: "mail", Kind: alert.KindEmail, Address: "ops@example.com", Enabled: true})
	b.exec(`INSERT INTO vendor_erp_sync_error_group VALUES (9, 0, '', 'sku <1> & more', now(), now(), 'ORD-17', 'items[#].sku')`)
	b.fails(9, 1)
	b.letters(0, 1)
	require.Equal(t, []string{"dead_letters.opened", "orders_failed.opened"}, types(b.after(0)))
	got := slack.take()
	require.Len(t, got, 1)
	require.Contains(t, got[0].Slack, "ERP Connector: orders_failed opened (alert ")
	require.Contains(t, got[0].Slack, "1 order has failed with: sku &lt;1&gt; &amp; more (the ERP's code ORD-17, field items[#].sku)\nNext: GET /rest/V1/erpconnector/syncs?status=failed&amp;error_group=9")
	require.Empty(t, got[0].ID, "Slack needs no signature")
	require.Empty(t, off.take())
	past, _, err := b.store.List(t.Context(), alert.Filter{Kind: domain.AlertDeadLetters, Limit: 1})
	require.NoError(t, err)
	require.Equal(t, "mail", past[0].Deliveries[0].Destination)
	require.Equal(t, "ALERT_SMTP_URL is not set: no mail goes out", past[0].Deliveries[0].Said)

	_, err = b.store.Remove(t.Context(), 4)
	require.NoError(t, err)
	past, _, err = b.store.List(t.Context(), alert.Filter{Kind: domain.AlertDeadLetters, Limit: 1})
	require.NoError(t, err)
	require.Equal(t, []any{"mail", alert.Failed, "the destination was removed"}, []any{past[0].Deliveries[0].Destination, past[0].Deliveries[0].State, past[0].Deliveries[0].Said})
}

// A change of the settings counts for destinations that are there: an address that is refused now is not called.
func TestAnAddressThatIsRefusedNowIsNotCalled(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.settings.Change(func(s *setting.Settings) { s.Egress.RefusePrivate = true })
	b.letters(0, 1)
	require.Empty(t, b.after(0))
	past, _, err := b.store.List(t.Context(), alert.Filter{Limit: 1})
	require.NoError(t, err)
	require.Contains(t, past[0].Deliveries[0].Said, "which is never called")
}

// Two that look at once raise an alert once: of each change the first one counts.
func TestTwoAtOnceRaiseAnAlertOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.letters(0, 1)
	all := []*Alerter{b.another(), b.another(), b.another()}
	together := func() {
		var both sync.WaitGroup
		for _, a := range all {
			both.Go(func() { require.NoError(t, a.look(t.Context())) })
		}
		both.Wait()
	}
	together()
	b.exec(`UPDATE erp_dead_letter SET state = 'discarded', decided_at = now()`)
	together()
	b.clock = b.clock.Add(time.Minute)
	together()
	b.sent()
	require.Equal(t, []string{"dead_letters.opened", "dead_letters.resolved"}, types(b.receiver.take()))
}

// One of two works. When it ends, the other one takes over, and tells nothing twice.
func TestOneOfTwoWorks(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	running := func(ctx context.Context) <-chan struct{} {
		a, done := b.another(), make(chan struct{})
		a.now = func() time.Time { return domain.NormalizeTime(time.Now()) }
		go func() {
			defer close(done)
			require.NoError(t, a.Run(ctx)) //nolint:testifylint // it fails the test all the same
		}()
		return done
	}
	first, end := context.WithCancel(ctx)
	b.letters(0, 1)
	ended := running(first)
	testkit.Eventually(t, func() bool { return len(b.receiver.got()) == 1 }, "the first tells")
	other := running(ctx)
	testkit.Eventually(t, func() bool { return strings.Contains(b.log.String(), "standing by") }, "the other stands by")
	end()
	testkit.Await(t, ended)
	b.quarantines(1)
	testkit.Eventually(t, func() bool { return len(b.receiver.got()) == 2 }, "the other one tells what is new")
	require.Equal(t, []string{"dead_letters.opened", "quarantine.opened"}, types(b.receiver.got()))
	stop()
	testkit.Await(t, other)
}

// What is old is deleted in steps; what is open stays, and so does what is to be sent.
func TestOldAlertsAreDeleted(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.quarantines(1)
	b.letters(0, 1)
	b.after(0)
	b.exec(`UPDATE erp_dead_letter SET state = 'discarded', decided_at = now()`)
	b.after(time.Second)
	b.after(time.Minute)
	list := func() (kinds []domain.AlertKind) {
		past, _, err := b.store.List(t.Context(), alert.Filter{Limit: 10})
		require.NoError(t, err)
		for _, p := range past {
			kinds = append(kinds, p.Kind)
		}
		return kinds
	}
	require.NoError(t, b.clean(t.Context()))
	require.Len(t, list(), 2)
	b.clock = b.clock.Add(91 * 24 * time.Hour)
	b.settings.Change(func(s *setting.Settings) { s.AlertRetention = 0 })
	require.NoError(t, b.clean(t.Context()))
	require.Len(t, list(), 2)
	b.cleanAt = time.Time{}
	b.settings.Change(func(s *setting.Settings) { s.AlertRetention = 90 * 24 * time.Hour })
	require.NoError(t, b.clean(t.Context()))
	require.Equal(t, []domain.AlertKind{domain.AlertQuarantine}, list())
	require.Contains(t, b.log.String(), "old alerts deleted")
}

// A part that cannot be read keeps the others from nothing, and resolves nothing.
func TestWhatCannotBeReadIsLeftOut(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.quarantines(1)
	require.Len(t, b.after(0), 1)
	b.exec(`ALTER TABLE commerce_quarantine RENAME TO away`)
	b.letters(0, 1)
	require.ErrorContains(t, b.look(t.Context()), "commerce_quarantine")
	b.sent()
	require.Equal(t, []string{"dead_letters.opened"}, types(b.receiver.take()))
	b.exec(`ALTER TABLE away RENAME TO commerce_quarantine`)
	require.Empty(t, b.after(2*time.Minute))
}

// After an outage of Postgres a look had taken ten seconds, and then nobody looked for eight minutes.
func TestASlowLookComesMoreRarelyAndNotTooRarely(t *testing.T) {
	t.Parallel()
	require.Equal(t, 10*time.Second, restAfter(time.Millisecond, nil))
	require.Equal(t, 25*time.Second, restAfter(500*time.Millisecond, nil))
	require.Equal(t, time.Minute, restAfter(10*time.Second, nil))
	require.Equal(t, 10*time.Second, restAfter(time.Minute, context.DeadlineExceeded))
}
