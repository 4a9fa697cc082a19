"""What the roles write to PostgreSQL: one file a table family, with its SQL."""
