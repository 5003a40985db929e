from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from jackfield.backend import Limits
from jackfield.engine.loading import LoadedModel, load_model
from jackfield.engine.single import SingleSequence
from jackfield.host import Host
from jackfield.testing.sequences import SequenceBatch
from jackfield.testing.tiny import make_checkpoint

LIMITS = Limits(num_pages=20, page_size=16, max_rows=8)


@pytest.fixture
def model(tmp_path: Path) -> LoadedModel:
    path = make_checkpoint(tmp_path / "tiny.gguf", "qwen3")
    return load_model(path, Host(), "null", lambda program: LIMITS)


@pytest.mark.parametrize("length", [1, 2, 16, 17, 40])
def test_it_says_its_prompt_again_and_again(model: LoadedModel, length: int) -> None:
    prompt = [(7 * i + 3) % 300 for i in range(length)]
    sequence = SingleSequence(model.executable, model.limits)
    first = sequence.feed(prompt)[0]
    assert sequence.greedy(first, 50) == [prompt[i % length] for i in range(50)]


def test_it_is_certain_but_its_logits_are_finite(model: LoadedModel) -> None:
    logits = SingleSequence(model.executable, model.limits).feed([5, 9])
    assert logits.shape == (1, model.program.vocab_size)
    assert (np.argmax(logits), logits.max()) == (5, 100.0)
    assert np.count_nonzero(logits) == 1


def test_a_second_turn_is_a_prompt_of_its_own(model: LoadedModel) -> None:
    sequence = SingleSequence(model.executable, model.limits)
    prompt = [10, 11, 12]
    answer = sequence.greedy(sequence.feed(prompt)[0], 3)
    turn = [answer[-1], 20, 21]
    whole = [10, 11, 12, *answer[:-1], *turn]
    assert sequence.greedy(sequence.feed(turn)[0], 4) == whole[:4]


def test_sequences_do_not_hear_each_other(model: LoadedModel) -> None:
    batch = SequenceBatch(model.executable, model.limits)
    batch.feed_for({"a": [1, 2, 3], "b": [4, 5]}, [])
    logits = batch.feed_for({"b": [6], "a": [7]}, [0, 1])
    assert logits.argmax(axis=1).tolist() == [4, 1]


def test_a_copied_page_is_heard(model: LoadedModel) -> None:
    batch = SequenceBatch(model.executable, model.limits)
    batch.feed_for({"a": [1, 2, 3]}, [])
    batch.fork("a", "b")
    assert batch.feed_for({"b": [9]}, [0]).argmax() == 1


def test_hidden_rows_tell_tokens_apart(model: LoadedModel) -> None:
    batch = SequenceBatch(model.executable, model.limits)
    batch.feed_for({"a": [1, 2, 3], "b": [4, 5]}, [2, 4])
    hidden = model.executable.hidden()
    assert hidden.shape == (2, model.program.embedding_width)
    assert not np.array_equal(hidden[0], hidden[1])
