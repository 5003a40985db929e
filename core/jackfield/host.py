"""The host: loads plugins, checks what they declare, and finds things by name."""

from __future__ import annotations

import logging
import os
import traceback
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points
from types import MappingProxyType
from typing import Any, TypeVar

import pluggy

from jackfield import hooks
from jackfield.descriptors import (
    ArchitectureDescriptor,
    BackendDescriptor,
    ChatFormatDescriptor,
    Descriptor,
    OpDescriptor,
    ProtocolDescriptor,
    SamplerDescriptor,
    TokenizerDescriptor,
)
from jackfield.errors import DuplicateName, PluginError, PluginImportError, UnknownName, did_you_mean

__all__ = ["Host", "PluginReport"]

log = logging.getLogger("jackfield.host")
D = TypeVar("D", bound=Descriptor)

KINDS: Mapping[str, str] = MappingProxyType(
    {
        "architecture": "jackfield_architectures",
        "op": "jackfield_ops",
        "backend": "jackfield_backends",
        "tokenizer": "jackfield_tokenizers",
        "chat format": "jackfield_chat_formats",
        "sampler": "jackfield_samplers",
        "protocol": "jackfield_protocols",
    }
)


@dataclass(frozen=True)
class PluginReport:
    """What became of one installed plugin: the row of ``jackfield plugins``.

    Attributes:
        state: ``loaded``, ``blocked`` (not in the allow-list) or ``failed``.
        reason: Why it is not loaded, one sentence; empty when it is.
        traceback: The whole import error, for ``jackfield plugins --verbose``.
    """

    name: str
    distribution: str
    version: str
    state: str
    reason: str = ""
    hooks: tuple[str, ...] = ()
    declares: tuple[str, ...] = ()
    traceback: str = ""


@dataclass
class _Plugin:
    """A plugin while it is being loaded."""

    name: str
    module: object | None = None
    distribution: str = "-"
    version: str = "-"
    state: str = "loaded"
    reason: str = ""
    traceback: str = ""
    declares: list[str] = field(default_factory=list)

    @property
    def owner(self) -> str:
        return f"{self.name!r} ({self.distribution} {self.version})"


