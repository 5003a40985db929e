"""What an architecture says and a backend runs: ops over buffers, weights and per-sequence state."""

from jackfield.program.builder import Builder, TensorInfo
from jackfield.program.diffusion import BlockDiffusion
from jackfield.program.hyperparameters import (
    Hyperparameters,
    has_experts,
    read_expert_counts,
    read_expert_width,
    read_hyperparameters,
    read_per_layer,
    read_windows,
)
from jackfield.program.ops import Activation, Attend, GluKind, Op, RouterScore
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
from jackfield.program.positions import (
    RopeScaling,
    read_original_context,
    read_rope_factors,
    read_rope_scaling,
    read_rope_width,
)
from jackfield.program.program import Program
from jackfield.program.reference import Inputs
from jackfield.program.rope import LongRope, RopeLayout, RopeTable, Yarn, make_rope_table

__all__ = [
    "Activation",
    "Attend",
    "BlockDiffusion",
    "Buffer",
    "Builder",
    "ConvState",
    "Element",
    "GluKind",
    "Hyperparameters",
    "Inputs",
    "KvCache",
    "LongRope",
    "Op",
    "Program",
    "RecurrentState",
    "RopeLayout",
    "RopeScaling",
    "RopeTable",
    "RouterScore",
    "Rows",
    "State",
    "TensorInfo",
    "Weight",
    "Yarn",
    "has_experts",
    "make_rope_table",
    "read_expert_counts",
    "read_expert_width",
    "read_hyperparameters",
    "read_original_context",
    "read_per_layer",
    "read_rope_factors",
    "read_rope_scaling",
    "read_rope_width",
    "read_windows",
]
