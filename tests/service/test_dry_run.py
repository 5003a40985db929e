"""``dry_run``: what it promises is what a request then gets."""

from __future__ import annotations

from typing import Any

from jackfield.service.events import Admitted, DryRun, Event
from jackfield.service.requests import Message, ToolDefinition
from jackfield.service.thread import ThreadService
from jackfield.testing.engines import Recorder, ask, make_engine
from jackfield.testing.stage import FILE, Stage, collect, ending_of, make_request, saying
from jackfield_plugins.formats.hermes import HermesFormat


def preview_in(events: list[Event]) -> DryRun:
    [found] = [event.dry_run for event in events if isinstance(event, Admitted)]
    assert found is not None
    return found


def preview(**fields: Any) -> DryRun:
    stage = Stage(saying("x"))
    [events] = stage.ask(make_request(dry_run=True, **fields))
    assert not stage.engine.requests
    return preview_in(events)


def test_effective_parameters_are_told_with_their_defaults() -> None:
    found = preview(user="Hi", think=True, max_tokens=9999, top_k=7, num_choices=2, seed=3)
    assert (found.object, found.model, found.num_choices) == ("dry_run", FILE, 2)
    assert found.max_tokens == found.context_length - found.prompt_tokens
    assert (found.parameters["top_k"], found.parameters["seed"]) == (7, 3)
    assert found.parameters["temperature"] == 0.0
    assert found.think is True
    assert 0 < found.thinking_budget < found.max_tokens


def test_seed_that_would_be_drawn_is_told() -> None:
    assert isinstance(preview(user="Hi").parameters["seed"], int)


def test_tools_are_told_where_the_format_offers_them() -> None:
    tool = ToolDefinition("f")
    assert preview(user="Hi", tools=[tool]).tools == []
    stage = Stage(saying("x"), chat_format=HermesFormat())
    [events] = stage.ask(make_request(user="Hi", tools=[tool], dry_run=True))
    assert preview_in(events).tools == ["f"]


def test_prompts_that_no_template_made_are_spelt_out() -> None:
    assert preview(prompt="a", suffix="c").prompt == "<s><fim_p>a<fim_s>c<fim_m>"
    assert preview(prompt_tokens=[104, 105]).prompt == "hi"


def test_cache_expectation_is_what_the_next_request_gets() -> None:
    stage = Stage(saying("Hello"))
    turns = [Message("user", "Hi")]
    second = [*turns, Message("assistant", "Hello"), Message("user", "And?")]

    async def use(service: ThreadService) -> tuple[DryRun, int, DryRun]:
        await collect(service, make_request(messages=turns, max_tokens=None))
        promised = preview_in(await collect(service, make_request(messages=second, dry_run=True)))
        fresh = make_request(messages=second, dry_run=True, reset_session=True)
        refused = preview_in(await collect(service, fresh))
        given = ending_of(await collect(service, make_request(messages=second))).usage
        return promised, given.num_cached_tokens, refused

    promised, given, refused = stage.run(use)
    assert promised.cached_tokens == given > 0
    assert (refused.cached_tokens, refused.cache_note) == (0, "the request asks for a fresh start")


def test_engine_expects_what_admission_then_finds_and_touches_nothing() -> None:
    engine, _ = make_engine(page_size=16)
    prompt = list(range(1, 50))
    engine.submit(ask("a", prompt, Recorder(), max_tokens=2, session_id="s"))
    engine.run_until_idle()
    longer = [*prompt, 60, 61]
    before = engine.stats()
    expectation = engine.expect(longer, session_id="s")
    other = engine.expect(longer, cache_salt="someone else")
    engine.run_until_idle()
    assert engine.stats().num_free_pages == before.num_free_pages
    sink = Recorder()
    engine.submit(ask("b", longer, sink, max_tokens=2, session_id="s"))
    engine.run_until_idle()
    assert expectation.result(0).num_cached_tokens == sink.num_cached >= 48
    assert other.result(0).num_cached_tokens == 0
