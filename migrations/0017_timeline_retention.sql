-- +goose NO TRANSACTION
-- +goose Up

-- Lines of the timeline that are older than timeline_retention are deleted (ADR 0023). The index finds them. It has an entry for each
-- range of the table's pages, so it costs writers next to nothing. It is built while they go on.

-- +goose StatementBegin
-- What an interrupted build has left is none.
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_index WHERE indexrelid = to_regclass('vendor_erp_sync_event_default_at') AND NOT indisvalid) THEN
        DROP INDEX vendor_erp_sync_event_default_at;
    END IF;
END
$$;
-- +goose StatementEnd
CREATE INDEX CONCURRENTLY IF NOT EXISTS vendor_erp_sync_event_default_at ON vendor_erp_sync_event_default USING brin (occurred_at) WITH (autosummarize = on);
CREATE INDEX IF NOT EXISTS vendor_erp_sync_event_at ON ONLY vendor_erp_sync_event USING brin (occurred_at) WITH (autosummarize = on);
ALTER INDEX vendor_erp_sync_event_at ATTACH PARTITION vendor_erp_sync_event_default_at;

-- Lines of before may have been deleted. It is written with the first deletion, in its transaction.
CREATE TABLE IF NOT EXISTS erp_timeline_floor (
    single boolean     PRIMARY KEY DEFAULT true CHECK (single),
    before timestamptz NOT NULL
);

-- +goose Down
-- Forward only: restore a backup to go back.
