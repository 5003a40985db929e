"""What architectures have in common: small functions over a builder, without modes.

A family that needs a twist writes its own lines instead and says so. Names are tensor names without
``.weight``: ``linear(b, x, "blk.0.attn_q", 2048)``.
"""

from __future__ import annotations

from jackfield.errors import CheckpointError
from jackfield.program.builder import Builder
from jackfield.program.hyperparameters import Hyperparameters
from jackfield.program.ops import Activation, GluKind
from jackfield.program.parts import Buffer

__all__ = [
    "experts",
    "gated_feed_forward",
    "linear",
    "output_head",
    "project_qkv",
    "refuse_scaled_experts",
    "rms_norm",
    "shared_expert",
]


def linear(b: Builder, x: Buffer, name: str, width: int) -> Buffer:
    """Multiply by ``<name>.weight``, with the bias and the scale that the file has beside it."""
    weight = b.weight(f"{name}.weight", width, x.width)
    bias = b.optional_weight(f"{name}.bias", width)
    return b.linear(x, weight, bias, b.optional_weight(f"{name}.scale", 1))


def rms_norm(b: Builder, x: Buffer, name: str, eps: float, *, group: int | None = None) -> Buffer:
    """Normalise rows, or groups of columns, with ``<name>.weight``."""
    return b.rms_norm(x, b.weight(f"{name}.weight", group or x.width), eps, group=group)


def project_qkv(
    b: Builder, x: Buffer, block: str, q_width: int, k_width: int, v_width: int
) -> tuple[Buffer, Buffer, Buffer]:
    """Project to queries, keys and values, from three matrices or from the rows of ``attn_qkv``."""
    if not b.has(f"{block}.attn_qkv.weight"):
        return (
            linear(b, x, f"{block}.attn_q", q_width),
            linear(b, x, f"{block}.attn_k", k_width),
            linear(b, x, f"{block}.attn_v", v_width),
        )
    v_stop = q_width + k_width + v_width
    weight = b.weight(f"{block}.attn_qkv.weight", v_stop, x.width)
    fused_bias = b.optional_weight(f"{block}.attn_qkv.bias", v_stop)
    scale = b.optional_weight(f"{block}.attn_qkv.scale", 1)

    def part(name: str, start: int, width: int) -> Buffer:
        bias = fused_bias.rows(start, start + width) if fused_bias is not None else None
        bias = bias or b.optional_weight(f"{block}.attn_{name}.bias", width)
        return b.linear(x, weight.rows(start, start + width), bias, scale)

    return part("q", 0, q_width), part("k", q_width, k_width), part("v", q_width + k_width, v_width)


def gated_feed_forward(
    b: Builder, x: Buffer, block: str, inner: int, kind: GluKind = GluKind.SILU, suffix: str = ""
) -> Buffer:
    """``down(kind(gate(x)) * up(x))``; the suffix ``_shexp`` names a shared expert's matrices."""
    gate = linear(b, x, f"{block}.ffn_gate{suffix}", inner)
    up = linear(b, x, f"{block}.ffn_up{suffix}", inner)
    return linear(b, b.glu(gate, up, kind), f"{block}.ffn_down{suffix}", x.width)


def experts(
    b: Builder, x: Buffer, block: str, routed: tuple[Buffer, Buffer], num_experts: int, inner: int,
    kind: GluKind = GluKind.SILU,
) -> Buffer:  # fmt: skip
    """Run the routed experts of ``ffn_{gate,up,down}_exps``, or of the fused ``ffn_gate_up_exps``.

    Raises:
        CheckpointError: The file has a tensor for each expert, as early Mixtral conversions did, or scales that
            cannot be used.
    """
    if b.has(f"{block}.ffn_up.0.weight"):
        raise CheckpointError(
            f"{b.architecture}: {block}.ffn_up.0.weight is one tensor for each expert, a layout of early"
            f" conversions; expected {block}.ffn_up_exps.weight: convert the model again"
        )
    refuse_scaled_experts(b, block)
    n, f = num_experts, inner
    fused = b.optional_weight(f"{block}.ffn_gate_up_exps.weight", n, 2 * f, x.width)
    separate = fused is None
    # the second is Ollama's name
    down_scale = b.present(f"{block}.ffn_down_exps.scale", f"{block}.ffn_gate_inp.per_expert_scale")
    chosen, weights = routed
    return b.expert_feed_forward(
        x,
        chosen,
        weights,
        gate_up=fused,
        gate=b.weight(f"{block}.ffn_gate_exps.weight", n, f, x.width) if separate else None,
        up=b.weight(f"{block}.ffn_up_exps.weight", n, f, x.width) if separate else None,
        down=b.weight(f"{block}.ffn_down_exps.weight", n, x.width, f),
        gate_bias=b.optional_weight(f"{block}.ffn_gate_exps.bias", n, f),
        up_bias=b.optional_weight(f"{block}.ffn_up_exps.bias", n, f),
        down_bias=b.optional_weight(f"{block}.ffn_down_exps.bias", n, x.width),
        down_scale=b.optional_weight(down_scale, n),
        kind=kind,
    )


def refuse_scaled_experts(b: Builder, block: str) -> None:
    """Refuse scales of single experts' gate or up matrices; those of down are used.

    Raises:
        CheckpointError: The file has one; leaving it out would give other logits.
    """
    for name in ("gate_exps", "up_exps", "gate_up_exps"):
        scale = f"{block}.ffn_{name}.scale"
        if b.has(scale):
            raise CheckpointError(
                f"{b.architecture}: tensor {scale!r} scales each expert's matrix, expected none: no op here"
                " does that; use a file of another quantisation",
                param=scale,
            )


def shared_expert(b: Builder, x: Buffer, block: str, inner: int) -> Buffer:
    """SwiGLU of ``ffn_{gate,up,down}_shexp``, times a sigmoid of ``ffn_gate_inp_shexp`` for each row."""
    y = gated_feed_forward(b, x, block, inner, suffix="_shexp")
    gate = b.linear(x, b.weight(f"{block}.ffn_gate_inp_shexp.weight", 1, x.width))
    return b.mul(y, b.activate(gate, Activation.SIGMOID))


def output_head(b: Builder, x: Buffer, c: Hyperparameters) -> tuple[Buffer, Buffer]:
    """Return the last normed rows and their logits; a file without ``output.weight`` ties the embedding."""
    hidden = rms_norm(b, x, "output_norm", c.layer_norm_rms_epsilon)
    name = "output" if b.has("output.weight") else "token_embd"
    weight = b.weight(f"{name}.weight", c.vocab_size, c.embedding_length)
    bias = b.optional_weight("output.bias", c.vocab_size)
    return hidden, b.linear(hidden, weight, bias, b.optional_weight(f"{name}.scale", 1))
