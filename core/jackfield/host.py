"""The host: owns a process's plugins, checks what they declare, and finds things by name."""

from __future__ import annotations

import logging
import os
import time
from collections import defaultdict, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, TypeVar, cast

import pluggy

from jackfield.descriptors import (
    ArchitectureDescriptor,
    BackendDescriptor,
    ChatFormatDescriptor,
    Descriptor,
    ModelDescriptor,
    OpDescriptor,
    ProtocolDescriptor,
    SamplerDescriptor,
    TokenizerDescriptor,
)
from jackfield.errors import DuplicateName, JackfieldError, PluginError, UnknownName, did_you_mean
from jackfield.plugins import RAISED_BY_PLUGINS, Plugin, PluginLoader, allow_list

__all__ = ["Host", "PluginReport"]

log = logging.getLogger("jackfield.host")
D = TypeVar("D", bound=Descriptor)
MAX_FAILURES = 5
FAILURE_WINDOW_S = 60.0

KINDS: Mapping[str, tuple[str, type[Descriptor]]] = MappingProxyType(
    {
        "architecture": ("jackfield_architectures", ArchitectureDescriptor),
        "op": ("jackfield_ops", OpDescriptor),
        "backend": ("jackfield_backends", BackendDescriptor),
        "tokenizer": ("jackfield_tokenizers", TokenizerDescriptor),
        "chat format": ("jackfield_chat_formats", ChatFormatDescriptor),
        "sampler": ("jackfield_samplers", SamplerDescriptor),
        "protocol": ("jackfield_protocols", ProtocolDescriptor),
        "model": ("jackfield_models", ModelDescriptor),
    }
)


@dataclass(frozen=True)
class PluginReport:
    """What became of one installed plugin: the row of ``jackfield plugins``.

    Attributes:
        state: ``loaded``, ``blocked`` (not in the allow-list) or ``failed``.
        reason: Why it is not loaded or no longer called, one sentence; empty when all is well.
        traceback: The whole error, for ``jackfield plugins --verbose``.
    """

    name: str
    distribution: str
    version: str
    state: str
    reason: str = ""
    hooks: tuple[str, ...] = ()
    declares: tuple[str, ...] = ()
    traceback: str = ""


