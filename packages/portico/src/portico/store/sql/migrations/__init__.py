"""The history of the tables, one for all three databases.

Belongs here: Alembic's environment and its versions. Does not: data that users own, I/O other than the migration
itself.
"""
