"""What ``scripts/demo`` shows: a client of ``portico up`` that knows nothing of the library. It is not installed."""