class Host:
    """Own the plugins of one process.

    A plugin that fails (an import error, a hook that does not exist or is not marked, a name another one
    has already declared) is left out whole, logged, and reported with its reason. It is raised instead
    when the operator named that plugin: in ``plugins``, ``required`` or the allow-list.

    Args:
        plugins: Modules or objects with hook implementations, by name; for tests and libraries.
        installed: Also load the entry points of group ``jackfield``.
        allow: Names to load, all when ``None``; the environment variable ``JACKFIELD_PLUGINS``
            (comma-separated) is the default.
        required: Names that must load.

    Raises:
        PluginError: A plugin that was named failed, or no such plugin is installed.
    """

    def __init__(
        self,
        plugins: Mapping[str, object] | None = None,
        *,
        installed: bool = True,
        allow: Iterable[str] | None = None,
        required: Iterable[str] = (),
    ) -> None:
        self._is_traced = "hooks" in os.environ.get("JACKFIELD_TRACE", "").split(",")
        self._loader = PluginLoader(allow_list(allow), frozenset(required))
        self._loader.add_given(plugins or {})
        if installed:
            self._loader.add_installed()
        self._declared: dict[str, dict[str, Descriptor]] = {kind: {} for kind in KINDS}
        self._owners: dict[tuple[str, str], Plugin] = {}
        self._failures: dict[str, deque[float]] = defaultdict(lambda: deque(maxlen=MAX_FAILURES))
        for plugin in self._loader.plugins:
            self._collect(plugin)

    # ---- collecting ----

    def _collect(self, plugin: Plugin) -> None:
        """Take what a plugin declares: all of it, or none when anything is wrong."""
        try:
            found = [(kind, descriptor) for kind in KINDS for descriptor in self._ask(kind, plugin)]
            self._check_names(found, plugin)
        except RAISED_BY_PLUGINS as error:
            self._loader.fail(plugin, error)
            return
        for kind, descriptor in found:
            plugin.declares.append(f"{kind} {descriptor.name}")
            for name in descriptor.names:
                self._declared[kind][name] = descriptor
                self._owners[kind, name] = plugin

    def _ask(self, kind: str, plugin: Plugin) -> list[Descriptor]:
        hook_name, expected = KINDS[kind]
        declared: list[Descriptor] = []
        for implementation in self._implementations(hook_name):
            if implementation.plugin is plugin.module:
                declared += _checked(self._call(implementation, hook_name, {}), expected, plugin, hook_name)
        return declared

    def _check_names(self, found: Iterable[tuple[str, Descriptor]], plugin: Plugin) -> None:
        taken = dict(self._owners)
        for kind, descriptor in found:
            for name in descriptor.names:
                owner = taken.setdefault((kind, name), plugin)
                if owner is not plugin:
                    raise DuplicateName(
                        f"plugins {owner.owner} and {plugin.owner} both declare {kind} {name!r};"
                        f" leave one out with JACKFIELD_PLUGINS"
                    )

    # ---- finding ----

    def architecture(self, name: str) -> ArchitectureDescriptor:
        """Return the architecture of that ``general.architecture`` name.

        Raises:
            UnknownName: No plugin declares it; the message lists what is installed.
        """
        return self._find("architecture", name, ArchitectureDescriptor)

    def backend(self, name: str) -> BackendDescriptor:
        """Return the backend of that name. Raises ``UnknownName``."""
        return self._find("backend", name, BackendDescriptor)

    def tokenizer(self, name: str) -> TokenizerDescriptor:
        """Return the tokenizer of that ``tokenizer.ggml.model`` name. Raises ``UnknownName``."""
        return self._find("tokenizer", name, TokenizerDescriptor)

    def chat_format(self, name: str) -> ChatFormatDescriptor:
        """Return the chat format of that name. Raises ``UnknownName``."""
        return self._find("chat format", name, ChatFormatDescriptor)

    def chat_format_for(self, template: str, architecture: str) -> ChatFormatDescriptor:
        """Return the fitting chat format of highest priority; ``plain`` when none fits."""
        fitting = [f for f in self.chat_formats() if f.fits(template, architecture)]
        return max(fitting, key=lambda f: f.priority, default=None) or self.chat_format("plain")

    def architectures(self) -> list[ArchitectureDescriptor]:
        """Return every declared architecture, in registration order."""
        return self._all("architecture", ArchitectureDescriptor)

    def backends(self) -> list[BackendDescriptor]:
        """Return every declared backend, in registration order."""
        return self._all("backend", BackendDescriptor)

    def tokenizers(self) -> list[TokenizerDescriptor]:
        """Return every declared tokenizer, in registration order."""
        return self._all("tokenizer", TokenizerDescriptor)

    def chat_formats(self) -> list[ChatFormatDescriptor]:
        """Return every declared chat format, in registration order."""
        return self._all("chat format", ChatFormatDescriptor)

    def samplers(self) -> list[SamplerDescriptor]:
        """Return every declared sampler stage in the order they run."""
        return sorted(self._all("sampler", SamplerDescriptor), key=lambda s: s.order)

    def ops(self) -> list[OpDescriptor]:
        """Return every declared op beyond the core's vocabulary."""
        return self._all("op", OpDescriptor)

    def protocols(self) -> list[ProtocolDescriptor]:
        """Return every declared protocol, in registration order."""
        return self._all("protocol", ProtocolDescriptor)

    def models(self) -> list[ModelDescriptor]:
        """Return every model that comes with a plugin, the preferred one first."""
        return sorted(self._all("model", ModelDescriptor), key=lambda m: m.preference, reverse=True)

    def _find(self, kind: str, name: str, kind_type: type[D]) -> D:
        found = self._declared[kind].get(name)
        if isinstance(found, kind_type):
            return found
        known = sorted(self._declared[kind])
        listing = ", ".join(known) or "none"
        raise UnknownName(f"no {kind} named {name!r}; installed: {listing}.{did_you_mean(name, known)}")

    def _all(self, kind: str, kind_type: type[D]) -> list[D]:
        unique = dict.fromkeys(self._declared[kind].values())
        return [descriptor for descriptor in unique if isinstance(descriptor, kind_type)]

    def leave_out(self, kind: str, descriptor: Descriptor, error: JackfieldError) -> None:
        """Count a plugin as failed, for something it declares cannot be used.

        Raises:
            PluginError: The operator asked for it by name.
        """
        self._loader.fail(self._owners[kind, descriptor.name], error)

    # ---- calling ----

    def observe(self, hook_name: str, **arguments: Any) -> None:
        """Call an observing hook; an exception of a plugin is logged by name and goes no further.

        A plugin whose observers raise five times within a minute is not called again.
        """
        for implementation in self._implementations(hook_name):
            wanted = {name: arguments[name] for name in implementation.argnames}
            try:
                self._call(implementation, hook_name, wanted)
            except RAISED_BY_PLUGINS as error:
                log.error("plugin %r raised in %s", implementation.plugin_name, hook_name, exc_info=error)
                self._count_failure(implementation, error)

    def has_observers(self, hook_name: str) -> bool:
        """Tell whether any plugin implements that observing hook."""
        return bool(self._implementations(hook_name))

    def _implementations(self, hook_name: str) -> list[pluggy.HookImpl]:
        caller: pluggy.HookCaller = getattr(self._loader.manager.hook, hook_name)
        return caller.get_hookimpls()

    def _call(self, implementation: pluggy.HookImpl, hook_name: str, arguments: dict[str, Any]) -> Any:
        answer = implementation.function(**arguments)
        if self._is_traced:
            log.info(
                "%s of plugin %r(%r) returned %r", hook_name, implementation.plugin_name, arguments, answer
            )
        return answer

    def _count_failure(self, implementation: pluggy.HookImpl, error: BaseException) -> None:
        failures = self._failures[implementation.plugin_name]
        failures.append(time.monotonic())
        if len(failures) < MAX_FAILURES or failures[-1] - failures[0] > FAILURE_WINDOW_S:
            return
        self._loader.manager.unregister(name=implementation.plugin_name)
        plugin = next(p for p in self._loader.plugins if p.module is implementation.plugin)
        plugin.reason = f"its observers raised {MAX_FAILURES} times and are no longer called: {error!r}"
        log.error("plugin %s: %s", plugin.owner, plugin.reason)

    # ---- reporting ----

    def report(self) -> list[PluginReport]:
        """Return one row for each installed plugin, loaded or not, in the order they were found."""
        return [
            PluginReport(
                name=plugin.name,
                distribution=plugin.distribution,
                version=plugin.version,
                state=plugin.state,
                reason=plugin.reason,
                hooks=self._hooks_of(plugin),
                declares=tuple(plugin.declares),
                traceback=plugin.traceback,
            )
            for plugin in self._loader.plugins
        ]

    def _hooks_of(self, plugin: Plugin) -> tuple[str, ...]:
        if plugin.state != "loaded":
            return ()
        callers = self._loader.manager.get_hookcallers(plugin.module) or []
        return tuple(sorted(caller.name for caller in callers))


def _checked(
    answer: object, expected: type[Descriptor], plugin: Plugin, hook_name: str
) -> Iterable[Descriptor]:
    if not isinstance(answer, Iterable):
        raise PluginError(f"{hook_name} of plugin {plugin.owner} returned {answer!r}; expected a list")
    for descriptor in cast("Iterable[object]", answer):
        if not isinstance(descriptor, expected):
            problem = f"returned {descriptor!r}; expected {expected.__name__}"
            raise PluginError(f"{hook_name} of plugin {plugin.owner} {problem}")
        yield descriptor
