-- +goose Up

-- Runs of `audit` and `verify` that the scheduler makes for whoever has asked for one over HTTP (docs/audit.md), and what they found.
CREATE TABLE audit_run (
    run_id     bigint      PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    kind       text        NOT NULL CHECK (kind IN ('audit', 'verify')),
    from_time  timestamptz,              -- orders whose first event was accepted then or later; null: all
    to_time    timestamptz,              -- and before that; null: all up to now
    source     text,                     -- of this shop only; null: all
    reason     text        NOT NULL,
    asked_by   text        NOT NULL,
    asked_at   timestamptz NOT NULL,
    state      text        NOT NULL DEFAULT 'queued' CHECK (state IN ('queued', 'running', 'done', 'failed', 'cancelled')),
    started_at timestamptz,              -- the last time, if it was begun again
    begun      integer     NOT NULL DEFAULT 0, -- how often it was begun: a process that ran it may have died
    ended_at   timestamptz,
    done       bigint      NOT NULL DEFAULT 0, -- offsets of the log that are read
    of_all     bigint      NOT NULL DEFAULT 0, -- of so many
    compared_at timestamptz,              -- the moment that the result is true of
    counts     jsonb,                    -- what was counted
    found      bigint      NOT NULL DEFAULT 0, -- how many findings there are
    found_by_kind jsonb,
    findings   jsonb,                    -- the first of them
    error      text,                     -- why it failed, or who has cancelled it
    CHECK ((state IN ('queued', 'running')) = (ended_at IS NULL)),
    CHECK ((state = 'done') = (counts IS NOT NULL))
);
-- One at a time. It also finds the one that is to be done.
CREATE UNIQUE INDEX audit_run_open ON audit_run ((true)) WHERE state IN ('queued', 'running');
CREATE INDEX audit_run_of_kind ON audit_run (kind, run_id);
CREATE INDEX audit_run_ended ON audit_run (ended_at) WHERE ended_at IS NOT NULL;

-- +goose Down
-- Forward only: restore a backup to go back.
