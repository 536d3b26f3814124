-- +goose Up

-- Where members take turns, nobody calls before all of them go by the same list of members.
ALTER TABLE erp_member ADD COLUMN roster bigint NOT NULL DEFAULT 0; -- the list that it goes by, as it told last; 0: it does not tell

-- +goose Down
-- Forward only: restore a backup to go back.
