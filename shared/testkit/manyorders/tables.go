package manyorders

// orders are the orders of three shops, by their numbers from $1 to $2. One in a thousand has failed, with one of 40 kinds of errors; as
// many wait for a retry, and one in five thousand for its first attempt.
const orders = `WITH o AS (
	SELECT i, source, (1000000000 + i)::text AS increment_id, CASE WHEN source = 'default' THEN '' ELSE source || '/' END || (1000000000 + i) AS order_key,
		CASE WHEN i % 1001 = 0 THEN 'failed' WHEN i % 1001 = 1 THEN 'queued' WHEN i % 5003 = 2 THEN 'pending' ELSE 'success' END AS status,
		timestamptz '2025-01-01' + i * interval '3 seconds' AS at, 'ERP_' || md5(i::text) AS key
	FROM (SELECT i, CASE WHEN i % 10 < 7 THEN 'default' WHEN i % 10 < 9 THEN 'outlet' ELSE 'b2b' END AS source FROM generate_series($1::bigint, $2::bigint) AS i) n
) `

// tables are what the product writes for an order, but for the outbox, which it empties after some days, and the events' ids, which
// nothing here reads. A tenth of the orders still has its timeline.
var tables = map[string]string{
	"sales_order": orders + `
		INSERT INTO sales_order (order_key, source, increment_id, order_id, snapshot, erp_synced, created_at, updated_at)
		SELECT order_key, source, increment_id, i, json_build_object('increment_id', increment_id, 'customer_email', 'c' || i / 3 || '@example.test', 'currency',
			CASE WHEN source = 'b2b' THEN 'USD' ELSE 'EUR' END, 'totals', json_build_object('grand_total', (i % 30000 / 100.0)::numeric(12, 2)::text)),
			(status = 'success')::int, at, at FROM o`,
	"erp_sync_gate": orders + `
		INSERT INTO erp_sync_gate (order_key, source, increment_id, sync_id, generation, state, held_by, closed_by, idempotency_key, key_number, key_answered,
			max_attempts, request_number, version, requested_at, updated_at)
		SELECT order_key, source, increment_id, i, 1, CASE status WHEN 'queued' THEN 'open' WHEN 'pending' THEN 'held' ELSE 'closed' END,
			CASE status WHEN 'pending' THEN 'cron' END, CASE status WHEN 'success' THEN 'answer' WHEN 'failed' THEN 'failure' END, key, 1, status = 'success',
			5, 1, 1 << 28, at, at + interval '1 second' FROM o`,
	"vendor_erp_sync": orders + `
		INSERT INTO vendor_erp_sync (sync_id, order_id, source, order_increment_id, status, attempts, max_attempts, last_attempt_at, last_error, erp_reference,
			idempotency_key, payload, response, created_at, updated_at, generation, attempt_version, attempt_version_at, version, version_at)
		SELECT i, i, source, increment_id, status, CASE status WHEN 'failed' THEN 5 WHEN 'queued' THEN 2 WHEN 'pending' THEN 0 ELSE 1 END, 5, at,
			CASE status WHEN 'failed' THEN 'no such sku of kind ' || i / 1001 % 40 WHEN 'queued' THEN 'busy' END, CASE status WHEN 'success' THEN 'ERP-' || i END,
			key, json_build_object('order', increment_id, 'key', key)::text, CASE status WHEN 'success' THEN json_build_object('erp_reference', 'ERP-' || i)::text END,
			at, at + interval '1 second', 1, (1 << 28) + (1 << 24) + 8, at, (1 << 28) + (1 << 24) + 9, at FROM o`,
	"vendor_erp_sync_error": orders + `
		INSERT INTO vendor_erp_sync_error SELECT i, CASE status WHEN 'failed' THEN 1 + i / 1001 % 40 ELSE 41 END, at + interval '1 second'
		FROM o WHERE status IN ('failed', 'queued')`,
	"vendor_erp_sync_event": orders + `
		INSERT INTO vendor_erp_sync_event (occurred_at, topic, partition, "offset", sync_id, version, type, status, attempts, http_status)
		SELECT at + n * interval '100 milliseconds', topic, i % 8, (1::bigint << 40) + i, i,
			(1 << 28) + CASE n WHEN 1 THEN 0 ELSE (1 << 24) + 6 + n END, topic, to_status, (n > 1)::int, CASE WHEN n > 2 THEN 200 END
		FROM o CROSS JOIN (VALUES (1, 'vendor_erp_sync_requested', 'queued'), (2, 'vendor_erp_sync_before_send', 'in_progress'),
			(3, 'vendor_erp_sync_after_send', 'success'), (4, 'vendor_erp_sync_success', 'success')) AS step (n, topic, to_status) WHERE i % 10 = 0`,
}

// beside is what stands beside so many orders ($1): kinds of errors, counts, the sequence of their ids, the history of a busy week, and
// what people go through.
var beside = []string{
	`INSERT INTO vendor_erp_sync_error_group SELECT g, CASE WHEN g <= 40 THEN 422 ELSE 503 END, CASE WHEN g <= 40 THEN 'erp_rejected' ELSE 'erp_unavailable' END,
		CASE WHEN g <= 40 THEN 'no such sku of kind ' || chr(64 + g) ELSE 'busy' END, '2025-01-01', '2025-12-31' FROM generate_series(1, 41) AS g`,
	`INSERT INTO vendor_erp_sync_count SELECT source, status, coalesce(group_id, 0), count(*) FROM vendor_erp_sync LEFT JOIN vendor_erp_sync_error USING (sync_id)
		GROUP BY 1, 2, 3`,
	`UPDATE vendor_erp_sync_counted SET offsets = 0`,
	`SELECT setval('erp_sync_id_seq', max(sync_id)) FROM vendor_erp_sync`,
	`INSERT INTO vendor_erp_sync_history
		SELECT span, date_bin(make_interval(secs => span), now(), '2001-01-01') - n * make_interval(secs => span), source, span, span - span / 60, span / 60, 0, span,
			ARRAY[span / 60], ARRAY[0, 0, 0, 0, 0, 0, 0, 0, span / 2, span / 3], ARRAY[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, span / 2, span / 3]
		FROM (VALUES (60, 0, 69), (600, 7, 150), (3600, 25, 190)) AS spans (span, since, until), generate_series(since, until) AS n,
			(VALUES ('default'), ('outlet'), ('b2b')) AS shops (source)`,
	`INSERT INTO commerce_quarantine (source, event_id, code, problems, payload, about_order, published_at, quarantined_at)
		SELECT 'default', 'q' || q, 'refused', '[{"pointer": "/order/items", "detail": "is empty"}]', '{}', (9000000000 + q)::text, now(), now()
		FROM generate_series(1, 200) AS q`,
	`INSERT INTO erp_dead_letter (id, written_at, written_by, topic, partition, "offset", order_key, ce_id, bytes, reason, ended, judged)
		SELECT n, now(), 'syncer', 'vendor_erp_sync_requested', 0, n, (9000000000 + n)::text, 'dead-' || n, 100, 'the record is no JSON', false, true
		FROM generate_series(1, 200) AS n`,
	`INSERT INTO api_token (name, hash, hint, resources, created_at, created_by)
		SELECT 'token-' || n, sha256(n::text::bytea), 'erpc_' || n, '{Escooter_ErpConnector::view_status}', now(), 'api' FROM generate_series(1, 200) AS n`,
	`INSERT INTO api_user (name, password, resources, created_at, created_by)
		SELECT 'user-' || n, '', '{Escooter_ErpConnector::view_status}', now(), 'api' FROM generate_series(1, 200) AS n`,
}
