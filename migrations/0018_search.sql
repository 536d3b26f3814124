-- +goose NO TRANSACTION
-- +goose Up

-- Lists of syncs (docs/search.md). Indexes are built while the product works; an interrupted build is begun anew.

-- +goose StatementBegin
DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['vendor_erp_sync_source_status', 'vendor_erp_sync_created', 'vendor_erp_sync_reference', 'sales_order_personal_email'] LOOP
        IF EXISTS (SELECT FROM pg_index WHERE indexrelid = to_regclass(name) AND NOT indisvalid) THEN
            EXECUTE format('DROP INDEX %I', name);
        END IF;
    END LOOP;
END
$$;
-- +goose StatementEnd
CREATE INDEX CONCURRENTLY IF NOT EXISTS vendor_erp_sync_source_status ON vendor_erp_sync (source, status, updated_at, sync_id);
CREATE INDEX CONCURRENTLY IF NOT EXISTS vendor_erp_sync_created ON vendor_erp_sync (created_at, sync_id);
CREATE INDEX CONCURRENTLY IF NOT EXISTS vendor_erp_sync_reference ON vendor_erp_sync (erp_reference) WHERE erp_reference IS NOT NULL;
DROP INDEX IF EXISTS vendor_erp_sync_status;

-- Personal data: the customers' e-mail addresses, in small letters.
CREATE INDEX CONCURRENTLY IF NOT EXISTS sales_order_personal_email ON sales_order (lower(snapshot ->> 'customer_email'))
    WHERE snapshot ->> 'customer_email' IS NOT NULL;

-- What follows is kept by the projector, in the transaction that writes the rows. It can be made again from them.

-- Errors of one kind: with the same status and code, and with the same text but for numbers and names.
CREATE TABLE IF NOT EXISTS vendor_erp_sync_error_group (
    group_id    bigint      PRIMARY KEY,
    http_status integer     NOT NULL, -- 0: there was no answer
    error_code  text        NOT NULL,
    text        text        NOT NULL,
    first_seen  timestamptz NOT NULL,
    last_seen   timestamptz NOT NULL
);

-- The syncs whose row has a last_error and that are no success. updated_at is the row's.
CREATE TABLE IF NOT EXISTS vendor_erp_sync_error (
    sync_id    bigint      PRIMARY KEY,
    group_id   bigint      NOT NULL,
    updated_at timestamptz NOT NULL
);
CREATE INDEX IF NOT EXISTS vendor_erp_sync_error_of_group ON vendor_erp_sync_error (group_id, updated_at, sync_id);

-- How many rows there are; group_id 0: without an error.
CREATE TABLE IF NOT EXISTS vendor_erp_sync_count (
    source   text   NOT NULL,
    status   text   NOT NULL,
    group_id bigint NOT NULL,
    n        bigint NOT NULL,
    PRIMARY KEY (source, status, group_id)
);

-- The sum of the projector's positions that the counts belong to. Another sum than that of projector_position: somebody wrote rows
-- without counting, so they are counted anew. -1: nobody has counted.
CREATE TABLE IF NOT EXISTS vendor_erp_sync_counted (
    single  boolean PRIMARY KEY DEFAULT true CHECK (single),
    offsets bigint  NOT NULL
);
INSERT INTO vendor_erp_sync_counted (offsets) VALUES (-1) ON CONFLICT DO NOTHING;

-- +goose Down
-- Forward only: restore a backup to go back.
