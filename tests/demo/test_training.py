"""The demonstration model's data, tokenizer, export and training, on a model small enough to make here."""

from __future__ import annotations

import importlib.util
import json
from itertools import islice
from pathlib import Path
from random import Random

import numpy as np
import pytest
from tokenizers import Tokenizer

from jackfield.gguf import open_checkpoint
from jackfield.host import Host
from jackfield.text.environment import make_environment
from jackfield_plugins.demo.training.dialogue import Check
from jackfield_plugins.demo.training.export import export, q8_0
from jackfield_plugins.demo.training.mixture import SKILLS, held_out_samples, is_held_out, training_samples
from jackfield_plugins.demo.training.model import ModelConfig, weight_shapes
from jackfield_plugins.demo.training.packing import documents, packed_rows
from jackfield_plugins.demo.training.rendering import CHAT_TEMPLATE, rendered, template_message
from jackfield_plugins.demo.training.vocabulary import train_tokenizer

SIZES = ModelConfig(
    vocab_size=512, width=64, num_layers=2, num_heads=2, num_kv_heads=1, head_width=32, ff_width=96,
    context_length=256,
)  # fmt: skip


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return train_tokenizer(SIZES.vocab_size, 200, seed=1)


@pytest.fixture(scope="module")
def weights() -> dict[str, np.ndarray]:
    generator = np.random.default_rng(0)
    return {
        name: generator.normal(0, 0.1, shape).astype(np.float32)
        for name, shape in weight_shapes(SIZES).items()
    }


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory, tokenizer: Tokenizer, weights: dict) -> Path:
    path = tmp_path_factory.mktemp("demo") / "small.gguf"
    return export(path, SIZES, weights, tokenizer.to_str(), "small")


# ---- data ----


def test_the_same_seed_writes_the_same_conversations():
    first, again, other = (list(islice(training_samples(seed), 60)) for seed in (3, 3, 4))
    assert first == again
    assert first != other


def test_no_held_out_question_is_ever_taught():
    taught = {sample.key for sample in islice(training_samples(0), 3000)}
    for skill in SKILLS:
        asked = [sample for sample in held_out_samples(0, skill, 8) if is_held_out(sample)]
        assert not {sample.key for sample in asked} & taught


def test_every_skill_has_questions_to_be_judged_by():
    for skill in SKILLS:
        samples = held_out_samples(1, skill, 12)
        assert len(samples) == 12, skill
        assert any(sample.check != Check() for sample in samples), skill


@pytest.mark.parametrize("skill", list(SKILLS), ids=lambda skill: skill.__name__)
def test_the_answer_that_is_taught_is_judged_right(skill):
    for seed in range(60):
        sample = skill(Random(seed))
        last = sample.messages[-1]
        calls = [(call["name"], call["arguments"]) for call in last.get("tool_calls", ())]
        assert sample.check.passes(last["content"], calls), (sample.check, last)


# ---- rendering and tokens ----


@pytest.mark.parametrize("think", [False, True])
def test_conversations_are_rendered_as_the_chat_template_renders_them(think: bool):
    template = make_environment().from_string(CHAT_TEMPLATE)
    for skill in SKILLS:
        for seed in range(12):
            sample = skill(Random(seed))
            segments = rendered(sample, think=think, is_spliced=False, rng=_Spaced())
            head = "".join(part.text for part in segments[: [p.is_answer for p in segments].index(True)])
            history = [template_message(_as_said(message, think)) for message in sample.messages[:-1]]
            tools = [{"type": "function", "function": tool} for tool in sample.tools] or None
            wanted = template.render(
                messages=history, tools=tools, add_generation_prompt=True, enable_thinking=think
            )
            assert head == wanted


class _Spaced(Random):
    """Always choose calls with blanks in their JSON, as templates write them."""

    def random(self) -> float:
        return 0.99


def _as_said(message: dict, think: bool) -> dict:
    """Return a message of the history: what was said after thinking, and the thinking only where there was."""
    if not think:
        return {**message, "thinking": ""}
    return {**message, "content": message.get("brief") or message["content"]}


def test_the_exported_tokenizer_cuts_text_as_the_trained_one(exported: Path, tokenizer: Tokenizer):
    with open_checkpoint(exported) as checkpoint:
        served = Host().tokenizer("gpt2").load()(checkpoint.metadata)
    for sample in islice(training_samples(9), 80):
        text = "".join(part.text for part in rendered(sample, think=True, is_spliced=True, rng=Random(0)))
        assert served.encode_prompt(text, []) == tokenizer.encode(text, add_special_tokens=False).ids


# ---- packing ----


def test_rows_hold_whole_documents_and_little_padding(tokenizer: Tokenizer):
    rows = next(packed_rows(0, tokenizer, 2048, 2))
    assert (rows.documents > 0).mean() > 0.95
    short = [ids for ids, _ in islice(documents(0, tokenizer), 200)]
    first = rows.tokens[0][rows.documents[0] == 1].tolist()
    assert first in short


def test_the_same_seed_packs_the_same_rows(tokenizer: Tokenizer):
    once, again = (next(packed_rows(2, tokenizer, 1024, 1)) for _ in range(2))
    np.testing.assert_array_equal(once.tokens, again.tokens)
    np.testing.assert_array_equal(once.weights, again.weights)


# ---- the file ----


def test_blocks_round_to_the_nearest_step():
    values = np.random.default_rng(1).normal(0, 1, (4, 64)).astype(np.float32)
    blocks = q8_0(values).reshape(-1, 34)
    scales = blocks[:, :2].copy().view(np.float16).astype(np.float32)
    read = (blocks[:, 2:].view(np.int8) * scales).reshape(values.shape)
    steps = np.abs(values).reshape(-1, 32).max(axis=1) / 127
    assert (np.abs(read - values).reshape(-1, 32).max(axis=1) <= 0.51 * steps + 0.002).all()


def test_the_exported_file_says_what_it_is(exported: Path):
    with open_checkpoint(exported) as checkpoint:
        assert checkpoint.architecture == "qwen3"
        assert "demonstration" in checkpoint.metadata.text("general.description")
        assert {name: tensor.shape for name, tensor in checkpoint.tensors.items()} == weight_shapes(SIZES)


# ---- training ----

needs_torch = pytest.mark.skipif(
    importlib.util.find_spec("torch") is None, reason="PyTorch is not installed (extra 'train')"
)


@needs_torch
def test_a_few_steps_lower_the_loss_and_the_result_can_be_served(tmp_path: Path, tokenizer: Tokenizer):
    from jackfield_plugins.demo.training.trainer import TrainingConfig, load_weights, save_weights, train

    path, lines = tmp_path / "tokenizer.json", []
    tokenizer.save(str(path))
    train(
        SIZES,
        TrainingConfig(seconds=600.0, max_steps=5, rows=2, workers=0),
        path,
        "cpu",
        save=lambda weights: save_weights(tmp_path / "weights.npz", weights),
        report=lines.append,
    )
    losses = [float(line.split("loss ")[1].split()[0]) for line in lines]
    assert losses[-1] < losses[0]
    trained = {name: w.detach().numpy() for name, w in load_weights(tmp_path / "weights.npz", "cpu").items()}
    out = export(tmp_path / "trained.gguf", SIZES, trained, json.dumps(json.loads(tokenizer.to_str())), "x")
    with open_checkpoint(out) as checkpoint:
        assert len(checkpoint.tensors) == len(weight_shapes(SIZES))
