-- +goose Up

-- People who log in with a password (docs/access.md). The password is kept as its argon2id hash only.
CREATE TABLE api_user (
    user_id     bigint      PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    name        text        NOT NULL,
    password    text        NOT NULL, -- $argon2id$v=19$m=…,t=…,p=…$salt$hash
    resources   text[]      NOT NULL,
    source      text,                 -- the one shop that the user is for; null: all
    created_at  timestamptz NOT NULL,
    created_by  text        NOT NULL,
    changed_at  timestamptz,
    changed_by  text,
    disabled_at timestamptz,
    disabled_by text,
    CHECK ((changed_at IS NULL) = (changed_by IS NULL)),
    CHECK ((disabled_at IS NULL) = (disabled_by IS NULL))
);
-- Jane and jane are one: Magento does not tell them apart either.
CREATE UNIQUE INDEX api_user_name ON api_user (lower(name));

-- A token of a user is a session: a login made it. What it may do is the user's, so resources are empty and source is null.
ALTER TABLE api_token ADD COLUMN user_id bigint REFERENCES api_user ON DELETE CASCADE;
CREATE INDEX api_token_user ON api_token (user_id, token_id) WHERE user_id IS NOT NULL;

-- A user has many sessions under one name.
DROP INDEX api_token_name;
CREATE UNIQUE INDEX api_token_name ON api_token (name) WHERE revoked_at IS NULL AND user_id IS NULL;

-- +goose Down
-- Forward only: restore a backup to go back.
