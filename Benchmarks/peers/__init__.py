"""The other implementations: each runs in a process of its own (worker.py) and answers lines."""
