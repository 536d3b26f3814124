-- +goose Up

-- What came in and went out, counted by the projector in the transaction that applies the facts (ADR 0039). A row counts the facts of one
-- shop that occurred within a span of time. The newest rows are of minutes; older ones are added up to ten minutes, and to hours.
CREATE TABLE vendor_erp_sync_history (
    span           integer     NOT NULL CHECK (span IN (60, 600, 3600)), -- seconds
    at             timestamptz NOT NULL,                                 -- when the span begins
    source         text        NOT NULL,
    accepted       integer     NOT NULL,
    succeeded      integer     NOT NULL,
    failed         integer     NOT NULL,
    cancelled      integer     NOT NULL,
    attempts       integer     NOT NULL,
    attempt_errors integer[]   NOT NULL, -- by class, see history.Classes
    call_ms        integer[]   NOT NULL, -- buckets, see domain.Histogram; without the empty ones at the end
    order_ms       integer[]   NOT NULL,
    PRIMARY KEY (span, at, source)
) WITH (fillfactor = 50); -- a row is written again with each batch of its minute, on the same page

-- +goose Down
-- Forward only: restore a backup to go back.
