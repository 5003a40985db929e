"""The service's small parts, each by itself."""

from __future__ import annotations

import dataclasses
import os
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jackfield.backend import Limits, MemoryEstimate
from jackfield.engine.loading import build_program
from jackfield.errors import (
    ConfigError,
    NotFound,
    OutOfMemory,
    QueueFull,
    RateLimited,
    RequestError,
    TooLarge,
)
from jackfield.gguf import open_checkpoint
from jackfield.host import Host
from jackfield.program import BlockDiffusion, Program
from jackfield.service import frames
from jackfield.service.admission import Admission
from jackfield.service.budget import plan_limits
from jackfield.service.buffer import EventBuffer
from jackfield.service.catalogue import digest_of, metadata_of, parameters_of, quantization_of
from jackfield.service.config import EngineConfig
from jackfield.service.events import (
    Event,
    Failed,
    Finished,
    QueuePlace,
    TextDelta,
    ThinkingDelta,
    Timings,
    Usage,
)
from jackfield.service.file_watch import FileWatch
from jackfield.service.frames import FrameDecoder, encode_frame
from jackfield.service.history import ConversationDigest, TokenHistory
from jackfield.service.naming import match_model
from jackfield.service.outbox import Outbox
from jackfield.service.requests import Image, Message, ToolCall, ToolDefinition
from jackfield.service.sessions import Sessions
from jackfield.service.thinking import LengthMask, thinking_budget
from jackfield.testing.stage import make_request
from jackfield.testing.tiny import make_checkpoint
from jackfield.text.portable import portable

END = Finished("stop", Usage(1, 0, 1), Timings(0, 0, 0, 0, 0))


# ---- names ----


@pytest.mark.parametrize(
    "name",
    ["Qwen3-4B.gguf", "qwen3-4b", "QWEN3-4B:latest", " qwen3-4b.gguf:latest ", "/models/Qwen3-4B.gguf"],
)
def test_name_leads_to_its_file(name: str) -> None:
    assert match_model(name, {"Qwen3-4B.gguf": Path("/models/Qwen3-4B.gguf")}) == "Qwen3-4B.gguf"


@pytest.mark.parametrize("name", ["qwen3", "../Qwen3-4B.gguf", "/etc/passwd", "qwen3-4b:7b"])
def test_other_names_are_not_found(name: str) -> None:
    with pytest.raises(NotFound, match="not found") as caught:
        match_model(name, {"Qwen3-4B.gguf": Path("/models/Qwen3-4B.gguf")})
    assert "/" not in caught.value.message


def test_blank_name_is_required() -> None:
    with pytest.raises(RequestError, match="model is required"):
        match_model("  ", {})


