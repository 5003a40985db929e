"""First-party backends: reference (numpy), cpu (numba), null."""
