"""Tiny checkpoints, doubles and contract suites, for our tests and for plugin authors."""
