"""The distributions.

Belongs here: what is built of them, what each installs, and that it runs where nothing else is. Does not: what the
programs do (elsewhere). I/O: builds, fresh environments, and the programs in them.
"""
