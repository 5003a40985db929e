"""The entropy-bound sampler, against its definition."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from jackfield.engine.canvas import Canvas, Distributions, accepted
from jackfield.engine.sampling.draws import Draws
from jackfield.engine.sampling.edits import FixedEdits
from jackfield.errors import NumericalError
from jackfield.program import BlockDiffusion
from jackfield.service.requests import Sampling

V, C = 12, 5
PLAIN = FixedEdits(Sampling(), (), V)


def random_logits(seed=0, scale=3.0):
    return (scale * np.random.default_rng(seed).standard_normal((C, V))).astype(np.float32)


def sure_logits(tokens):
    logits = np.full((C, V), -30, np.float32)
    logits[np.arange(C), tokens] = 30
    return logits


def make(seed=1, edits=PLAIN, **settings):
    return Canvas(BlockDiffusion(C, **settings), V, edits, Draws(seed))


def test_distributions_by_their_formulas() -> None:
    logits, uniforms = random_logits(), np.array([0.0, 0.2, 0.5, 0.9, 0.999999])
    found = Distributions.of(logits, 0.7, PLAIN, uniforms)
    for i, row in enumerate(logits.astype(np.float64)):
        weights = [math.exp(value / 0.7) for value in row]
        shares = [weight / sum(weights) for weight in weights]
        assert found.likeliest[i] == int(np.argmax(row))
        assert found.entropies[i] == pytest.approx(-sum(p * math.log(p) for p in shares), abs=1e-5)
        assert found.drawn[i] == next(v for v in range(V) if uniforms[i] < sum(shares[: v + 1]))
        start, stop = found.soft.starts[i : i + 2]
        assert found.soft.ids[start:stop].tolist() == list(range(V))
        np.testing.assert_allclose(found.soft.weights[start:stop], shares, rtol=1e-4)


def test_negligible_tokens_are_left_out_of_what_the_next_pass_knows() -> None:
    found = Distributions.of(sure_logits([3, 1, 4, 1, 5]), 0.8, PLAIN, np.full(C, 0.5))
    assert found.soft.ids.tolist() == found.drawn.tolist() == found.likeliest.tolist() == [3, 1, 4, 1, 5]
    assert found.soft.starts.tolist() == [0, 1, 2, 3, 4, 5]
    np.testing.assert_allclose(found.entropies, 0, atol=1e-6)


def test_biased_and_suppressed_tokens() -> None:
    edits = FixedEdits(Sampling(logit_bias={2: 100.0, 7: -math.inf}), {3, 99}, V)
    logits = sure_logits([3, 3, 3, 7, 7])
    found = Distributions.of(logits, 0.8, edits, np.full(C, 0.5))
    assert found.likeliest.tolist() == [2] * C
    assert np.isfinite(found.entropies).all()
    assert logits[0, 3] == 30, "the backend's own memory is not written to"


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_logits_that_are_not_finite_are_an_error(value: float) -> None:
    logits = random_logits()
    logits[3, 4] = value
    with pytest.raises(NumericalError, match=r"not finite at position 3 \(1 of 12"):
        make().refine(logits)


def test_positions_are_accepted_from_the_surest_on_up_to_the_bound() -> None:
    entropies = np.array([0.5, 0.1, 0.4, 0.1, 0.2])
    assert accepted(entropies, 0.0).tolist() == [False, True, False, False, False]
    assert accepted(entropies, 0.25).tolist() == [False, True, False, True, True]
    assert accepted(entropies, 0.79).tolist() == [False, True, True, True, True]
    assert accepted(entropies, 0.81).all()


def test_a_pass_keeps_drawn_tokens_where_accepted_and_draws_the_others_anew() -> None:
    canvas, draws = make(seed=7, entropy_bound=1.0), Draws(7)
    first = (draws.uniforms(C) * V).astype(int)
    assert canvas.tokens.tolist() == first.tolist()
    assert canvas.soft is None
    logits = random_logits()
    assert not canvas.refine(logits)
    found = Distributions.of(logits, 0.8, PLAIN, draws.uniforms(C))
    noise = (draws.uniforms(C) * V).astype(int)
    mask = accepted(found.entropies, 1.0)
    assert 0 < mask.sum() < C
    assert canvas.tokens.tolist() == np.where(mask, found.drawn, noise).tolist()
    assert canvas.answer.tolist() == found.likeliest.tolist()
    np.testing.assert_array_equal(canvas.soft.weights, found.soft.weights)


def test_uniforms_are_the_numbers_that_single_draws_would_be() -> None:
    one, many = Draws(5), Draws(5)
    assert [one.uniform() for _ in range(6)] == [*many.uniforms(2), many.uniform(), *many.uniforms(3)]


def test_temperature_falls_from_the_first_pass_to_the_last() -> None:
    diffusion = BlockDiffusion(C, max_steps=4, t_min=0.4, t_max=0.8)
    assert [diffusion.temperature(step) for step in range(1, 5)] == pytest.approx([0.8, 0.7, 0.6, 0.5])


def test_a_block_is_done_when_it_is_stable_and_sure() -> None:
    canvas = make()
    tokens = [3, 1, 4, 1, 5]
    assert [canvas.refine(sure_logits(tokens)) for _ in range(2)] == [False, True]
    assert canvas.answer.tolist() == tokens
    impatient = make(stability_threshold=0)
    assert impatient.refine(sure_logits(tokens))
    patient = make(stability_threshold=3)
    changing = [sure_logits(tokens), sure_logits([0] * C), *[sure_logits(tokens)] * 4]
    assert [patient.refine(logits) for logits in changing] == [False] * 5 + [True]


def test_a_block_that_stays_unsure_is_done_after_the_last_pass() -> None:
    canvas = make(max_steps=3)
    assert [canvas.refine(random_logits()) for _ in range(3)] == [False, False, True]
    assert canvas.num_steps == 3


@pytest.mark.oracle
@pytest.mark.parametrize("i", range(3))
def test_entropies_and_acceptance_agree_with_transformers(oracles: Path, i: int) -> None:
    with np.load(oracles / "diffusion_gemma" / "reference.npz") as reference:
        logits = reference[f"logits_step0_{i}"]
        edits = FixedEdits(Sampling(), (), logits.shape[1])
        found = Distributions.of(logits, float(reference["temperature0"]), edits, np.full(len(logits), 0.5))
        np.testing.assert_allclose(found.entropies, reference[f"entropy0_{i}"], atol=1e-4)
        mask = accepted(found.entropies, float(reference["entropy_bound"]))
        assert mask.tolist() == reference[f"accept0_{i}"].tolist()
        kept = np.where(mask, found.likeliest, reference[f"canvas0_{i}"])
        assert kept.tolist() == reference[f"canvas1_{i}"].tolist()
