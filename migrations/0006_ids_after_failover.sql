-- +goose Up

-- An id that has left the database stays given. A standby that takes the place of its primary may not know the last ids
-- that the primary gave, nor does a database that was restored: each would give them again, and what is already in Kafka
-- under such an id would be taken for the new one, or the other way round.
--
-- So the first statement that asks for an id on another server than before moves both sequences into a new epoch: ids are
-- epoch << 40 | number, below 2^53. Those of the first epoch, in a fresh database, begin at 1. Further epochs begin at a
-- number drawn at random, so that two standbys that were promoted one after the other, of which the second has never heard
-- of the first, do not meet either.

-- The server that the ids are of, as a hash. It is a register in the form of a sequence, since sequences change at once, for
-- everybody and for good, whatever becomes of the transaction: no writer waits for another one's commit. It changes last, so
-- that a server whose WAL ends in between moves the sequences once more.
CREATE SEQUENCE erp_server_seq MINVALUE -9223372036854775808 START 0;

-- +goose StatementBegin
-- The server and the database that answer. A new primary has a new timeline; another cluster has another system identifier;
-- a copy by CREATE DATABASE or from a dump is another database. It fails on a standby.
CREATE FUNCTION erp_server(OUT system text, OUT timeline integer, OUT database oid) LANGUAGE sql VOLATILE AS $$
    SELECT system_identifier::text, ('x' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8))::bit(32)::integer,
        (SELECT oid FROM pg_database WHERE datname = current_database())
    FROM pg_control_system()
$$;
-- +goose StatementEnd

-- +goose StatementBegin
-- Moves both sequences into a new epoch, beyond their own one and those of the ids that are named.
CREATE FUNCTION erp_new_epoch(outbox_beyond bigint, syncs_beyond bigint) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    epoch CONSTANT bigint := 1::bigint << 40;
BEGIN
    PERFORM setval(name, ((greatest(last, beyond) >> 40) + 1) * epoch + epoch / 4 + floor(random() * (epoch / 4))::bigint)
    FROM (SELECT 'erp_outbox_id_seq'::regclass AS name, last_value AS last, outbox_beyond AS beyond FROM erp_outbox_id_seq
        UNION ALL SELECT 'erp_sync_id_seq', last_value, syncs_beyond FROM erp_sync_id_seq) AS sequences;
END
$$;
-- +goose StatementEnd
REVOKE ALL ON FUNCTION erp_new_epoch(bigint, bigint) FROM PUBLIC;

-- +goose StatementBegin
-- Makes sure that this server's ids are of an epoch of its own. A session cannot come to another server, so once is enough:
-- it leaves a mark in the session. Whoever comes at the same time waits, for no longer than the move takes: the lock is
-- given back by taking back the block, of which the sequences keep what was done.
CREATE FUNCTION erp_know_server() RETURNS void LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
    here bigint;
BEGIN
    SELECT hashtextextended(s.system || '/' || s.timeline || '/' || s.database, 0) INTO here FROM erp_server() s;
    IF here <> (SELECT last_value FROM erp_server_seq) THEN
        BEGIN
            PERFORM pg_advisory_xact_lock(hashtextextended('erpconnector/erp_server_seq', 0));
            IF here <> (SELECT last_value FROM erp_server_seq) THEN
                PERFORM erp_new_epoch(0, 0);
                PERFORM setval('erp_server_seq', here);
            END IF;
            RAISE EXCEPTION USING ERRCODE = 'ERP01';
        EXCEPTION WHEN SQLSTATE 'ERP01' THEN NULL;
        END;
    END IF;
    PERFORM set_config('erpconnector.server_known', 'yes', false);
END
$$;
-- +goose StatementEnd

-- +goose StatementBegin
-- The ids of n syncs. Nothing else may call nextval on the sequence.
CREATE FUNCTION erp_sync_ids(n integer) RETURNS SETOF bigint LANGUAGE plpgsql AS $$
BEGIN
    IF current_setting('erpconnector.server_known', true) IS DISTINCT FROM 'yes' THEN
        PERFORM erp_know_server();
    END IF;
    RETURN QUERY SELECT nextval('erp_sync_id_seq') FROM generate_series(1, n);
END
$$;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE FUNCTION erp_outbox_know_server() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM erp_know_server();
    RETURN NULL;
END
$$;
-- +goose StatementEnd
-- Before the statement's first nextval, and under the table's lock, which the relay's rule about missing ids rests on.
CREATE TRIGGER erp_outbox_know_server BEFORE INSERT ON erp_outbox FOR EACH STATEMENT
    WHEN (current_setting('erpconnector.server_known', true) IS DISTINCT FROM 'yes')
    EXECUTE FUNCTION erp_outbox_know_server();

-- +goose StatementBegin
-- The functions find this schema's sequences, whatever the caller's search_path says.
DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['erp_new_epoch(bigint, bigint)', 'erp_know_server()', 'erp_sync_ids(integer)', 'erp_outbox_know_server()'] LOOP
        EXECUTE format('ALTER FUNCTION %s SET search_path = pg_catalog, %I, pg_temp', name, current_schema());
    END LOOP;
    EXECUTE format('ALTER FUNCTION erp_server() SET search_path = pg_catalog, pg_temp');
    PERFORM setval('erp_server_seq', hashtextextended(s.system || '/' || s.timeline || '/' || s.database, 0)) FROM erp_server() s;
END
$$;
-- +goose StatementEnd

-- A repair that has begun and not ended: where in time the log began to know more than the database.
CREATE TABLE erp_repair (
    single   boolean     PRIMARY KEY DEFAULT true CHECK (single),
    since    timestamptz NOT NULL,
    began_at timestamptz NOT NULL DEFAULT now()
);

-- +goose Down
-- Forward only: restore a backup to go back.
