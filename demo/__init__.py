"""The program that ``scripts/demo`` runs: a client of ``portico up`` that uses only its API. It is not installed."""
