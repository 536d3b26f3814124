-- +goose NO TRANSACTION
-- +goose Up

-- The outbox has partitions of its own size: the scheduler makes them ahead and drops those that are relayed and old (ADR 0022).
-- It has no default partition, as Postgres detaches no partition concurrently beside one. erp_outbox_rest takes the ids of later
-- epochs, see migrations/0006, so that the first writer on a new server has a place for its rows.
--
-- Writers go on meanwhile, so no statement reads many rows while it holds a lock that they need. Each can be run again.

-- +goose StatementBegin
-- Rows of the default partition stay in their table. Its ids end 2 million after the last one that was given.
DO $$
DECLARE
    upto bigint;
BEGIN
    IF to_regclass('erp_outbox_default') IS NOT NULL AND NOT EXISTS (SELECT FROM pg_constraint WHERE conrelid = to_regclass('erp_outbox_default') AND conname LIKE 'erp\_outbox\_upto\_%') THEN
        IF EXISTS (SELECT FROM erp_outbox_default) THEN
            SELECT (last_value / 250000 + 9) * 250000 INTO upto FROM erp_outbox_id_seq;
            EXECUTE format('ALTER TABLE erp_outbox_default ADD CONSTRAINT erp_outbox_upto_%s CHECK (id >= 10000000 AND id < %s) NOT VALID', upto, upto);
        END IF;
    END IF;
END
$$;
-- +goose StatementEnd

-- +goose StatementBegin
DO $$
DECLARE
    name text;
BEGIN
    FOR name IN SELECT conname FROM pg_constraint WHERE conrelid = to_regclass('erp_outbox_default') AND conname LIKE 'erp\_outbox\_upto\_%' LOOP
        EXECUTE format('ALTER TABLE erp_outbox_default VALIDATE CONSTRAINT %I', name);
    END LOOP;
END
$$;
-- +goose StatementEnd

-- +goose StatementBegin
DO $$
DECLARE
    last bigint;
    name text := (SELECT conname FROM pg_constraint WHERE conrelid = to_regclass('erp_outbox_default') AND conname LIKE 'erp\_outbox\_upto\_%');
BEGIN
    IF to_regclass('erp_outbox_default') IS NOT NULL THEN
        LOCK TABLE erp_outbox IN ACCESS EXCLUSIVE MODE;
        SELECT last_value INTO last FROM erp_outbox_id_seq;
        ALTER TABLE erp_outbox DETACH PARTITION erp_outbox_default;
        IF name IS NOT NULL THEN -- the check spares reading the rows
            ALTER TABLE erp_outbox_default RENAME TO erp_outbox_p10000000;
            EXECUTE format('ALTER TABLE erp_outbox ATTACH PARTITION erp_outbox_p10000000 FOR VALUES FROM (10000000) TO (%s)', substring(name FROM '\d+'));
            EXECUTE format('ALTER TABLE erp_outbox_p10000000 DROP CONSTRAINT %I', name);
        ELSE
            DROP TABLE erp_outbox_default;
            IF last < 250000 THEN -- few rows to read
                ALTER TABLE erp_outbox DETACH PARTITION erp_outbox_p0;
                ALTER TABLE erp_outbox ATTACH PARTITION erp_outbox_p0 FOR VALUES FROM (0) TO (250000);
            END IF;
        END IF;
        EXECUTE format('CREATE TABLE erp_outbox_rest PARTITION OF erp_outbox FOR VALUES FROM (%s) TO (MAXVALUE)', ((last >> 40) + 1) << 40);
    END IF;
END
$$;
-- +goose StatementEnd

-- +goose StatementBegin
-- The partitions of the outbox, by their ids. to_id is null for erp_outbox_rest.
CREATE OR REPLACE FUNCTION erp_outbox_partitions(OUT name text, OUT from_id bigint, OUT to_id bigint, OUT detaching boolean) RETURNS SETOF record
LANGUAGE sql STABLE AS $$
    SELECT c.relname, substring(bound FROM 'FROM \(''?(\d+)')::bigint, substring(bound FROM 'TO \(''?(\d+)')::bigint, i.inhdetachpending
    FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid CROSS JOIN LATERAL pg_get_expr(c.relpartbound, c.oid) AS bound
    WHERE i.inhparent = 'erp_outbox'::regclass
    ORDER BY 2
$$;
-- +goose StatementEnd

-- +goose StatementBegin
-- Makes partitions of so many ids each, until ahead ids after the last one have a place. Returns how many it made. A partition is
-- made alone and then attached: no writer and no reader waits. After a change of the epoch the ids are in erp_outbox_rest; it becomes
-- a partition of that epoch, and for that moment writers wait, for 100 ms at most.
CREATE OR REPLACE FUNCTION erp_outbox_extend(width bigint, ahead bigint) RETURNS integer LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
    last      bigint;
    rest_from bigint;
    upto      bigint;
    made      integer := 0;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('erpconnector/erp_outbox_extend', 0));
    SELECT last_value INTO last FROM erp_outbox_id_seq;
    SELECT max(to_id), max(from_id) FILTER (WHERE to_id IS NULL) INTO upto, rest_from FROM erp_outbox_partitions();
    IF last >= rest_from THEN
        PERFORM set_config('lock_timeout', '100ms', true);
        LOCK TABLE erp_outbox IN ACCESS EXCLUSIVE MODE;
        SELECT (last_value / width + 2) * width, ((last_value >> 40) + 1) << 40 INTO upto, last FROM erp_outbox_id_seq;
        ALTER TABLE erp_outbox DETACH PARTITION erp_outbox_rest;
        EXECUTE format('ALTER TABLE erp_outbox_rest RENAME TO erp_outbox_p%s', rest_from);
        EXECUTE format('ALTER TABLE erp_outbox ATTACH PARTITION erp_outbox_p%s FOR VALUES FROM (%s) TO (%s)', rest_from, rest_from, upto);
        EXECUTE format('CREATE TABLE erp_outbox_rest PARTITION OF erp_outbox FOR VALUES FROM (%s) TO (MAXVALUE)', last);
        RETURN 1;
    END IF;
    WHILE upto < least(last + ahead, rest_from) LOOP
        EXECUTE format('CREATE TABLE erp_outbox_p%s (LIKE erp_outbox INCLUDING ALL)', upto);
        EXECUTE format('ALTER TABLE erp_outbox ATTACH PARTITION erp_outbox_p%s FOR VALUES FROM (%s) TO (%s)', upto, upto, least(upto + width, rest_from));
        upto := upto + width;
        made := made + 1;
    END LOOP;
    RETURN made;
END
$$;
-- +goose StatementEnd

-- +goose StatementBegin
DO $$
BEGIN
    EXECUTE format('ALTER FUNCTION erp_outbox_partitions() SET search_path = pg_catalog, %I, pg_temp', current_schema());
    -- The tables are made in the first one; pg_catalog goes before them all without being named.
    EXECUTE format('ALTER FUNCTION erp_outbox_extend(bigint, bigint) SET search_path = %I, pg_temp', current_schema());
    PERFORM erp_outbox_extend(250000, 2000000);
END
$$;
-- +goose StatementEnd

-- +goose Down
-- Forward only: restore a backup to go back.
