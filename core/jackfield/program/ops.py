"""The op vocabulary: what an architecture can say and every backend can run.

Rows are tokens of any mix of sequences; ops that look at other rows (attention, convolution, recurrence)
find each row's sequence, position and state in the step's tables. Inputs come first, outputs last and
named ``out…``. Everything is float32 between ops. Formulas: letters as in ``docs/dimensions.md``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from enum import StrEnum
from functools import cached_property

from jackfield.program.parts import Buffer, ConvState, KvCache, RecurrentState, State, Weight
from jackfield.program.rope import RopeTable

__all__ = [
    "VOCABULARY",
    "Activate",
    "Activation",
    "Add",
    "AddBias",
    "Attend",
    "ChooseRows",
    "Concat",
    "Conv1d",
    "DeltaRule",
    "Embed",
    "ExpertFeedForward",
    "Glu",
    "GluKind",
    "KvAppend",
    "L2Norm",
    "Linear",
    "Mul",
    "Op",
    "RmsNorm",
    "Rope",
    "RouteTopK",
    "RouterScore",
    "Scale",
    "SelectRows",
    "SoftEmbed",
    "Softcap",
    "SplitHeads",
    "SsmScan",
]


class Activation(StrEnum):
    """Elementwise functions; ``gelu`` is the tanh form, ``relu2`` is ``max(x, 0) ** 2``."""

    SILU = "silu"
    GELU = "gelu"
    RELU2 = "relu2"
    SIGMOID = "sigmoid"
    SOFTPLUS = "softplus"


class GluKind(StrEnum):
    """Gated units ``f(gate) * up``; ``oai`` is gpt-oss's clamped form (g * σ(1.702 g)) * (u + 1)."""

    SILU = "silu"
    GELU = "gelu"
    SIGMOID = "sigmoid"
    OAI = "oai"
    RELU2 = "relu2"
    """No gate: ``relu2(up)``; only in ``ExpertFeedForward``, where ``gate`` is then ``None``."""


class RouterScore(StrEnum):
    """How router logits become expert weights."""

    SOFTMAX = "softmax"
    SIGMOID = "sigmoid"
    SOFTMAX_SELECTED = "softmax_selected"


@dataclass(frozen=True)
class Op:
    """Base of every op; its fields are its operands and constants.

    Fields named ``out…`` are the buffers written. An op of a plugin is a frozen dataclass like those below,
    declared by the hook ``jackfield_ops``.
    """

    @cached_property
    def reads(self) -> tuple[Buffer, ...]:
        """Buffers read, in field order."""
        operands = self._operands()
        return tuple(v for name, v in operands if isinstance(v, Buffer) and not name.startswith("out"))

    @cached_property
    def writes(self) -> tuple[Buffer, ...]:
        """Buffers written, in field order."""
        operands = self._operands()
        return tuple(v for name, v in operands if isinstance(v, Buffer) and name.startswith("out"))

    @cached_property
    def weights(self) -> tuple[Weight, ...]:
        """Weights used, in field order."""
        return tuple(value for _, value in self._operands() if isinstance(value, Weight))

    @cached_property
    def states(self) -> tuple[State, ...]:
        """Per-sequence states read or written, in field order."""
        return tuple(value for _, value in self._operands() if isinstance(value, State))

    def _operands(self) -> Iterator[tuple[str, object]]:
        for item in fields(self):
            yield item.name, getattr(self, item.name)


# ---- rows in and out -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Embed(Op):
    """``out[t] = scale * weight[token[t]]``; columns from ``start`` on when the table is wider."""

    weight: Weight  # (V, D)
    scale: float
    start: int
    out: Buffer


@dataclass(frozen=True)
class SoftEmbed(Op):
    """``out[t] = scale * Σ_i w_i * weight[token_i]`` over row t's entries of the step's ``soft_tokens``.

    Zero for a row without any. Self-conditioning: Chen et al. 2022, arXiv:2208.04202.
    """

    weight: Weight  # (V, D)
    scale: float
    out: Buffer


@dataclass(frozen=True)
class ChooseRows(Op):
    """``out[t] = canvas[t]`` where row t is of a canvas, else ``text[t]``."""

    canvas: Buffer
    text: Buffer
    out: Buffer


