"""Tokenizer algorithms, one file each, named as `tokenizer.ggml.model` spells it."""
