"""Tokenizer contract, sandboxed chat templates, streaming detokeniser, output-stream parsing."""
