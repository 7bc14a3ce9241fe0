"""Tests of ``portico_files``.

Belongs here: which owners and modes of files a program trusts. Does not: how commands and agents report it. I/O:
temporary files.
"""
