"""The history of the schema, the same for all three databases.

Belongs here: Alembic's environment and its versions. Does not: changes to users' data, I/O other than the migration
itself.
"""
