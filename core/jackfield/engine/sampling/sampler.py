"""Pick a sequence's next token from its logits.

Dimension letters: V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np
import numpy.typing as npt

from jackfield.descriptors import SamplerDescriptor
from jackfield.engine.contract import SampledToken, SequenceRequest
from jackfield.engine.sampling.candidates import Candidates, Scratch
from jackfield.engine.sampling.contract import SamplerStage, StageFactory, VocabularyView
from jackfield.engine.sampling.draws import Draws
from jackfield.engine.sampling.edits import Penalties, allowed_by, bias_arrays, is_allowed, sorted_ids
from jackfield.engine.sampling.logprobs import with_logprobs
from jackfield.engine.sampling.stages import core_stages
from jackfield.errors import NumericalError

__all__ = ["Sampler", "not_finite"]

F32 = npt.NDArray[np.float32]
I32 = npt.NDArray[np.int32]
BLOCK = 1024


class Sampler:
    """The sampling of one sequence; its state depends on nothing but the sequence's own tokens.

    Args:
        descriptors: Stages of plugins; a factory that answers ``None`` is not used.
        vocabulary: What stages may know of the vocabulary.
        scratch: Of the size of V, the ids that may be picked; may serve several samplers of one thread.
    """

    def __init__(
        self,
        request: SequenceRequest,
        descriptors: Sequence[SamplerDescriptor],
        vocabulary: VocabularyView,
        scratch: Scratch,
    ) -> None:
        sampling = request.sampling
        self._scratch = scratch
        vocab_size = scratch.ids.size
        self._is_greedy = sampling.temperature == 0.0
        self._num_top = sampling.top_logprobs
        self._mask = request.mask
        self._bias = bias_arrays(sampling.logit_bias)
        self._penalties = Penalties.of(sampling)
        self._draws = Draws(sampling.seed)
        self._stages = _stages(request, descriptors, vocabulary)
        self._min_tokens = sampling.min_tokens
        never = request.suppressed | request.eog if sampling.ignore_eos else request.suppressed
        self._never = sorted_ids(never, vocab_size)
        self._not_yet = sorted_ids(never | request.eog, vocab_size)
        self._is_plain = self._is_greedy and not (self._bias or self._penalties or self._stages)

    def pick(self, logits: F32, history: I32, num_picked: int) -> SampledToken:
        """Return the next token.

        Args:
            logits: ``[V]``, not written to.
            history: Prompt and generated tokens so far.
            num_picked: How many of them were generated.

        Raises:
            NumericalError: The logits are not finite, or nothing may be picked.
        """
        best = int(logits.argmax())
        # argmax and max stop at a NaN, so the best value tells of any NaN and of +inf
        if not np.isfinite(logits[best]):
            raise not_finite(logits, best, len(history))
        forbidden = self._not_yet if num_picked < self._min_tokens else self._never
        token_id, probability = self._admitted(logits, best, history, forbidden)
        for stage in self._stages:
            stage.accept(token_id, probability)
        if self._num_top is None:
            return SampledToken(token_id)
        return with_logprobs(logits, token_id, self._num_top, self._scratch)

    def score(self, logits: F32, token_id: int, position: int) -> SampledToken:
        """Return a token that was given, with its log-probability. Raises ``NumericalError``."""
        best = int(logits.argmax())
        if not np.isfinite(logits[best]):
            raise not_finite(logits, best, position)
        return with_logprobs(logits, token_id, self._num_top or 0, self._scratch)

    def accept(self, token_id: int) -> None:
        """Advance the grammar by a token that became part of the text."""
        if self._mask is not None:
            self._mask.accept(token_id)

    def _admitted(self, logits: F32, best: int, history: I32, forbidden: I32) -> tuple[int, float]:
        """Return a token the grammar admits, and its probability."""
        while True:
            bits = self._mask.bitmask() if self._mask is not None else None
            if self._is_plain and not _is_among(best, forbidden) and (bits is None or is_allowed(bits, best)):
                token_id, probability = best, 1.0
            else:
                token_id, probability = self._choose(logits, history, forbidden, bits)
            if self._mask is None or self._mask.admits(token_id):
                return token_id, probability

    def _choose(
        self, logits: F32, history: I32, forbidden: I32, bits: npt.NDArray[np.uint32] | None
    ) -> tuple[int, float]:
        candidates = self._candidates(logits, history, forbidden, bits)
        for stage in self._stages:
            stage.apply(candidates, history, self._draws.uniform)
        if not len(candidates) or not np.isfinite(candidates.logits.max()):
            raise NumericalError("sampling left no token with a finite logit; relax its parameters")
        if self._is_greedy:
            return int(candidates.ids[int(candidates.logits.argmax())]), 1.0
        return _draw(candidates, self._draws.uniform())

    def _candidates(
        self, logits: F32, history: I32, forbidden: I32, bits: npt.NDArray[np.uint32] | None
    ) -> Candidates:
        edited = self._scratch.logits
        np.copyto(edited, logits)
        if self._bias is not None:
            edited[self._bias[0]] += self._bias[1]
        if self._penalties is not None:
            self._penalties.apply(edited, history)
        if bits is None:
            edited[forbidden] = -np.inf
            return Candidates(self._scratch.ids, edited, self._scratch)
        ids = allowed_by(bits, forbidden, edited.size)
        if not ids.size:
            raise NumericalError("the grammar allows no token here; it and the vocabulary do not agree")
        return Candidates(ids.astype(np.int32), edited.take(ids), self._scratch)


def _stages(
    request: SequenceRequest, descriptors: Sequence[SamplerDescriptor], vocabulary: VocabularyView
) -> list[SamplerStage]:
    ordered = core_stages(request.sampling)
    for descriptor in descriptors:
        stage = cast(StageFactory, descriptor.make)(request.sampling, vocabulary)
        if stage is not None:
            ordered.append((descriptor.order, stage))
    return [stage for _, stage in sorted(ordered, key=lambda pair: pair[0])]


def _is_among(token_id: int, ids: I32) -> bool:
    place = int(ids.searchsorted(token_id))
    return place < ids.size and int(ids[place]) == token_id


def _draw(candidates: Candidates, uniform: float) -> tuple[int, float]:
    """Draw by the inverse of the cumulated weights, block by block so that most are never cumulated."""
    weights = candidates.weights()
    reached = np.cumsum(_block_sums(weights), dtype=np.float64)
    total = float(reached[-1])
    block = min(int(np.searchsorted(reached, uniform * total, side="right")), reached.size - 1)
    start, stop = block * BLOCK, min((block + 1) * BLOCK, weights.size)
    inside = np.cumsum(weights[start:stop], dtype=np.float64)
    missing = uniform * total - (float(reached[block - 1]) if block else 0.0)
    place = start + int(np.searchsorted(inside, missing, side="right"))
    if place == stop:  # the sums were rounded: take the last token up to here that can be drawn
        place = int(np.flatnonzero(weights[:stop])[-1])
    return int(candidates.ids[place]), float(weights[place]) / total


def _block_sums(weights: F32) -> F32:
    num_blocks = weights.size // BLOCK
    sums: F32 = weights[: num_blocks * BLOCK].reshape(num_blocks, BLOCK).sum(axis=1)
    if weights.size % BLOCK:
        sums = np.append(sums, weights[num_blocks * BLOCK :].sum())
    return sums


def not_finite(logits: F32, best: int, position: int) -> NumericalError:
    """Return the error of a row whose largest logit, or NaN, is at ``best``."""
    count = int(np.count_nonzero(~np.isfinite(logits)))
    return NumericalError(
        f"the model produced logits that are not finite at position {position} ({count} of {logits.size}, "
        f"token {best} has {float(logits[best])!r}); its weights are damaged or a kernel is wrong"
    )
