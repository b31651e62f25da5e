"""What Alembic runs to bring the tables of a database up to date: on the connection that it is given."""

from __future__ import annotations

from alembic import context

from edgelm.server.tables import Table

context.configure(
    connection=context.config.attributes["connection"], target_metadata=Table.metadata,
    transactional_ddl=True, render_as_batch=True,
)  # fmt: skip
with context.begin_transaction():
    context.run_migrations()
