"""Scheduler, KV pages, prefix tree, state checkpoints, sampling, sessions."""

from jackfield.engine.contract import (
    EngineStats,
    SampledToken,
    SequenceRequest,
    SequenceSink,
    SequenceStats,
    TokenMask,
)
from jackfield.engine.engine import Engine

__all__ = [
    "Engine",
    "EngineStats",
    "SampledToken",
    "SequenceRequest",
    "SequenceSink",
    "SequenceStats",
    "TokenMask",
]
