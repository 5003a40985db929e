"""First-party HTTP dialects, one each."""
