"""Model families, one file each, named as the checkpoint spells it."""
