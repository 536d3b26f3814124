-- +goose Up

-- What the projector could not tell the write side, as somebody held the row locked: written in the transaction that applies
-- the facts, taken off once it is told. Each is small: it holds what is to be told, and nothing of what has been.

-- Gates whose generation has its terminal event. Answered keys of such gates stand in erp_answered_key.
CREATE TABLE erp_unclosed_gate (
    order_key  text    NOT NULL,
    generation integer NOT NULL,
    closed_by  text    NOT NULL,
    PRIMARY KEY (order_key, generation)
);

-- Orders that the ERP has, and sales_order.erp_synced does not say so. One whose order is missing stays until it comes.
CREATE TABLE erp_unmarked_order (
    order_key text PRIMARY KEY
);

-- While it has a row, the projector compares all gates and orders with the projection, in pages, from the one after this key
-- on. The row here finds what releases before these tables have skipped and not told yet.
CREATE TABLE projector_recheck (
    after_key text PRIMARY KEY
);
INSERT INTO projector_recheck VALUES ('');

-- When the groups that lost their offsets were set to the start of the log. Chain records from before may have been consumed: the
-- syncer asks the projection, which has read the whole log at that time.
CREATE TABLE erp_log_reread (
    at timestamptz PRIMARY KEY DEFAULT now()
);

-- +goose Down
-- Forward only: restore a backup to go back.
