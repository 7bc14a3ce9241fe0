"""Tests of the three distributions.

Belongs here: how they are built, what each installs, and that it runs where nothing else is installed. Does not: what
the programs do (elsewhere). I/O: builds, fresh environments, and the programs in them.
"""
