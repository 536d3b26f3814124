CREATE SCHEMA IF NOT EXISTS warehouse;

-- Every fact that was applied. It commits with what it changed, so a record that comes twice changes nothing.
CREATE TABLE IF NOT EXISTS warehouse.seen (
    ce_source text        NOT NULL,
    ce_id     text        NOT NULL,
    seen_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (ce_source, ce_id)
);

-- One row per order, as its newest fact has it.
CREATE TABLE IF NOT EXISTS warehouse.pick (
    source        text        NOT NULL,
    increment_id  text        NOT NULL,
    state         text        NOT NULL CHECK (state IN ('to_pick', 'stopped')),
    version       bigint      NOT NULL,
    stated_at     timestamptz NOT NULL,
    erp_reference text,
    lines         jsonb       NOT NULL, -- [{"sku": …, "name": …, "qty": …}]
    facts         int         NOT NULL, -- how many different ones there were
    PRIMARY KEY (source, increment_id)
);
