-- +goose Up

-- The quarantine keeps what was refused over HTTP, too (ADR 0028). An entry of the outbox is the only copy of its event. One of HTTP is
-- a second copy, as the shop was told: so it has an identity, by which a repetition is no second entry, and it expires.
ALTER TABLE commerce_quarantine
    ADD COLUMN door           text  NOT NULL DEFAULT 'outbox' CHECK (door IN ('outbox', 'http')),
    ADD COLUMN state          text  NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'discarded')),
    ADD COLUMN identity       bytea UNIQUE,  -- of an event of HTTP: SHA-256 of its shop and id, or of its body when it has no id
    ADD COLUMN about_order    text,          -- the key of the order that the event is about, as far as it names one
    ADD COLUMN discarded_at   timestamptz,   -- the last time; the entry is open again if the shop sends another body since
    ADD COLUMN discarded_by   text,
    ADD COLUMN discard_reason text;

-- When the entry begins to age. What waits of the outbox never does.
ALTER TABLE commerce_quarantine
    ADD COLUMN ages_from timestamptz GENERATED ALWAYS AS
        (CASE WHEN door = 'http' OR state = 'discarded' THEN greatest(quarantined_at, discarded_at) END) STORED;

-- order_key stays what it was: an invoice of the outbox that goes back there when its order comes.
ALTER TABLE commerce_quarantine
    DROP CONSTRAINT commerce_quarantine_check,
    ADD CONSTRAINT commerce_quarantine_waits CHECK ((door = 'outbox' AND code = 'unknown_order') = (order_key IS NOT NULL)),
    ADD CONSTRAINT commerce_quarantine_identity CHECK ((door = 'http') = (identity IS NOT NULL)),
    ADD CONSTRAINT commerce_quarantine_discarded
        CHECK (state <> 'discarded' OR (discarded_at IS NOT NULL AND discarded_by IS NOT NULL AND discard_reason IS NOT NULL));

UPDATE commerce_quarantine SET about_order = order_key WHERE order_key IS NOT NULL;

CREATE INDEX commerce_quarantine_about ON commerce_quarantine (about_order, id) WHERE about_order IS NOT NULL;
CREATE INDEX commerce_quarantine_event ON commerce_quarantine (event_id, id) WHERE event_id IS NOT NULL;
CREATE INDEX commerce_quarantine_source ON commerce_quarantine (source, id);
CREATE INDEX commerce_quarantine_http ON commerce_quarantine (source, quarantined_at) WHERE door = 'http'; -- the bound of a shop
CREATE INDEX commerce_quarantine_ages ON commerce_quarantine (ages_from) WHERE ages_from IS NOT NULL;
CREATE INDEX commerce_quarantine_counts ON commerce_quarantine (state, source, door, code);

-- +goose Down
-- Forward only: restore a backup to go back.
