"""Every plugin ends up loaded, blocked or failed with a reason, and what one does harms no other."""

from __future__ import annotations

import itertools
import logging
import types
from collections.abc import Callable
from importlib.metadata import EntryPoints, distributions
from pathlib import Path
from typing import Any

import pytest

from jackfield import host as host_module
from jackfield.descriptors import (
    ArchitectureDescriptor,
    BackendDescriptor,
    ChatFormatDescriptor,
    ModelDescriptor,
    SamplerDescriptor,
)
from jackfield.errors import DuplicateName, PluginError, PluginImportError, UnknownName
from jackfield.hooks import hookimpl
from jackfield.host import Host, PluginReport

NUMBERS = itertools.count()
BACKEND = """
from jackfield.descriptors import BackendDescriptor
from jackfield.hooks import hookimpl

@hookimpl
def jackfield_backends():
    return [BackendDescriptor(name="{name}", summary="for tests", factory="nowhere:make")]
"""


def backend(name: str, *aliases: str) -> BackendDescriptor:
    return BackendDescriptor(name=name, summary="for tests", factory="nowhere:make", aliases=aliases)


def plugin(**functions: Callable[..., Any]) -> types.SimpleNamespace:
    """Return an object whose functions are marked as hooks."""
    return types.SimpleNamespace(**{name: hookimpl(function) for name, function in functions.items()})


def declaring(*names: str) -> types.SimpleNamespace:
    return plugin(jackfield_backends=lambda: [backend(name) for name in names])


