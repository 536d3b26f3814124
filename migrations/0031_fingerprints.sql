-- +goose Up

-- Errors of one kind have the same code of the ERP, and the same field that it complains of, where its answer says them (ADR 0043).
ALTER TABLE vendor_erp_sync_error_group
    ADD COLUMN erp_code text NOT NULL DEFAULT '',
    ADD COLUMN field    text NOT NULL DEFAULT ''; -- a path like items[#].sku

-- By which rules the errors were told apart (domain.Fingerprint). By other ones than the projector's: it makes groups and counts anew.
ALTER TABLE vendor_erp_sync_counted ADD COLUMN fingerprint integer NOT NULL DEFAULT 1;

-- +goose Down
-- Forward only: restore a backup to go back.
