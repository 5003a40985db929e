"""Sessions and places in the queue belong to whoever asked."""

from __future__ import annotations

import pytest

from jackfield.errors import (
    NotFound,
    QueueFull,
    RateLimited,
)
from jackfield.service.admission import Admission
from jackfield.service.sessions import Sessions


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
