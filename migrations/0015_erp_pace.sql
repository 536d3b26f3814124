-- +goose Up

-- When calls go out to the ERP, and how many: one row that all syncers share. A change swaps the row of the version it was made from.
CREATE TABLE erp_pace (
    id           smallint    PRIMARY KEY DEFAULT 1 CHECK (id = 1),
    breaker      jsonb       NOT NULL DEFAULT '{}', -- whether calls go out
    hold         jsonb       NOT NULL DEFAULT '{}', -- until when the ERP asked to wait
    concurrency  jsonb       NOT NULL DEFAULT '{}', -- how many calls may be under way at once
    learnt_rate  jsonb       NOT NULL DEFAULT '{}', -- the rate that the ERP has shown by 429
    meter        jsonb       NOT NULL DEFAULT '{}', -- the answers of the newest two seconds
    next_call_at timestamptz,                       -- when the next call may start, by erp_rate; null: at once
    settings     jsonb       NOT NULL DEFAULT '{}', -- those that the numbers before were made with
    version      bigint      NOT NULL DEFAULT 0,
    updated_at   timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 10); -- it is updated all the time: the old rows of one page are cleaned up without a vacuum
INSERT INTO erp_pace DEFAULT VALUES;

-- Each change of the breaker, for ever.
CREATE TABLE erp_pace_history (
    id         bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at         timestamptz NOT NULL,
    from_state text        NOT NULL,
    to_state   text        NOT NULL,
    why        text        NOT NULL,
    by         text        NOT NULL, -- a process, or a person
    allowed    integer     NOT NULL  -- closing: calls at once from then on
);

-- The processes that call the ERP, and share what it can take.
CREATE TABLE erp_member (
    process   text        PRIMARY KEY,
    joined_at timestamptz NOT NULL,
    seen_at   timestamptz NOT NULL,
    in_flight integer     NOT NULL  -- its calls under way, as it told last
) WITH (fillfactor = 10);

-- +goose Down
-- Forward only: restore a backup to go back.
