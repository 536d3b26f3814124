-- +goose Up

-- Tokens of the API (docs/access.md). The token itself is shown once and kept nowhere; hash is its SHA-256.
CREATE TABLE api_token (
    token_id     bigint      PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    name         text        NOT NULL,
    hash         bytea       NOT NULL UNIQUE,
    hint         text        NOT NULL, -- its first characters, by which people know it
    resources    text[]      NOT NULL,
    source       text,                 -- the one shop that it is for; null: all
    created_at   timestamptz NOT NULL,
    created_by   text        NOT NULL,
    expires_at   timestamptz,          -- null: never
    revoked_at   timestamptz,
    revoked_by   text,
    last_used_at timestamptz,          -- to the minute
    CHECK ((revoked_at IS NULL) = (revoked_by IS NULL))
);
-- One name means one token at a time.
CREATE UNIQUE INDEX api_token_name ON api_token (name) WHERE revoked_at IS NULL;

-- +goose Down
-- Forward only: restore a backup to go back.
