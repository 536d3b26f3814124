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

-- When each cron schedule ran last, so that a missed run is caught up once.
CREATE TABLE cron_run (
    name     text        PRIMARY KEY,
    due_at   timestamptz NOT NULL, -- the scheduled time of the last run
    ran_at   timestamptz NOT NULL,
    released integer     NOT NULL
);

-- +goose Down
-- Forward only: restore a backup to go back.
