"""The builder: architectures write their forward pass with it, and every shape is checked.

``h = b.rms_norm(x, b.weight("blk.0.attn_norm.weight", n), eps)`` reads like the paper's equation, and adds an
op to the program. A mistake is a ``ProgramError`` at load, with the op, the tensor and both shapes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Protocol, TypeVar

from jackfield.errors import CheckpointError, ProgramError
from jackfield.program import ops
from jackfield.program.ops import Activation, GluKind, Op, RouterScore
from jackfield.program.parts import (
    Buffer,
    ConvState,
    Element,
    KvCache,
    RecurrentState,
    Rows,
    State,
    Weight,
)
from jackfield.program.program import Program
from jackfield.program.rope import RopeTable

__all__ = ["Builder", "TensorInfo"]

S = TypeVar("S", bound=State)


class TensorInfo(Protocol):
    """What the builder needs to know of a tensor: its shape in numpy order."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Extents, slowest first."""
        ...


class Builder:
    """Build one program.

    Args:
        architecture: Name for messages and for the program.
        tensors: The checkpoint's tensors by name.
    """

    def __init__(self, architecture: str, tensors: Mapping[str, TensorInfo]) -> None:
        self.architecture = architecture
        self._tensors = tensors
        self._ops: list[Op] = []
        self._states: list[State] = []
        self._num_buffers = 0

    # ---- weights ----

    def weight(self, name: str, *shape: int) -> Weight:
        """Name a tensor that must be there and have this shape (numpy order, ``(out, in)``).

        Raises:
            CheckpointError: It is missing, or its shape differs.
        """
        found = self.optional_weight(name, *shape)
        if found is None:
            raise CheckpointError(
                f"{self.architecture}: tensor {name!r} is missing, expected shape {shape}", param=name
            )
        return found

    def optional_weight(self, name: str, *shape: int) -> Weight | None:
        """Name a tensor that may be absent; when there it must have this shape.

        Raises:
            CheckpointError: Its shape differs.
        """
        tensor = self._tensors.get(name)
        if tensor is None:
            return None
        if _squeezed(tensor.shape) != _squeezed(shape):
            raise CheckpointError(
                f"{self.architecture}: tensor {name!r} has shape {tensor.shape}, expected {shape}", param=name
            )
        return Weight(name, shape)

    def has(self, name: str) -> bool:
        """Tell whether the checkpoint has that tensor."""
        return name in self._tensors

    # ---- states ----

    def kv_cache(
        self, num_kv_heads: int, key_width: int, value_width: int | None = None, window: int | None = None
    ) -> KvCache:
        """Give every sequence a key/value cache for one layer."""
        values = key_width if value_width is None else value_width
        return self._state(KvCache(len(self._states), num_kv_heads, key_width, values, window))

    def conv_state(self, kernel: int, channels: int) -> ConvState:
        """Give every sequence the tail of a causal convolution."""
        return self._state(ConvState(len(self._states), kernel, channels))

    def recurrent_state(self, heads: int, rows: int, columns: int) -> RecurrentState:
        """Give every sequence a float32 matrix a head."""
        return self._state(RecurrentState(len(self._states), heads, rows, columns))

    # ---- rows in and out ----

    def embed(
        self, weight: Weight, *, scale: float = 1.0, start: int = 0, width: int | None = None
    ) -> Buffer:
        """Look up the token's row, or ``width`` of its columns from ``start`` on."""
        columns = weight.shape[1] - start if width is None else width
        self._check(start + columns <= weight.shape[1], "embed", f"columns {start}+{columns} of {weight}")
        out = self._buffer(columns)
        return self._add(ops.Embed(weight, scale, start, out), out)

    def select_rows(self, x: Buffer) -> Buffer:
        """Keep only the rows whose logits are wanted; what follows runs on those."""
        self._check(x.rows is Rows.TOKENS, "select_rows", f"{x} has output rows already")
        out = self._buffer(x.width, Rows.OUTPUTS)
        return self._add(ops.SelectRows(x, out), out)

    # ---- linear ----

    def linear(
        self, x: Buffer, weight: Weight, bias: Weight | None = None, scale: Weight | None = None
    ) -> Buffer:
        """Multiply by ``weight`` ``(out, in)``, then scale, then add the bias."""
        self._check(
            len(weight.shape) == 2 and weight.shape[1] == x.width, "linear", f"{weight} does not take {x}"
        )
        self._check_size("linear", bias, weight.shape[0])
        self._check_size("linear", scale, 1)
        out = self._buffer(weight.shape[0], x.rows)
        return self._add(ops.Linear(x, weight, bias, scale, out), out)

    def route_top_k(
        self,
        logits: Buffer,
        num_experts_used: int,
        *,
        score: RouterScore = RouterScore.SOFTMAX,
        normalize: bool = True,
        bias: Weight | None = None,
        scale: float = 1.0,
        groups: int = 1,
        groups_used: int = 1,
    ) -> tuple[Buffer, Buffer]:
        """Choose experts: returns their indices and their weights, ``[rows, k]`` each."""
        self._check(
            0 < num_experts_used <= logits.width,
            "route_top_k",
            f"{num_experts_used} of {logits.width} experts",
        )
        self._check(logits.width % groups == 0, "route_top_k", f"{logits.width} experts in {groups} groups")
        self._check_size("route_top_k", bias, logits.width)
        experts = self._buffer(num_experts_used, logits.rows, Element.I32)
        weights = self._buffer(num_experts_used, logits.rows)
        self._ops.append(
            ops.RouteTopK(logits, bias, score, normalize, scale, groups, groups_used, experts, weights)
        )
        return experts, weights

    def expert_feed_forward(
        self,
        x: Buffer,
        experts: Buffer,
        expert_weights: Buffer,
        *,
        down: Weight,
        gate: Weight | None = None,
        up: Weight | None = None,
        gate_up: Weight | None = None,
        gate_bias: Weight | None = None,
        up_bias: Weight | None = None,
        down_bias: Weight | None = None,
        down_scale: Weight | None = None,
        kind: GluKind = GluKind.SILU,
    ) -> Buffer:
        """Run each row's experts and sum their outputs by weight."""
        num_experts, width, inner = down.shape
        name = "expert_feed_forward"
        self._check((up is None) == (gate_up is not None), name, "exactly one of up and gate_up")
        self._check(experts.element is Element.I32 and experts.width == expert_weights.width, name, "experts")
        for part in (gate, up):
            self._check(
                part is None or part.shape == (num_experts, inner, x.width), name, f"{part} beside {down}"
            )
        self._check(
            gate_up is None or gate_up.shape == (num_experts, 2 * inner, x.width),
            name,
            f"{gate_up} beside {down}",
        )
        for bias in (gate_bias, up_bias):
            self._check(bias is None or bias.shape == (num_experts, inner), name, f"{bias} beside {down}")
        self._check(down_bias is None or down_bias.shape == (num_experts, width), name, f"{down_bias}")
        self._check_size(name, down_scale, num_experts)
        out = self._buffer(width, x.rows)
        op = ops.ExpertFeedForward(
            x, experts, expert_weights, gate, up, gate_up, down,
            gate_bias, up_bias, down_bias, down_scale, kind, out,
        )  # fmt: skip
        return self._add(op, out)

    # ---- norms ----

    def rms_norm(self, x: Buffer, weight: Weight | None, eps: float, *, group: int | None = None) -> Buffer:
        """Normalise by the root of the mean square, over the row or over groups of columns."""
        columns = x.width if group is None else group
        self._check(x.width % columns == 0, "rms_norm", f"groups of {columns} in {x}")
        if weight is not None:
            size = math.prod(weight.shape)
            self._check(size in (columns, x.width), "rms_norm", f"{weight} for groups of {columns} in {x}")
        out = self._buffer(x.width, x.rows)
        return self._add(ops.RmsNorm(x, weight, eps, columns, out), out)

    def l2_norm(self, x: Buffer, eps: float, *, group: int) -> Buffer:
        """Normalise groups of columns to unit length."""
        self._check(x.width % group == 0, "l2_norm", f"groups of {group} in {x}")
        out = self._buffer(x.width, x.rows)
        return self._add(ops.L2Norm(x, eps, group, out), out)

    # ---- elementwise ----

    def add(self, x: Buffer, y: Buffer) -> Buffer:
        """Add two buffers."""
        self._check_same("add", x, y)
        out = self._buffer(x.width, x.rows)
        return self._add(ops.Add(x, y, out), out)

    def add_bias(self, x: Buffer, bias: Weight) -> Buffer:
        """Add one row to every row."""
        self._check_size("add_bias", bias, x.width)
        out = self._buffer(x.width, x.rows)
        return self._add(ops.AddBias(x, bias, out), out)

    def mul(self, x: Buffer, y: Buffer) -> Buffer:
        """Multiply; ``y`` may be a single column."""
        if y.width != 1:
            self._check_same("mul", x, y)
        self._check(x.rows is y.rows, "mul", f"{x} and {y}")
        out = self._buffer(x.width, x.rows)
        return self._add(ops.Mul(x, y, out), out)

    def scale(self, x: Buffer, factor: float = 1.0, weight: Weight | None = None) -> Buffer:
        """Multiply by a constant, and by one number or one row of the checkpoint."""
        if weight is not None:
            size = math.prod(weight.shape)
            self._check(size in (1, x.width), "scale", f"{weight} for {x}")
        out = self._buffer(x.width, x.rows)
        return self._add(ops.Scale(x, factor, weight, out), out)

    def activate(self, x: Buffer, kind: Activation) -> Buffer:
        """Apply a function to every element."""
        out = self._buffer(x.width, x.rows)
        return self._add(ops.Activate(x, kind, out), out)

    def glu(self, gate: Buffer, up: Buffer, kind: GluKind = GluKind.SILU) -> Buffer:
        """Gate: ``kind(gate) * up``."""
        self._check_same("glu", gate, up)
        out = self._buffer(gate.width, gate.rows)
        return self._add(ops.Glu(gate, up, kind, out), out)

    def softcap(self, x: Buffer, cap: float) -> Buffer:
        """Bound values smoothly to ±cap."""
        out = self._buffer(x.width, x.rows)
        return self._add(ops.Softcap(x, cap, out), out)

    # ---- columns ----

    def columns(self, x: Buffer, start: int, width: int) -> Buffer:
        """View ``width`` columns from ``start`` on; no data moves."""
        self._check(0 <= start and start + width <= x.width, "columns", f"{start}+{width} of {x}")
        self._num_buffers += 1
        return Buffer(self._num_buffers - 1, width, x.rows, x.element, x, start)

    def concat(self, x: Buffer, y: Buffer) -> Buffer:
        """Put the columns of ``y`` after those of ``x``."""
        self._check(x.rows is y.rows, "concat", f"{x} and {y}")
        out = self._buffer(x.width + y.width, x.rows)
        return self._add(ops.Concat(x, y, out), out)

    def split_heads(self, x: Buffer, heads: int, start: int, width: int) -> Buffer:
        """Gather the same columns of every head: ``x`` is ``heads`` equal parts side by side."""
        self._check(x.width % heads == 0, "split_heads", f"{heads} heads in {x}")
        self._check(start + width <= x.width // heads, "split_heads", f"{start}+{width} of a head of {x}")
        out = self._buffer(heads * width, x.rows)
        return self._add(ops.SplitHeads(x, heads, start, out), out)

    # ---- attention ----

    def rope(self, x: Buffer, head_width: int, table: RopeTable) -> Buffer:
        """Rotate each head by its row's position."""
        self._check(x.width % head_width == 0, "rope", f"heads of {head_width} in {x}")
        self._check(
            table.num_rotated <= head_width,
            "rope",
            f"{table.num_rotated} rotated columns in heads of {head_width}",
        )
        out = self._buffer(x.width, x.rows)
        return self._add(ops.Rope(x, head_width, table, out), out)

    def kv_append(self, k: Buffer, v: Buffer, cache: KvCache) -> None:
        """Store keys and values at each row's position."""
        self._check(k.width == cache.num_kv_heads * cache.key_width, "kv_append", f"keys {k} into {cache}")
        self._check(
            v.width == cache.num_kv_heads * cache.value_width, "kv_append", f"values {v} into {cache}"
        )
        self._ops.append(ops.KvAppend(k, v, cache))

    def attend(
        self,
        q: Buffer,
        cache: KvCache,
        num_heads: int,
        *,
        scale: float,
        window: int | None = None,
        softcap: float | None = None,
        sinks: Weight | None = None,
    ) -> Buffer:
        """Attend causally to the cache; call after ``kv_append`` of the same layer."""
        self._check(q.width == num_heads * cache.key_width, "attend", f"{q} for {num_heads} heads, {cache}")
        self._check(
            num_heads % cache.num_kv_heads == 0,
            "attend",
            f"{num_heads} heads over {cache.num_kv_heads} kv heads",
        )
        self._check_size("attend", sinks, num_heads)
        out = self._buffer(num_heads * cache.value_width, q.rows)
        return self._add(ops.Attend(q, cache, num_heads, scale, window, softcap, sinks, out), out)

    # ---- recurrence ----

    def conv1d(
        self, x: Buffer, weight: Weight, state: ConvState, bias: Weight | None = None,
        activation: Activation | None = Activation.SILU,
    ) -> Buffer:  # fmt: skip
        """Convolve each channel causally with ``weight`` ``(channels, K)``."""
        self._check(weight.shape == (x.width, state.kernel), "conv1d", f"{weight} for {x}, {state}")
        self._check(state.channels == x.width, "conv1d", f"{state} for {x}")
        self._check_size("conv1d", bias, x.width)
        out = self._buffer(x.width, x.rows)
        return self._add(ops.Conv1d(x, weight, bias, activation, state, out), out)

    def ssm_scan(
        self, x: Buffer, b: Buffer, c: Buffer, dt: Buffer, state: RecurrentState, *,
        a: Weight, d: Weight, dt_bias: Weight, groups: int,
    ) -> Buffer:  # fmt: skip
        """Scan Mamba-2's recurrence along each sequence."""
        self._check(x.width == state.heads * state.rows, "ssm_scan", f"{x} for {state}")
        self._check(b.width == c.width == groups * state.columns, "ssm_scan", f"{b}, {c} for {state}")
        self._check(dt.width == state.heads and state.heads % groups == 0, "ssm_scan", f"{dt} for {state}")
        for weight in (a, d, dt_bias):
            self._check_size("ssm_scan", weight, state.heads)
        out = self._buffer(x.width, x.rows)
        return self._add(ops.SsmScan(x, b, c, dt, a, d, dt_bias, groups, state, out), out)

    def delta_rule(
        self, q: Buffer, k: Buffer, v: Buffer, g: Buffer, beta: Buffer, state: RecurrentState, *,
        scale: float, num_key_heads: int, tiled: bool,
    ) -> Buffer:  # fmt: skip
        """Run the gated delta rule along each sequence."""
        self._check(q.width == k.width == num_key_heads * state.rows, "delta_rule", f"{q}, {k} for {state}")
        self._check(v.width == state.heads * state.columns, "delta_rule", f"{v} for {state}")
        self._check(g.width == beta.width == state.heads, "delta_rule", f"{g}, {beta} for {state}")
        self._check(state.heads % num_key_heads == 0, "delta_rule", f"{num_key_heads} key heads for {state}")
        out = self._buffer(v.width, q.rows)
        op = ops.DeltaRule(q, k, v, g, beta, scale, num_key_heads, tiled, state, out)
        return self._add(op, out)

    # ---- a plugin's own ----

    def buffer(self, width: int, rows: Rows = Rows.TOKENS) -> Buffer:
        """Make the output buffer of an op of your own; pass the op to ``append``."""
        return self._buffer(width, rows)

    def append(self, op: Op) -> None:
        """Add an op of your own, whose buffers came from ``buffer`` or from other ops."""
        self._ops.append(op)

    # ---- the end ----

    def finish(self, hidden: Buffer, logits: Buffer, context_length: int) -> Program:
        """Return the program: ``hidden`` are the last normed rows, ``logits`` what the head made of them."""
        self._check(
            logits.rows is Rows.OUTPUTS, "finish", f"logits {logits}; call select_rows before the head"
        )
        return Program(
            self.architecture, tuple(self._ops), tuple(self._states), logits, hidden, context_length
        )

    # ---- inside ----

    def _state(self, state: S) -> S:
        self._states.append(state)
        return state

    def _buffer(self, width: int, rows: Rows = Rows.TOKENS, element: Element = Element.F32) -> Buffer:
        self._num_buffers += 1
        return Buffer(self._num_buffers - 1, width, rows, element)

    def _add(self, op: Op, out: Buffer) -> Buffer:
        self._ops.append(op)
        return out

    def _check(self, fits: bool, op_name: str, what: str) -> None:
        if not fits:
            raise ProgramError(
                f"{self.architecture}: op {op_name} number {len(self._ops)}: {what} do not fit"
            )

    def _check_same(self, op_name: str, x: Buffer, y: Buffer) -> None:
        self._check(x.width == y.width and x.rows is y.rows, op_name, f"{x} and {y}")

    def _check_size(self, op_name: str, weight: Weight | None, size: int) -> None:
        self._check(
            weight is None or math.prod(weight.shape) == size, op_name, f"{weight} for {size} entries"
        )


def _squeezed(shape: Sequence[int]) -> tuple[int, ...]:
    return tuple(extent for extent in shape if extent != 1)
