"""Every op against its formula in float64, written with loops."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest

from jackfield.backend import SoftTokens
from jackfield.program import Activation, Builder, GluKind, RopeLayout, RouterScore, Yarn, make_rope_table

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
NEAR = {"rtol": 2e-5, "atol": 2e-5}
SPAN = (0, 0, 6)


def rows(generator: np.random.Generator, width: int, count: int = 6, scale: float = 1.0) -> F32:
    return (scale * generator.standard_normal((count, width))).astype(np.float32)


# ---- rows, linear, norms ----


def test_embed_scales_and_takes_columns(bench, generator) -> None:
    x, table = rows(generator, 2), rows(generator, 9)
    made = bench(
        {"x": x}, {"other": table}, lambda b, i: b.embed(b.weight("other", 6, 9), scale=3.0, start=4, width=2)
    )
    np.testing.assert_allclose(made.step((0, 2, 5)), 3 * table[2:5, 4:6], **NEAR)


def test_soft_embed_sums_rows_by_weight(bench, generator) -> None:
    x, table = rows(generator, 2), rows(generator, 5)
    made = bench({"x": x}, {"other": table}, lambda b, i: b.soft_embed(b.weight("other", 6, 5), scale=3.0))
    shares = np.array([0.25, 0.5, 1.0], np.float32)
    soft = SoftTokens(np.array([0, 2, 2, 3], np.int64), np.array([4, 1, 5], np.int32), shares)
    expected = 3 * np.stack([0.25 * table[4] + 0.5 * table[1], 0 * table[0], table[5]])
    np.testing.assert_allclose(made.step((0, 0, 2), (1, 3, 4), soft_tokens=soft), expected, **NEAR)
    assert not made.step(SPAN).any()


def test_choose_rows_takes_those_of_a_canvas_from_the_first(bench, generator) -> None:
    x, y = rows(generator, 3), rows(generator, 3)
    made = bench({"x": x, "y": y}, {}, lambda b, i: b.choose_rows(i["x"], i["y"]))
    found = made.step((0, 0, 2), (1, 2, 5), (2, 5, 6), canvases=[0, 1, 0])
    np.testing.assert_array_equal(found, np.concatenate([y[:2], x[2:5], y[5:]]))
    np.testing.assert_array_equal(made.step(SPAN), y)


def test_linear_scales_then_adds_the_bias_and_takes_rows(bench, generator) -> None:
    x, w = rows(generator, 5), rows(generator, 5, 7)

    def body(b: Builder, i):
        weight = b.weight("w", 7, 5).rows(2, 6)
        return b.linear(i["x"], weight, b.weight("bias", 4), b.weight("scale", 1))

    bias = rows(generator, 4, 1)[0]
    made = bench({"x": x}, {"w": w, "bias": bias, "scale": np.array([2.5])}, body)
    expected = x.astype(np.float64) @ w[2:6].T.astype(np.float64) * 2.5 + bias
    np.testing.assert_allclose(made.step(SPAN), expected, **NEAR)


@pytest.mark.parametrize(("group", "size"), [(None, 6), (3, 3), (3, 6), (2, None)])
def test_rms_norm(bench, generator, group: int | None, size: int | None) -> None:
    x, w = rows(generator, 6), rows(generator, size or 1, 1)[0]
    made = bench(
        {"x": x},
        {"w": w},
        lambda b, i: b.rms_norm(i["x"], b.weight("w", size) if size else None, 1e-3, group=group),
    )
    expected = np.empty((6, 6))
    for t in range(6):
        for d in range(6):
            first = d // (group or 6) * (group or 6)
            part = x[t, first : first + (group or 6)].astype(np.float64)
            gain = w[d % size] if size else 1.0
            expected[t, d] = x[t, d] / math.sqrt(np.mean(part**2) + 1e-3) * gain
    np.testing.assert_allclose(made.step(SPAN), expected, **NEAR)


def test_l2_norm(bench, generator) -> None:
    x = rows(generator, 6)
    made = bench({"x": x}, {}, lambda b, i: b.l2_norm(i["x"], 1e-2, group=3))
    parts = x.reshape(6, 2, 3).astype(np.float64)
    expected = parts / np.sqrt((parts**2).sum(-1, keepdims=True) + 1e-2)
    np.testing.assert_allclose(made.step(SPAN), expected.reshape(6, 6), **NEAR)


# ---- elementwise ----


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x > -700 else 0.0


def gelu(x: float) -> float:
    return 0.5 * x * (1 + math.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


FUNCTIONS: dict[str, Callable[[float], float]] = {
    "silu": lambda x: x * sigmoid(x),
    "gelu": gelu,
    "relu2": lambda x: max(x, 0.0) ** 2,
    "sigmoid": sigmoid,
    "softplus": lambda x: x if x > 40 else math.log1p(math.exp(x)),
}


@pytest.mark.parametrize("kind", list(Activation))
def test_activations_hold_for_large_and_small(bench, kind: Activation) -> None:
    x = np.array([[0.0, 0.3, -0.3, 4.0, -4.0, 30.0, -30.0, 200.0, -200.0]], np.float32)
    made = bench({"x": x}, {}, lambda b, i: b.activate(i["x"], kind))
    expected = [[FUNCTIONS[kind.value](float(value)) for value in x[0]]]
    np.testing.assert_allclose(made.step((0, 0, 1)), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", [GluKind.SILU, GluKind.GELU, GluKind.SIGMOID, GluKind.OAI])
def test_gated_units(bench, generator, kind: GluKind) -> None:
    gate, up = rows(generator, 5, scale=5.0), rows(generator, 5, scale=5.0)
    made = bench({"gate": gate, "up": up}, {}, lambda b, i: b.glu(i["gate"], i["up"], kind))
    expected = [
        [unit(kind, float(g), float(u)) for g, u in zip(*pair, strict=True)]
        for pair in zip(gate, up, strict=True)
    ]
    np.testing.assert_allclose(made.step(SPAN), expected, **NEAR)


def unit(kind: GluKind, gate: float, up: float) -> float:
    if kind is GluKind.OAI:
        gate, up = min(gate, 7.0), max(-7.0, min(up, 7.0))
        return gate * sigmoid(1.702 * gate) * (up + 1)
    if kind is GluKind.RELU2:
        return FUNCTIONS["relu2"](up)
    return FUNCTIONS[kind.value](gate) * up


def test_arithmetic_on_rows(bench, generator) -> None:
    x, y, column = rows(generator, 4), rows(generator, 4), rows(generator, 1)
    w = rows(generator, 4, 1)[0]
    parts = {"x": x, "y": y, "c": column}
    made = bench(parts, {}, lambda b, i: b.add(b.mul(i["x"], i["y"]), b.mul(i["x"], i["c"])))
    np.testing.assert_allclose(made.step(SPAN), x * y + x * column, **NEAR)
    made = bench(parts, {"w": w}, lambda b, i: b.scale(i["x"], 0.5, b.weight("w", 4)))
    np.testing.assert_allclose(made.step(SPAN), 0.5 * x * w, **NEAR)
    made = bench(parts, {"w": w[:1]}, lambda b, i: b.scale(i["x"], 1.0, b.weight("w", 1)))
    np.testing.assert_allclose(made.step(SPAN), x * w[0], **NEAR)
    made = bench(parts, {"w": w}, lambda b, i: b.add_bias(i["x"], b.weight("w", 4)))
    np.testing.assert_allclose(made.step(SPAN), x + w, **NEAR)
    made = bench(parts, {}, lambda b, i: b.softcap(b.scale(i["x"], 30.0), 5.0))
    np.testing.assert_allclose(made.step(SPAN), 5 * np.tanh(30 * x / 5), **NEAR)


def test_columns_concat_and_heads(bench, generator) -> None:
    x = rows(generator, 12)
    made = bench({"x": x}, {}, lambda b, i: b.concat(b.columns(i["x"], 3, 2), i["x"]))
    np.testing.assert_array_equal(made.step(SPAN), np.hstack([x[:, 3:5], x]))
    made = bench({"x": x}, {}, lambda b, i: b.split_heads(i["x"], 3, 1, 2))
    np.testing.assert_array_equal(made.step(SPAN), x[:, [1, 2, 5, 6, 9, 10]])


# ---- attention ----


@pytest.mark.parametrize("layout", list(RopeLayout))
def test_rope_rotates_pairs_by_position(bench, generator, layout: RopeLayout) -> None:
    x = rows(generator, 12)  # two heads of 6, of which 4 columns rotate
    table = make_rope_table(4, 100.0, layout, yarn=Yarn(4.0, 16), magnitude=1.1)
    made = bench({"x": x}, {}, lambda b, i: b.rope(i["x"], 6, table))
    made.step((0, 0, 2))
    expected = x.astype(np.float64).copy()
    for t, position in enumerate(range(2, 8)):
        for head in (0, 6):
            for i in range(2):
                a, c = (
                    (head + 2 * i, head + 2 * i + 1)
                    if layout is RopeLayout.NORM
                    else (head + i, head + i + 2)
                )
                angle = position * table.frequencies[i]
                cos, sin = table.magnitude * math.cos(angle), table.magnitude * math.sin(angle)
                expected[t, a] = x[t, a] * cos - x[t, c] * sin
                expected[t, c] = x[t, a] * sin + x[t, c] * cos
    np.testing.assert_allclose(made.step(SPAN), expected, **NEAR)


HEADS, KV_HEADS, KEY, VALUE = 4, 2, 3, 5


@pytest.mark.parametrize("window", [None, 4])
@pytest.mark.parametrize("cap", [None, 2.0])
@pytest.mark.parametrize("has_sinks", [False, True])
def test_attention_over_pages_of_two_sequences(
    bench, generator, window: int | None, cap: float | None, has_sinks: bool
) -> None:
    count = 40
    q = rows(generator, HEADS * KEY, count, 2.0)
    k, v = rows(generator, KV_HEADS * KEY, count, 2.0), rows(generator, KV_HEADS * VALUE, count)
    sinks = rows(generator, HEADS, 1)[0]

    def body(b: Builder, i):
        cache = b.kv_cache(KV_HEADS, KEY, VALUE)
        b.kv_append(i["k"], i["v"], cache)
        sink = b.weight("sinks", HEADS) if has_sinks else None
        return b.attend(i["q"], cache, HEADS, scale=0.7, window=window, softcap=cap, sinks=sink)

    made = bench({"q": q, "k": k, "v": v}, {"sinks": sinks}, body)
    made.step((0, 0, 17), (1, 20, 22))
    found = made.step((1, 22, 40), (0, 17, 20))
    sink = sinks if has_sinks else None
    expected = [
        attended(q, k, v, t, range(20, t + 1)[-(window or t + 1) :], cap, sink) for t in range(22, 40)
    ]
    expected += [attended(q, k, v, t, range(t + 1)[-(window or t + 1) :], cap, sink) for t in range(17, 20)]
    np.testing.assert_allclose(found, expected, **NEAR)


@pytest.mark.parametrize("window", [None, 4])
def test_a_canvas_sees_all_of_itself_and_what_its_first_row_sees(
    bench, generator, window: int | None
) -> None:
    count = 40
    q, k = rows(generator, HEADS * KEY, count, 2.0), rows(generator, KV_HEADS * KEY, count, 2.0)
    v = rows(generator, KV_HEADS * VALUE, count)

    def body(b: Builder, i):
        cache = b.kv_cache(KV_HEADS, KEY, VALUE)
        b.kv_append(i["k"], i["v"], cache)
        return b.attend(i["q"], cache, HEADS, scale=0.7, window=window)

    made = bench({"q": q, "k": k, "v": v}, {}, body)
    made.step((0, 0, 15), (1, 20, 22))
    found = made.step((1, 22, 24), (0, 15, 20), canvases=[0, 1])
    first = 0 if window is None else 15 - 3
    expected = [attended(q, k, v, t, range(20, t + 1)[-(window or t) :], None, None) for t in (22, 23)]
    expected += [attended(q, k, v, t, range(first, 20), None, None) for t in range(15, 20)]
    np.testing.assert_allclose(found, expected, **NEAR)


def attended(q: F32, k: F32, v: F32, t: int, seen: range, cap: float | None, sinks: F32 | None) -> F64:
    """Attend from row ``t`` to the rows ``seen``."""
    out = np.zeros(HEADS * VALUE)
    for h in range(HEADS):
        g = h // (HEADS // KV_HEADS)
        scores = {}
        for s in seen:
            score = 0.7 * float(q[t, h * KEY : (h + 1) * KEY] @ k[s, g * KEY : (g + 1) * KEY])
            scores[s] = math.exp(score if cap is None else cap * math.tanh(score / cap))
        total = sum(scores.values()) + (0.0 if sinks is None else math.exp(sinks[h]))
        for s, score in scores.items():
            out[h * VALUE : (h + 1) * VALUE] += score / total * v[s, g * VALUE : (g + 1) * VALUE]
    return out


# ---- experts ----


@pytest.mark.parametrize("score", list(RouterScore))
@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("has_bias", [False, True])
def test_routing_by_its_definition(
    bench, generator, score: RouterScore, normalize: bool, has_bias: bool
) -> None:
    logits, bias = rows(generator, 5), rows(generator, 5, 1)[0]

    def body(b: Builder, i):
        chosen, weights = b.route_top_k(
            i["x"],
            3,
            score=score,
            normalize=normalize,
            bias=b.weight("bias", 5) if has_bias else None,
            scale=2.5,
        )
        return b.expert_feed_forward(
            i["x"],
            chosen,
            weights,
            up=b.weight("up", 5, 1, 5),
            down=b.weight("down", 5, 5, 1),
            kind=GluKind.RELU2,
        )

    # expert e says relu2(1) = 1 at column e: the output rows are the weights themselves
    made = bench(
        {"x": logits, "one": np.ones((6, 5))},
        {"bias": bias, "up": np.ones((5, 1, 5)), "down": np.eye(5).reshape(5, 5, 1)},
        lambda b, i: body(b, i),
    )
    found = made.step(SPAN)
    inner = np.maximum(logits.sum(axis=1), 0) ** 2
    for t in range(6):
        weights = routed(logits[t].astype(np.float64), score, normalize, bias if has_bias else np.zeros(5))
        np.testing.assert_allclose(found[t], 2.5 * weights * inner[t], **NEAR)


def routed(logits: F64, score: RouterScore, normalize: bool, bias: F32) -> F64:
    """Return the weight of every expert, 0 for those not chosen."""
    powers = np.exp(logits - logits.max())
    scores = {"softmax": powers / powers.sum(), "sigmoid": 1 / (1 + np.exp(-logits))}.get(score.value, logits)
    chosen = sorted(range(len(logits)), key=lambda e: (-(scores[e] + bias[e]), e))[:3]
    weights = np.array([scores[e] for e in chosen])
    if score is RouterScore.SOFTMAX_SELECTED:
        weights = np.exp(weights) / np.exp(weights).sum()
    if normalize:
        weights = weights / max(weights.sum(), 2.0**-14)
    out = np.zeros(len(logits))
    out[chosen] = weights
    return out


def test_equal_scores_go_to_the_lower_index(bench) -> None:
    x = np.zeros((1, 4), np.float32)

    def body(b: Builder, i):
        chosen, weights = b.route_top_k(i["x"], 2, normalize=True)
        return b.expert_feed_forward(
            i["one"], chosen, weights, up=b.weight("up", 4, 1, 1), down=b.weight("down", 4, 4, 1),
            kind=GluKind.RELU2,
        )  # fmt: skip

    made = bench(
        {"x": x, "one": np.ones((1, 1))}, {"up": np.ones((4, 1, 1)), "down": np.eye(4).reshape(4, 4, 1)}, body
    )
    np.testing.assert_allclose(made.step((0, 0, 1)), [[0.5, 0.5, 0, 0]])


def test_groups_rule_out_experts_of_the_weaker_ones(bench) -> None:
    """Group 0 has the single best expert, but group 1 the two best together."""
    x = np.array([[3.0, -9.0, 2.0, 2.0]], np.float32)

    def body(b: Builder, i):
        chosen, weights = b.route_top_k(
            i["x"], 2, score=RouterScore.SIGMOID, normalize=False, groups=2, groups_used=1
        )
        return b.expert_feed_forward(
            i["one"], chosen, weights, up=b.weight("up", 4, 1, 1), down=b.weight("down", 4, 4, 1),
            kind=GluKind.RELU2,
        )  # fmt: skip

    made = bench(
        {"x": x, "one": np.ones((1, 1))}, {"up": np.ones((4, 1, 1)), "down": np.eye(4).reshape(4, 4, 1)}, body
    )
    np.testing.assert_allclose(made.step((0, 0, 1)), [[0, 0, sigmoid(2), sigmoid(2)]], rtol=1e-6)


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("kind", [GluKind.SILU, GluKind.OAI])
def test_experts_with_biases_and_scales(bench, generator, kind: GluKind, fused: bool) -> None:
    experts, inner, width = 3, 4, 5
    x, logits = rows(generator, width), rows(generator, experts)
    w = {
        name: rows(generator, int(np.prod(shape)), 1).reshape(shape)
        for name, shape in {
            "gate": (experts, inner, width), "up": (experts, inner, width), "down": (experts, width, inner),
            "gate_bias": (experts, inner), "up_bias": (experts, inner), "down_bias": (experts, width),
            "down_scale": (experts,),
        }.items()
    }  # fmt: skip
    w["gate_up"] = np.concatenate([w["gate"], w["up"]], axis=1)

    def body(b: Builder, i):
        chosen, weights = b.route_top_k(i["logits"], 2)
        names = ["gate_up"] if fused else ["gate", "up"]
        names += ["down", "gate_bias", "up_bias", "down_bias", "down_scale"]
        parts = {name: b.weight(name, *w[name].shape) for name in names}
        return b.expert_feed_forward(i["x"], chosen, weights, kind=kind, **parts)

    found = bench({"x": x, "logits": logits}, w, body).step(SPAN)
    expected = np.zeros((6, width))
    for t in range(6):
        weights = np.exp(logits[t].astype(np.float64))
        best = np.argsort(-weights)[:2]
        for e in best:
            gate, up = w["gate"][e] @ x[t] + w["gate_bias"][e], w["up"][e] @ x[t] + w["up_bias"][e]
            h = np.array([unit(kind, float(g), float(u)) for g, u in zip(gate, up, strict=True)])
            out = w["down"][e] @ h * w["down_scale"][e] + w["down_bias"][e]
            expected[t] += weights[e] / weights[best].sum() * out
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


# ---- recurrence: rows of two sequences, in two steps ----

FIRST, SECOND = ((0, 0, 4), (1, 6, 7)), ((1, 7, 12), (0, 4, 6))
ORDER = [7, 8, 9, 10, 11, 4, 5]  # rows of the second step
BEGIN = {row: 0 if row < 6 else 6 for row in range(12)}


def test_conv1d_keeps_raw_rows(bench, generator) -> None:
    x, w, bias = rows(generator, 3, 12), rows(generator, 4, 3), rows(generator, 3, 1)[0]

    def body(b: Builder, i):
        return b.conv1d(i["x"], b.weight("w", 3, 4), b.conv_state(4, 3), b.weight("bias", 3))

    made = bench({"x": x}, {"w": w, "bias": bias}, body)
    made.step(*FIRST)
    found = made.step(*SECOND)
    for place, t in enumerate(ORDER):
        for c in range(3):
            total = float(bias[c])
            for i in range(4):
                source = t - 3 + i
                total += w[c, i] * x[source, c] if source >= BEGIN[t] else 0.0
            assert found[place, c] == pytest.approx(total * sigmoid(total), rel=1e-4, abs=1e-5)


def test_conv1d_of_one_tap_has_no_state(bench, generator) -> None:
    x, w = rows(generator, 3), rows(generator, 1, 3)
    made = bench(
        {"x": x}, {"w": w}, lambda b, i: b.conv1d(i["x"], b.weight("w", 3, 1), b.conv_state(1, 3), None, None)
    )
    np.testing.assert_allclose(made.step(SPAN), x * w[:, 0], **NEAR)


def test_ssm_scan_by_its_recurrence(bench, generator) -> None:
    heads, width, columns, groups = 4, 2, 3, 2
    x, b_, c_ = rows(generator, 8, 12), rows(generator, 6, 12), rows(generator, 6, 12)
    dt = rows(generator, 4, 12)
    a, d, dt_bias = -np.exp(rows(generator, 4, 1)[0]), rows(generator, 4, 1)[0], rows(generator, 4, 1)[0]

    def body(b: Builder, i):
        return b.ssm_scan(
            i["x"], i["b"], i["c"], i["dt"], b.recurrent_state(heads, width, columns),
            a=b.weight("a", 1, 4), d=b.weight("d", 1, 4), dt_bias=b.weight("dt_bias", 4), groups=groups,
        )  # fmt: skip

    made = bench({"x": x, "b": b_, "c": c_, "dt": dt}, {"a": a[None], "d": d[None], "dt_bias": dt_bias}, body)
    made.step(*FIRST)
    found = made.step(*SECOND)
    expected = np.zeros((12, heads, width))
    for h in range(heads):
        g = h // (heads // groups)
        state = np.zeros((width, columns))
        for t in range(12):
            state = np.zeros_like(state) if t == BEGIN[t] else state
            step = FUNCTIONS["softplus"](float(dt[t, h] + dt_bias[h]))
            rise = np.outer(x[t, 2 * h : 2 * h + 2], b_[t, 3 * g : 3 * g + 3])
            state = math.exp(step * a[h]) * state + step * rise
            expected[t, h] = state @ c_[t, 3 * g : 3 * g + 3] + d[h] * x[t, 2 * h : 2 * h + 2]
    np.testing.assert_allclose(found, expected.reshape(12, -1)[ORDER], **NEAR)


@pytest.mark.parametrize("tiled", [False, True])
def test_delta_rule_by_its_recurrence(bench, generator, tiled: bool) -> None:
    key_heads, heads, key, value = 2, 4, 3, 2
    q, k, v = rows(generator, 6, 12), rows(generator, 6, 12, 0.5), rows(generator, 8, 12)
    g, beta = -np.abs(rows(generator, 4, 12)), np.abs(rows(generator, 4, 12, 0.3))

    def body(b: Builder, i):
        state = b.recurrent_state(heads, key, value)
        return b.delta_rule(
            i["q"], i["k"], i["v"], i["g"], i["beta"], state, scale=0.6, num_key_heads=key_heads, tiled=tiled
        )

    made = bench({"q": q, "k": k, "v": v, "g": g, "beta": beta}, {}, body)
    made.step(*FIRST)
    found = made.step(*SECOND)
    expected = np.zeros((12, heads, value))
    for h in range(heads):
        n = h % key_heads if tiled else h // (heads // key_heads)
        state = np.zeros((key, value))
        for t in range(12):
            state = np.zeros_like(state) if t == BEGIN[t] else state
            key_row, query = k[t, 3 * n : 3 * n + 3], q[t, 3 * n : 3 * n + 3]
            state = math.exp(g[t, h]) * state
            correction = beta[t, h] * (v[t, 2 * h : 2 * h + 2] - state.T @ key_row)
            state = state + np.outer(key_row, correction)
            expected[t, h] = 0.6 * state.T @ query
    np.testing.assert_allclose(found, expected.reshape(12, -1)[ORDER], **NEAR)
