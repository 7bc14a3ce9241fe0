"""Tests of ``portico_files``.

Belongs here: whom a program trusts with its files. Does not: what commands and agents say of it. I/O: temporary files.
"""
