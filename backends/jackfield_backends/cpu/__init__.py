"""The cpu backend: a program becomes a table of native calls that threads walk outside the interpreter."""
