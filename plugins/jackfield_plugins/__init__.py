"""First-party plugins: architectures, tokenizers, chat formats, samplers, observers."""
