"""Sampling stages beyond the core ones, one file each."""
