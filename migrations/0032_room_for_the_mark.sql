-- +goose Up

-- An order is marked as synced soon after it was stored, and most often together with its neighbours. With room on its page the new row
-- changes no index, and the log of Postgres has what differs and not the snapshot (ADR 0045). Pages that are full stay as they are.
ALTER TABLE sales_order SET (fillfactor = 50);

-- +goose Down
-- Forward only: restore a backup to go back.
