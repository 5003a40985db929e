"""First-party HTTP protocols, one each."""
