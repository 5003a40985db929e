"""Sampling: from a row of logits to a token, with numpy as the reference of every backend's own."""

from jackfield.engine.sampling.candidates import Candidates, Scratch
from jackfield.engine.sampling.contract import BareVocabulary, SamplerStage, VocabularyView
from jackfield.engine.sampling.sampler import Sampler
from jackfield.engine.sampling.selection import highest, likeliest, smallest_keys_of_mass

__all__ = [
    "BareVocabulary",
    "Candidates",
    "Sampler",
    "SamplerStage",
    "Scratch",
    "VocabularyView",
    "highest",
    "likeliest",
    "smallest_keys_of_mass",
]
