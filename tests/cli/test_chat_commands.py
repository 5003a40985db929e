"""What can be typed in ``jackfield chat``."""

from __future__ import annotations

import pytest

from jackfield.cli.chat import Conversation, take_command
from jackfield.errors import ConfigError
from jackfield.service.events import Finished, Timings, Usage
from jackfield.service.requests import Message, Sampling


@pytest.fixture
def conversation() -> Conversation:
    return Conversation(Sampling(), turns=[Message("user", "hi"), Message("assistant", "hello")])


def test_a_system_message_starts_over_and_comes_first(conversation: Conversation):
    take_command(conversation, "/system be brief")
    assert conversation.messages == [Message("system", "be brief")]


def test_settings_are_checked(conversation: Conversation):
    assert take_command(conversation, "/set temperature 0.5") == "temperature = 0.5"
    assert conversation.sampling.temperature == 0.5
    assert take_command(conversation, '/set stop ["a"]') == "stop = ['a']"
    with pytest.raises(ConfigError, match="Did you mean 'temperature'"):
        take_command(conversation, "/set temprature 1")
    with pytest.raises(ConfigError, match="cannot be 'hot'"):
        take_command(conversation, "/set temperature hot")


def test_retry_forgets_the_last_answer_only(conversation: Conversation):
    take_command(conversation, "/retry")
    assert conversation.turns == [Message("user", "hi")]


def test_stats_tell_tokens_reuse_and_speed(conversation: Conversation):
    assert take_command(conversation, "/stats") == "no answer yet"
    conversation.last = Finished("length", Usage(40, 30, 20), Timings(0, 0, 0, 500_000_000, 2_000_000_000))
    assert take_command(conversation, "/stats") == (
        "prompt 40 tokens, 30 of them reused, first token after 0.50 s; answer 20 tokens"
        " at 10.0 a second; ended by length"
    )


def test_leaving_and_mistyping(conversation: Conversation):
    assert take_command(conversation, "/bye") is None
    assert "no command '/hlep'" in (take_command(conversation, "/hlep") or "")
    assert take_command(conversation, "/clear") == "started over"
    assert conversation.turns == []
