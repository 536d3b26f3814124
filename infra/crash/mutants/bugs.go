package mutants

// All are mistakes that somebody could make in this product, or has made in one like it. Some keep the product in the wrong
// state for a moment, so that few kills are enough to show the bug.
var All = []Mutant{
	{
		Name: "offset committed outside the transaction", Promises: []int{3}, Profile: "syncer=1",
		Edits: []Edit{
			{"shared/kafka/txn/committer.go", `	if err := s.producer.Commit(ctx, Batch{Records: records, Offsets: offsets}); err != nil {
		return err
	}
`, `	if err := s.producer.Commit(ctx, Batch{Records: records}); err != nil {
		return err
	}
	<-time.After(500 * time.Millisecond)
	if err := s.producer.Commit(ctx, Batch{Records: []*kgo.Record{s.marker(len(batch))}, Offsets: offsets}); err != nil {
		return err
	}
`},
		},
	},
	{
		Name: "outcome before the call", Promises: []int{1, 3}, Profile: "syncer=1",
		Edits: []Edit{
			{"services/syncer/caller.go", `	reply := c.erp.Send(ctx, erphttp.Request{
		Payload: payload, IdempotencyKey: t.value.Sync.IdempotencyKey, MessageID: t.value.Sync.IdempotencyKey, At: c.now(),
	})
`, `	go func(key string, at time.Time) {
		<-time.After(300 * time.Millisecond)
		c.erp.Send(context.WithoutCancel(ctx), erphttp.Request{Payload: payload, IdempotencyKey: key, MessageID: key, At: at})
	}(t.value.Sync.IdempotencyKey, c.now())
	reply := erphttp.Reply{Answer: domain.Answer{StatusCode: 201, Body: domain.AnswerBodyOf([]byte("{}"))}}
`},
		},
	},
	{
		Name: "key changed at a retry", Promises: []int{7}, Profile: "syncer=1",
		Edits: []Edit{
			{"services/syncer/caller.go", `	failpoint.Hit("syncer.before_send")
`, `	failpoint.Hit("syncer.before_send")
	if key := t.value.Sync.IdempotencyKey; t.value.Sync.Attempts > 0 {
		t.value.Sync.IdempotencyKey = key[:4] + key[20:] + key[4:20]
	}
`},
		},
	},
	{
		Name: "retry 1 s early", Promises: []int{5}, Profile: "delayer=1",
		Edits: []Edit{
			{"services/delayer/delayer.go", `	due, err := d.cfg.Event(r).Due()
`, `	due, err := d.cfg.Event(r).Due()
	due = due.Add(-time.Second)
`},
			{"services/delayer/delayer.go", `	due, err := r.Due()
`, `	due, err := r.Due()
	due = due.Add(-time.Second)
`},
		},
	},
	{
		Name: "revoke ignored", Promises: []int{3, 6}, Profile: "syncer=1",
		Edits: []Edit{
			{"shared/kafka/txn/handover.go", `	if a := s.current.Swap(nil); a != nil {
		s.handOver(a)
	}
`, `	s.current.Store(nil)
`},
		},
	},
	{
		Name: "relay position outside its transaction", Promises: []int{2}, Profile: "relay=1",
		Edits: []Edit{
			{"services/relay/batch.go", `	if err := s.r.producer.Commit(ctx, txn.Batch{Records: append(records, position)}); err != nil {
		return s.adapt(ctx, rows, err)
	}
`, `	if err := s.r.producer.Commit(ctx, txn.Batch{Records: records}); err != nil {
		return s.adapt(ctx, rows, err)
	}
	<-time.After(500 * time.Millisecond)
	if err := s.r.producer.Commit(ctx, txn.Batch{Records: []*kgo.Record{position}}); err != nil {
		return err
	}
`},
		},
	},
	{
		Name: "gate trusted instead of the chain", Promises: []int{1, 3}, Profile: "syncer=1",
		Edits: []Edit{
			{"shared/domain/gate.go", `	case g.State == GateClosed:
		return Advice{Stop: true, ClosedBy: g.ClosedBy}
`, `	case g.State == GateClosed:
		return Advice{Stop: true, Ended: true}
`},
		},
	},
	{
		Name: "any callback settles the current generation", Promises: []int{7}, Profile: "api=1",
		Edits: []Edit{
			{"shared/domain/gate_change.go", `	case s.IdempotencyKey != "" || g.Generation == 1:
		return ""
`, `	case true:
		return ""
`},
		},
	},
	{
		Name: "projection applied without version", Promises: []int{9}, Profile: "projector=1",
		Edits: []Edit{
			{"shared/domain/fold.go", `	if s.Version != o.Version {
		return s.Version > o.Version
	}
	return !s.Time.Before(o.Time)
`, `	return true
`},
		},
	},
	{
		Name: "relay passes over what is not committed yet", Promises: []int{1, 2}, Profile: "relay=1",
		Edits: []Edit{
			{"shared/outbox/reader.go", `			fresh = append(fresh, Range{first, row.ID - 1})
`, ``},
			{"services/ingest/internal/accept/store.go", `	failpoint.Hit("accept.before_commit")
`, `	failpoint.Hit("accept.before_commit")
	<-time.After(time.Duration(time.Now().UnixNano()%40) * time.Millisecond)
`},
		},
	},
	{
		Name: "call without a durable before_send", Promises: []int{3}, Profile: "syncer=1",
		Edits: []Edit{
			{"services/syncer/caller.go", `	return c.intents.write(ctx, c.cfg.Record(intent))
`, `	record := c.cfg.Record(intent)
	time.AfterFunc(300*time.Millisecond, func() { _ = c.intents.write(context.Background(), record) })
	return nil
`},
		},
	},
	{
		Name: "relay goes on with any server", Promises: []int{1, 2}, Profile: "failover=1,relay=2,term=0,stop=0",
		Edits: []Edit{
			{"services/relay/session.go", `	server, err := s.last.CheckAt(ctx, s.source.conn)
	if err != nil {
		return server, err
	}
`, `	server, err := outbox.ServerOf(ctx, s.source.conn)
	if err != nil || server != s.server {
		return server, err
	}
`},
			{"services/relay/session.go", `	if read.LastID == 0 || batch.Last == read.UUID && batch.Last != "" {
		return nil
	}
`, `	if batch.Rows != nil {
		return nil
	}
`},
		},
	},
	{
		// The standby is named first in DATABASE_URL. It shows no writers of the primary, and commits in another order than ids.
		Name: "a relay leads on a hot standby", Promises: []int{1, 2}, Profile: "failover=1,relay=3,term=0,stop=0",
		Edits: []Edit{
			{"shared/postgres/lease.go", `		if c.conn, err = Connect(ctx, c.pool); err != nil {
`, `		anywhere := c.pool.Config().ConnConfig.Copy()
		anywhere.ValidateConnect = nil
		if c.conn, err = pgx.ConnectConfig(ctx, anywhere); err != nil {
`},
			{
				"shared/postgres/try_lease.go", `CASE WHEN NOT pg_is_in_recovery() THEN pg_try_advisory_lock(hashtextextended('erpconnector/' || $1, 0)) END`,
				`pg_try_advisory_lock(hashtextextended('erpconnector/' || $1, 0))`,
			},
			{"services/relay/source.go", `	config.OnNotification =`, `	config.ValidateConnect = nil
	config.OnNotification =`},
			{"services/relay/source.go", `	if _, err := s.conn.Exec(ctx, "LISTEN "+outbox.Channel); err != nil {
`, `	if _, err := s.conn.Exec(ctx, "SELECT '"+outbox.Channel+"'"); err != nil {
`},
			{"shared/outbox/server.go", "`SELECT system, timeline FROM erp_server()`", "`SELECT system_identifier::text, 1 FROM pg_control_system()`"},
			{"services/ingest/internal/accept/store.go", `	failpoint.Hit("accept.before_commit")
`, `	failpoint.Hit("accept.before_commit")
	<-time.After(time.Duration(time.Now().UnixNano()%200) * time.Millisecond)
`},
		},
	},
	{
		Name: "looks up nothing after a crash", Promises: []int{7}, Profile: "syncer=1,term=0,stop=0", Forgets: true,
		Edits: []Edit{
			{"services/syncer/lookup.go", `!t.value.Sync.InDoubt(t.MayBeRepeated())`, `!t.value.Sync.InDoubt(false)`},
		},
	},
	{
		Name: "one partition holds up all", Promises: []int{4}, Profile: "syncer=1,starve=0.5,term=0,stop=0", Broker: "cluster",
		Edits: []Edit{
			{"shared/kafka/txn/committer.go", `			if others := s.holdUnwritten(batch, unavailable); len(others) < len(batch) {
				batch = others
				continue
			}
`, ``},
		},
	},
	{
		Name: "only who hears of Retry-After waits", Promises: []int{8}, Profile: "projector=1,term=0,stop=0", Kills: 15,
		Edits: []Edit{
			{"services/syncer/internal/regulator/follow.go", `		r.know(v.State)
`, `		v.Hold = r.base.Hold
		r.know(v.State)
`},
		},
	},
	{
		Name: "calls go out in a maintenance window", Promises: []int{8}, Profile: "projector=1,term=0,stop=0", Kills: 75,
		Edits: []Edit{
			{"services/syncer/internal/regulator/grant.go", `; shut.After(until) {
`, `; shut.After(until) && false {
`},
		},
	},
	{
		Name: "an order fails with attempts left", Promises: []int{5}, Profile: "projector=1,term=0,stop=0",
		Edits: []Edit{
			{"shared/domain/decide.go", `o.Kind == OutcomeRetryable && s.Attempts < s.MaxAttempts {`, `o.Kind == OutcomeRetryable && s.Attempts < min(3, s.MaxAttempts) {`},
		},
	},
	{
		Name: "the time to give up begins anew with each attempt", Promises: []int{5}, Profile: "projector=1,term=0,stop=0", Kills: 15,
		Edits: []Edit{
			{"shared/domain/decide.go", `	case s.RequestedAt != nil:
		return s.RequestedAt
`, ``},
		},
	},
	{
		Name: "notices outside the alert's transaction", Promises: []int{13}, Profile: "alerter=3,term=0,stop=0",
		Edits: []Edit{
			{"shared/alert/raise.go", `		id, err := write(ctx, tx, o.alerts[c.AlertKey], c)
		if err != nil || c.Event == domain.AlertNothing {
			return err
		}
		return s.tell(ctx, tx, id, c, now)
	})
`, `		written, err = write(ctx, tx, o.alerts[c.AlertKey], c)
		return err
	})
	if err == nil && c.Event != domain.AlertNothing {
		<-time.After(2 * time.Second)
		err = pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error { return s.tell(ctx, tx, written, c, now) })
	}
`},
			{"shared/alert/raise.go", `	err = pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
`, `	var written int64
	err = pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
`},
		},
	},
	{
		Name: "a notice is noted before it is sent", Promises: []int{13}, Profile: "alerter=3,term=0,stop=0",
		Edits: []Edit{
			{"services/alerter/deliver.go", `	answer := d.sender.Send(ctx, due.Destination, due.MessageID, due.Body)
`, `	if err := d.store.Note(ctx, due, alert.Attempt{State: alert.Delivered}, d.now()); err != nil {
		return err
	}
	answer := d.sender.Send(ctx, due.Destination, due.MessageID, due.Body)
`},
		},
	},
}