# ---- configuration ----


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"kv_type": "q8"}, "kv_type is 'q8', expected one of f16, f32, q8_0. Did you mean 'q8_0'"),
        ({"page_size": 24}, "page_size is 24, expected a multiple of 16"),
        ({"threads": 0}, "threads is 0, expected at least 1"),
        ({"context_length": 3}, "context_length is 3, expected at least 16"),
    ],
)
def test_wrong_setting_is_named(fields: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        EngineConfig(**fields).check()  # type: ignore[arg-type]  # wrong on purpose


def test_loadable_files_are_the_named_ones_and_the_folders(tmp_path: Path) -> None:
    for name in ("b.gguf", "a.gguf", "notes.txt"):
        (tmp_path / name).touch()
    config = EngineConfig(model="/x/a.gguf", models=["/y/c.gguf"], model_dir=str(tmp_path))
    assert list(config.loadable()) == ["a.gguf", "c.gguf", "b.gguf"]
    assert config.loadable()["a.gguf"] == Path("/x/a.gguf")


# ---- sessions and admission ----


def test_sessions_belong_to_their_owner_and_end_unused() -> None:
    now = [0.0]
    sessions = Sessions(max_per_owner=2, idle_s=10, clock=lambda: now[0])
    first, _ = sessions.create("me"), sessions.create("me")
    assert len(first) == 32
    with pytest.raises(RateLimited, match="has 2 sessions"):
        sessions.create("me")
    assert sessions.has(first, "me")
    assert not sessions.has(first, "you")
    with pytest.raises(NotFound, match="no session"):
        sessions.delete(first, "you")
    now[0] = 9.0
    assert sessions.has(first, "me")
    now[0] = 12.0
    assert len(sessions) == 1
    sessions.delete(first, "me")
    with pytest.raises(NotFound, match="no session"):
        sessions.delete(first, "me")


def test_one_key_cannot_fill_the_queue() -> None:
    admission = Admission(limit=10, limit_per_key=8)
    for _ in range(8):
        admission.enter("a")
    with pytest.raises(RateLimited, match="already has 8 requests"):
        admission.enter("a")
    admission.enter("b")
    admission.enter("b")
    with pytest.raises(QueueFull, match="10 requests are waiting"):
        admission.enter("c")
    admission.leave("a")
    admission.enter("c")
    assert admission.num_waiting == 10


# ---- events on their way ----


def test_unread_deltas_of_one_kind_merge_and_places_replace_each_other() -> None:
    buffer = EventBuffer(1 << 20, lambda: None)
    for event in (QueuePlace(2, 2), QueuePlace(1, 2), TextDelta("a"), TextDelta("b"), TextDelta("c", 1)):
        buffer.put(event)
    buffer.put(ThinkingDelta("d"))
    buffer.put(END, is_last=True)
    buffer.put(TextDelta("late"))
    expected = [QueuePlace(1, 2), TextDelta("ab"), TextDelta("c", 1), ThinkingDelta("d"), END]
    assert buffer.take() == (expected, True)


def test_buffer_tells_when_it_is_full_and_when_no_longer() -> None:
    told: list[bool] = []
    buffer = EventBuffer(1000, lambda: None)
    buffer.on_change = lambda: told.append(buffer.is_full)
    for _ in range(20):
        buffer.put(TextDelta("x" * 100))
    buffer.take()
    assert told == [True, False]


def test_reader_is_woken_once_for_each_time_it_finds_nothing() -> None:
    wakes: list[int] = []
    buffer = EventBuffer(1000, lambda: wakes.append(1))
    for _ in range(3):
        buffer.put(TextDelta("x"))
        buffer.put(TextDelta("x"))
        buffer.take()
    assert len(wakes) == 3


@given(st.lists(st.text(max_size=50), min_size=1, max_size=20), st.integers(1, 40))
def test_frames_come_out_whole_however_the_bytes_are_cut(texts: list[str], cut: int) -> None:
    events: list[Event] = [TextDelta(text) for text in texts]
    sent = [frames.Events(index, [event], False) for index, event in enumerate(events)]
    data = b"".join(encode_frame(report) for report in sent)
    decoder = FrameDecoder()
    received = [
        frames.decode_report(frame)
        for start in range(0, len(data), cut)
        for frame in decoder.feed(data[start : start + cut])
    ]
    assert received == sent


def test_frame_that_claims_too_much_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="claims 4294967295 bytes"):
        list(FrameDecoder().feed(b"\xff\xff\xff\xff"))
    monkeypatch.setattr(frames, "MAX_FRAME_BYTES", 10)
    with pytest.raises(TooLarge, match="at most 10 can"):
        encode_frame(frames.Logged("name", 10, "x" * 100))


def test_integers_that_msgpack_has_not_are_passed_on_as_floats() -> None:
    schema = {"maximum": 10**30, "minimum": -(10**400), "default": 2**64 - 1, "x": [True, 2**64]}
    picture = Message("user", "What?", images=[Image(b"\x00\xff")])
    request = make_request(messages=[picture], tools=[ToolDefinition("f", "", schema)])
    order = frames.decode_order(encode_frame(frames.Generate(3, request))[4:])
    assert isinstance(order, frames.Generate)
    assert order.request.tools[0].parameters == {
        "maximum": 1e30,
        "minimum": -sys.float_info.max,
        "default": 2**64 - 1,
        "x": [True, 2.0**64],
    }
    assert order.request.messages == request.messages


def test_halves_of_characters_are_joined_or_replaced() -> None:
    assert portable({"\ud83d": ["\ud83d\ude42 é", b"\xff"]}) == {"\ufffd": ["🙂 é", b"\xff"]}


