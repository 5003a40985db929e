"""Rotary tables against values worked out from the formulas by other means."""

from __future__ import annotations

import math

import pytest

from jackfield.program import RopeLayout, RopeScaling, Yarn, make_rope_table


def test_frequencies_fall_from_one_by_equal_ratios() -> None:
    table = make_rope_table(8, 10000.0, RopeLayout.NORM)
    assert table.frequencies == pytest.approx([1.0, 0.1, 0.01, 0.001])
    assert (table.num_rotated, table.magnitude, table.layout) == (8, 1.0, RopeLayout.NORM)


def test_linear_scaling_slows_every_pair() -> None:
    table = make_rope_table(4, 100.0, RopeLayout.NEOX, scale=1 / 8)
    assert table.frequencies == pytest.approx([1 / 8, 1 / 80])


def test_factors_divide_and_a_huge_one_freezes_its_pair() -> None:
    table = make_rope_table(4, 100.0, RopeLayout.NEOX, factors=[2.0, 1e30])
    assert table.frequencies == pytest.approx([0.5, 1e-31])


def test_yarn_of_gpt_oss_keeps_the_first_pairs_and_stretches_the_last() -> None:
    """Published parameters: the ramp runs from pair 8 to pair 18, the magnitude is 1 + 0.1 ln 32."""
    yarn = Yarn(factor=32.0, original_context_length=4096)
    keep = yarn.keep(64, 150000.0)
    assert keep[:9] == [1.0] * 9
    assert keep[18:] == [0.0] * 14
    assert keep[13] == pytest.approx(0.5)
    table = make_rope_table(64, 150000.0, RopeLayout.NEOX, yarn=yarn)
    plain = [150000.0 ** (-i / 32) for i in range(32)]
    assert table.frequencies[8] == pytest.approx(plain[8])
    assert table.frequencies[13] == pytest.approx(plain[13] * (0.5 + 0.5 / 32))
    assert table.frequencies[31] == pytest.approx(plain[31] / 32)
    assert table.magnitude == pytest.approx(1.3465735902799727)


def test_yarn_with_a_log_multiplier_of_one_has_magnitude_one() -> None:
    assert Yarn(16.0, 16384, log_multiplier=1.0).magnitude == pytest.approx(1.0)
    half = Yarn(16.0, 16384, log_multiplier=0.5).magnitude
    assert half == pytest.approx((1 + 0.1 * math.log(16)) / (1 + 0.05 * math.log(16)))


def test_yarn_that_does_not_stretch_is_plain() -> None:
    table = make_rope_table(64, 10000.0, RopeLayout.NEOX, yarn=Yarn(1.0, 4096), magnitude=1.25)
    plain = make_rope_table(64, 10000.0, RopeLayout.NEOX)
    assert table.frequencies == pytest.approx(plain.frequencies)
    assert table.magnitude == 1.25


def test_the_ramp_stays_inside_the_head() -> None:
    keep = Yarn(4.0, 8).keep(16, 10.0)
    assert all(0 <= share <= 1 for share in keep)
    assert sorted(keep, reverse=True) == keep


def test_a_scaling_makes_tables_of_any_width() -> None:
    scaling = RopeScaling(10000.0, scale=0.25, attn_factor=1.5)
    table = scaling.table(4, RopeLayout.NEOX, [1.0, 2.0])
    assert table.frequencies == pytest.approx([0.25, 0.25 * 0.01 / 2])
    assert table.magnitude == 1.5


def test_betas_are_those_of_yarn_alone() -> None:
    plain = RopeScaling(10000.0)
    assert plain.with_betas(8.0, 2.0, 1.0) == plain
    stretched = RopeScaling(10000.0, yarn=Yarn(4.0, 4096)).with_betas(8.0, 2.0, 1.0)
    assert stretched.yarn == Yarn(4.0, 4096, 8.0, 2.0, 1.0)
