"""A shop in Python: it books an invoice and publishes it to the ERP connector in one transaction.

    pip install 'psycopg[binary]'
    DATABASE_URL=postgres://… python services/examples/publish-python/publish.py 000000204

Amounts go as text, so that no float comes between the shop and the ERP.
"""
import os
import sys
from decimal import Decimal

import psycopg
from psycopg.types.json import Jsonb


def invoice_created(order: str) -> dict:
    price, qty, shipping = Decimal("349.00"), 2, Decimal("9.90")
    subtotal = price * qty
    return {
        "event_id": f"invoice-{order}",  # the same when it is published again: it is no second order then
        "type": "invoice.created",
        "invoice": {"increment_id": f"INV-{order}"},
        "order": {
            "order_increment_id": order,
            "currency": "EUR",
            "customer_email": "kim@example.com",
            "items": [{"sku": "KIDS-1", "name": "Kids' scooter", "qty": str(qty), "price": str(price), "row_total": str(subtotal)}],
            "totals": {"subtotal": str(subtotal), "tax": "0.00", "shipping": str(shipping), "discount": "0.00", "grand_total": str(subtotal + shipping)},
        },
    }


def main(order: str) -> None:
    with psycopg.connect(os.environ["DATABASE_URL"]) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS shop_invoice (order_number text PRIMARY KEY, booked_at timestamptz NOT NULL)")
        with connection.transaction():
            connection.execute(
                "INSERT INTO shop_invoice VALUES (%s, now()) ON CONFLICT (order_number) DO UPDATE SET booked_at = now()", [order])
            connection.execute("SELECT erp_publish(%s)", [Jsonb(invoice_created(order))])


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: publish.py ORDER")
    main(sys.argv[1])
