"""Tasks: the steps that flows are made of, one task per idea.

Belongs here: TaskFlow tasks, and the work of one run of a flow (``work``). Every task is an *ensure*: it can run twice,
on two workers, with the same result as running once. Ids are chosen and stored before the side effect.
Only a task that acquired something has a ``revert``, and a revert first makes sure that the lease is still this
worker's.
Does not: decisions about order (flows) or about which operations run together (worker); I/O other than through the
store and the drivers.
"""
