-- +goose Up

-- Beside the runs that the scheduler makes, the table holds those of the commands `audit` and `verify` (docs/audit.md, ADR 0042). A command
-- says each second that it is still there; the scheduler ends the run of one that was killed.
ALTER TABLE audit_run
    ADD COLUMN made_by text NOT NULL DEFAULT 'scheduler' CHECK (made_by IN ('scheduler', 'command')),
    ADD COLUMN seen_at timestamptz,      -- of a command: when it was there last, by the clock of this server
    ADD CHECK ((made_by = 'command') = (seen_at IS NOT NULL)),
    ADD CHECK (made_by = 'scheduler' OR state <> 'queued');

-- One at a time, of those that the scheduler makes. A command waits for nobody.
DROP INDEX audit_run_open;
CREATE UNIQUE INDEX audit_run_open ON audit_run ((true)) WHERE made_by = 'scheduler' AND state IN ('queued', 'running');
-- Commands that are at work, or were killed.
CREATE INDEX audit_run_of_commands ON audit_run (seen_at) WHERE made_by = 'command' AND state = 'running';
-- The newest audit of everything: audit_interval counts from it.
CREATE INDEX audit_run_of_everything ON audit_run (run_id)
    WHERE made_by = 'scheduler' AND kind = 'audit' AND from_time IS NULL AND to_time IS NULL AND source IS NULL;

-- +goose Down
-- Forward only: restore a backup to go back.
