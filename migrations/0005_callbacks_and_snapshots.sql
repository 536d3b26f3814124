-- +goose Up

-- What the ERP's callbacks said of an order, by the SHA-256 of their raw bodies: the same body again changes nothing,
-- whatever happened in between. Written and read under the lock of the order's gate, and by callbacks only.
CREATE TABLE erp_callback (
    order_key  text        NOT NULL,
    digest     bytea       NOT NULL,
    reference  bytea,                -- SHA-256 of the ERP's reference, when the callback names one
    generation integer     NOT NULL, -- that the reference is known of; 0: of none
    heard_in   integer     NOT NULL, -- the newest generation in which the body came
    heard_at   timestamptz NOT NULL, -- for the first time
    PRIMARY KEY (order_key, digest)
);

-- What the ERP's answers called an order, by the SHA-256 of the reference, and the newest generation that was answered so.
-- Whoever closes gates writes it; a callback of a later generation is compared with it.
CREATE TABLE erp_reference (
    order_key  text    NOT NULL,
    digest     bytea   NOT NULL,
    generation integer NOT NULL,
    PRIMARY KEY (order_key, digest)
);

-- The newest time that is known of an order's states: its updated_at, else occurred_at of the event that brought it. An older
-- state replaces no newer one. Null: no event gave a time since this column is there.
ALTER TABLE sales_order ADD COLUMN snapshot_at timestamptz;

-- What the event was, so that its id with another type is no duplicate. Null: it was accepted before this column was there.
ALTER TABLE accepted_event ADD COLUMN type text;

ALTER TABLE commerce_quarantine DROP CONSTRAINT commerce_quarantine_code_check,
    ADD CONSTRAINT commerce_quarantine_code_check CHECK (code IN ('refused', 'unknown_order', 'too_large', 'failed', 'conflict'));

-- +goose Down
-- Forward only: restore a backup to go back.
