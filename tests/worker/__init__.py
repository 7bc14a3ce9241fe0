"""Tests of the controller worker.

Belongs here: the contract's methods, and their effects on rows and on the (no-op) drivers, alone, together and against
each other. Does not: single flows (``tests/flows``), single store functions (``tests/store``), real agents. I/O: only a
database of the test's own.
"""
