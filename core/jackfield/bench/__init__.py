"""Measuring a model: prefill, decode, batches, contexts; beside llama.cpp in the same run."""
