-- +goose Up

-- A token with a subject is a session of somebody who has signed in at the identity provider (docs/access.md): subject is the provider's
-- sub. What it may do stands in the row, as the claims said at that time.
ALTER TABLE api_token ADD COLUMN subject text;
CREATE INDEX api_token_subject ON api_token (subject, token_id) WHERE subject IS NOT NULL;
CREATE INDEX api_token_subject_end ON api_token (expires_at) WHERE subject IS NOT NULL;

-- A person has many sessions under one name.
DROP INDEX api_token_name;
CREATE UNIQUE INDEX api_token_name ON api_token (name) WHERE revoked_at IS NULL AND user_id IS NULL AND subject IS NULL;

-- +goose Down
-- Forward only: restore a backup to go back.
