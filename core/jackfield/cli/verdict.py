"""Whether a checkpoint runs here, by which plugins, what it takes, and if not, everything that is missing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace

from jackfield.backend import Backend, Limits
from jackfield.descriptors import plugin_code
from jackfield.engine.loading import build_program
from jackfield.errors import JackfieldError
from jackfield.gguf import Checkpoint
from jackfield.host import Host
from jackfield.program import Attend, Op, Program

__all__ = ["KV_ELEMENT_BYTES", "Verdict", "judge"]

KV_ELEMENT_BYTES = {"f16": 2.0, "f32": 4.0, "q8_0": 34 / 32}
READ_AT_LOAD = frozenset({"rope_freqs.weight", "rope_factors_long.weight", "rope_factors_short.weight"})
"""Tensors that become part of the program itself."""

TEMPLATE_KEY = "tokenizer.chat_template"
TOKENIZER_KEY = "tokenizer.ggml.model"


@dataclass(frozen=True)
class Verdict:
    """What was found out; ``problems`` is why the file does not run, empty when it does.

    Attributes:
        plugin: The plugin whose architecture it is, with its distribution.
        layers: How many layers do what, in words.
        writes: How it writes, in words.
        backends: Each backend's name and its answer, ``runs`` or why not.
        memory: What the preferred backend would take for a context of ``memory_context``.
    """

    architecture: str
    problems: tuple[str, ...] = ()
    plugin: str = ""
    layers: str = ""
    writes: str = ""
    context_length: int = 0
    kv_bytes_per_token: int = 0
    fixed_state_bytes: int = 0
    tokenizer: str = ""
    chat_format: str = ""
    unused_tensors: tuple[str, ...] = ()
    backends: tuple[tuple[str, str], ...] = ()
    memory: tuple[tuple[str, int], ...] = ()
    memory_context: int = 0

    @property
    def runs(self) -> bool:
        """Whether nothing is in the way."""
        return not self.problems


def judge(checkpoint: Checkpoint, host: Host, context: int, kv_type: str) -> Verdict:
    """Try the tokenizer, build the program, and ask each backend about it; nothing is computed."""
    verdict = _judge_words(Verdict(checkpoint.architecture), checkpoint, host)
    if not checkpoint.tensors:
        return _with_problem(
            verdict, "the file has a vocabulary but no weights; it is there to test tokenizers"
        )
    try:
        program = build_program(checkpoint, host)
    except JackfieldError as error:
        return _with_problem(verdict, error.message)
    verdict = replace(verdict, plugin=_plugin_of(checkpoint.architecture, host))
    return _judge_program(verdict, program, checkpoint, host, _limits(program, context, kv_type))


def _with_problem(verdict: Verdict, problem: str) -> Verdict:
    return replace(verdict, problems=(*verdict.problems, problem))


def _judge_words(verdict: Verdict, checkpoint: Checkpoint, host: Host) -> Verdict:
    """Build the tokenizer, and find the chat format."""
    template = str(checkpoint.metadata.get(TEMPLATE_KEY, ""))
    chat_format = host.chat_format_for(template, checkpoint.architecture).name
    said = chat_format if template else f"{chat_format}; the file has no template"
    verdict = replace(verdict, chat_format=said)
    try:
        name = checkpoint.metadata.text(TOKENIZER_KEY)
        tokenizer = host.tokenizer(name).make(checkpoint.metadata)
    except JackfieldError as error:
        return _with_problem(verdict, error.message)
    return replace(verdict, tokenizer=f"{name}, {tokenizer.vocab_size} tokens")


def _plugin_of(architecture: str, host: Host) -> str:
    declared = f"architecture {host.architecture(architecture).name}"
    owners = (report for report in host.report() if declared in report.declares)
    return next((f"{report.name} of {report.distribution} {report.version}" for report in owners), "")


def _limits(program: Program, context: int, kv_type: str) -> Limits:
    canvas = program.diffusion.canvas_length if program.diffusion is not None else 0
    return Limits(
        num_pages=-(-context // 32),
        max_context=context,
        kv_type=kv_type,
        num_state_slots=1 if program.is_recurrent else 0,
        max_rows=max(512, canvas),
        max_outputs=max(64, canvas),
    )


def _judge_program(
    verdict: Verdict, program: Program, checkpoint: Checkpoint, host: Host, limits: Limits
) -> Verdict:
    program = program.for_context(limits.max_context)
    answers = list(_ask_backends(host, program, checkpoint, limits))
    computing = {backend.name for backend in host.backends() if backend.preference >= 0}
    runs = [name for name, answer, _ in answers if answer == "runs"]
    used = program.weight_names() | READ_AT_LOAD
    found = replace(
        verdict,
        layers=_layers(program.ops),
        writes=_writes(program),
        context_length=program.context_length,
        kv_bytes_per_token=program.kv_bytes_per_token(KV_ELEMENT_BYTES[limits.kv_type]),
        fixed_state_bytes=program.fixed_state_bytes(),
        unused_tensors=tuple(name for name in checkpoint.tensors if name not in used),
        backends=tuple((name, answer) for name, answer, _ in answers),
        memory=next((memory for _, answer, memory in answers if answer == "runs" and memory), ()),
        memory_context=limits.max_context,
    )
    return found if computing & set(runs) else _with_problem(found, f"no backend but {runs} runs it")


def _ask_backends(
    host: Host, program: Program, checkpoint: Checkpoint, limits: Limits
) -> Iterator[tuple[str, str, tuple[tuple[str, int], ...]]]:
    for descriptor in sorted(host.backends(), key=lambda item: -item.preference):
        try:
            backend: Backend = descriptor.make()
            with plugin_code(f"backend {descriptor.name!r}"):
                reason = backend.unavailable() or backend.cannot_run(program, checkpoint.tensors)
                estimate = None if reason else backend.estimate(program, checkpoint.tensors, limits)
        except JackfieldError as error:
            reason, estimate = error.message, None
        yield descriptor.name, reason or "runs", tuple(asdict(estimate).items()) if estimate else ()


# ---- what the program does ----


def _writes(program: Program) -> str:
    diffusion = program.diffusion
    if diffusion is None:
        return "token by token"
    return f"blocks of {diffusion.canvas_length} tokens, each refined in at most {diffusion.max_steps} passes"


LAYER_KINDS = {
    "SsmScan": "Mamba-2",
    "DeltaRule": "gated delta rule",
    "ExpertFeedForward": "mixture of experts",
}


def _layers(ops: Iterable[Op]) -> str:
    """Count what the layers do: ``7 attention (6 in a window of 1024), 7 feed-forward``."""
    counts: Counter[str] = Counter()
    windows: Counter[int] = Counter()
    for kinds in _kinds_by_block(ops):
        counts.update({kind for kind in kinds if isinstance(kind, str)})
        windows.update({kind for kind in kinds if isinstance(kind, int)})
    return ", ".join(
        f"{counts[kind]} {kind}{_windowed(windows) if kind == 'attention' else ''}"
        for kind in ("attention", *LAYER_KINDS.values(), "feed-forward")
        if counts[kind]
    )


def _windowed(windows: Counter[int]) -> str:
    inside = ", ".join(f"{count} in a window of {window}" for window, count in windows.items())
    return f" ({inside})" if inside else ""


def _kinds_by_block(ops: Iterable[Op]) -> Iterable[set[str | int]]:
    """Return for each block what its ops do; windows are numbers. An op without weights is of the last block."""
    blocks: dict[str, set[str | int]] = {}
    block = ""
    for op in ops:
        names = [weight.name for weight in op.weights]
        block = next((_block_of(name) for name in names if _block_of(name)), block)
        kinds = blocks.setdefault(block, set())
        if isinstance(op, Attend):
            kinds |= {"attention"} | ({op.window} if op.window else set())
        elif type(op).__name__ in LAYER_KINDS:
            kinds.add(LAYER_KINDS[type(op).__name__])
        elif any(".ffn_down." in name for name in names):
            kinds.add("feed-forward")
    return blocks.values()


def _block_of(name: str) -> str:
    """Return ``blk.4`` of ``blk.4.attn_q.weight``, and nothing of a tensor outside the blocks."""
    steps = name.split(".")
    return ".".join(steps[:2]) if len(steps) > 2 and steps[1].isdigit() else ""
