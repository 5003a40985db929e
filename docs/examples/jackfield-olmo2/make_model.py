"""Make a small random checkpoint of the family: python make_model.py in this folder writes model.gguf."""

from test_olmo2 import FAMILY  # run this in docs/examples/jackfield-olmo2

from jackfield.testing.tiny import make_checkpoint

make_checkpoint("model.gguf", FAMILY)
