-- +goose Up

-- What a request says of its order: what may be wrong with it, and what of it the ERP is not sent. One remark a line.
ALTER TABLE vendor_erp_sync_event ADD COLUMN warnings text, ADD COLUMN not_sent text;

-- +goose StatementBegin
-- erp_publish puts one event into the commerce outbox, in the caller's transaction. For no jsonb does it raise anything of
-- its own but 22023: for an event without event_id, type or order, and for one that Postgres cannot keep as text.
-- Members are compared as jsonb, as ->> fails for a value whose text is longer than 1 GB: a number like 1e131071 takes ten
-- bytes in jsonb and 131,072 in text. Messages name an id in plain ASCII only, as a client's encoding may not have another.
CREATE OR REPLACE FUNCTION erp_publish(event jsonb) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
    id   text  := CASE WHEN jsonb_typeof(event -> 'event_id') = 'string' THEN substring(left(event ->> 'event_id', 255) FROM '^[ -~]+$') END;
    shop text  := ''; -- what is no source's name is refused when the event is looked at
    body bytea;
BEGIN
    IF coalesce(event -> 'event_id', 'null') IN ('null', '""') THEN
        RAISE EXCEPTION 'the event has no event_id' USING ERRCODE = '22023',
            HINT = 'give an id that stays the same when the event is published again';
    ELSIF coalesce(event -> 'type', 'null') IN ('null', '""') THEN
        RAISE EXCEPTION 'event % has no type', coalesce(id, '?') USING ERRCODE = '22023',
            HINT = 'give order.placed, order.updated or invoice.created';
    ELSIF coalesce(event -> 'order', 'null') IN ('null', '""')
        AND coalesce(event #> '{invoice,order_increment_id}', 'null') IN ('null', '""') THEN
        RAISE EXCEPTION 'event % has no order', coalesce(id, '?') USING ERRCODE = '22023',
            HINT = 'give order, or invoice.order_increment_id when the order was published before';
    END IF;
    BEGIN -- it writes nothing, so it takes no transaction id of its own
        body := convert_to(event::text, 'UTF8');
    EXCEPTION WHEN data_exception OR program_limit_exceeded OR internal_error THEN
        body := NULL; -- longer than Postgres can make a text, or of bytes that are no UTF-8 in a database without an encoding
    END;
    IF body IS NULL OR octet_length(body) > 512 * 1024 * 1024 THEN
        RAISE EXCEPTION 'event % cannot be kept as text', coalesce(id, '?') USING ERRCODE = '22023',
            HINT = 'an event may have 1 MiB; does it hold numbers of thousands of digits?';
    END IF;
    IF jsonb_typeof(event -> 'source') = 'string' AND left(event ->> 'source', 64) COLLATE "C" ~ '^[a-z0-9._-]{1,63}$'
        AND event ->> 'source' NOT IN ('.', '..') THEN
        shop := event ->> 'source';
    ELSIF coalesce(event -> 'source', 'null') IN ('null', '""') THEN
        shop := 'default';
    END IF;
    INSERT INTO commerce_outbox (source, payload) VALUES (shop, body);
END
$$;

-- What a new body does not keep of a function: it must find this schema's table, whatever the caller's search_path says.
DO $$
BEGIN
    EXECUTE format('ALTER FUNCTION erp_publish(jsonb) SET search_path = pg_catalog, %I, pg_temp', current_schema());
END
$$;
-- +goose StatementEnd

-- +goose Down
-- Forward only: restore a backup to go back.
