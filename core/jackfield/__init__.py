"""Jackfield: any GGUF architecture x any backend x any HTTP protocol, each one a plugin."""

from jackfield.hooks import hookimpl

__all__ = ["__version__", "hookimpl"]

__version__ = "0.1.0"
