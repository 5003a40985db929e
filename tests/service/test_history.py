"""Which answers are found again by what a client sends back."""

from __future__ import annotations

from jackfield.service.history import ConversationDigest, TokenHistory
from jackfield.service.requests import Message, ToolCall
from jackfield.testing.stage import make_request


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
