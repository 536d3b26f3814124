-- +goose Up

-- Keys that the ERP has answered with success while the gate's row was locked by somebody else. The projector writes them in
-- the transaction that read the answer, and takes them over into the gate once it is free.
CREATE TABLE erp_answered_key (
    order_key       text NOT NULL,
    idempotency_key text NOT NULL,
    PRIMARY KEY (order_key, idempotency_key)
);