@dataclass(frozen=True)
class SelectRows(Op):
    """Keep the rows whose logits are wanted: ``out[r] = x[output_rows[r]]``."""

    x: Buffer
    out: Buffer


# ---- linear --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Linear(Op):
    """``out = (x @ weight.T) * scale + bias``; consecutive ones of one ``x`` may share its preparation."""

    x: Buffer  # [rows, in]
    weight: Weight  # (out, in)
    bias: Weight | None  # (out,)
    scale: Weight | None  # (1,)
    out: Buffer  # [rows, out]


@dataclass(frozen=True)
class RouteTopK(Op):
    """Choose ``k`` experts a row: score, select, weigh.

    π = softmax(logits) | σ(logits) | logits;  idx = top-k of π + bias, descending, ties to the lower index;
    w = π[idx], for ``softmax_selected`` softmax over them;  if ``normalize`` w /= max(Σw, 2^-14);
    w *= scale.
    With ``groups > 1`` only the ``groups_used`` groups with the largest sum of their two best are eligible.
    """

    logits: Buffer  # [rows, E]
    bias: Weight | None  # (E,) for selection only
    score: RouterScore
    normalize: bool
    scale: float
    groups: int
    groups_used: int
    out_experts: Buffer  # [rows, k] i32
    out_weights: Buffer  # [rows, k]


@dataclass(frozen=True)
class ExpertFeedForward(Op):
    """``out = Σ_j w_j * scale_e * (down_e(glu(gate_e(x), up_e(x))))`` with ``e = experts[j]``, in rank order.

    ``gate_up`` holds gate rows then up rows of each expert where the file fuses them: then ``gate`` and
    ``up`` are ``None``. Without a gate the unit is ``relu2(up)``.
    """

    x: Buffer  # [rows, in]
    experts: Buffer  # [rows, k] i32
    expert_weights: Buffer  # [rows, k]
    gate: Weight | None  # (E, F, in)
    up: Weight | None  # (E, F, in)
    gate_up: Weight | None  # (E, 2F, in)
    down: Weight  # (E, D, F)
    gate_bias: Weight | None  # (E, F)
    up_bias: Weight | None  # (E, F)
    down_bias: Weight | None  # (E, D)
    down_scale: Weight | None  # (E,)
    kind: GluKind
    out: Buffer  # [rows, D]


# ---- norms ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class RmsNorm(Op):
    """``out = x / sqrt(mean(x²) + eps) * weight`` over groups of ``group`` columns.

    The weight has ``group`` entries (the same for every head), the whole width, or is absent.
    """

    x: Buffer
    weight: Weight | None
    eps: float
    group: int
    out: Buffer


@dataclass(frozen=True)
class L2Norm(Op):
    """``out = x / sqrt(Σx² + eps)`` over groups of ``group`` columns."""

    x: Buffer
    eps: float
    group: int
    out: Buffer


# ---- elementwise ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Add(Op):
    """``out = x + y``."""

    x: Buffer
    y: Buffer
    out: Buffer


@dataclass(frozen=True)
class AddBias(Op):
    """``out = x + bias``, the same for every row."""

    x: Buffer
    bias: Weight  # (width,)
    out: Buffer


@dataclass(frozen=True)
class Mul(Op):
    """``out = x * y``; ``y`` may be one column, ``[rows, 1]``."""

    x: Buffer
    y: Buffer
    out: Buffer


@dataclass(frozen=True)
class Scale(Op):
    """``out = x * factor * weight``; the weight is one number or a row, or absent."""

    x: Buffer
    factor: float
    weight: Weight | None  # (1,) or (width,)
    out: Buffer


@dataclass(frozen=True)
class Activate(Op):
    """``out = kind(x)``."""

    x: Buffer
    kind: Activation
    out: Buffer


@dataclass(frozen=True)
class Glu(Op):
    """``out = kind(gate) * up``."""

    gate: Buffer
    up: Buffer
    kind: GluKind
    out: Buffer


@dataclass(frozen=True)
class Softcap(Op):
    """``out = cap * tanh(x / cap)``."""

    x: Buffer
    cap: float
    out: Buffer


