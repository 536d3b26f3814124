-- +goose NO TRANSACTION
-- +goose Up

-- Accepted events that are older than event_retention are forgotten (ADR 0035). The index finds them. It has an entry for each range of
-- the table's pages, so it costs writers next to nothing. It is built while they go on.

-- +goose StatementBegin
-- What an interrupted build has left is none.
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_index WHERE indexrelid = to_regclass('accepted_event_at') AND NOT indisvalid) THEN
        DROP INDEX accepted_event_at;
    END IF;
END
$$;
-- +goose StatementEnd
CREATE INDEX CONCURRENTLY IF NOT EXISTS accepted_event_at ON accepted_event USING brin (accepted_at) WITH (autosummarize = on);

-- +goose Down
-- Forward only: restore a backup to go back.
