from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest

from jackfield.errors import JackfieldError, RequestError
from jackfield.text import RenderJob, TemplateRenderer
from jackfield.text.renderer import RenderLimits

HI = [{"role": "user", "content": "hi"}]


@pytest.fixture(scope="module")
def renderer() -> Iterator[TemplateRenderer]:
    limits = RenderLimits(time_s=1.0)
    with TemplateRenderer(limits, clock=lambda: datetime(2026, 1, 15, 12, 30)) as renderer:
        yield renderer


def rendered(renderer: TemplateRenderer, template: str, **names: object) -> str:
    return renderer.render(RenderJob(template, HI, variables=names)).text


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{{ v | tojson }}", '{"b": "<a> & é", "a": [1, null, true]}'),
        (
            "{{ v | tojson(ensure_ascii=True, separators=(',', ':')) }}",
            '{"b":"<a> & \\u00e9","a":[1,null,true]}',
        ),
        (
            "{{ v | tojson(indent=2, sort_keys=True) }}",
            '{\n  "a": [\n    1,\n    null,\n    true\n  ],\n  "b": "<a> & é"\n}',
        ),
        (
            "{% for k, v in v | dictsort %}{{ k }}{% if v is string %}{% continue %}{% endif %}!{% endfor %}",
            "a!b",
        ),
        ("{% for m in messages %}\n  {% if true %}\nx\n{% endif %}\n{% endfor %}\n", "x\n"),
        ("{% generation %}{{ messages[0].content }}{% endgeneration %}", "hi"),
        (
            "{% set n = namespace(i=0) %}{% for x in range(3) %}{% set n.i = n.i + x %}{% endfor %}{{ n.i }}",
            "3",
        ),
        ("{{ missing }}{{ missing is defined }}{{ none }}{{ v.a[1] }}", "FalseNoneNone"),
        ("{{ strftime_now('%Y-%m-%d %H') }}", "2026-01-15 12"),
        (
            "{{ messages[0]['content'][::-1] }}{{ 'a-b'.split('-') | last }}{{ ' x '.strip() | upper }}",
            "ihbX",
        ),
    ],
)
def test_templates_find_what_published_ones_use(renderer: TemplateRenderer, template: str, text: str) -> None:
    assert rendered(renderer, template, v={"b": "<a> & é", "a": [1, None, True]}) == text


def test_a_job_may_pin_the_clock(renderer: TemplateRenderer) -> None:
    job = RenderJob("{{ strftime_now('%d %b %Y') }}", HI, now="2024-07-26T00:00:00")
    assert renderer.render(job).text == "26 Jul 2024"


def test_the_tail_is_what_the_generation_prompt_adds(renderer: TemplateRenderer) -> None:
    source = "<u>{{ messages[0].content }}</u>{% if add_generation_prompt %}<a><think>{% endif %}"
    assert renderer.render(RenderJob(source, HI, want_tail=True)).tail == "<a><think>"
    assert renderer.render(RenderJob(source, HI, want_tail=True, add_generation_prompt=False)).tail == ""


def test_a_template_refuses_in_its_own_words(renderer: TemplateRenderer) -> None:
    with pytest.raises(RequestError, match=r"^System role not supported$"):
        rendered(renderer, "{{ raise_exception('System role not supported') }}")


ESCAPES = [
    "{{ ''.__class__ }}",
    "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "{{ messages.append(1) }}",
    "{{ messages[0].update({}) }}",
    "{{ (messages | attr('__class__')).__name__ }}",
    "{{ '%s' | format(messages.__class__.__init__) }}",
    "{{ '{0.__class__.__mro__}'.format(messages) }}",
    "{{ lipsum.__globals__ }}",
    "{{ cycler.__init__.__globals__.os }}",
    "{{ self.__init__.__globals__ }}",
    "{{ raise_exception.__globals__.json }}",
    "{{ strftime_now.__self__.__class__ }}",
    "{{ namespace(__class__=1) }}",
    "{% set n = namespace() %}{% set n.__class__ = 1 %}{{ n.__class__.__mro__ }}",
    "{% include '/etc/passwd' %}",
    "{% import '/etc/passwd' as x %}",
    "{% extends '/etc/passwd' %}",
    "{{ ().__class__.__base__ }}",
    "{{ range.__init__.__globals__ }}",
    "{{ x.y.z }}",
    "{{ range(10**9) | list }}",
]