class Site:
    """A folder of installed distributions, each with one module as plugin."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def install(self, name: str, source: str, *, distribution: str = "acme", version: str = "1.0") -> None:
        module = f"acme_plugin_{next(NUMBERS)}"
        (self.folder / f"{module}.py").write_text(source, encoding="utf-8")
        info = self.folder / f"{distribution}_{module}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n")
        (info / "entry_points.txt").write_text(f"[jackfield]\n{name} = {module}\n")

    def entry_points(self, group: str) -> EntryPoints:
        found = (d.entry_points.select(group=group) for d in distributions(path=[str(self.folder)]))
        return EntryPoints(itertools.chain.from_iterable(found))


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    """Return an empty folder of distributions that takes the place of what is really installed."""
    site = Site(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr("jackfield.plugins.entry_points", site.entry_points)
    monkeypatch.delenv("JACKFIELD_PLUGINS", raising=False)
    return site


def reports(host: Host) -> dict[str, PluginReport]:
    return {report.name: report for report in host.report()}


# ---- loading what is installed ----


def test_installed_plugins_are_loaded_in_the_order_of_their_names(site: Site) -> None:
    site.install("zeta", BACKEND.format(name="z"), distribution="aaa")
    site.install("alpha", BACKEND.format(name="a"), distribution="zzz", version="2.5")
    host = Host()
    assert [found.name for found in host.backends()] == ["a", "z"]
    first, second = host.report()
    assert first == PluginReport(
        name="alpha",
        distribution="zzz",
        version="2.5",
        state="loaded",
        hooks=("jackfield_backends",),
        declares=("backend a",),
    )
    assert second.name == "zeta"


def test_installed_plugins_can_be_left_alone(site: Site) -> None:
    site.install("alpha", BACKEND.format(name="a"))
    assert Host(installed=False).report() == []


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("import no_such_module_at_all", "ModuleNotFoundError: No module named 'no_such_module_at_all'"),
        ("raise SystemExit('go away')", "SystemExit: go away"),
        ("raise ValueError('two\\nlines')", "ValueError: two lines"),
        ("x = (", "SyntaxError"),
        ("def f(): f()\nf()", "RecursionError"),
    ],
)
def test_a_plugin_that_does_not_import_is_reported_and_others_load(
    site: Site, source: str, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    site.install("broken", source)
    site.install("whole", BACKEND.format(name="w"))
    host = Host()
    broken = reports(host)["broken"]
    assert broken.state == "failed"
    assert broken.reason.startswith(reason)
    assert "\n" not in broken.reason
    assert "Traceback" in broken.traceback
    assert broken.declares == broken.hooks == ()
    assert "'broken' (acme 1.0) failed and is left out" in caplog.text
    assert [found.name for found in host.backends()] == ["w"]


def test_an_interrupt_while_a_plugin_loads_still_stops_everything(site: Site) -> None:
    site.install("slow", "raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        Host()


@pytest.mark.parametrize("how", ["allow", "required", "environment"])
def test_the_failure_of_a_plugin_that_was_asked_for_is_raised(
    site: Site, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.install("broken", "import no_such_module_at_all")
    monkeypatch.setenv("JACKFIELD_PLUGINS", "broken" if how == "environment" else "")
    with pytest.raises(PluginImportError, match=r"plugin 'broken' \(acme 1.0\) failed: ModuleNotFoundError"):
        Host(allow=["broken"] if how == "allow" else None, required=["broken"] if how == "required" else ())


def test_only_allowed_plugins_are_imported(site: Site) -> None:
    site.install("blocked", "raise AssertionError('imported')")
    site.install("allowed", BACKEND.format(name="a"))
    blocked = reports(Host(allow=["allowed"]))["blocked"]
    assert (blocked.state, blocked.reason) == ("blocked", "not in the allow-list")


def test_the_environment_names_the_allowed_plugins(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in "abc":
        site.install(name, BACKEND.format(name=name))
    monkeypatch.setenv("JACKFIELD_PLUGINS", " a, c,")
    assert [found.name for found in Host().backends()] == ["a", "c"]
    assert [found.name for found in Host(allow=["b"]).backends()] == ["b"]


@pytest.mark.parametrize("arguments", [{"allow": ["olama"]}, {"required": ["olama"]}])
def test_a_plugin_that_is_asked_for_and_not_installed_is_an_error(
    site: Site, arguments: dict[str, Any]
) -> None:
    site.install("ollama", BACKEND.format(name="a"))
    with pytest.raises(UnknownName, match=r"no plugin named 'olama' is installed\. Did you mean 'ollama'\?"):
        Host(**arguments)


def test_two_distributions_with_one_plugin_name_are_told_apart(site: Site) -> None:
    site.install("cpu", BACKEND.format(name="first"), distribution="aaa")
    site.install("cpu", BACKEND.format(name="second"), distribution="bbb", version="2.0")
    host = Host()
    assert [found.name for found in host.backends()] == ["first"]
    first, second = host.report()
    assert (first.state, second.state) == ("loaded", "failed")
    assert "two plugins have one name: 'cpu' (aaa 1.0) and 'cpu' (bbb 2.0)" in second.reason


# ---- marks and names of hooks ----


def test_a_misspelt_hook_is_named_with_the_nearest() -> None:
    with pytest.raises(
        PluginError, match=r"'x' .* unknown hook 'jackfield_backend'\. Did you mean 'jackfield_backends'"
    ):
        Host({"x": plugin(jackfield_backend=lambda: [backend("b")])}, installed=False)


def test_a_misspelt_hook_of_an_installed_plugin_is_reported(site: Site) -> None:
    site.install("misspelt", BACKEND.format(name="a").replace("jackfield_backends", "jackfeild_backends"))
    site.install("whole", BACKEND.format(name="w"))
    host = Host()
    assert (
        "unknown hook 'jackfeild_backends'. Did you mean 'jackfield_backends'?"
        in reports(host)["misspelt"].reason
    )
    assert [found.name for found in host.backends()] == ["w"]


@pytest.mark.parametrize("name", ["jackfield_backends", "jackfield_event_emitted", "jackfield_no_such_hook"])
def test_a_hook_without_its_mark_is_reported_not_ignored(name: str) -> None:
    unmarked = types.SimpleNamespace(**{name: list})
    with pytest.raises(PluginError, match=f"defines '{name}' without @hookimpl; mark or rename it"):
        Host({"x": unmarked}, installed=False)


def test_a_module_may_import_modules_whose_names_look_like_hooks(site: Site) -> None:
    site.install("whole", "import jackfield as jackfield_core\n" + BACKEND.format(name="w"))
    assert reports(Host())["whole"].state == "loaded"


def test_a_hook_may_have_a_name_of_its_own() -> None:
    named = types.SimpleNamespace(mine=hookimpl(specname="jackfield_backends")(lambda: [backend("b")]))
    assert Host({"x": named}, installed=False).backend("b").name == "b"


def test_an_object_with_methods_is_a_plugin() -> None:
    class Mine:
        @hookimpl
        def jackfield_backends(self) -> list[BackendDescriptor]:
            return [backend("b")]

    assert Host({"x": Mine()}, installed=False).backend("b").name == "b"


def test_arguments_a_hook_does_not_have_are_an_error() -> None:
    with pytest.raises(PluginError, match=r"'x' .*colour.* declared in the hookimpl but can not be found"):
        Host({"x": plugin(jackfield_backends=lambda colour: [])}, installed=False)


def test_a_wrapper_is_refused_because_it_would_not_run() -> None:
    def wrap() -> Any:
        return (yield)

    wrapper = types.SimpleNamespace(jackfield_backends=hookimpl(wrapper=True)(wrap))
    with pytest.raises(PluginError, match=r"'x' .* wraps 'jackfield_backends'; hooks cannot be wrapped"):
        Host({"x": wrapper}, installed=False)


def test_an_async_hook_is_refused_because_it_would_not_run() -> None:
    async def emitted() -> None: ...

    with pytest.raises(PluginError, match="'jackfield_event_emitted' with 'async def'; use 'def'"):
        Host({"x": plugin(jackfield_event_emitted=emitted)}, installed=False)


def test_none_is_no_plugin() -> None:
    with pytest.raises(PluginError, match=r"plugin 'x' .* is None; expected a module"):
        Host({"x": None}, installed=False)


def test_one_module_under_two_names_is_an_error() -> None:
    module = declaring("a")
    with pytest.raises(DuplicateName, match=r"plugins 'x' and 'y' .* are one module"):
        Host({"x": module, "y": module}, installed=False)


# ---- what plugins declare ----


def test_two_plugins_with_one_name_are_both_named() -> None:
    with pytest.raises(
        DuplicateName, match=r"plugins 'x' \(- -\) and 'y' \(- -\) both declare backend 'fast'"
    ):
        Host({"x": declaring("fast"), "y": declaring("fast")}, installed=False)


def test_an_alias_is_a_name_like_any_other() -> None:
    aliased = plugin(jackfield_backends=lambda: [backend("quick", "fast")])
    with pytest.raises(DuplicateName, match="both declare backend 'fast'"):
        Host({"x": declaring("fast"), "y": aliased}, installed=False)
    assert Host({"y": aliased}, installed=False).backend("fast").name == "quick"


def test_one_name_may_be_used_for_things_of_two_kinds() -> None:
    def architectures() -> list[ArchitectureDescriptor]:
        return [ArchitectureDescriptor(name="fast", summary="", factory="a:b")]

    host = Host({"x": declaring("fast"), "y": plugin(jackfield_architectures=architectures)}, installed=False)
    assert (host.backend("fast").summary, host.architecture("fast").factory) == ("for tests", "a:b")


def test_a_duplicate_among_installed_plugins_leaves_out_the_later_one_whole(site: Site) -> None:
    site.install("first", BACKEND.format(name="fast"))
    second = BACKEND.format(name="fast").replace(
        "[Back", "[BackendDescriptor(name='other', summary='', factory=''), Back"
    )
    site.install("second", second, distribution="rival")
    site.install("third", BACKEND.format(name="third"))
    host = Host()
    assert [found.name for found in host.backends()] == ["fast", "third"]
    rival = reports(host)["second"]
    assert (rival.state, rival.declares, rival.hooks) == ("failed", (), ())
    assert "plugins 'first' (acme 1.0) and 'second' (rival 1.0) both declare backend 'fast'" in rival.reason


def test_a_failing_declaration_takes_back_the_plugins_other_ones_and_skips_no_neighbour(site: Site) -> None:
    site.install("a", BACKEND.format(name="a") + "\n@hookimpl\ndef jackfield_samplers():\n    1 / 0\n")
    site.install("b", BACKEND.format(name="b"))
    site.install("c", BACKEND.format(name="c"))
    host = Host()
    assert [found.name for found in host.backends()] == ["b", "c"]
    assert [(report.name, report.state) for report in host.report()] == [
        ("a", "failed"),
        ("b", "loaded"),
        ("c", "loaded"),
    ]
    assert reports(host)["a"].reason == "ZeroDivisionError: division by zero"


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (None, "returned None; expected a list"),
        (7, "returned 7; expected a list"),
        (["cpu"], "returned 'cpu'; expected BackendDescriptor"),
        ([SamplerDescriptor(name="s", summary="", factory="")], "expected BackendDescriptor"),
    ],
)
def test_anything_but_the_right_descriptors_is_refused(answer: object, message: str) -> None:
    with pytest.raises(PluginError, match=message):
        Host({"x": plugin(jackfield_backends=lambda: answer)}, installed=False)


def test_an_unknown_name_is_an_error_that_lists_what_is_there() -> None:
    host = Host({"x": declaring("cpu", "cuda", "null")}, installed=False)
    with pytest.raises(
        UnknownName, match=r"no backend named 'cdua'; installed: cpu, cuda, null\. Did you mean 'cuda'\?"
    ):
        host.backend("cdua")
    with pytest.raises(UnknownName, match="no tokenizer named 'x'; installed: none"):
        host.tokenizer("x")


def test_samplers_come_in_the_order_they_run() -> None:
    def samplers() -> list[SamplerDescriptor]:
        orders = {"last": 400, "first": 100, "middle": 200}
        return [SamplerDescriptor(name=n, summary="", factory="", order=o) for n, o in orders.items()]

    host = Host({"x": plugin(jackfield_samplers=samplers)}, installed=False)
    assert [found.name for found in host.samplers()] == ["first", "middle", "last"]


def test_hook_models_the_preferred_one_comes_first() -> None:
    def models() -> list[ModelDescriptor]:
        return [
            ModelDescriptor(name=name, summary="", factory="nowhere:path", preference=preference)
            for name, preference in (("small", 0), ("large", 5))
        ]

    host = Host({"x": plugin(jackfield_models=models)}, installed=False)
    assert [model.name for model in host.models()] == ["large", "small"]


def test_the_fitting_chat_format_of_highest_priority_is_taken() -> None:
    def formats() -> list[ChatFormatDescriptor]:
        make = ChatFormatDescriptor
        return [
            make(name="plain", summary="", factory=""),
            make(name="hermes", summary="", factory="", template_has=("<tool_call>",), priority=1),
            make(name="xml", summary="", factory="", template_has=("<tool_call>", "<function="), priority=2),
            make(name="picky", summary="", factory="", template_has=("<a>",), template_lacks=("<b>",)),
            make(name="family", summary="", factory="", architectures=("gpt-oss",), priority=9),
        ]

    host = Host({"x": plugin(jackfield_chat_formats=formats)}, installed=False)
    chosen = {
        ("", "llama"): "plain",
        ("<tool_call>", "llama"): "hermes",
        ("<tool_call><function=", "llama"): "xml",
        ("<a>", "llama"): "picky",
        ("<a><b>", "llama"): "plain",
        ("<tool_call>", "gpt-oss"): "family",
    }
    assert {case: host.chat_format_for(*case).name for case in chosen} == chosen


# ---- observing ----


def observer(seen: list[str], *, failing: bool = False) -> types.SimpleNamespace:
    def stopped(reason: str) -> None:
        seen.append(reason)
        if failing:
            raise RuntimeError("observer broke")

    return plugin(jackfield_engine_stopped=stopped)


def test_every_observer_is_called_and_gets_the_arguments_it_names() -> None:
    seen: list[str] = []
    nameless = plugin(jackfield_engine_stopped=lambda: seen.append("nameless"))
    host = Host({"x": observer(seen), "y": nameless}, installed=False)
    host.observe("jackfield_engine_stopped", reason="done")
    assert seen == ["done", "nameless"]
    assert host.has_observers("jackfield_engine_stopped")
    assert not host.has_observers("jackfield_engine_started")


@pytest.mark.parametrize("error", [RuntimeError("broke"), SystemExit(3), RecursionError("deep")])
def test_an_observer_that_raises_is_logged_by_name_and_harms_no_other(
    error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    def stopped(reason: str) -> None:
        raise error

    seen: list[str] = []
    bad = plugin(jackfield_engine_stopped=stopped)
    Host({"bad": bad, "good": observer(seen)}, installed=False).observe(
        "jackfield_engine_stopped", reason="done"
    )
    assert seen == ["done"]
    assert "plugin 'bad' raised in jackfield_engine_stopped" in caplog.text
    assert type(error).__name__ in caplog.text


def test_a_plugin_whose_observers_keep_raising_is_no_longer_called() -> None:
    seen: list[str] = []
    host = Host({"bad": observer(seen, failing=True)}, installed=False)
    for number in range(8):
        host.observe("jackfield_engine_stopped", reason=str(number))
    assert seen == ["0", "1", "2", "3", "4"]
    (report,) = host.report()
    assert report.reason.startswith("its observers raised 5 times and are no longer called: RuntimeError(")


def test_rare_failures_do_not_end_an_observer(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = itertools.count(step=20.0)
    monkeypatch.setattr(host_module.time, "monotonic", lambda: next(clock))
    seen: list[str] = []
    host = Host({"bad": observer(seen, failing=True)}, installed=False)
    for number in range(8):
        host.observe("jackfield_engine_stopped", reason=str(number))
    assert len(seen) == 8


def test_traced_hooks_are_logged_with_plugin_and_answer(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "jackfield.host")
    Host({"x": declaring("quiet")}, installed=False)
    assert "jackfield_backends" not in caplog.text
    monkeypatch.setenv("JACKFIELD_TRACE", "steps,hooks")
    host = Host({"x": declaring("loud"), "y": observer([])}, installed=False)
    assert "jackfield_backends of plugin 'x'({}) returned [BackendDescriptor(name='loud'" in caplog.text
    host.observe("jackfield_engine_stopped", reason="done")
    assert "jackfield_engine_stopped of plugin 'y'({'reason': 'done'}) returned None" in caplog.text


# ---- factories ----


def test_a_factory_is_imported_when_it_is_asked_for() -> None:
    assert BackendDescriptor(name="b", summary="", factory="pathlib:Path").load() is Path


@pytest.mark.parametrize(
    ("factory", "message"),
    [
        ("pathlib.Path", "has no ':'; expected 'package.module:attribute'"),
        ("pathlib:", "has no ':'"),
        (":Path", "cannot be loaded: ValueError"),
        (
            "no_such_module_at_all:x",
            "factory 'no_such_module_at_all:x' of 'b' cannot be loaded: ModuleNotFoundError",
        ),
        ("pathlib:NoSuchThing", "cannot be loaded: AttributeError: .*NoSuchThing"),
    ],
)
def test_a_factory_that_cannot_be_loaded_is_an_error_with_its_cause(factory: str, message: str) -> None:
    with pytest.raises(PluginImportError, match=message):
        BackendDescriptor(name="b", summary="", factory=factory).load()


def test_a_factory_whose_module_exits_is_an_error(site: Site) -> None:
    (site.folder / "leaving_module.py").write_text("raise SystemExit(0)")
    with pytest.raises(PluginImportError, match="SystemExit: 0"):
        BackendDescriptor(name="b", summary="", factory="leaving_module:make").load()


def test_what_a_factory_raises_is_told_in_one_sentence_with_its_place(site: Site) -> None:
    (site.folder / "raising_module.py").write_text("def make(what):\n    raise what\n")
    descriptor = BackendDescriptor(name="b", summary="", factory="raising_module:make")
    with pytest.raises(PluginError) as caught:
        descriptor.make(ValueError("no\nluck"))
    assert caught.value.message == (
        "factory 'raising_module:make' of 'b' failed: ValueError: no luck (raising_module.py, line 2)"
    )
    with pytest.raises(UnknownName, match="mine"):
        descriptor.make(UnknownName("mine"))


def test_what_cannot_be_used_later_counts_as_failed_and_is_fatal_where_it_was_asked_for(site: Site) -> None:
    site.install("late", BACKEND.format(name="b"))
    host = Host()
    [descriptor] = host.backends()
    host.leave_out("backend", descriptor, PluginError("too late"))
    assert (reports(host)["late"].state, reports(host)["late"].reason) == ("failed", "PluginError: too late")
    with pytest.raises(PluginError, match="too late"):
        Host(allow=["late"]).leave_out("backend", descriptor, PluginError("too late"))
