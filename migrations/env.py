"""What Alembic runs: migrations on the connection that run.py gives."""

from alembic import context

from schemas.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
with context.begin_transaction():
    context.run_migrations()
