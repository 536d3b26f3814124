-- +goose Up

-- What the last settling callback of the generation said, so that the same one again is no new fact.
ALTER TABLE erp_sync_gate ADD COLUMN callback text;

-- Whoever changed a setting, when and from what; the newest version of each name stands in setting.
CREATE TABLE setting_history (
    name       text        NOT NULL,
    version    bigint      NOT NULL,
    before     jsonb,               -- null: the environment's value
    after      jsonb,               -- null: back to the environment's value
    changed_by text        NOT NULL,
    reason     text,
    changed_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (name, version)
);
CREATE INDEX setting_history_version ON setting_history (version DESC, name);

-- By the reason first: the scheduler looks for each by itself, twice a second.
DROP INDEX erp_sync_gate_held;
CREATE INDEX erp_sync_gate_held ON erp_sync_gate (held_by, requested_at, order_key) WHERE state = 'held';

-- When each cron schedule ran last, so that a missed run is caught up once.
CREATE TABLE cron_run (
    name     text        PRIMARY KEY, -- the schedule, five fields of cron
    due_at   timestamptz NOT NULL,    -- up to here runs are done with
    ran_at   timestamptz NOT NULL,
    released integer     NOT NULL
);

-- +goose Down
-- Forward only: restore a backup to go back.
