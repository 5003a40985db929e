"""Scheduler, KV pages, prefix tree, state checkpoints, sampling, sessions."""
