-- +goose Up

-- What stands in the dead-letter topic, without the records' contents, and what became of it. The projector writes the first
-- part from the topic alone; generation, state and the decision come from requests.
CREATE TABLE erp_dead_letter (
    id          bigint      PRIMARY KEY, -- the letter's offset in the topic, which has one partition
    written_at  timestamptz NOT NULL,
    written_by  text        NOT NULL,    -- who could not use the record: syncer, delayer, projector, or a subscriber's group
    topic       text        NOT NULL,    -- where the record stood; '' when the letter does not say
    partition   integer     NOT NULL,
    "offset"    bigint      NOT NULL,
    order_key   text        NOT NULL,    -- the record's key, cut, as what nobody can read may have any
    ce_id       text        NOT NULL,
    record_at   timestamptz,             -- the record's ce_time
    due_at      timestamptz,             -- of a retry
    bytes       integer     NOT NULL,    -- of the record's value
    reason      text        NOT NULL,
    ended       boolean     NOT NULL,    -- the generation's terminal event was written with the letter
    judged      boolean     NOT NULL,    -- it is known whether the letter stops its order
    generation  integer,                 -- of the order, that it has stopped
    state       text        NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'redriven', 'discarded')),
    decided_by  text,
    decided_at  timestamptz,
    decision    text,                    -- why
    UNIQUE (topic, partition, "offset", written_by), -- a crash may write a letter twice
    CHECK ((state = 'open') = (decided_at IS NULL))
);
CREATE INDEX erp_dead_letter_open ON erp_dead_letter (id) WHERE state = 'open';
CREATE INDEX erp_dead_letter_unjudged ON erp_dead_letter (id) WHERE NOT judged;
CREATE INDEX erp_dead_letter_order ON erp_dead_letter (order_key, id);

-- One value more. Not checked again: what stands there fits already.
ALTER TABLE erp_sync_gate ADD CONSTRAINT erp_sync_gate_closed_by CHECK (closed_by IN
    ('answer', 'failure', 'webhook', 'hand', 'rejected', 'cancelled', 'superseded', 'dead_letter')) NOT VALID;
ALTER TABLE erp_sync_gate DROP CONSTRAINT erp_sync_gate_closed_by_check;

-- The orders that have not ended, oldest first, for the metric of the oldest.
CREATE INDEX erp_sync_gate_unfinished ON erp_sync_gate (state, updated_at) WHERE state IN ('held', 'open');

-- +goose Down
-- Forward only: restore a backup to go back.