@pytest.mark.parametrize("template", ESCAPES)
def test_no_template_gets_out_of_the_sandbox(renderer: TemplateRenderer, template: str) -> None:
    try:
        text = rendered(renderer, template)
    except RequestError:
        return
    # Jinja prints what it does not find as nothing; anything else would be a way out
    assert text.strip() in ("", "{}")


EXHAUSTING = {
    "takes longer than 1 s": "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
    "needs too much memory": "{{ 'a' * 10**9 }}",
    "writes more than": "{% for i in range(99999) %}{{ 'a' * 1000 }}{% endfor %}",
    "nests too deeply": "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
    "characters, more than": "x" * 300_000,
}


@pytest.mark.parametrize("reason", EXHAUSTING)
def test_a_costly_template_is_an_error_and_the_next_one_renders(
    renderer: TemplateRenderer, reason: str
) -> None:
    with pytest.raises(RequestError, match=f"cannot render this conversation: .*{reason}"):
        rendered(renderer, EXHAUSTING[reason])
    assert rendered(renderer, "{{ messages[0].content }}") == "hi"


def test_a_killed_worker_leaves_no_process(renderer: TemplateRenderer) -> None:
    before = subprocess._active[:]  # type: ignore[attr-defined]  # what Popen could not reap
    for _ in range(5):
        with pytest.raises(RequestError):
            rendered(renderer, "{{ 'a' * 10**9 }}")
    assert subprocess._active == before  # type: ignore[attr-defined]  # the same


def test_several_threads_share_the_worker(renderer: TemplateRenderer) -> None:
    found: list[str] = []
    threads = [
        threading.Thread(target=lambda i=i: found.append(rendered(renderer, "{{ v }}", v=str(i))))  # type: ignore[misc]
        for i in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == [str(i) for i in range(8)]


def test_halves_of_characters_are_refused(renderer: TemplateRenderer) -> None:
    with pytest.raises(RequestError, match="lone surrogate"):
        rendered(renderer, "{{ v }}", v="\ud800")


def test_a_closed_renderer_says_so() -> None:
    renderer = TemplateRenderer()
    renderer.close()
    with pytest.raises(JackfieldError, match="the template renderer is closed"):
        rendered(renderer, "x")


def test_the_worker_ends_with_its_parent() -> None:
    script = (
        "from jackfield.text import TemplateRenderer, RenderJob\n"
        "r = TemplateRenderer(); r.render(RenderJob('x', []))\n"
        "print(r._worker._process.pid, flush=True)\n"
        "import os; os._exit(0)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    pid = int(done.stdout)
    deadline = time.monotonic() + 10
    while _is_running(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not _is_running(pid)


def test_the_worker_outlives_the_signals_of_its_group(renderer: TemplateRenderer) -> None:
    assert rendered(renderer, "x") == "x"
    worker = renderer._worker
    assert worker is not None
    for number in (signal.SIGINT, signal.SIGTERM):
        worker._process.send_signal(number)
    assert rendered(renderer, "y") == "y"
    assert renderer._worker is worker


def test_the_worker_loads_neither_numpy_nor_the_server() -> None:
    script = "import sys, jackfield.text.render_worker; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert not {"numpy", "numba", "litestar", "tokenizers", "llguidance"} & set(done.stdout.split())


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    state = Path(f"/proc/{pid}/stat")  # where nobody reaps orphans, an ended one stays a zombie
    return not state.exists() or state.read_text().rsplit(")", 1)[1].split()[0] != "Z"