class Host:
    """Own the plugins of one process.

    Args:
        plugins: Modules or objects with hook implementations, by name; for tests and libraries.
        installed: Also load the entry points of group ``jackfield``.
        allow: Names to load, all when ``None``; the environment variable ``JACKFIELD_PLUGINS``
            (comma-separated) is the default.
        required: Names that must load: a failure of one of them is raised instead of reported.

    Raises:
        DuplicateName: Two plugins declare one name of one kind.
        PluginError: A plugin implements a hook that does not exist, or a required one failed.
    """

    def __init__(
        self,
        plugins: Mapping[str, object] | None = None,
        *,
        installed: bool = True,
        allow: Iterable[str] | None = None,
        required: Iterable[str] = (),
    ) -> None:
        self._manager = pluggy.PluginManager(hooks.PROJECT)
        self._manager.add_hookspecs(hooks)
        self._allow = _allow_list(allow)
        self._required = frozenset(required)
        self._plugins: list[_Plugin] = []
        for name, module in (plugins or {}).items():
            self._register(_Plugin(name, module))
        for entry in _entry_points() if installed else ():
            self._load(entry)
        self._trace()
        self._declared: dict[str, dict[str, Descriptor]] = {kind: {} for kind in KINDS}
        for plugin in self._plugins:
            self._collect(plugin)

    # ---- loading ----

    def _load(self, entry: EntryPoint) -> None:
        distribution = entry.dist
        plugin = _Plugin(
            entry.name,
            distribution=distribution.name if distribution else "-",
            version=distribution.version if distribution else "-",
        )
        if self._allow is not None and entry.name not in self._allow:
            plugin.state, plugin.reason = "blocked", "not in the allow-list"
            self._plugins.append(plugin)
            return
        try:
            plugin.module = entry.load()
        except Exception as error:
            self._fail(plugin, error)
            return
        self._register(plugin)

    def _register(self, plugin: _Plugin) -> None:
        assert plugin.module is not None
        self._plugins.append(plugin)
        try:
            self._manager.register(plugin.module, name=plugin.name)
            self._check_hook_names(plugin)
        except Exception as error:
            self._plugins.pop()
            self._fail(plugin, error)

    def _check_hook_names(self, plugin: _Plugin) -> None:
        known = [name for name in dir(hooks) if name.startswith("jackfield_")]
        for name in dir(plugin.module):
            marked = hasattr(getattr(plugin.module, name, None), "jackfield_impl")
            if marked and name not in known:
                self._manager.unregister(name=plugin.name)
                raise PluginError(
                    f"plugin {plugin.owner} implements unknown hook {name!r}.{did_you_mean(name, known)}"
                )

    def _fail(self, plugin: _Plugin, error: Exception) -> None:
        plugin.state = "failed"
        plugin.reason = f"{type(error).__name__}: {error}"
        plugin.traceback = "".join(traceback.format_exception(error))
        self._plugins.append(plugin)
        if plugin.name in self._required or plugin.name in (self._allow or ()):
            raise PluginImportError(f"plugin {plugin.owner} failed: {plugin.reason}") from error
        log.warning("plugin %s failed and is left out: %s", plugin.owner, plugin.reason)

    def _trace(self) -> None:
        if "hooks" in os.environ.get("JACKFIELD_TRACE", "").split(","):
            self._manager.trace.root.setwriter(lambda text: log.info("%s", text.rstrip()))
            self._manager.enable_tracing()

    # ---- collecting ----

    def _collect(self, plugin: _Plugin) -> None:
        for kind, hook_name in KINDS.items():
            implementation = getattr(plugin.module, hook_name, None)
            if plugin.state != "loaded" or implementation is None:
                continue
            try:
                declared: list[Descriptor] = list(implementation())
            except Exception as error:
                self._plugins.remove(plugin)
                self._manager.unregister(name=plugin.name)
                self._fail(plugin, error)
                return
            for descriptor in declared:
                self._declare(kind, descriptor, plugin)

    def _declare(self, kind: str, descriptor: Descriptor, plugin: _Plugin) -> None:
        table = self._declared[kind]
        for name in descriptor.names:
            if name in table:
                raise DuplicateName(
                    f"plugins {self._owner_of(kind, name)} and {plugin.owner} both declare {kind} {name!r};"
                    f" leave one out with JACKFIELD_PLUGINS"
                )
            table[name] = descriptor
        plugin.declares.append(f"{kind} {descriptor.name}")

    def _owner_of(self, kind: str, name: str) -> str:
        wanted = f"{kind} {self._declared[kind][name].name}"
        return next(plugin.owner for plugin in self._plugins if wanted in plugin.declares)

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

    # ---- observing ----

    def observe(self, hook_name: str, **arguments: Any) -> None:
        """Call an observing hook; an exception of a plugin is logged by name and goes no further."""
        caller: pluggy.HookCaller = getattr(self._manager.hook, hook_name)
        for implementation in caller.get_hookimpls():
            wanted = {name: arguments[name] for name in implementation.argnames}
            _call_observer(implementation.plugin_name, implementation.function, wanted)

    def has_observers(self, hook_name: str) -> bool:
        """Tell whether any plugin implements that observing hook."""
        return bool(getattr(self._manager.hook, hook_name).get_hookimpls())

    def report(self) -> list[PluginReport]:
        """Return one row for each installed plugin, loaded or not."""
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
            for plugin in self._plugins
        ]

    def _hooks_of(self, plugin: _Plugin) -> tuple[str, ...]:
        if plugin.module is None or not self._manager.is_registered(plugin.module):
            return ()
        callers = self._manager.get_hookcallers(plugin.module) or []
        return tuple(sorted(caller.name for caller in callers))


def _allow_list(allow: Iterable[str] | None) -> frozenset[str] | None:
    if allow is not None:
        return frozenset(allow)
    names = os.environ.get("JACKFIELD_PLUGINS", "")
    return frozenset(name.strip() for name in names.split(",") if name.strip()) or None


def _entry_points() -> list[EntryPoint]:
    return sorted(entry_points(group=hooks.PROJECT), key=lambda entry: entry.name)


def _call_observer(plugin_name: str, function: Callable[..., Any], arguments: dict[str, Any]) -> None:
    try:
        function(**arguments)
    except Exception:
        log.exception("plugin %r raised in an observing hook", plugin_name)
