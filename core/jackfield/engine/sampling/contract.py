"""The contract of a sampling stage, for ``jackfield_samplers`` plugins.

A request's stages are built once, from its ``Sampling`` and the vocabulary. For every token, the engine adds
``logit_bias``, applies the penalties, removes suppressed tokens and what the grammar forbids; then each stage
sees the candidates in the order of its descriptor; then one token is drawn and every stage is told which.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from jackfield.engine.sampling.candidates import Candidates
from jackfield.service.requests import Sampling

__all__ = ["BareVocabulary", "SamplerStage", "StageFactory", "VocabularyView"]


class VocabularyView(Protocol):
    """What a stage may know of the vocabulary; a ``Tokenizer`` is one."""

    @property
    def vocab_size(self) -> int:
        """V."""
        ...

    def piece(self, token_id: int) -> bytes:
        """Return the bytes a token stands for."""
        ...


@dataclass(frozen=True)
class BareVocabulary:
    """A vocabulary of which nothing but the size is known; every piece is empty."""

    vocab_size: int

    def piece(self, token_id: int) -> bytes:
        """Return no bytes."""
        return b""


class SamplerStage(Protocol):
    """One stage of one request's sampling; called from the engine's thread only."""

    def apply(
        self, candidates: Candidates, history: npt.NDArray[np.int32], uniform: Callable[[], float]
    ) -> None:
        """Change the candidates' logits, or keep only some of them.

        Args:
            candidates: At least one has a finite logit; the stage must leave it so.
            history: Prompt and generated tokens so far, read-only.
            uniform: The request's own random numbers in [0, 1).
        """
        ...

    def accept(self, token_id: int, probability: float) -> None:
        """Learn which token was drawn, and its probability in the draw (1 when greedy)."""
        ...


StageFactory = Callable[[Sampling, VocabularyView], SamplerStage | None]
