"""Sampling picks what its formulas say, by seed alone, and never something that may not be picked."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jackfield.descriptors import SamplerDescriptor
from jackfield.engine import SampledToken, TokenMask
from jackfield.engine.sampling import (
    BareVocabulary,
    Candidates,
    Sampler,
    Scratch,
    VocabularyView,
    highest,
    likeliest,
    smallest_keys_of_mass,
)
from jackfield.engine.sampling.checks import check_sampling
from jackfield.errors import NumericalError, RequestError
from jackfield.host import Host
from jackfield.service.requests import Sampling
from jackfield.testing.engines import Recorder, ask, make_engine

F32 = npt.NDArray[np.float32]
I32 = npt.NDArray[np.int32]
NOTHING: I32 = np.zeros(0, np.int32)
PLUGINS = tuple(Host().samplers())


class Grammar:
    """Allow the same tokens for ever."""

    def __init__(self, allowed: set[int], vocab_size: int) -> None:
        flags = np.array([token in allowed for token in range(-(-vocab_size // 32) * 32)])
        self.bits = np.packbits(flags, bitorder="little").view(np.uint32)
        self.accepted: list[int] = []

    def bitmask(self) -> npt.NDArray[np.uint32] | None:
        return self.bits

    def admits(self, token_id: int) -> bool:
        return True

    def accept(self, token_id: int) -> None:
        self.accepted.append(token_id)


def make_sampler(
    sampling: Sampling,
    vocab_size: int,
    *,
    eog: frozenset[int] = frozenset(),
    suppressed: frozenset[int] = frozenset(),
    mask: TokenMask | None = None,
    descriptors: tuple[SamplerDescriptor, ...] = PLUGINS,
    vocabulary: VocabularyView | None = None,
) -> Sampler:
    check_sampling(sampling, vocab_size)
    request = ask("a", [1], Recorder(), sampling=sampling, eog=eog, suppressed=suppressed, mask=mask)
    return Sampler(request, descriptors, vocabulary or BareVocabulary(vocab_size), Scratch(vocab_size))


def array(*values: float) -> F32:
    return np.array(values, np.float32)


def history(*tokens: int) -> I32:
    return np.array(tokens, np.int32)


def softmax(logits: F32) -> npt.NDArray[np.float64]:
    weights = np.exp((logits - logits.max()).astype(np.float64))
    return weights / weights.sum()


def frequencies(sampling: Sampling, logits: F32, count: int = 4000) -> npt.NDArray[np.float64]:
    sampler = make_sampler(sampling, logits.size)
    picks = [sampler.pick(logits, NOTHING, n).id for n in range(count)]
    return np.bincount(picks, minlength=logits.size) / count


def kept(sampling: Sampling, logits: F32, count: int = 400) -> set[int]:
    return set(np.flatnonzero(frequencies(sampling, logits, count)).tolist())


# ---- greedy ----


def test_greedy_picks_the_best_and_the_first_among_equals() -> None:
    sampler = make_sampler(Sampling(), 4)
    assert sampler.pick(array(0, 3, 3, 1), NOTHING, 0) == SampledToken(1)


def test_logits_are_not_written_to() -> None:
    logits = array(0, 3, 2, 1)
    logits.flags.writeable = False
    sampling = Sampling(temperature=1.0, top_k=2, repeat_penalty=2.0, logit_bias={1: -5.0}, seed=1)
    make_sampler(sampling, 4).pick(logits, history(1, 2), 0)
    assert logits.tolist() == [0, 3, 2, 1]


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("temperature", [0.0, 0.8])
def test_logits_that_are_not_finite_are_an_error(bad: float, temperature: float) -> None:
    sampler = make_sampler(Sampling(temperature=temperature), 4)
    with pytest.raises(NumericalError, match=r"not finite at position 2 \(1 of 4"):
        sampler.pick(array(0, bad, 2, 1), history(5, 6), 0)


def test_logits_that_are_all_minus_infinity_are_an_error() -> None:
    with pytest.raises(NumericalError, match="4 of 4"):
        make_sampler(Sampling(), 4).pick(array(*[-math.inf] * 4), NOTHING, 0)


def test_single_minus_infinities_are_fine() -> None:
    assert make_sampler(Sampling(), 3).pick(array(-math.inf, 1, 0), NOTHING, 0).id == 1


# ---- edits ----


def test_suppressed_tokens_are_never_picked() -> None:
    for temperature in (0.0, 1.0):
        sampler = make_sampler(Sampling(temperature=temperature, seed=3), 3, suppressed=frozenset({1, 99}))
        assert {sampler.pick(array(0, 9, 1), NOTHING, n).id for n in range(50)} <= {0, 2}


def test_a_bias_moves_and_minus_infinity_bans() -> None:
    assert make_sampler(Sampling(logit_bias={0: 5.0}), 3).pick(array(0, 3, 1), NOTHING, 0).id == 0
    assert make_sampler(Sampling(logit_bias={1: -math.inf}), 3).pick(array(0, 3, 1), NOTHING, 0).id == 2


@pytest.mark.parametrize(
    ("sampling", "expected"),
    [
        (Sampling(repeat_penalty=2.0), [2.0, -4.0, 3.0, 1.0]),
        (Sampling(presence_penalty=0.5), [3.5, -2.5, 3.0, 1.0]),
        (Sampling(frequency_penalty=0.5), [3.0, -2.5, 3.0, 1.0]),
        (Sampling(repeat_penalty=2.0, repeat_last_n=1), [4.0, -4.0, 3.0, 1.0]),
        (Sampling(repeat_penalty=2.0, repeat_last_n=0), [4.0, -2.0, 3.0, 1.0]),
        (Sampling(frequency_penalty=1.0, repeat_last_n=-1), [2.0, -3.0, 3.0, 1.0]),
    ],
)
def test_penalties_follow_their_formulas(sampling: Sampling, expected: list[float]) -> None:
    seen: list[F32] = []
    probe = spy(lambda candidates: seen.append(candidates.logits.copy()))
    sampler = make_sampler(sampling, 4, descriptors=(probe,))
    sampler.pick(array(4, -2, 3, 1), history(0, 0, 1), 0)
    assert seen[0].tolist() == expected


def test_a_mask_limits_greedy_and_random_picks() -> None:
    logits = array(*range(70))
    for temperature in (0.0, 1.0):
        sampler = make_sampler(Sampling(temperature=temperature, seed=1), 70, mask=Grammar({3, 40, 69}, 70))
        picks = {sampler.pick(logits, NOTHING, n).id for n in range(30)}
        assert picks <= {3, 40, 69}
        assert 69 in picks


def test_a_mask_that_allows_nothing_is_an_error() -> None:
    with pytest.raises(NumericalError, match="the grammar allows no token"):
        make_sampler(Sampling(), 40, mask=Grammar(set(), 40)).pick(array(*range(40)), NOTHING, 0)


def test_a_mask_shorter_than_the_vocabulary_forbids_the_rest() -> None:
    sampler = make_sampler(
        Sampling(temperature=1.0, seed=1), 100, suppressed=frozenset({5, 70}), mask=Grammar({5, 6, 31}, 32)
    )
    assert {sampler.pick(array(*range(100)), NOTHING, n).id for n in range(20)} <= {6, 31}


def test_a_mask_learns_each_token_once_and_not_the_end() -> None:
    engine, _ = make_engine()
    grammar = Grammar({5, 6, 0}, 64)
    sink = Recorder()
    engine.submit(ask("a", [1, 2], sink, mask=grammar, max_tokens=30))
    engine.run_until_idle()
    assert grammar.accepted == sink.tokens
    assert set(sink.tokens) <= {5, 6}


def test_min_tokens_holds_the_end_back_but_not_against_a_complete_grammar() -> None:
    end = frozenset({2})
    sampler = make_sampler(Sampling(min_tokens=2), 3, eog=end)
    assert [sampler.pick(array(0, 1, 9), NOTHING, n).id for n in range(3)] == [1, 1, 2]
    sampler = make_sampler(Sampling(min_tokens=2), 3, eog=end, mask=Grammar({2}, 3))
    assert sampler.pick(array(0, 1, 9), NOTHING, 0).id == 2


# ---- truncation and drawing ----


def test_plain_sampling_follows_the_softmax() -> None:
    logits = array(1, 0, -1, 2, 0.5)
    seen = frequencies(Sampling(temperature=0.7, seed=5), logits, 8000)
    np.testing.assert_allclose(seen, softmax(logits / np.float32(0.7)), atol=0.02)


def test_a_large_vocabulary_is_drawn_from_by_the_softmax_too() -> None:
    logits = np.full(5000, -3, np.float32)
    logits[[10, 1024, 4999]] = [5, 6, 5.5]
    seen = frequencies(Sampling(temperature=1.0, seed=2), logits, 4000)
    wanted = softmax(logits)
    np.testing.assert_allclose(seen[[10, 1024, 4999]], wanted[[10, 1024, 4999]], atol=0.03)


@pytest.mark.parametrize(
    ("sampling", "expected"),
    [
        (Sampling(top_k=2), {0, 1}),
        (Sampling(top_k=99), {0, 1, 2, 3}),
        (Sampling(top_p=0.6), {0, 1}),
        (Sampling(top_p=0.0), {0}),
        (Sampling(top_p=1.5), {0, 1, 2, 3}),
        (Sampling(min_p=0.5), {0, 1}),
        (Sampling(min_p=2.0), {0}),
        (Sampling(top_k=3, top_p=0.8), {0, 1}),
        (Sampling(typical_p=0.3), {1}),
    ],
)
def test_truncations_keep_what_they_say(sampling: Sampling, expected: set[int]) -> None:
    logits = np.log(array(0.48, 0.30, 0.12, 0.10))
    assert kept(msgspec_with(sampling, temperature=1.0, seed=1), logits) == expected


def test_truncation_is_measured_before_temperature() -> None:
    logits = np.log(array(0.48, 0.30, 0.12, 0.10))
    assert kept(Sampling(temperature=100.0, top_p=0.6, seed=1), logits) == {0, 1}


@given(st.integers(1, 50000), st.integers(0, 2**32), st.integers(1, 50), st.sampled_from([0.1, 1.0, 8.0]))
@settings(max_examples=60, deadline=None, derandomize=True)
def test_highest_is_the_head_of_a_stable_sort(size: int, seed: int, count: int, spread: float) -> None:
    values = (np.random.default_rng(seed).normal(size=size) * spread).round(1).astype(np.float32)
    wanted = np.sort(np.argsort(-values, kind="stable")[:count])
    assert highest(values, count).tolist() == wanted.tolist()


@given(st.integers(1, 5000), st.integers(0, 2**32), st.floats(0.01, 1.0), st.sampled_from([0.01, 1.0, 30.0]))
@settings(max_examples=80, deadline=None, derandomize=True)
def test_selection_by_mass_is_that_of_a_sort(size: int, seed: int, mass: float, spread: float) -> None:
    logits = (np.random.default_rng(seed).normal(size=size) * spread).astype(np.float32)
    probabilities = softmax(logits)
    order = np.argsort(-logits, kind="stable")
    reached = np.cumsum(probabilities[order])
    by_keys = smallest_keys_of_mass(-logits, probabilities.astype(np.float32), mass)
    for places in (by_keys, likeliest(np.exp(logits - logits.max()), mass)):
        assert sorted(places.tolist()) == places.tolist()
        # float32 sums may stop a little early or late, but what they keep is the head of the order
        head = order[: places.size]
        assert set(probabilities[places].tolist()) == set(probabilities[head].tolist())
        assert reached[places.size - 1] > mass - 1e-4
        assert places.size == 1 or reached[places.size - 2] < mass + 1e-4


def test_equal_logits_are_kept_from_the_front() -> None:
    for size in (2000, 20000):
        weights = np.full(size, 0.5, np.float32)
        quarter = list(range(size // 4))
        assert smallest_keys_of_mass(np.zeros(size, np.float32), weights, size / 8).tolist() == quarter
        assert likeliest(weights, 0.25).tolist() == quarter


@pytest.mark.parametrize("spread", [0.0, 1e-3, 1.0, 1e3])
@pytest.mark.parametrize("falling", [0.0, 1.0, 3.0])
def test_selection_by_mass_of_many_is_exactly_that_of_a_sort(spread: float, falling: float) -> None:
    generator = np.random.default_rng(0)
    keys = (generator.normal(size=30_000) * spread).astype(np.float32)
    keys[::7] = np.float32(-0.0)
    keys[::11] = np.float32(0.0)
    weights = generator.permutation(np.arange(1.0, 30_001) ** -falling).astype(np.float32)
    order = np.argsort(keys, kind="stable")
    reached = np.cumsum(weights[order], dtype=np.float64)
    for share in (0.0, 0.1, 0.5, 0.95, 1.0):
        mass = share * float(reached[-1])
        head = order[: int(np.searchsorted(reached, mass * (1 - 1e-9))) + 1]
        assert smallest_keys_of_mass(keys, weights, mass * (1 - 1e-9)).tolist() == np.sort(head).tolist()


# ---- seeds ----


def test_a_seed_decides_everything() -> None:
    logits = np.random.default_rng(0).normal(size=500).astype(np.float32)
    sampling = Sampling(temperature=1.5, seed=-(2**63))
    runs = [
        [sampler.pick(logits, NOTHING, n).id for n in range(30)]
        for sampler in (make_sampler(sampling, 500), make_sampler(sampling, 500))
    ]
    assert runs[0] == runs[1]
    other = make_sampler(Sampling(temperature=1.5, seed=2), 500)
    assert [other.pick(logits, NOTHING, n).id for n in range(30)] != runs[0]


def test_no_seed_differs_each_time() -> None:
    logits = np.zeros(1000, np.float32)
    picks = {make_sampler(Sampling(temperature=1.0), 1000).pick(logits, NOTHING, 0).id for _ in range(8)}
    assert len(picks) > 1


def test_random_picks_are_the_same_alone_and_in_a_crowd() -> None:
    sampling = Sampling(temperature=1.2, seed=11, top_p=0.9, mirostat=0, xtc_probability=0.5)
    texts: list[list[int]] = []
    for num_others in (0, 3):
        engine, _ = make_engine(samplers=PLUGINS)
        sink = Recorder()
        for other in range(num_others):
            hot = Sampling(temperature=2.0, seed=other)
            engine.submit(ask(str(other), [other + 1] * 9, Recorder(), sampling=hot))
        engine.submit(ask("x", [1, 2, 3], sink, sampling=sampling, max_tokens=25, eog=frozenset()))
        engine.run_until_idle()
        texts.append(sink.tokens)
    assert texts[0] == texts[1]


# ---- log-probabilities ----


def test_logprobs_are_of_the_models_own_distribution() -> None:
    logits = array(1, 4, 2, 3)
    sampling = Sampling(top_logprobs=2, logit_bias={1: -100.0}, temperature=0.5, top_k=1, seed=1)
    token = make_sampler(sampling, 4).pick(logits, NOTHING, 0)
    wanted = np.log(softmax(logits))
    assert token.id == 3
    assert token.logprob == pytest.approx(wanted[3])
    assert [id for id, _ in token.top] == [1, 3]
    assert [value for _, value in token.top] == pytest.approx([wanted[1], wanted[3]])


def test_no_alternatives_can_be_asked_for_and_none_is_not_zero() -> None:
    assert make_sampler(Sampling(top_logprobs=0), 3).pick(array(1, 2, 3), NOTHING, 0).top == []
    assert make_sampler(Sampling(), 3).pick(array(1, 2, 3), NOTHING, 0).logprob is None
    assert len(make_sampler(Sampling(top_logprobs=20), 3).pick(array(1, 2, 3), NOTHING, 0).top) == 3


# ---- parameters ----

EXTREMES = [0.0, 1e-30, 1e-3, 1.0, 1.5, 1e30]


@given(
    temperature=st.sampled_from(EXTREMES),
    top_k=st.sampled_from([-1, 0, 1, 5, 10**9]),
    top_p=st.sampled_from(EXTREMES),
    min_p=st.sampled_from(EXTREMES),
    typical_p=st.sampled_from(EXTREMES),
    penalties=st.tuples(*[st.sampled_from([-1e6, 0.0, 1e6, 1e300, -1e300])] * 2),
    repeat_penalty=st.sampled_from([1e-300, 0.5, 1.0, 1e6, 1e300]),
    seed=st.sampled_from([None, 0, -(2**63), 2**63 - 1]),
    mirostat=st.sampled_from([0, 0, 1, 2]),
    mirostat_tau=st.sampled_from([0.0, 5.0, 1e300]),
    mirostat_eta=st.sampled_from([0.0, 0.1, 1e300]),
    xtc=st.tuples(st.sampled_from([0.0, 1.0]), st.sampled_from([0.0, 0.1, 1.0])),
    dry=st.tuples(
        st.sampled_from([0.0, 0.8, 1e300]), st.sampled_from([0.0, 1.75, 1e300]), st.sampled_from([-5, 2])
    ),
    spread=st.sampled_from([0.0, 1.0, 1e4]),
)
@settings(max_examples=150, deadline=None, derandomize=True)
def test_whatever_the_parameters_a_valid_token_comes_out(
    temperature: float,
    top_k: int,
    top_p: float,
    min_p: float,
    typical_p: float,
    penalties: tuple[float, float],
    repeat_penalty: float,
    seed: int | None,
    mirostat: int,
    mirostat_tau: float,
    mirostat_eta: float,
    xtc: tuple[float, float],
    dry: tuple[float, float, int],
    spread: float,
) -> None:
    sampling = Sampling(
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
        min_p=min_p,
        typical_p=typical_p,
        presence_penalty=penalties[0],
        frequency_penalty=penalties[1],
        repeat_penalty=repeat_penalty,
        seed=seed,
        mirostat=mirostat,
        mirostat_tau=mirostat_tau,
        mirostat_eta=mirostat_eta,
        xtc_probability=xtc[0],
        xtc_threshold=xtc[1],
        dry_multiplier=dry[0],
        dry_base=dry[1],
        dry_allowed_length=dry[2],
        logit_bias={0: 1e30, 1: -math.inf},
    )
    logits = (np.random.default_rng(1).normal(size=700) * spread).astype(np.float32)
    sampler = make_sampler(sampling, 700, suppressed=frozenset({3}))
    text = [5, 6, 5, 6]
    for n in range(6):
        text.append(sampler.pick(logits, history(*text), n).id)
    assert all(0 <= token < 700 and token not in (1, 3) for token in text[4:])


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("temperature", -0.1),
        ("temperature", math.nan),
        ("temperature", math.inf),
        ("top_p", -1.0),
        ("min_p", math.nan),
        ("repeat_penalty", 0.0),
        ("presence_penalty", math.inf),
        ("mirostat", 3),
        ("dry_base", math.nan),
        ("logit_bias", {1: math.nan}),
        ("logit_bias", {1: math.inf}),
    ],
)
def test_parameters_without_meaning_are_refused_by_name(field: str, value: object) -> None:
    with pytest.raises(RequestError, match=f"{field} is .*; expected") as caught:
        check_sampling(msgspec_with(Sampling(), **{field: value}), 10)
    assert caught.value.param == field


# ---- stages of plugins ----


class Spy:
    def __init__(self, look: Callable[[Candidates], object]) -> None:
        self._look = look

    def apply(self, candidates: Candidates, history: I32, uniform: Callable[[], float]) -> None:
        self._look(candidates)

    def accept(self, token_id: int, probability: float) -> None:
        pass


class SpyDescriptor(SamplerDescriptor):
    def __init__(self, look: Callable[[Candidates], object], order: int) -> None:
        super().__init__(name="spy", summary="looks", factory="-:-", order=order)
        object.__setattr__(self, "_look", look)

    def load(self) -> Callable[[Sampling, VocabularyView], Spy]:
        return lambda sampling, vocabulary: Spy(getattr(self, "_look"))  # noqa: B009  frozen dataclass


def spy(look: Callable[[Candidates], object], order: int = 110) -> SamplerDescriptor:
    return SpyDescriptor(look, order)


def msgspec_with(sampling: Sampling, **changes: object) -> Sampling:
    import msgspec

    return msgspec.structs.replace(sampling, **changes)


def test_stages_run_in_the_order_they_declare() -> None:
    sizes: list[int] = []
    probes = tuple(spy(lambda c: sizes.append(len(c)), order) for order in (301, 199, 201))
    make_sampler(Sampling(temperature=1.0, top_k=2, top_p=0.1), 9, descriptors=probes).pick(
        array(*range(9)), NOTHING, 0
    )
    assert sizes == [9, 2, 1]


def ruin(candidates: Candidates) -> None:
    candidates.logits[:] = np.nan


def empty(candidates: Candidates) -> None:
    candidates.keep(np.zeros(0, np.intp))


def explode(candidates: Candidates) -> None:
    raise RuntimeError("a plugin's bug")


@pytest.mark.parametrize("fault", [ruin, empty, explode])
def test_a_faulty_stage_fails_its_own_request_only(fault: Callable[[Candidates], None]) -> None:
    # only the request that asks for XTC meets the stage
    class Picky(SpyDescriptor):
        def load(self) -> Callable[[Sampling, VocabularyView], Spy]:
            build = super().load()
            return lambda sampling, vocabulary: (
                build(  # type: ignore[return-value]  # None for the others
                    sampling, vocabulary
                )
                if sampling.xtc_probability
                else None
            )

    engine, _ = make_engine(samplers=[Picky(fault, 350)])
    bad, good = Recorder(), Recorder()
    engine.submit(ask("bad", [1, 2], bad, sampling=Sampling(temperature=1.0, xtc_probability=1.0)))
    engine.submit(ask("good", [1, 2], good, eog=frozenset(), max_tokens=4))
    engine.run_until_idle()
    assert bad.error is not None
    assert len(good.tokens) == 4


def test_lowering_a_token_that_has_left_the_draw_does_nothing() -> None:
    candidates = Candidates(history(2, 5, 9), array(1, 1, 1))
    candidates.lower(history(0, 5, 12), array(3, 3, 3))
    assert candidates.logits.tolist() == [1, -2, 1]
