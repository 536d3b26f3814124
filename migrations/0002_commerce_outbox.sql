-- +goose Up

-- Where shops that share the database put events in their own transaction. Deleted by ingest together with accepting them.
-- xact stands before id, so that a transaction has its xid before it is given an id: who looks for rows that commit late
-- relies on it (services/ingest/internal/drain). An identity column, as its sequence needs no privilege of the shop's.
CREATE TABLE commerce_outbox (
    xact        xid8        NOT NULL DEFAULT pg_current_xact_id(),
    id          bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    source      text        NOT NULL, -- as the event names it, unchecked: one shop's backlog must not hold up another's
    traceparent text,
    payload     bytea       NOT NULL, -- the event as it came; what is wrong with it is found when it is accepted
    created_at  timestamptz NOT NULL DEFAULT clock_timestamp()
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 10000);
CREATE INDEX commerce_outbox_xact ON commerce_outbox (xact, id);

-- What accept refuses from the commerce outbox, with the reason, until an operator has sent it again.
CREATE TABLE commerce_quarantine (
    id             bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    source         text        NOT NULL,
    event_id       text,
    order_key      text,                 -- of an invoice whose order is not known
    code           text        NOT NULL CHECK (code IN ('refused', 'unknown_order', 'too_large', 'failed')),
    problems       json        NOT NULL, -- [{"pointer": "/order/items", "detail": "…"}]
    traceparent    text,
    payload        bytea       NOT NULL,
    tries          integer     NOT NULL DEFAULT 1,
    published_at   timestamptz NOT NULL,
    quarantined_at timestamptz NOT NULL,
    CHECK ((code = 'unknown_order') = (order_key IS NOT NULL))
);
CREATE INDEX commerce_quarantine_order ON commerce_quarantine (order_key) WHERE order_key IS NOT NULL;

-- +goose StatementBegin
-- erp_publish puts one event into the commerce outbox, in the caller's transaction. It raises 22023 for an event without
-- event_id, type or order, and nothing else of its own; whatever else is wrong shows in the quarantine.
-- No NOTIFY: it would serialise the commits of all shops. ingest polls.
CREATE FUNCTION erp_publish(event jsonb) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    IF coalesce(event ->> 'event_id', '') = '' THEN
        RAISE EXCEPTION 'the event has no event_id' USING ERRCODE = '22023',
            HINT = 'give an id that stays the same when the event is published again';
    ELSIF coalesce(event ->> 'type', '') = '' THEN
        RAISE EXCEPTION 'event % has no type', event ->> 'event_id' USING ERRCODE = '22023',
            HINT = 'give order.placed, order.updated or invoice.created';
    ELSIF coalesce(event ->> 'order', event #>> '{invoice,order_increment_id}', '') = '' THEN
        RAISE EXCEPTION 'event % has no order', event ->> 'event_id' USING ERRCODE = '22023',
            HINT = 'give order, or invoice.order_increment_id when the order was published before';
    END IF;
    INSERT INTO commerce_outbox (source, payload)
    VALUES (coalesce(left(event ->> 'source', 63), 'default'), convert_to(event::text, 'UTF8'));
END
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION erp_publish(jsonb) IS 'Publishes one commerce event in the caller''s transaction: {"event_id", "type", "source", "invoice", "order"}.';

-- The function runs as its owner: it must find this schema's table, whatever the caller's search_path says.
-- The role may publish and do nothing else; roles belong to the whole server, so it may exist already.
-- +goose StatementBegin
DO $$
BEGIN
    EXECUTE format('ALTER FUNCTION erp_publish(jsonb) SET search_path = pg_catalog, %I, pg_temp', current_schema());
    REVOKE ALL ON FUNCTION erp_publish(jsonb) FROM PUBLIC;
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'erp_publisher') THEN
        BEGIN
            CREATE ROLE erp_publisher NOLOGIN;
        EXCEPTION
            WHEN duplicate_object OR unique_violation THEN NULL; -- another migration was first
            WHEN insufficient_privilege THEN
                RAISE WARNING 'the role erp_publisher could not be made: docs/publish.md says what a superuser must run';
                RETURN;
        END;
    END IF;
    EXECUTE format('GRANT USAGE ON SCHEMA %I TO erp_publisher', current_schema());
    GRANT EXECUTE ON FUNCTION erp_publish(jsonb) TO erp_publisher;
    GRANT INSERT (source, traceparent, payload) ON commerce_outbox TO erp_publisher;
END
$$;
-- +goose StatementEnd

-- +goose Down
-- Forward only: restore a backup to go back.
