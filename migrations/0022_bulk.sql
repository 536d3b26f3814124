-- +goose Up

-- Bulk commands (docs/bulk.md). A preview waits for somebody to start it by its token, which is kept as its SHA-256 only.
CREATE TABLE bulk_preview (
    hash       bytea       PRIMARY KEY,
    plan       jsonb       NOT NULL, -- its filter may name a customer's e-mail address: personal data, for the minutes until it expires
    made_by    text        NOT NULL,
    expires_at timestamptz NOT NULL
);
CREATE INDEX bulk_preview_expires ON bulk_preview (expires_at);

CREATE TABLE bulk_job (
    job_id     bigint      PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    command    text        NOT NULL,
    new_key    boolean     NOT NULL,
    reason     text        NOT NULL,
    source     text,                 -- the one shop that it is about; null: all
    words      jsonb,                -- the filter as it was given, without personal data; null: the orders were named one by one
    canary     integer     NOT NULL, -- how many orders must succeed first
    canary_is  text        NOT NULL CHECK (canary_is IN ('none', 'open', 'passed', 'failed', 'waived')),
    plan       jsonb,                -- until all orders are selected; its filter may name a customer's e-mail address
    place      text,                 -- the cursor of the selection
    state      text        NOT NULL CHECK (state IN ('selecting', 'running', 'paused', 'stopped', 'done')),
    why        text,                 -- of the state
    since      timestamptz NOT NULL, -- of the state
    done_then  bigint      NOT NULL DEFAULT 0, -- how many orders had ended when it began
    changed_by text        NOT NULL, -- who brought the state about
    created_at timestamptz NOT NULL,
    created_by text        NOT NULL,
    ended_at   timestamptz,
    selected   bigint      NOT NULL DEFAULT 0,
    sent       bigint      NOT NULL DEFAULT 0, -- under way now
    succeeded  bigint      NOT NULL DEFAULT 0,
    failed     bigint      NOT NULL DEFAULT 0,
    refused    bigint      NOT NULL DEFAULT 0,
    CHECK ((state IN ('stopped', 'done')) = (ended_at IS NOT NULL))
);
-- Those that the scheduler looks after.
CREATE INDEX bulk_job_active ON bulk_job (job_id) WHERE state IN ('selecting', 'running', 'paused') OR sent > 0;
CREATE INDEX bulk_job_ended ON bulk_job (ended_at) WHERE ended_at IS NOT NULL;

-- The orders of a job, as they were selected when it began.
CREATE TABLE bulk_item (
    job_id             bigint  NOT NULL,
    place              bigint  NOT NULL, -- from 1
    sync_id            bigint  NOT NULL,
    source             text    NOT NULL,
    order_increment_id text    NOT NULL,
    result             text    NOT NULL DEFAULT 'waiting' CHECK (result IN ('waiting', 'sent', 'succeeded', 'failed', 'refused')),
    generation         integer,          -- that the command has made, or found under way
    code               text,             -- why it was refused
    PRIMARY KEY (job_id, place),
    UNIQUE (job_id, sync_id)
);
CREATE INDEX bulk_item_result ON bulk_item (job_id, result, place);

-- +goose Down
-- Forward only: restore a backup to go back.
