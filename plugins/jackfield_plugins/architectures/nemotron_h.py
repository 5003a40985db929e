"""Nemotron-H and Nemotron 3 Nano: Mamba-2, a few attention layers, feed-forwards or experts.

Papers: NVIDIA 2025, arXiv:2504.03624; Mamba-2: Dao & Gu 2024, arXiv:2405.21060.

    x = x + mixer(norm(x))        one mixer a layer: Mamba-2, attention, feed-forward or experts

Differs from llama:
- a layer is one mixer with one norm, and the per-layer arrays of the file say which: no keys and no
  feed-forward is Mamba-2, no feed-forward is attention, the rest feed-forward, with a router experts;
- no positions are encoded at all;
- units are squared ReLUs without a gate;
- experts are chosen by sigmoid plus a correction that does not weigh, and run beside a shared one; with
  ``moe_latent_size`` they work on a narrower projection of the rows.

Files made by Ollama name that projection ``ffn_latent_in`` and ``ffn_latent_out`` and leave its width out; those with
image and sound parts beside the text say ``nemotron_h_omni``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from jackfield.descriptors import ArchitectureDescriptor
from jackfield.hooks import hookimpl
from jackfield.program import (
    Activation,
    Buffer,
    Builder,
    GluKind,
    Hyperparameters,
    Program,
    RouterScore,
    layers,
    read_hyperparameters,
    read_per_layer,
)

if TYPE_CHECKING:
    from jackfield.gguf import Checkpoint

__all__ = ["build", "jackfield_architectures"]

RMS_KEY = "attention.layer_norm_rms_epsilon"
MAX_EXPERTS = 1 << 16
MAX_WIDTH = 1 << 20


@dataclass(frozen=True)
class Mamba:
    """Sizes of the Mamba-2 layers, from the keys ``ssm.…``."""

    conv_kernel: int
    inner_size: int
    state_size: int
    group_count: int
    time_step_rank: int

    @property
    def conv_width(self) -> int:
        """Columns that are convolved: x, then B, then C."""
        return self.inner_size + 2 * self.group_count * self.state_size


@dataclass(frozen=True)
class Experts:
    """What the file says about experts; the tuples have an entry for each layer."""

    count: int
    used_count: tuple[int, ...]
    feed_forward_length: tuple[int, ...]
    shared_feed_forward_length: int
    group_count: int
    group_used_count: int
    weights_norm: bool
    weights_scale: float
    latent_size: int


@dataclass(frozen=True)
class Config:
    """What the file says."""

    sizes: Hyperparameters
    mamba: Mamba
    experts: Experts


# ---- what the file says ----


def read_config(checkpoint: Checkpoint) -> Config:
    """Read and check the hyper-parameters."""
    has_rms_key = checkpoint.metadata.of_architecture(RMS_KEY) in checkpoint.metadata
    sizes = read_hyperparameters(
        checkpoint, eps_key=RMS_KEY if has_rms_key else "attention.layer_norm_epsilon"
    )
    return Config(sizes, read_mamba(checkpoint), read_experts(checkpoint))


def read_mamba(checkpoint: Checkpoint) -> Mamba:
    """Read the sizes of the Mamba-2 layers."""
    data = checkpoint.metadata
    key = data.of_architecture
    mamba = Mamba(
        conv_kernel=data.integer(key("ssm.conv_kernel"), minimum=1, maximum=64),
        inner_size=data.integer(key("ssm.inner_size"), minimum=1, maximum=MAX_WIDTH),
        state_size=data.integer(key("ssm.state_size"), minimum=1, maximum=MAX_WIDTH),
        group_count=data.integer(key("ssm.group_count"), minimum=1, maximum=MAX_WIDTH),
        time_step_rank=data.integer(key("ssm.time_step_rank"), minimum=1, maximum=MAX_WIDTH),
    )
    if mamba.inner_size % mamba.time_step_rank:
        problem = f"is {mamba.time_step_rank}; expected a divisor of ssm.inner_size, {mamba.inner_size}"
        raise data.error(key("ssm.time_step_rank"), problem)
    if mamba.time_step_rank % mamba.group_count:
        problem = f"is {mamba.group_count}; expected a divisor of ssm.time_step_rank, {mamba.time_step_rank}"
        raise data.error(key("ssm.group_count"), problem)
    return mamba


def read_experts(checkpoint: Checkpoint) -> Experts:
    """Read what the file says about experts; all zero where there are none."""
    data = checkpoint.metadata
    key = data.of_architecture
    groups = data.integer(key("expert_group_count"), 1, minimum=0, maximum=MAX_EXPERTS) or 1
    return Experts(
        count=data.integer(key("expert_count"), 0, minimum=0, maximum=MAX_EXPERTS),
        used_count=read_per_layer(checkpoint, "expert_used_count", MAX_EXPERTS),
        feed_forward_length=read_per_layer(checkpoint, "expert_feed_forward_length", MAX_WIDTH),
        shared_feed_forward_length=data.integer(
            key("expert_shared_feed_forward_length"), 0, minimum=0, maximum=MAX_WIDTH
        ),
        group_count=groups,
        group_used_count=data.integer(key("expert_group_used_count"), groups, minimum=0, maximum=groups)
        or groups,
        weights_norm=data.boolean(key("expert_weights_norm"), False),
        weights_scale=data.number(key("expert_weights_scale"), 1.0, minimum=0.0, maximum=1e6) or 1.0,
        latent_size=read_latent_size(checkpoint),
    )


def read_latent_size(checkpoint: Checkpoint) -> int:
    """Return the width that experts work on, 0 for that of the rows; absent, it is what Ollama's tensor has."""
    data = checkpoint.metadata
    rows = (t.shape[0] for name, t in checkpoint.tensors.items() if name.endswith(".ffn_latent_in.weight"))
    return data.integer(data.of_architecture("moe_latent_size"), next(rows, 0), minimum=0, maximum=MAX_WIDTH)


