"""From a request to the sequence that answers it; what can never run is refused here, before it is queued."""

from __future__ import annotations

import itertools
from collections.abc import Sequence as Items

import numpy as np
import numpy.typing as npt

from jackfield.descriptors import SamplerDescriptor
from jackfield.engine.blocks import BlockGeneration
from jackfield.engine.contract import PoolingKind, SequenceRequest
from jackfield.engine.drafting import MakeDrafter
from jackfield.engine.sampling import Sampler, Scratch, VocabularyView
from jackfield.engine.sampling.checks import check_sampling, token_array
from jackfield.engine.sequence import Answer, Generation, Pooling
from jackfield.engine.speculation import Speculation
from jackfield.errors import ContextOverflow, RequestError
from jackfield.program import BlockDiffusion

__all__ = ["Intake"]

I32 = npt.NDArray[np.int32]


class Intake:
    """Check requests and make sequences of them; the same from any thread.

    Args:
        num_ids: Ids that a prompt may hold and that may be picked: 0 up to this.
        max_context: Most tokens of a sequence.
        diffusion: How blocks are refined; ``None`` to pick token by token.
        samplers: Sampling stages of plugins.
        make_drafter: Makes what guesses for a sequence; ``None`` to pick one token a step.
        vocabulary: What sampling stages may know of the vocabulary.
    """

    def __init__(
        self,
        num_ids: int,
        max_context: int,
        *,
        diffusion: BlockDiffusion | None,
        samplers: Items[SamplerDescriptor],
        make_drafter: MakeDrafter | None,
        vocabulary: VocabularyView,
    ) -> None:
        self.num_ids = num_ids
        self.max_context = max_context
        self._diffusion = diffusion
        self._samplers = tuple(samplers)
        self._make_drafter = make_drafter
        self._vocabulary = vocabulary
        self._scratch = Scratch(num_ids)
        self._pooling_ids = itertools.count()

    def answer(self, request: SequenceRequest) -> Answer:
        """Return the sequence that answers a request.

        Raises:
            RequestError: An id outside the vocabulary, or a sampling parameter without meaning.
            ContextOverflow: The prompt leaves no room for a token.
        """
        check_sampling(request.sampling, self.num_ids)
        prompt = self.prompt(request.prompt)
        if prompt.size >= self.max_context:
            raise self._overflow(prompt.size)
        least = 1 if request.on_prompt is None else 0
        if request.max_tokens < least:
            raise RequestError(
                f"max_tokens is {request.max_tokens!r}; expected at least {least}", param="max_tokens"
            )
        max_tokens = min(request.max_tokens, self.max_context - prompt.size)
        if self._diffusion is not None:
            return self._blocks(request, prompt, max_tokens, self._diffusion)
        sampler = Sampler(request, self._samplers, self._vocabulary, self._scratch)
        speculation = None if self._make_drafter is None else Speculation(self._make_drafter())
        return Generation(request, prompt, max_tokens, sampler, speculation)

    def _blocks(
        self, request: SequenceRequest, prompt: I32, max_tokens: int, diffusion: BlockDiffusion
    ) -> BlockGeneration:
        length = diffusion.canvas_length
        num_blocks = min(-(-max_tokens // length), (self.max_context - prompt.size) // length)
        if not num_blocks:
            raise self._overflow(prompt.size, f", and a block of this model takes {length} of them")
        max_tokens = min(max_tokens, num_blocks * length)
        return BlockGeneration(request, prompt, max_tokens, num_blocks, diffusion, self.num_ids)

    def pooling(self, tokens: Items[int], kind: PoolingKind, priority_key: str) -> Pooling:
        """Return the sequence that pools the hidden rows of tokens. Raises as ``answer`` does."""
        prompt = token_array(tokens, self.num_ids, "input")
        if prompt.size > self.max_context:
            raise self._overflow(prompt.size)
        return Pooling(f"pooling-{next(self._pooling_ids)}", prompt, kind, priority_key)

    def prompt(self, tokens: Items[int]) -> I32:
        """Return a prompt's ids, all of the vocabulary. Raises ``RequestError``."""
        return token_array(tokens, self.num_ids, "prompt")

    def _overflow(self, num_prompt: int, besides: str = "") -> ContextOverflow:
        return ContextOverflow(
            f"the prompt has {num_prompt} tokens, the context holds {self.max_context}{besides}; shorten the "
            "prompt or serve with a longer context",
            numbers={"n_prompt": num_prompt, "n_ctx": self.max_context},
        )
