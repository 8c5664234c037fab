"""Alembic's environment and the schema's history; `versions/` files are named by their revision."""
