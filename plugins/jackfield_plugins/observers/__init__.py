"""Observers of a serving process, one file each."""