# ---- the forward pass ----


def build(checkpoint: Checkpoint) -> Program:
    """Write the forward pass of a nemotron_h checkpoint."""
    c = read_config(checkpoint)
    b = Builder(c.sizes.architecture, checkpoint.tensors)
    x = b.embed(b.weight("token_embd.weight", c.sizes.vocab_size, c.sizes.embedding_length))
    for layer in range(c.sizes.block_count):
        h = layers.rms_norm(b, x, f"blk.{layer}.attn_norm", c.sizes.layer_norm_rms_epsilon)
        x = b.add(x, mixer(b, c, layer, h))
    hidden, logits = layers.output_head(b, b.select_rows(x), c.sizes)
    return b.finish(hidden, logits, c.sizes.context_length)


def mixer(b: Builder, c: Config, layer: int, h: Buffer) -> Buffer:
    """Do what this layer does."""
    if c.sizes.feed_forward_length[layer] == 0:
        return attention(b, c, layer, h) if c.sizes.head_count_kv[layer] else mamba(b, c, layer, h)
    if b.has(f"blk.{layer}.ffn_gate_inp.weight"):
        return mixture(b, c, layer, h)
    return feed_forward(b, h, f"blk.{layer}", "", c.sizes.feed_forward_length[layer])


def mamba(b: Builder, c: Config, layer: int, h: Buffer) -> Buffer:
    """Mamba-2: convolve, scan, gate, then normalise in groups."""
    block, m = f"blk.{layer}", c.mamba
    heads, groups, bc_width = m.time_step_rank, m.group_count, m.group_count * m.state_size
    everything = layers.linear(b, h, f"{block}.ssm_in", m.inner_size + m.conv_width + heads)
    gate = b.columns(everything, 0, m.inner_size)
    xbc = b.columns(everything, m.inner_size, m.conv_width)
    dt = b.columns(everything, m.inner_size + m.conv_width, heads)
    xbc = b.conv1d(
        xbc,
        b.weight(f"{block}.ssm_conv1d.weight", m.conv_width, m.conv_kernel),
        b.conv_state(m.conv_kernel, m.conv_width),
        b.optional_weight(f"{block}.ssm_conv1d.bias", m.conv_width),
    )
    y = b.ssm_scan(
        b.columns(xbc, 0, m.inner_size),
        b.columns(xbc, m.inner_size, bc_width),
        b.columns(xbc, m.inner_size + bc_width, bc_width),
        dt,
        b.recurrent_state(heads, m.inner_size // heads, m.state_size),
        a=b.weight(f"{block}.ssm_a", heads),
        d=b.weight(f"{block}.ssm_d", heads),
        dt_bias=b.weight(f"{block}.ssm_dt.bias", heads),
        groups=groups,
    )
    gains = b.weight(f"{block}.ssm_norm.weight", groups, m.inner_size // groups)
    eps = c.sizes.layer_norm_rms_epsilon
    y = b.rms_norm(b.glu(gate, y), gains, eps, group=m.inner_size // groups)
    return layers.linear(b, y, f"{block}.ssm_out", c.sizes.embedding_length)


def attention(b: Builder, c: Config, layer: int, h: Buffer) -> Buffer:
    """Grouped-query attention without positions."""
    heads, kv_heads = c.sizes.head_count[layer], c.sizes.head_count_kv[layer]
    width, v_width = c.sizes.key_length, c.sizes.value_length
    q, k, v = layers.project_qkv(b, h, f"blk.{layer}", heads * width, kv_heads * width, kv_heads * v_width)
    cache = b.kv_cache(kv_heads, width, v_width)
    b.kv_append(k, v, cache)
    out = b.attend(q, cache, heads, scale=width**-0.5)
    return layers.linear(b, out, f"blk.{layer}.attn_output", c.sizes.embedding_length)


def feed_forward(b: Builder, h: Buffer, block: str, suffix: str, inner: int) -> Buffer:
    """``down(relu2(up(h)))``; the suffix ``_shexp`` names the shared expert's matrices."""
    up = b.activate(layers.linear(b, h, f"{block}.ffn_up{suffix}", inner), Activation.RELU2)
    return layers.linear(b, up, f"{block}.ffn_down{suffix}", h.width)


def mixture(b: Builder, c: Config, layer: int, h: Buffer) -> Buffer:
    """The best experts of each row, on a narrower row where the file has one, plus the shared expert."""
    block, e = f"blk.{layer}", c.experts
    routed = b.route_top_k(
        layers.linear(b, h, f"{block}.ffn_gate_inp", e.count),
        e.used_count[layer],
        score=RouterScore.SIGMOID,
        normalize=e.weights_norm,
        bias=b.optional_weight(f"{block}.exp_probs_b.bias", e.count),
        scale=e.weights_scale,
        groups=e.group_count,
        groups_used=e.group_used_count,
    )
    if e.latent_size:
        down, up = latent_names(b, block)
        narrow = layers.linear(b, h, down, e.latent_size)
        y = layers.linear(b, run_experts(b, c, layer, narrow, routed), up, h.width)
    else:
        y = run_experts(b, c, layer, h, routed)
    return b.add(y, feed_forward(b, h, block, "_shexp", e.shared_feed_forward_length))


def latent_names(b: Builder, block: str) -> tuple[str, str]:
    """Return the names of the projections to the narrower row and back."""
    down = b.present(f"{block}.ffn_latent_down.weight", f"{block}.ffn_latent_in.weight")
    up = b.present(f"{block}.ffn_latent_up.weight", f"{block}.ffn_latent_out.weight")
    return down.removesuffix(".weight"), up.removesuffix(".weight")


def run_experts(b: Builder, c: Config, layer: int, x: Buffer, routed: tuple[Buffer, Buffer]) -> Buffer:
    """Run the routed experts, which have no gate."""
    count, inner = c.experts.count, c.experts.feed_forward_length[layer]
    layers.refuse_scaled_experts(b, f"blk.{layer}")
    chosen, weights = routed
    return b.expert_feed_forward(
        x,
        chosen,
        weights,
        up=b.weight(f"blk.{layer}.ffn_up_exps.weight", count, inner, x.width),
        down=b.weight(f"blk.{layer}.ffn_down_exps.weight", count, x.width, inner),
        down_scale=b.optional_weight(f"blk.{layer}.ffn_down_exps.scale", count),
        kind=GluKind.RELU2,
    )


@hookimpl
def jackfield_architectures() -> Sequence[ArchitectureDescriptor]:
    """Declare the family, dense and with experts."""
    factory = "jackfield_plugins.architectures.nemotron_h:build"
    return [
        ArchitectureDescriptor(name="nemotron_h", summary="Nemotron-H, Nemotron Nano 2", factory=factory),
        ArchitectureDescriptor(
            name="nemotron_h_moe",
            summary="Nemotron 3 with experts",
            factory=factory,
            aliases=("nemotron_h_omni",),
        ),
    ]
