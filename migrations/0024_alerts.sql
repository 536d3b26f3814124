-- +goose Up

-- Where alerts are told (docs/alerts.md). The secret stands here as it is, since it signs; Slack's address is a secret too.
CREATE TABLE alert_destination (
    destination_id bigint      PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    name           text        NOT NULL UNIQUE,
    kind           text        NOT NULL CHECK (kind IN ('webhook', 'slack', 'email')),
    address        text        NOT NULL, -- a URL, or an e-mail address
    secret         text,                 -- of a webhook: whsec_…
    alerts         text[]      NOT NULL, -- which ones are told here; none named: all
    enabled        boolean     NOT NULL DEFAULT true,
    created_at     timestamptz NOT NULL,
    created_by     text        NOT NULL,
    changed_at     timestamptz NOT NULL,
    changed_by     text        NOT NULL,
    CHECK ((kind = 'webhook') = (secret IS NOT NULL))
);

-- Each time that something began, until it is over.
CREATE TABLE alert (
    alert_id    bigint      PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    kind        text        NOT NULL,
    subject     text        NOT NULL, -- what of the kind, like an error group; '': there is one of the kind
    opened_at   timestamptz NOT NULL,
    told_at     timestamptz NOT NULL, -- of the newest notice
    told        bigint      NOT NULL, -- the level that growth is counted from
    clear_since timestamptz,          -- it looks as if it were over
    resolved_at timestamptz,
    data        jsonb       NOT NULL, -- of the newest notice
    version     bigint      NOT NULL DEFAULT 1
);
CREATE UNIQUE INDEX alert_open ON alert (kind, subject) WHERE resolved_at IS NULL;
CREATE INDEX alert_resolved ON alert (resolved_at) WHERE resolved_at IS NOT NULL;

-- A notice on its way to a destination. A retry has the same message_id and the same body.
CREATE TABLE alert_delivery (
    delivery_id    bigint      PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    alert_id       bigint      NOT NULL REFERENCES alert ON DELETE CASCADE,
    destination_id bigint      REFERENCES alert_destination ON DELETE SET NULL,
    destination    text        NOT NULL, -- its name then
    event          text        NOT NULL CHECK (event IN ('opened', 'repeated', 'resolved')),
    message_id     text        NOT NULL,
    body           text        NOT NULL,
    state          text        NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'delivered', 'failed')),
    attempts       integer     NOT NULL DEFAULT 0,
    created_at     timestamptz NOT NULL,
    next_at        timestamptz NOT NULL, -- when the next attempt is due
    ended_at       timestamptz,
    http_status    integer,              -- of the last answer; null: there was none
    said           text        NOT NULL DEFAULT '', -- what the last attempt has met
    CHECK ((state = 'pending') = (ended_at IS NULL))
);
CREATE INDEX alert_delivery_pending ON alert_delivery (next_at) WHERE state = 'pending';
CREATE INDEX alert_delivery_of_alert ON alert_delivery (alert_id, delivery_id);
CREATE INDEX alert_delivery_of_destination ON alert_delivery (destination_id);
CREATE INDEX alert_delivery_ended ON alert_delivery (ended_at) WHERE ended_at IS NOT NULL;

-- What the newest `erpconnector audit --alert` has found.
CREATE TABLE alert_audit (
    single boolean     PRIMARY KEY DEFAULT true CHECK (single),
    at     timestamptz NOT NULL,
    breaks bigint      NOT NULL,
    found  jsonb       NOT NULL -- how many of each kind
);

-- +goose Down
-- Forward only: restore a backup to go back.
