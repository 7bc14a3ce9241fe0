"""Tests of the queue: requests on one side of a real RabbitMQ, workers on the other.

Belongs here: that messages wake workers, and that nothing depends on them. Does not: what every notifier does
(``tests/contracts``), what workers do once they are awake (``tests/worker``). Does I/O: a broker, a database,
processes.
"""
