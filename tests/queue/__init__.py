"""Tests of the queue: requests on one side, workers on the other, and RabbitMQ or PostgreSQL's notifications between.

Belongs here: that messages wake workers, and that nothing else depends on messages. Does not: what every notifier does
(``tests/contracts``), what workers do once they are awake (``tests/worker``). I/O: a broker, a database, processes.
"""
