"""A sequence of a diffusion model: block after block, each refined as a whole and then taken up as text."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from jackfield.engine.canvas import Canvas
from jackfield.engine.contract import SequenceRequest
from jackfield.engine.sampling.draws import Draws
from jackfield.engine.sampling.edits import FixedEdits
from jackfield.engine.sequence import Answer, Ending
from jackfield.engine.speculation import Price
from jackfield.program import BlockDiffusion

__all__ = ["BlockGeneration"]

F32 = npt.NDArray[np.float32]
I32 = npt.NDArray[np.int32]


class BlockGeneration(Answer):
    """Read the prompt, then refine a canvas until it is done, read it as text, and go on to the next.

    A block's keys and values are computed twice: while it is a canvas they are those of one pass, and once it is
    text, those that a prompt with the same tokens would have. So the prefix tree only ever sees text.

    Args:
        num_blocks: Most blocks to write; there is room for them.
        vocab_size: V, the ids that may be picked.
    """

    def __init__(
        self,
        request: SequenceRequest,
        prompt: I32,
        max_tokens: int,
        num_blocks: int,
        diffusion: BlockDiffusion,
        vocab_size: int,
    ) -> None:
        super().__init__(request, prompt, max_tokens, num_blocks * diffusion.canvas_length)
        sampling = request.sampling
        never = request.suppressed | request.eog if sampling.ignore_eos else request.suppressed
        edits, draws = FixedEdits(sampling, never, vocab_size), Draws(sampling.seed)
        self._new_canvas: Callable[[], Canvas] = lambda: Canvas(diffusion, vocab_size, edits, draws)
        self._begin_canvas()

    def guess(self, room: int, price: Price) -> None:
        """Guess nothing: text is only read."""

    def num_outputs(self, num_rows: int) -> int:
        """Return 0: text is only read."""
        return 0

    def receive(self, logits: F32, hidden: F32 | None) -> Ending | None:
        """Take a pass over the canvas; once it is done, hand the block out and begin the next."""
        canvas = self.canvas
        assert canvas is not None, "a block is always under way"
        is_done = canvas.refine(logits)
        self._sink.canvas(canvas.answer.tolist(), canvas.num_steps, canvas.diffusion.max_steps)
        if not is_done:
            self._show(canvas.tokens)
            return None
        ending = self._hand_out(canvas.answer)
        if ending is None:
            self._show(canvas.answer)
            self.num_tokens += canvas.answer.size
            self._begin_canvas()
        return ending

    def _begin_canvas(self) -> None:
        self.canvas = self._new_canvas()
        self._show(self.canvas.tokens)

    def _show(self, tokens: I32) -> None:
        """Put tokens behind those that are known, where the next step finds its rows."""
        self.tokens[self.num_tokens : self.num_tokens + tokens.size] = tokens

    def _hand_out(self, block: I32) -> Ending | None:
        """Give the sink a block up to its end or to the most tokens there may be."""
        stats = self.stats
        if not stats.num_completion_tokens:
            stats.first_token_ns = time.monotonic_ns()
        left = self._max_tokens - stats.num_completion_tokens
        stop = next((i for i, token in enumerate(block.tolist()) if token in self._eog), block.size)
        text = block[: min(stop, left)].tolist()
        stats.num_completion_tokens += len(text)
        reason = self._sink.block(text) if text else None
        if reason is not None:
            return Ending(reason)
        if stop < min(block.size, left):
            stats.num_completion_tokens += 1
            return Ending("stop", int(block[stop]))
        return Ending("length") if stats.num_completion_tokens == self._max_tokens else None
