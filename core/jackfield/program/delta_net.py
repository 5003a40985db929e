"""The gated delta net: a linear-attention layer that several Qwen families share.

    q, k, v = silu(conv(projection))        q and k of unit length
    g = a · softplus(α + bias);  β = σ(β)   a value head
    out = Wo · (norm(delta_rule(q, k, v, g, β)) ⊙ silu(z))

Source: Yang, Kautz & Hatamizadeh 2024, arXiv:2412.06464.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from jackfield.program import layers
from jackfield.program.builder import Builder
from jackfield.program.hyperparameters import MAX_WIDTH
from jackfield.program.ops import Activation, GluKind
from jackfield.program.parts import Buffer

if TYPE_CHECKING:
    from jackfield.gguf import Checkpoint

__all__ = ["DeltaNet", "DeltaNetInputs", "gated_delta_net", "read_delta_net", "read_recurrent_layers"]


@dataclass(frozen=True)
class DeltaNet:
    """Sizes, from the keys ``ssm.…``: key heads and value heads, and the width of one of each."""

    conv_kernel: int
    num_key_heads: int
    num_value_heads: int
    key_width: int
    value_width: int

    @property
    def conv_width(self) -> int:
        """Columns that are convolved: q, then k, then v."""
        return 2 * self.num_key_heads * self.key_width + self.num_value_heads * self.value_width


@dataclass(frozen=True)
class DeltaNetInputs:
    """What a layer projects its rows to: ``qkv`` before the convolution, gate, raw β and α a value head."""

    qkv: Buffer
    z: Buffer
    beta: Buffer
    alpha: Buffer


def read_delta_net(checkpoint: Checkpoint) -> DeltaNet:
    """Read the sizes.

    Raises:
        CheckpointError: A key is missing, out of range, or does not divide what it must.
    """
    data = checkpoint.metadata
    key = data.of_architecture
    inner = data.integer(key("ssm.inner_size"), minimum=1, maximum=MAX_WIDTH)
    key_heads = data.integer(key("ssm.group_count"), minimum=1, maximum=MAX_WIDTH)
    value_heads = data.integer(key("ssm.time_step_rank"), minimum=1, maximum=MAX_WIDTH)
    if value_heads % key_heads:
        problem = f"is {value_heads}; expected a multiple of ssm.group_count, {key_heads}"
        raise data.error(key("ssm.time_step_rank"), problem)
    if inner % value_heads:
        problem = f"is {inner}; expected a multiple of ssm.time_step_rank, {value_heads}"
        raise data.error(key("ssm.inner_size"), problem)
    return DeltaNet(
        conv_kernel=data.integer(key("ssm.conv_kernel"), minimum=1, maximum=64),
        num_key_heads=key_heads,
        num_value_heads=value_heads,
        key_width=data.integer(key("ssm.state_size"), minimum=1, maximum=MAX_WIDTH),
        value_width=inner // value_heads,
    )


def read_recurrent_layers(checkpoint: Checkpoint, num_layers: int) -> tuple[bool, ...]:
    """Tell for each layer whether it is recurrent: by the file's list, or all but each n-th."""
    data = checkpoint.metadata
    name = data.of_architecture("attention.recurrent_layers")
    interval_key = data.of_architecture("full_attention_interval")
    if name not in data:
        interval = data.integer(interval_key, 4, minimum=1)
        return tuple((layer + 1) % interval != 0 for layer in range(num_layers))
    listed = data.booleans(name)
    if len(listed) < num_layers:
        raise data.error(name, f"has {len(listed)} elements; expected one for each of {num_layers} layers")
    return tuple(listed[:num_layers])


def gated_delta_net(
    b: Builder, block: str, net: DeltaNet, inputs: DeltaNetInputs, *, eps: float, width: int, tiled: bool
) -> Buffer:
    """Return the layer's output, ``width`` columns.

    Args:
        tiled: Value head h belongs to key head ``h % num_key_heads``; else neighbours share one.
    """
    q, k, v = _convolved(b, block, net, inputs.qkv, eps)
    heads = net.num_value_heads
    bias = b.present(f"{block}.ssm_dt.bias", f"{block}.ssm_dt")  # the second is Ollama's name
    rate = b.add_bias(inputs.alpha, b.weight(bias, heads))
    g = b.scale(b.activate(rate, Activation.SOFTPLUS), weight=b.weight(f"{block}.ssm_a", heads))
    beta = b.activate(inputs.beta, Activation.SIGMOID)
    state = b.recurrent_state(heads, net.key_width, net.value_width)
    scale = 1 / net.key_width**0.5
    y = b.delta_rule(q, k, v, g, beta, state, scale=scale, num_key_heads=net.num_key_heads, tiled=tiled)
    y = layers.rms_norm(b, y, f"{block}.ssm_norm", eps, group=net.value_width)
    return layers.linear(b, b.glu(inputs.z, y, GluKind.SILU), f"{block}.ssm_out", width)


def _convolved(
    b: Builder, block: str, net: DeltaNet, qkv: Buffer, eps: float
) -> tuple[Buffer, Buffer, Buffer]:
    taps = b.weight(f"{block}.ssm_conv1d.weight", net.conv_width, net.conv_kernel)
    mixed = b.conv1d(qkv, taps, b.conv_state(net.conv_kernel, net.conv_width))
    key_columns = net.num_key_heads * net.key_width
    q = b.l2_norm(b.columns(mixed, 0, key_columns), eps, group=net.key_width)
    k = b.l2_norm(b.columns(mixed, key_columns, key_columns), eps, group=net.key_width)
    return q, k, b.columns(mixed, 2 * key_columns, net.conv_width - 2 * key_columns)
