"""Importing this starts the pool, which takes seconds that count for no check's limit."""

from checks.processes.pool import pool

pool().start()