@dataclass(frozen=True)
class Concat(Op):
    """``out = [x | y]``, columns side by side."""

    x: Buffer
    y: Buffer
    out: Buffer


@dataclass(frozen=True)
class SplitHeads(Op):
    """Gather ``width`` columns from ``start`` of each of ``heads`` equal parts of ``x``, side by side."""

    x: Buffer  # [rows, heads * part]
    heads: int
    start: int
    out: Buffer  # [rows, heads * width]


# ---- attention -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Rope(Op):
    """Rotate the first ``table.num_rotated`` columns of each head by ``position * table.frequencies``."""

    x: Buffer  # [rows, heads * head_width]
    head_width: int
    table: RopeTable
    out: Buffer


@dataclass(frozen=True)
class KvAppend(Op):
    """Write each row's key and value at its position of its sequence's cache."""

    k: Buffer  # [rows, G * K]
    v: Buffer  # [rows, G * Kv]
    cache: KvCache


@dataclass(frozen=True)
class Attend(Op):
    """Causal attention over the cache, the rows of this step included.

    s = scale * q·k;  softcap: s = c * tanh(s / c);  allowed: p_k ≤ p_q and, with a window W, p_q − p_k < W;
    out = Σ softmax(s) v, where a sink adds exp(sink_h) to the softmax's sum.
    Query head h reads key head h // (H // G).
    Rows of a canvas from position p to p' see each other: allowed are p_k ≤ p' and p − p_k < W (``Step.sight``).
    """

    q: Buffer  # [rows, H * K]
    cache: KvCache
    num_heads: int
    scale: float
    window: int | None
    softcap: float | None
    sinks: Weight | None  # (H,)
    out: Buffer  # [rows, H * Kv]


# ---- recurrence ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Conv1d(Op):
    """Causal depthwise convolution: ``out_t = act(bias + Σ_i weight[:, i] * x_{t-K+1+i})``.

    The state keeps the last raw rows of ``x``.
    """

    x: Buffer  # [rows, channels]
    weight: Weight  # (channels, K)
    bias: Weight | None  # (channels,)
    activation: Activation | None
    state: ConvState
    out: Buffer


@dataclass(frozen=True)
class SsmScan(Op):
    """Mamba-2: ``h ← e^{dt A} h + dt x ⊗ B``, ``y = h·C + D x`` a head, ``dt = softplus(dt + dt_bias)``.

    Heads Hs of width P, state width N, G groups of B and C; head h uses group ``h // (Hs // G)``.
    Source: Dao & Gu 2024, arXiv:2405.21060.
    """

    x: Buffer  # [rows, Hs * P]
    b: Buffer  # [rows, G * N]
    c: Buffer  # [rows, G * N]
    dt: Buffer  # [rows, Hs]
    a: Weight  # Hs entries, already −exp(A_log)
    d: Weight  # Hs entries
    dt_bias: Weight  # (Hs,)
    groups: int
    state: RecurrentState  # heads Hs, rows P, columns N
    out: Buffer  # [rows, Hs * P]


@dataclass(frozen=True)
class DeltaRule(Op):
    """Gated delta rule, a value head at a time.

    S ← e^g S;  d = β (v − Sᵀk);  S ← S + k dᵀ;  out = Sᵀq * scale.
    Value head h uses key head ``h % Nk`` when ``tiled``, else ``h // (Nv // Nk)``.
    Source: Yang, Kautz & Hatamizadeh 2024, arXiv:2412.06464.
    """

    q: Buffer  # [rows, Nk * Dk], normalised
    k: Buffer  # [rows, Nk * Dk], normalised
    v: Buffer  # [rows, Nv * Dv]
    g: Buffer  # [rows, Nv], log decay
    beta: Buffer  # [rows, Nv]
    scale: float
    num_key_heads: int
    tiled: bool
    state: RecurrentState  # heads Nv, rows Dk, columns Dv
    out: Buffer  # [rows, Nv * Dv]


VOCABULARY: frozenset[type[Op]] = frozenset(Op.__subclasses__())
"""The ops above: what every backend runs natively. Any other op needs a plugin that declares it."""
