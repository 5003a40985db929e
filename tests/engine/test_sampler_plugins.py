"""The sampling stages that come as plugins follow their papers."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest

from jackfield.engine.sampling import BareVocabulary, Candidates
from jackfield.host import Host
from jackfield.service.requests import Sampling
from jackfield_plugins.samplers import dry, mirostat, typical, xtc

F32 = npt.NDArray[np.float32]
I32 = npt.NDArray[np.int32]
NOTHING: I32 = np.zeros(0, np.int32)
VOCABULARY = BareVocabulary(8)


class Words:
    """A vocabulary of words."""

    def __init__(self, *words: str) -> None:
        self._words = words
        self.vocab_size = len(words)

    def piece(self, token_id: int) -> bytes:
        return self._words[token_id].encode()


def of(*probabilities: float) -> Candidates:
    logits = np.log(np.array(probabilities, np.float32))
    return Candidates(np.arange(logits.size, dtype=np.int32), logits)


def history(*tokens: int) -> I32:
    return np.array(tokens, np.int32)


def never() -> float:
    raise AssertionError("no random number is needed here")


def test_the_host_finds_the_four_stages_in_their_order() -> None:
    stages = {descriptor.name: descriptor.order for descriptor in Host().samplers()}
    assert stages == {"dry": 110, "typical": 210, "xtc": 240, "mirostat": 350}


def test_a_stage_that_is_not_asked_for_is_not_built() -> None:
    for module in (dry, mirostat, typical, xtc):
        assert module.build(Sampling(temperature=1.0), VOCABULARY) is None


def test_greedy_requests_use_no_random_stage() -> None:
    sampling = Sampling(typical_p=0.5, xtc_probability=1.0, mirostat=2)
    for module in (mirostat, typical, xtc):
        assert module.build(sampling, VOCABULARY) is None


def test_typical_keeps_what_is_nearest_to_the_expected_surprise() -> None:
    candidates = of(0.5, 0.2, 0.15, 0.1, 0.05)
    probabilities = candidates.probabilities()
    surprise = -np.log(probabilities)
    entropy = (probabilities * surprise).sum()
    nearest = np.argsort(np.abs(surprise - entropy))
    stage = typical.Typical(0.3)
    stage.apply(candidates, NOTHING, never)
    assert candidates.ids.tolist() == sorted(nearest[:2].tolist())


def test_typical_is_not_disturbed_by_impossible_tokens() -> None:
    candidates = of(0.6, 0.4, 1e-30)
    candidates.logits[2] = -np.inf
    typical.Typical(0.99).apply(candidates, NOTHING, never)
    assert candidates.ids.tolist() == [0, 1]


def test_xtc_keeps_the_least_likely_of_the_likely_ones() -> None:
    candidates = of(0.4, 0.3, 0.2, 0.1)
    xtc.Xtc(0.5, 0.15).apply(candidates, NOTHING, lambda: 0.4)
    assert candidates.ids.tolist() == [2, 3]


@pytest.mark.parametrize(("draw", "threshold"), [(0.6, 0.15), (0.4, 0.35)])
def test_xtc_does_nothing_by_chance_or_with_one_likely_token(draw: float, threshold: float) -> None:
    candidates = of(0.4, 0.3, 0.2, 0.1)
    xtc.Xtc(0.5, threshold).apply(candidates, NOTHING, lambda: draw)
    assert len(candidates) == 4


def test_mirostat_2_keeps_what_surprises_little_enough_and_corrects_itself() -> None:
    stage = mirostat.MirostatV2(tau=1.0, eta=0.5)
    candidates = of(0.5, 0.25, 0.125, 0.0625, 0.0625)
    assert stage.mu == 2.0
    stage.apply(candidates, NOTHING, never)
    assert candidates.ids.tolist() == [0, 1]
    stage.accept(1, 1 / 3)
    assert stage.mu == pytest.approx(2.0 - 0.5 * (math.log2(3) - 1.0))


def test_mirostat_2_always_keeps_the_best() -> None:
    stage = mirostat.MirostatV2(tau=0.0, eta=0.1)
    candidates = of(0.4, 0.35, 0.25)
    stage.apply(candidates, NOTHING, never)
    assert candidates.ids.tolist() == [0]


def test_mirostat_1_finds_the_exponent_of_a_zipf_law() -> None:
    weights = 1 / np.arange(1, 101) ** 1.3
    assert mirostat._zipf_exponent(weights / weights.sum()) == pytest.approx(1.3, rel=1e-6)


@pytest.mark.parametrize(("exponent", "mu"), [(1.2, 4.0), (0.8, 6.0), (2.0, 3.0), (1.0 + 1e-9, 5.0)])
def test_mirostat_1_keeps_as_many_as_the_formula_says(exponent: float, mu: float) -> None:
    s, size = exponent if abs(exponent - 1) > 1e-7 else 1.0 + 1e-5, 1000
    wanted = ((s - 1) * 2**mu / (1 - size ** (1 - s))) ** (1 / s)
    assert mirostat._expected_count(exponent, mu, size) == max(1, round(wanted))


def test_mirostat_1_truncates() -> None:
    weights = 1 / np.arange(1, 501) ** 1.2
    candidates = of(*(weights / weights.sum()))
    stage = mirostat.MirostatV1(tau=2.0, eta=0.1, vocab_size=500)
    stage.apply(candidates, NOTHING, never)
    expected = mirostat._expected_count(1.2, 4.0, 500)
    assert candidates.ids.tolist() == list(range(expected))


# ---- DRY ----


def penalties(text: list[int], words: Words, **settings: object) -> dict[int, float]:
    sampling = Sampling(**{"dry_multiplier": 0.8, "dry_sequence_breakers": [], **settings})  # type: ignore[arg-type]  # by name
    stage = dry.build(sampling, words)
    assert stage is not None
    size = words.vocab_size
    candidates = Candidates(np.arange(size, dtype=np.int32), np.zeros(size, np.float32))
    stage.apply(candidates, history(*text), never)
    return {id: -float(logit) for id, logit in enumerate(candidates.logits) if logit}


LETTERS = Words("a", "b", "c", "d", "e", "\n", "x:", ":y")


def test_dry_penalises_by_the_length_of_the_longest_repetition() -> None:
    text = [0, 1, 2, 3, 4, 1, 2, 4, 0, 1, 2]
    found = penalties(text, LETTERS)
    assert found == {3: pytest.approx(0.8 * 1.75), 4: pytest.approx(0.8)}


def test_dry_leaves_short_repetitions_alone() -> None:
    assert penalties([0, 1, 2, 0], LETTERS) == {}
    assert penalties([0, 1, 2, 0], LETTERS, dry_allowed_length=1) == {1: pytest.approx(0.8)}


def test_dry_looks_back_only_so_far() -> None:
    text = [0, 1, 2, 3, 3, 3, 0, 1]
    assert 2 in penalties(text, LETTERS)
    assert penalties(text, LETTERS, dry_penalty_last_n=5) == {}


def test_dry_does_not_reach_over_a_breaker() -> None:
    text = [0, 1, 2, 3, 4, 0, 5, 1, 2]
    assert penalties(text, LETTERS, dry_sequence_breakers=["\n"]) == {3: pytest.approx(0.8)}
    text = [0, 5, 1, 3, 0, 5, 1]
    assert penalties(text, LETTERS, dry_sequence_breakers=["\n"]) == {}
    assert 3 in penalties(text, LETTERS)


def test_dry_does_not_penalise_breakers() -> None:
    text = [0, 1, 5, 2, 0, 1]
    assert penalties(text, LETTERS, dry_sequence_breakers=["\n"]) == {}


def test_dry_sees_a_breaker_that_two_tokens_spell() -> None:
    text = [0, 6, 7, 1, 3, 0, 6, 7, 1]
    assert 3 in penalties(text, LETTERS, dry_sequence_breakers=["\n"])
    assert penalties(text, LETTERS, dry_sequence_breakers=["::"]) == {}


def test_dry_keeps_up_with_a_growing_text() -> None:
    sampling = Sampling(dry_multiplier=0.8, dry_sequence_breakers=["\n"])
    stage = dry.build(sampling, LETTERS)
    assert stage is not None
    text: list[int] = []
    for token in [0, 1, 2, 3, 5, 0, 1, 2, 4, 5, 1, 2, 3, 0, 1, 2]:
        text.append(token)
        candidates = Candidates(np.arange(8, dtype=np.int32), np.zeros(8, np.float32))
        stage.apply(candidates, history(*text), never)
        grown = {id: -float(logit) for id, logit in enumerate(candidates.logits) if logit}
        assert grown == pytest.approx(penalties(text, LETTERS, dry_sequence_breakers=["\n"]))


def test_repeats_agrees_with_a_plain_search() -> None:
    dice = np.random.default_rng(3)
    for _ in range(100):
        text = dice.integers(0, 3, size=int(dice.integers(1, 30)))
        wanted: dict[int, int] = {}
        for end in range(text.size - 1):
            length = 0
            while length <= end and text[end - length] == text[-1 - length]:
                length += 1
            if min(length, 6) >= 2:
                token = int(text[end + 1])
                wanted[token] = max(wanted.get(token, 0), min(length, 6))
        assert dry.repeats(text.astype(np.int32), 6, 2) == wanted