def test_an_answer_that_cannot_be_written_fails_and_no_other(caplog: pytest.LogCaptureFixture) -> None:
    reading, writing = os.pipe()
    outbox = Outbox(writing, on_broken=lambda: None)
    for stream, text in enumerate(["\ud800", "fine"]):
        outbox.open_stream(stream, 1000).put(TextDelta(text), is_last=True)
    outbox.close(5.0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        reports = [frames.decode_report(frame) for frame in FrameDecoder().feed(pipe.read())]
    assert {report.stream: type(report.events[0]) for report in reports} == {0: Failed, 1: TextDelta}
    assert "cannot be written" in caplog.text


# ---- token histories ----


def test_history_forgets_the_oldest_beyond_its_tokens() -> None:
    history = TokenHistory(max_tokens=10)
    history.remember(b"a", [1] * 4)
    history.remember(b"b", [2] * 4)
    history.recall(b"a")
    history.remember(b"c", [3] * 4)
    assert history.recall(b"b") is None
    assert history.recall(b"a") == [1] * 4
    assert history.num_tokens == 8


def test_key_of_an_answer_ignores_what_clients_change() -> None:
    def key(message: Message, **fields: object) -> bytes:
        return ConversationDigest(make_request(user="x", **fields), think=False).add(message)

    call = ToolCall("f", {"b": 1, "a": 2}, "call_1")
    answer = Message("assistant", "yes ", tool_calls=[call])
    sent_back = Message("assistant", "yes", tool_calls=[ToolCall("f", '{"a": 2, "b": 1}', "other")])
    assert key(answer) == key(sent_back)
    assert key(answer) != key(Message("assistant", "no", tool_calls=[call]))
    assert key(answer) != key(answer, cache_salt="other key")
    assert key(answer) != key(Message("user", "yes", tool_calls=[call]))


# ---- bounds on thinking ----


@pytest.mark.parametrize(
    ("asked", "max_tokens", "expected"),
    [(None, 150, 98), (None, 20_000, 18_974), (30, 150, 30), (500, 150, 98), (None, 1, 0), (0, 100, 0)],
)
def test_budget_leaves_room_for_an_answer(asked: int | None, max_tokens: int, expected: int) -> None:
    assert thinking_budget(asked, max_tokens, answer_reserve=1024, num_end_tokens=2) == expected


def test_closing_tokens_are_forced_one_by_one_then_all_is_free() -> None:
    thinking = [True]
    mask = LengthMask(100, is_thinking=lambda: thinking[0], end_tokens=[40, 41], budget=2)
    for token in (7, 8):
        assert mask.bitmask() is None
        mask.accept(token)
    for token in (40, 41):
        assert _allowed(mask) == [token]
        mask.accept(token)
    thinking[0] = False
    assert mask.bitmask() is None


def test_end_is_held_back_until_the_least_length() -> None:
    mask = LengthMask(70, is_thinking=lambda: False, eog=[3, 69], min_tokens=1)
    assert _allowed(mask) == [token for token in range(70) if token not in (3, 69)]
    mask.accept(1)
    assert mask.bitmask() is None


def _allowed(mask: LengthMask) -> list[int]:
    bits = mask.bitmask()
    assert bits is not None
    flags = np.unpackbits(bits.view(np.uint8), bitorder="little")
    return [int(index) for index in np.flatnonzero(flags) if index < mask._vocab_size]


# ---- memory ----

KV_BYTES, FIXED_BYTES = 100, 5000


def _estimate(limits: Limits) -> MemoryEstimate:
    """A model whose caches take 100 bytes a token."""
    return MemoryEstimate(0, 0, KV_BYTES * limits.num_pages * limits.page_size, 0, FIXED_BYTES)


@pytest.fixture(scope="module")
def checkpoint_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "tiny.gguf"
    return make_checkpoint(path, "llama", tensor_type="Q8_0", context_length=4096)


@pytest.fixture(scope="module")
def program(checkpoint_path: Path) -> Program:
    with open_checkpoint(checkpoint_path) as checkpoint:
        return build_program(checkpoint, Host())


def test_plenty_of_memory_gives_the_whole_context_twice(program: Program) -> None:
    limits = plan_limits(program, EngineConfig(), 2, _estimate, None)
    assert limits.max_context == 4096
    assert limits.num_pages * limits.page_size >= 2 * 4096
    assert limits.num_threads == 2


def test_context_nobody_asked_for_shrinks_until_it_fits(program: Program) -> None:
    config = EngineConfig(memory_reserve=0, max_sequences=1)
    limits = plan_limits(program, config, 1, _estimate, KV_BYTES * 1500 + FIXED_BYTES)
    assert limits.max_context == 1024
    assert _estimate(limits).resident_bytes <= KV_BYTES * 1500 + FIXED_BYTES


def test_context_that_was_asked_for_is_kept_or_refused_with_figures(program: Program) -> None:
    config = EngineConfig(memory_reserve=0, context_length=4000)
    with pytest.raises(
        OutOfMemory, match=r"a context of 4000 needs .* a context of 1500 would fit"
    ) as caught:
        plan_limits(program, config, 1, _estimate, KV_BYTES * 1500 + FIXED_BYTES)
    assert caught.value.numbers["fitting"] == 1500


def test_a_diffusion_model_gets_room_for_whole_canvases(program: Program) -> None:
    def limits_of(canvas_length: int, **settings: int) -> Limits:
        diffusing = dataclasses.replace(program, diffusion=BlockDiffusion(canvas_length))
        return plan_limits(diffusing, EngineConfig(**settings), 1, _estimate, None)

    assert limits_of(256, max_rows=512).max_outputs == 512
    assert limits_of(256, max_rows=512, max_sequences=1).max_outputs == 256
    large = limits_of(700, max_rows=512)
    assert (large.max_rows, large.max_outputs) == (700, 700)


def test_a_file_larger_than_memory_is_told_with_figures(
    program: Program, caplog: pytest.LogCaptureFixture
) -> None:
    def mapped(limits: Limits) -> MemoryEstimate:
        return MemoryEstimate(9 << 30, 0, 1 << 20, 0, 1 << 20)

    plan_limits(program, EngineConfig(memory_reserve=0), 1, mapped, 4 << 30)
    assert "the model file has 9216 MiB and 4094 MiB of memory can be taken" in caplog.text
    caplog.clear()
    plan_limits(program, EngineConfig(memory_reserve=0), 1, mapped, 10 << 30)
    assert not caplog.text


def test_reserve_is_left_to_the_rest_of_the_system(program: Program) -> None:
    with pytest.raises(OutOfMemory, match="0 MiB can be taken"):
        plan_limits(program, EngineConfig(memory_reserve=10**9), 1, _estimate, 10**9)


# ---- what a file says of itself ----


def test_quantisation_is_the_tensors_own_when_the_file_claims_another(tmp_path: Path) -> None:
    def named(file_type: int) -> str:
        path = make_checkpoint(
            tmp_path / f"{file_type}.gguf",
            "llama",
            tensor_type="Q8_0",
            metadata={"general.file_type": file_type},
        )
        with open_checkpoint(path) as checkpoint:
            return quantization_of(checkpoint)

    assert named(7) == "Q8_0"
    assert named(15) == "Q8_0"


def test_long_lists_are_left_out_of_the_metadata(checkpoint_path: Path) -> None:
    with open_checkpoint(checkpoint_path) as checkpoint:
        metadata = metadata_of(checkpoint)
        assert parameters_of(checkpoint) > 10_000
    assert metadata["tokenizer.ggml.tokens"] is None
    assert metadata["general.architecture"] == "llama"


def test_digest_depends_on_the_weights_too(tmp_path: Path) -> None:
    digests = [digest_of([make_checkpoint(tmp_path / f"{seed}.gguf", "llama", seed=seed)]) for seed in (1, 2)]
    again = digest_of([make_checkpoint(tmp_path / "again.gguf", "llama", seed=1)])
    assert digests[0] != digests[1]
    assert digests[0] == again


def test_file_that_is_replaced_is_safe_and_one_that_is_changed_is_not(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(b"old")
    watch = FileWatch([path])
    assert watch.damage() is None
    other = tmp_path / "other.gguf"
    other.write_bytes(b"longer")
    other.rename(path)
    assert watch.damage() is None
    path.unlink()
    assert watch.damage() is None
    path.write_bytes(b"old")
    watch = FileWatch([path])
    with path.open("ab") as file:
        file.write(b"more")
    assert "was changed in place" in (watch.damage() or "")
