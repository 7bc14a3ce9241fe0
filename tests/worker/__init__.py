"""Tests of the controller worker.

Belongs here: the contract's methods, what they do to rows and to the (no-op) world, alone, together and against each
other. Does not: single flows (``tests/flows``), single store functions (``tests/store``), real agents. Does I/O on a
database of the test's own only.
"""
