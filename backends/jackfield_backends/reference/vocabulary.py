"""Which function computes which op."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from jackfield.descriptors import load_attribute
from jackfield.errors import BackendError
from jackfield.program import Inputs, Op, Program, ops

from . import attention, elementwise, experts, linear, norms, recurrence, rows

__all__ = ["VOCABULARY", "Reference", "references_of"]

Reference = Callable[[Any, Inputs], None]

VOCABULARY: Mapping[type[Op], Reference] = MappingProxyType(
    {
        ops.Embed: rows.embed,
        ops.SoftEmbed: rows.soft_embed,
        ops.ChooseRows: rows.choose_rows,
        ops.SelectRows: rows.select_rows,
        ops.Concat: rows.concat,
        ops.SplitHeads: rows.split_heads,
        ops.Linear: linear.linear,
        ops.RouteTopK: experts.route_top_k,
        ops.ExpertFeedForward: experts.expert_feed_forward,
        ops.RmsNorm: norms.rms_norm,
        ops.L2Norm: norms.l2_norm,
        ops.Add: elementwise.add,
        ops.AddBias: elementwise.add_bias,
        ops.Mul: elementwise.mul,
        ops.Scale: elementwise.scale,
        ops.Activate: elementwise.activate,
        ops.Glu: elementwise.glu,
        ops.Softcap: elementwise.softcap,
        ops.Rope: attention.rope,
        ops.KvAppend: attention.kv_append,
        ops.Attend: attention.attend,
        ops.Conv1d: recurrence.conv1d,
        ops.SsmScan: recurrence.ssm_scan,
        ops.DeltaRule: recurrence.delta_rule,
    }
)


def references_of(program: Program) -> list[Reference]:
    """Return the function of each op of the program, in order; those of plugins are imported here.

    Raises:
        BackendError: An op is neither in the vocabulary nor declared by a plugin.
    """
    return [_reference_of(type(op), program) for op in program.ops]


def _reference_of(kind: type[Op], program: Program) -> Reference:
    if kind in VOCABULARY:
        return VOCABULARY[kind]
    declared = program.plugin_ops.get(kind)
    if declared is None:
        raise BackendError(
            f"reference backend: op {kind.__name__!r} of {program.architecture} has no declaration;"
            f" give the program the descriptors of its ops with Program.with_plugin_ops"
        )
    found: Reference = load_attribute(declared.reference, repr(declared.name))
    return found
