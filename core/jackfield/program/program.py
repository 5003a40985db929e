"""A program: what one forward step computes, as a straight list of ops."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from jackfield.descriptors import OpDescriptor
from jackfield.errors import ProgramError
from jackfield.program.diffusion import BlockDiffusion
from jackfield.program.ops import VOCABULARY, Op, Rope
from jackfield.program.parts import Buffer, ConvState, KvCache, RecurrentState, State, Weight

__all__ = ["Program"]


@dataclass(frozen=True)
class Program:
    """One forward step over ``T`` token rows of any mix of sequences.

    The same program serves prefill and decode: backends run the ops in order, with the step's tables.

    Attributes:
        architecture: The ``general.architecture`` it was built for.
        ops: In order of execution; each buffer is written once, before it is read.
        states: What a sequence keeps between steps; ``states[i].id == i``.
        logits: The result, ``[outputs, V]``.
        hidden: The last normed hidden rows, ``[outputs, D]``, for pooling and draft heads.
        context_length: Positions the model was trained for.
        diffusion: How blocks are refined by a model that writes so; ``None`` for one that writes token by token.
        plugin_ops: What plugins declare for the ops that are not in the core's vocabulary.
    """

    architecture: str
    ops: tuple[Op, ...]
    states: tuple[State, ...]
    logits: Buffer
    hidden: Buffer
    context_length: int
    diffusion: BlockDiffusion | None = None
    plugin_ops: Mapping[type[Op], OpDescriptor] = field(default_factory=dict[type[Op], OpDescriptor])

    @property
    def vocab_size(self) -> int:
        """V, the width of the logits."""
        return self.logits.width

    @property
    def embedding_width(self) -> int:
        """D, the width of the hidden rows."""
        return self.hidden.width

    @property
    def kv_caches(self) -> tuple[KvCache, ...]:
        """The attention layers' caches."""
        return tuple(state for state in self.states if isinstance(state, KvCache))

    @property
    def fixed_states(self) -> tuple[ConvState | RecurrentState, ...]:
        """States whose size does not grow with the sequence; they cannot be cut, only copied."""
        kinds = (ConvState, RecurrentState)
        return tuple(state for state in self.states if isinstance(state, kinds))

    @property
    def is_recurrent(self) -> bool:
        """Whether a sequence cannot be shortened: it has recurrent or convolution state."""
        return bool(self.fixed_states)

    def kv_bytes_per_token(self, element_bytes: float) -> int:
        """Return the cache bytes one token takes, all layers together."""
        return round(sum(cache.elements_per_token for cache in self.kv_caches) * element_bytes)

    def fixed_state_bytes(self) -> int:
        """Return the float32 bytes one sequence takes whatever its length."""
        total = 0
        for state in self.fixed_states:
            elements = 1
            for extent in state.shape:
                elements *= extent
            total += 4 * elements
        return total

    def for_context(self, max_context: int) -> Program:
        """Return the program for sequences of at most that many tokens: rotary tables are settled."""
        if all(op.table.long is None for op in self.ops if isinstance(op, Rope)):
            return self
        ops = [
            replace(op, table=op.table.for_context(max_context)) if isinstance(op, Rope) else op
            for op in self.ops
        ]
        return replace(self, ops=tuple(ops))

    def weights(self) -> Iterator[Weight]:
        """Yield every use of a weight, in op order; a tensor used twice comes twice."""
        for op in self.ops:
            yield from op.weights

    def weight_names(self) -> frozenset[str]:
        """Return the names of all tensors used."""
        return frozenset(weight.name for weight in self.weights())

    def buffers(self) -> Iterator[Buffer]:
        """Yield every buffer that owns memory (no views), in order of first write."""
        for op in self.ops:
            yield from op.writes

    def with_plugin_ops(self, declared: Iterable[OpDescriptor]) -> Program:
        """Return the program with the descriptor of every op that is not in the core's vocabulary.

        Backends find there the numpy meaning of such an op, and its kernels.

        Raises:
            ProgramError: No plugin declares an op the program uses.
        """
        foreign = {type(op) for op in self.ops} - VOCABULARY
        known = {descriptor.load(): descriptor for descriptor in declared} if foreign else {}
        for kind in foreign - known.keys():
            raise ProgramError(
                f"{self.architecture}: no plugin declares op {kind.__name__!r};"
                f" its plugin must return an OpDescriptor from jackfield_ops"
            )
        return replace(self, plugin_ops={kind: known[kind] for kind in foreign})
