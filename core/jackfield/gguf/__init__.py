"""Bounds-first GGUF reader and the table of block formats."""
