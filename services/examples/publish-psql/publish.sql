-- A shop in SQL: it books an invoice and publishes it to the ERP connector in one transaction.
--
--   psql "$DATABASE_URL" -v order=000000203 -f services/examples/publish-psql/publish.sql
--
-- The shop's login needs one grant: GRANT erp_publisher TO shop;
\set ON_ERROR_STOP on
CREATE TABLE IF NOT EXISTS shop_invoice (order_number text PRIMARY KEY, booked_at timestamptz NOT NULL);

BEGIN;
INSERT INTO shop_invoice VALUES (:'order', now()) ON CONFLICT (order_number) DO UPDATE SET booked_at = now();
SELECT erp_publish(jsonb_build_object(
    'event_id', 'invoice-' || :'order', -- the same when it is published again: it is no second order then
    'type', 'invoice.created',
    'invoice', jsonb_build_object('increment_id', 'INV-' || :'order'),
    'order', jsonb_build_object(
        'order_increment_id', :'order',
        'currency', 'EUR',
        'customer_email', 'ana@example.com',
        'items', jsonb_build_array(jsonb_build_object('sku', 'BELL-3', 'name', 'Bell', 'qty', 3, 'price', 7.99, 'row_total', 23.97)),
        'totals', jsonb_build_object('subtotal', 23.97, 'tax', 4.55, 'shipping', 4.90, 'discount', 0.00, 'grand_total', 33.42))));
COMMIT;
