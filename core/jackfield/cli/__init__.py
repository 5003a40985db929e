"""The command line: serve, chat, run, inspect, logits, plugins, doctor."""
