-- +goose Up

-- What a request says of its order: what may be wrong with it, and what of it the ERP is not sent. One remark a line.
ALTER TABLE vendor_erp_sync_event ADD COLUMN warnings text, ADD COLUMN not_sent text;

-- +goose Down
-- Forward only: restore a backup to go back.
