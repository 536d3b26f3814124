-- +goose Up

-- The write side: one order as the shop last published it. order_key is the order's key (see domain.OrderRef.Key).
CREATE TABLE sales_order (
    order_key    text        PRIMARY KEY,
    source       text        NOT NULL,
    increment_id text        NOT NULL,
    order_id     bigint,
    snapshot     json        NOT NULL, -- json, not jsonb: amounts and unknown fields keep the bytes they came with
    erp_synced   smallint    NOT NULL DEFAULT 0 CHECK (erp_synced IN (0, 1)),
    created_at   timestamptz NOT NULL,
    updated_at   timestamptz NOT NULL,
    UNIQUE (source, increment_id)
);
CREATE INDEX sales_order_order_id ON sales_order (order_id) WHERE order_id IS NOT NULL;

-- Every event ever accepted, for deduplication; kept for ever. The digest tells a repeated event from a changed one.
CREATE TABLE accepted_event (
    source      text        NOT NULL,
    event_id    text        NOT NULL,
    order_key   text        NOT NULL,
    digest      bytea       NOT NULL, -- SHA-256 of the event's JSON with its members in order
    accepted_at timestamptz NOT NULL,
    PRIMARY KEY (source, event_id)
);

CREATE SEQUENCE erp_sync_id_seq;

-- One row per order; every request of the order locks it first, several in the order of order_key.
CREATE TABLE erp_sync_gate (
    order_key       text        PRIMARY KEY,
    source          text        NOT NULL,
    increment_id    text        NOT NULL,
    sync_id         bigint      UNIQUE,
    generation      integer     NOT NULL DEFAULT 0,
    state           text        NOT NULL DEFAULT 'none' CHECK (state IN ('none', 'held', 'open', 'closed')),
    held_by         text        CHECK (held_by IN ('cron', 'disabled')),
    closed_by       text        CHECK (closed_by IN ('answer', 'failure', 'webhook', 'hand', 'rejected', 'cancelled', 'superseded')),
    idempotency_key text,
    key_number      integer     NOT NULL DEFAULT 0,
    key_answered    boolean     NOT NULL DEFAULT false,
    max_attempts    integer     NOT NULL DEFAULT 0,
    request_number  integer     NOT NULL DEFAULT 0,
    callback_number integer     NOT NULL DEFAULT 0,
    version         bigint      NOT NULL DEFAULT 0,
    requested_at    timestamptz,
    updated_at      timestamptz NOT NULL,
    CHECK ((state = 'none') = (sync_id IS NULL)),
    CHECK ((state = 'none') = (generation = 0)),
    CHECK ((state = 'held') = (held_by IS NOT NULL)),
    CHECK ((state = 'closed') = (closed_by IS NOT NULL)),
    CHECK (state = 'none' OR idempotency_key IS NOT NULL)
);
CREATE INDEX erp_sync_gate_held ON erp_sync_gate (requested_at, order_key) WHERE state = 'held';

-- Insert-only, written by our services, range-partitioned by id so that retention drops partitions and never rows.
-- CACHE 1: ids are allotted in the order of the calls, which keeps the holes that the relay waits for short.
CREATE SEQUENCE erp_outbox_id_seq CACHE 1;
CREATE TABLE erp_outbox (
    id         bigint      NOT NULL DEFAULT nextval('erp_outbox_id_seq'),
    topic      text        NOT NULL,
    key        text        NOT NULL,
    uuid       text        NOT NULL,
    metadata   text        NOT NULL, -- Watermill's metadata, a JSON object of strings
    payload    bytea       NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (id)
) PARTITION BY RANGE (id);
ALTER SEQUENCE erp_outbox_id_seq OWNED BY erp_outbox.id;
CREATE TABLE erp_outbox_p0 PARTITION OF erp_outbox FOR VALUES FROM (0) TO (10000000);
CREATE TABLE erp_outbox_default PARTITION OF erp_outbox DEFAULT;

-- The projection: the module's columns, then source, generation and the stamps of the fold. Only the projector writes.
-- payload and response are text: jsonb would change the bytes.
CREATE TABLE vendor_erp_sync (
    sync_id                bigint      PRIMARY KEY,
    order_id               bigint,
    order_increment_id     text        NOT NULL,
    status                 text        NOT NULL CHECK (status IN ('pending', 'queued', 'in_progress', 'success', 'failed')),
    attempts               integer     NOT NULL,
    max_attempts           integer     NOT NULL,
    last_attempt_at        timestamptz,
    next_attempt_at        timestamptz,
    last_error             text,
    erp_reference          text,
    idempotency_key        text        NOT NULL,
    payload                text,
    response               text,
    created_at             timestamptz NOT NULL,
    updated_at             timestamptz NOT NULL,
    source                 text        NOT NULL,
    generation             integer     NOT NULL,
    attempt_version        bigint      NOT NULL,
    attempt_version_at     timestamptz NOT NULL,
    version                bigint      NOT NULL,
    version_at             timestamptz NOT NULL,
    reference_version      bigint      NOT NULL DEFAULT 0,
    reference_version_at   timestamptz,
    UNIQUE (source, order_increment_id)
);
CREATE INDEX vendor_erp_sync_order_id ON vendor_erp_sync (order_id) WHERE order_id IS NOT NULL;
CREATE INDEX vendor_erp_sync_key ON vendor_erp_sync (idempotency_key);
CREATE INDEX vendor_erp_sync_status ON vendor_erp_sync (status, updated_at, sync_id);

-- The timeline: each fact once by its coordinates, partitioned by the fact's time.
CREATE TABLE vendor_erp_sync_event (
    occurred_at timestamptz NOT NULL,
    topic       text        NOT NULL,
    partition   integer     NOT NULL,
    "offset"    bigint      NOT NULL,
    sync_id     bigint      NOT NULL,
    version     bigint      NOT NULL,
    type        text        NOT NULL,
    status      text        NOT NULL,
    attempts    integer     NOT NULL,
    http_status integer,
    error_code  text,
    error       text,
    cause       text,
    PRIMARY KEY (topic, partition, "offset", occurred_at)
) PARTITION BY RANGE (occurred_at);
CREATE TABLE vendor_erp_sync_event_default PARTITION OF vendor_erp_sync_event DEFAULT;
CREATE INDEX vendor_erp_sync_event_sync ON vendor_erp_sync_event (sync_id, version);

-- The projector's positions, written in the transaction of the batch they belong to. next_offset: the first not applied.
CREATE TABLE projector_position (
    topic       text    NOT NULL,
    partition   integer NOT NULL,
    next_offset bigint  NOT NULL,
    PRIMARY KEY (topic, partition)
);

-- What somebody changed at run time; a missing row means the environment's value.
CREATE TABLE setting (
    name       text        PRIMARY KEY,
    value      jsonb       NOT NULL,
    version    bigint      NOT NULL DEFAULT 1,
    changed_by text        NOT NULL,
    changed_at timestamptz NOT NULL DEFAULT now()
);

-- +goose Down
-- Forward only: restore a backup to go back.
