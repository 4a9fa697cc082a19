"""The tables' history (Alembic), and the way to bring a database up to date."""
