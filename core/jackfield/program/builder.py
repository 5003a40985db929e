"""The builder: architectures write their forward pass with it, and every shape is checked.

``h = b.rms_norm(x, b.weight("blk.0.attn_norm.weight", n), eps)`` reads like the paper's equation, and adds an
op to the program. A mistake is a ``ProgramError`` at load, with the op, the tensor and both shapes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Protocol, TypeVar

from jackfield.errors import CheckpointError
from jackfield.program import ops
from jackfield.program.checks import ShapeChecks
from jackfield.program.diffusion import BlockDiffusion
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


class Builder(ShapeChecks):
    """Build one program.

    Args:
        architecture: Name for messages and for the program.
        tensors: The checkpoint's tensors by name.
    """

    def __init__(self, architecture: str, tensors: Mapping[str, TensorInfo]) -> None:
        super().__init__(architecture)
        self._tensors = tensors
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

    def present(self, *names: str) -> str:
        """Return the first name that the checkpoint has a tensor of; the first of all where it has none."""
        return next((name for name in names if name in self._tensors), names[0])

    # ---- states ----

    def kv_cache(
        self, num_kv_heads: int, key_width: int, value_width: int | None = None, window: int | None = None
    ) -> KvCache:
        """Give every sequence a key/value cache for one layer."""
        values = key_width if value_width is None else value_width
        self._check_positive("kv_cache", heads=num_kv_heads, key_width=key_width, value_width=values)
        self._check(window is None or window > 0, "kv_cache", f"window is {window}, expected at least 1")
        return self._state(KvCache(len(self._states), num_kv_heads, key_width, values, window))

    def conv_state(self, kernel: int, channels: int) -> ConvState:
        """Give every sequence the tail of a causal convolution."""
        self._check_positive("conv_state", kernel=kernel, channels=channels)
        return self._state(ConvState(len(self._states), kernel, channels))

    def recurrent_state(self, heads: int, rows: int, columns: int) -> RecurrentState:
        """Give every sequence a float32 matrix a head."""
        self._check_positive("recurrent_state", heads=heads, rows=rows, columns=columns)
        return self._state(RecurrentState(len(self._states), heads, rows, columns))

    # ---- rows in and out ----

    def embed(
        self, weight: Weight, *, scale: float = 1.0, start: int = 0, width: int | None = None
    ) -> Buffer:
        """Look up the token's row, or ``width`` of its columns from ``start`` on."""
        self._check(len(weight.shape) == 2, "embed", f"{weight} is not a matrix")
        columns = weight.shape[1] - start if width is None else width
        self._check_columns("embed", start, columns, weight.shape[1], weight)
        out = self._buffer(columns)
        return self._add(ops.Embed(weight, scale, start, out), out)

    def soft_embed(self, weight: Weight, *, scale: float = 1.0) -> Buffer:
        """Look up the mean row of each row's ``soft_tokens``."""
        self._check(len(weight.shape) == 2, "soft_embed", f"{weight} is not a matrix")
        out = self._buffer(weight.shape[1])
        return self._add(ops.SoftEmbed(weight, scale, out), out)

    def choose_rows(self, canvas: Buffer, text: Buffer) -> Buffer:
        """Take the rows of a canvas from one buffer, those of text from the other."""
        self._check_same("choose_rows", canvas, text)
        out = self._buffer(canvas.width, canvas.rows)
        return self._add(ops.ChooseRows(canvas, text, out), out)

    def select_rows(self, x: Buffer) -> Buffer:
        """Keep only the rows whose logits are wanted; what follows runs on those."""
        self._check(x.rows is Rows.TOKENS, "select_rows", f"{x} has only the output rows already")
        out = self._buffer(x.width, Rows.OUTPUTS)
        return self._add(ops.SelectRows(x, out), out)

    # ---- linear ----

    def linear(
        self, x: Buffer, weight: Weight, bias: Weight | None = None, scale: Weight | None = None
    ) -> Buffer:
        """Multiply by ``weight`` ``(out, in)``, then scale, then add the bias."""
        fits = len(weight.shape) == 2 and weight.shape[1] == x.width
        self._check(fits, "linear", f"weight {weight} cannot multiply rows of {x}")
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
        name = "route_top_k"
        self._check(
            0 < num_experts_used <= logits.width, name, f"cannot use {num_experts_used} experts of {logits}"
        )
        self._check(logits.width % groups == 0, name, f"{logits} does not divide into {groups} groups")
        self._check(0 < groups_used <= groups, name, f"cannot use {groups_used} of {groups} groups")
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
        name = "expert_feed_forward"
        self._check(len(down.shape) == 3, name, f"down {down} is not a stack of matrices")
        num_experts, width, inner = down.shape
        self._check_experts(x, experts, expert_weights)
        self._check((up is None) != (gate_up is None), name, "expected exactly one of up and gate_up")
        has_gate = gate is not None or gate_up is not None
        self._check(has_gate != (kind is GluKind.RELU2), name, f"kind {kind.value!r} beside gate {gate}")
        self._check_shape(name, gate, num_experts, inner, x.width)
        self._check_shape(name, up, num_experts, inner, x.width)
        self._check_shape(name, gate_up, num_experts, 2 * inner, x.width)
        self._check_shape(name, gate_bias, num_experts, inner)
        self._check_shape(name, up_bias, num_experts, inner)
        self._check_shape(name, down_bias, num_experts, width)
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
        self._check_divides("rms_norm", columns, x)
        if weight is not None:
            size = math.prod(weight.shape)
            fits = size in (columns, x.width)
            self._check(fits, "rms_norm", f"weight {weight} does not fit groups of {columns} in {x}")
        out = self._buffer(x.width, x.rows)
        return self._add(ops.RmsNorm(x, weight, eps, columns, out), out)

    def l2_norm(self, x: Buffer, eps: float, *, group: int) -> Buffer:
        """Normalise groups of columns to unit length."""
        self._check_divides("l2_norm", group, x)
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
        self._check_same("mul", x, y if y.width != 1 else replace(y, width=x.width))
        out = self._buffer(x.width, x.rows)
        return self._add(ops.Mul(x, y, out), out)

    def scale(self, x: Buffer, factor: float = 1.0, weight: Weight | None = None) -> Buffer:
        """Multiply by a constant, and by one number or one row of the checkpoint."""
        if weight is not None:
            size = math.prod(weight.shape)
            fits = size in (1, x.width)
            self._check(fits, "scale", f"weight {weight} is neither one number nor a row of {x}")
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
        self._check_columns("columns", start, width, x.width, x)
        self._num_buffers += 1
        return Buffer(self._num_buffers - 1, width, x.rows, x.element, x, start)

    def concat(self, x: Buffer, y: Buffer) -> Buffer:
        """Put the columns of ``y`` after those of ``x``."""
        self._check(x.rows is y.rows, "concat", f"{x} and {y} differ in rows")
        out = self._buffer(x.width + y.width, x.rows)
        return self._add(ops.Concat(x, y, out), out)

    def split_heads(self, x: Buffer, heads: int, start: int, width: int) -> Buffer:
        """Gather the same columns of every head: ``x`` is ``heads`` equal parts side by side."""
        self._check(heads > 0 and x.width % heads == 0, "split_heads", f"{x} is not {heads} equal parts")
        self._check_columns("split_heads", start, width, x.width // heads, f"a head of {x}")
        out = self._buffer(heads * width, x.rows)
        return self._add(ops.SplitHeads(x, heads, start, out), out)

    # ---- attention ----

    def rope(self, x: Buffer, head_width: int, table: RopeTable) -> Buffer:
        """Rotate each head by its row's position."""
        self._check_divides("rope", head_width, x)
        fits = 0 < table.num_rotated <= head_width
        self._check(fits, "rope", f"{table.num_rotated} rotated columns do not fit heads of {head_width}")
        out = self._buffer(x.width, x.rows)
        return self._add(ops.Rope(x, head_width, table, out), out)

    def kv_append(self, k: Buffer, v: Buffer, cache: KvCache) -> None:
        """Store keys and values at each row's position."""
        name, heads = "kv_append", cache.num_kv_heads
        self._check_tokens(name, k, v)
        self._check(k.width == heads * cache.key_width, name, f"keys {k} do not fit {cache}")
        self._check(v.width == heads * cache.value_width, name, f"values {v} do not fit {cache}")
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
        name, kv_heads = "attend", cache.num_kv_heads
        fits = q.width == num_heads * cache.key_width
        self._check(fits, name, f"queries {q} are not {num_heads} heads of {cache}")
        self._check(num_heads % kv_heads == 0, name, f"{num_heads} heads cannot share {kv_heads} kv heads")
        kept = cache.window is None or (window is not None and window <= cache.window)
        self._check(kept, name, f"a window of {window} looks further back than {cache} keeps")
        self._check_size(name, sinks, num_heads)
        out = self._buffer(num_heads * cache.value_width, q.rows)
        return self._add(ops.Attend(q, cache, num_heads, scale, window, softcap, sinks, out), out)

    # ---- recurrence ----

    def conv1d(
        self, x: Buffer, weight: Weight, state: ConvState, bias: Weight | None = None,
        activation: Activation | None = Activation.SILU,
    ) -> Buffer:  # fmt: skip
        """Convolve each channel causally with ``weight`` ``(channels, K)``."""
        self._check_tokens("conv1d", x)
        self._check_shape("conv1d", weight, x.width, state.kernel)
        self._check(state.channels == x.width, "conv1d", f"{x} does not fit {state}")
        self._check_size("conv1d", bias, x.width)
        out = self._buffer(x.width, x.rows)
        return self._add(ops.Conv1d(x, weight, bias, activation, state, out), out)

    def ssm_scan(
        self, x: Buffer, b: Buffer, c: Buffer, dt: Buffer, state: RecurrentState, *,
        a: Weight, d: Weight, dt_bias: Weight, groups: int,
    ) -> Buffer:  # fmt: skip
        """Scan Mamba-2's recurrence along each sequence."""
        name = "ssm_scan"
        self._check_tokens(name, x, b, c, dt)
        self._check(x.width == state.heads * state.rows, name, f"x {x} does not fit {state}")
        fits = b.width == c.width == groups * state.columns
        self._check(fits, name, f"b {b} and c {c} are not {groups} groups for {state}")
        self._check(dt.width == state.heads, name, f"dt {dt} does not fit {state}")
        self._check(state.heads % groups == 0, name, f"{groups} groups do not divide {state}")
        for weight in (a, d, dt_bias):
            self._check_size(name, weight, state.heads)
        out = self._buffer(x.width, x.rows)
        return self._add(ops.SsmScan(x, b, c, dt, a, d, dt_bias, groups, state, out), out)

    def delta_rule(
        self, q: Buffer, k: Buffer, v: Buffer, g: Buffer, beta: Buffer, state: RecurrentState, *,
        scale: float, num_key_heads: int, tiled: bool,
    ) -> Buffer:  # fmt: skip
        """Run the gated delta rule along each sequence."""
        name = "delta_rule"
        self._check_tokens(name, q, k, v, g, beta)
        fits = q.width == k.width == num_key_heads * state.rows
        self._check(fits, name, f"q {q} and k {k} are not {num_key_heads} heads of {state}")
        self._check(v.width == state.heads * state.columns, name, f"v {v} does not fit {state}")
        fits = g.width == beta.width == state.heads
        self._check(fits, name, f"g {g} and beta {beta} do not fit {state}")
        self._check(
            state.heads % num_key_heads == 0, name, f"{num_key_heads} key heads do not divide {state}"
        )
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

    def finish(
        self, hidden: Buffer, logits: Buffer, context_length: int, diffusion: BlockDiffusion | None = None
    ) -> Program:
        """Return the program: ``hidden`` are the last normed rows, ``logits`` what the head made of them.

        Raises:
            ProgramError: They have token rows, or some op reads what no earlier op wrote.
        """
        for part in (hidden, logits):
            self._check(
                part.rows is Rows.OUTPUTS,
                "finish",
                f"{part} has token rows; call select_rows before the head",
            )
        self._check_order((hidden, logits))
        return Program(
            self.architecture,
            tuple(self._ops),
            tuple(self._states),
            logits,
            hidden,
            context_length,
            diffusion,
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


def _squeezed(shape: Sequence[int]) -> tuple[int, ...]:
    return tuple(extent for extent in shape if extent != 1)
