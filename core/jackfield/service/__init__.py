"""Typed requests and events, and placing an engine in a thread or a child process."""
