"""Loading plugins: each ends up loaded, blocked or failed with a reason, and none takes the process along."""

from __future__ import annotations

import functools
import inspect
import logging
import os
import traceback
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import Distribution, EntryPoint, entry_points

import pluggy

from jackfield import hooks
from jackfield.errors import DuplicateName, PluginError, PluginImportError, UnknownName, did_you_mean

__all__ = ["RAISED_BY_PLUGINS", "Plugin", "PluginLoader", "allow_list"]

log = logging.getLogger("jackfield.host")
MARKER = f"{hooks.PROJECT}_impl"
PREFIX = f"{hooks.PROJECT}_"

RAISED_BY_PLUGINS = (Exception, SystemExit)
"""What a plugin's code may raise without ending the process; an interrupt by the user still does."""


@dataclass
class Plugin:
    """A plugin from when it is found on.

    Attributes:
        name: Of the entry point.
        is_wanted: Whether the operator asked for it by name, so that its failure is theirs to hear.
        state: ``loaded``, ``blocked`` (not in the allow-list) or ``failed``.
        reason: Why it is not loaded, or what is wrong with it since.
        declares: Kind and name of each thing it declares.
    """

    name: str
    module: object | None = None
    distribution: str = "-"
    version: str = "-"
    is_wanted: bool = False
    state: str = "loaded"
    reason: str = ""
    traceback: str = ""
    declares: list[str] = field(default_factory=list[str])

    @property
    def owner(self) -> str:
        """Name, distribution and version, for messages."""
        return f"{self.name!r} ({self.distribution} {self.version})"


class PluginLoader:
    """Load plugins into a pluggy manager.

    Args:
        allow: Names to load, all when ``None``.
        required: Names that must load; so must those of ``allow``.

    Raises:
        PluginError: A plugin that was asked for by name failed or is not installed.
    """

    def __init__(self, allow: frozenset[str] | None, required: frozenset[str]) -> None:
        self.manager = pluggy.PluginManager(hooks.PROJECT)
        self.manager.add_hookspecs(hooks)
        self.plugins: list[Plugin] = []
        self._allow = allow
        self._wanted = required | (allow or frozenset())

    def add_given(self, modules: Mapping[str, object]) -> None:
        """Register modules or objects the caller has in hand."""
        for name, module in modules.items():
            self._add(Plugin(name, module, is_wanted=True))

    def add_installed(self) -> None:
        """Load the entry points, in the order of their names."""
        facts = functools.cache(_facts_of)  # a distribution reads its metadata whenever it is asked for some
        found = [(entry, *facts(entry.dist)) for entry in entry_points(group=hooks.PROJECT)]
        for entry, distribution, version in sorted(found, key=lambda row: (row[0].name, row[1])):
            self._add(Plugin(entry.name, None, distribution, version, entry.name in self._wanted), entry)
        installed = [plugin.name for plugin in self.plugins]
        for name in sorted(self._wanted - set(installed)):
            near = did_you_mean(name, installed)
            raise UnknownName(
                f"no plugin named {name!r} is installed.{near} List them with 'jackfield plugins'"
            )

    def fail(self, plugin: Plugin, error: BaseException) -> None:
        """Leave a plugin out, with the reason.

        Raises:
            PluginError: The operator asked for it by name.
        """
        if self.manager.get_plugin(plugin.name) is plugin.module:
            self.manager.unregister(name=plugin.name)
        plugin.state = "failed"
        plugin.reason = " ".join(f"{type(error).__name__}: {error}".split())
        plugin.traceback = "".join(traceback.format_exception(error))
        if plugin.is_wanted and isinstance(error, PluginError):
            raise error
        if plugin.is_wanted:
            raise PluginImportError(f"plugin {plugin.owner} failed: {plugin.reason}") from error
        log.warning("plugin %s failed and is left out: %s", plugin.owner, plugin.reason)

    # ---- one plugin ----

    def _add(self, plugin: Plugin, entry: EntryPoint | None = None) -> None:
        same_name = next((other for other in self.plugins if other.name == plugin.name), None)
        self.plugins.append(plugin)
        if entry is not None and self._allow is not None and plugin.name not in self._allow:
            plugin.state, plugin.reason = "blocked", "not in the allow-list"
            return
        try:
            if same_name is not None:
                raise DuplicateName(
                    f"two plugins have one name: {same_name.owner} and {plugin.owner}; uninstall one"
                )
            if entry is not None:
                plugin.module = entry.load()
            self._register(plugin)
        except RAISED_BY_PLUGINS as error:
            self.fail(plugin, error)

    def _register(self, plugin: Plugin) -> None:
        if plugin.module is None:
            raise PluginError(f"plugin {plugin.owner} is None; expected a module or an object with hooks")
        if self.manager.is_registered(plugin.module):
            other = self.manager.get_name(plugin.module)
            raise DuplicateName(f"plugins {other!r} and {plugin.owner} are one module; leave one out")
        _check_marks(plugin)
        self.manager.register(plugin.module, name=plugin.name)
        self._check_hooks(plugin)

    def _check_hooks(self, plugin: Plugin) -> None:
        known = [name for name in vars(hooks) if name.startswith(PREFIX)]
        for caller in self.manager.get_hookcallers(plugin.module) or []:
            if not caller.has_spec():
                near = did_you_mean(caller.name, known)
                raise PluginError(f"plugin {plugin.owner} implements unknown hook {caller.name!r}.{near}")
            for implementation in caller.get_hookimpls():
                if implementation.plugin is plugin.module:
                    _check_callable(implementation, caller.name, plugin)


def allow_list(allow: Iterable[str] | None) -> frozenset[str] | None:
    """Return the names to load: those given, else those of ``JACKFIELD_PLUGINS``, else ``None`` for all."""
    if allow is not None:
        return frozenset(allow)
    names = os.environ.get("JACKFIELD_PLUGINS", "")
    return frozenset(name.strip() for name in names.split(",") if name.strip()) or None


def _check_callable(implementation: pluggy.HookImpl, hook_name: str, plugin: Plugin) -> None:
    """Refuse implementations that a plain call would not run."""
    if implementation.wrapper or implementation.hookwrapper:
        raise PluginError(f"plugin {plugin.owner} wraps {hook_name!r}; hooks cannot be wrapped")
    if inspect.iscoroutinefunction(implementation.function):
        raise PluginError(f"plugin {plugin.owner} implements {hook_name!r} with 'async def'; use 'def'")


def _check_marks(plugin: Plugin) -> None:
    """Refuse functions that look like hooks and would never be called."""
    for name in dir(plugin.module):
        if not name.startswith(PREFIX):
            continue
        member = getattr(plugin.module, name)
        if callable(member) and not hasattr(member, MARKER):
            raise PluginError(f"plugin {plugin.owner} defines {name!r} without @hookimpl; mark or rename it")


def _facts_of(distribution: Distribution | None) -> tuple[str, str]:
    """Return name and version."""
    return ("-", "-") if distribution is None else (distribution.name, distribution.version)
