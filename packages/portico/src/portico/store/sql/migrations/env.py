"""Alembic's environment: run by ``portico.store.sql.schema`` with a connection, never with a configuration file."""

from alembic import context

from portico.resources import Row

connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=Row.metadata,
    render_as_batch=connection.dialect.name == "sqlite",
    transactional_ddl=connection.dialect.name == "postgresql",
)
with context.begin_transaction():
    context.run_migrations()
