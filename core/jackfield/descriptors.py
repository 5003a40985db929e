"""What plugins declare: small frozen records with a name, a summary and a lazy factory.

A factory is the text ``"package.module:attribute"``. It is imported when the thing is first needed,
so listing every plugin imports neither numba nor a web framework.
"""

from __future__ import annotations

import importlib
import os
import traceback
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from jackfield.errors import JackfieldError, PluginError, PluginImportError

__all__ = [
    "ArchitectureDescriptor",
    "BackendDescriptor",
    "ChatFormatDescriptor",
    "Descriptor",
    "ModelDescriptor",
    "OpDescriptor",
    "ProtocolDescriptor",
    "SamplerDescriptor",
    "TokenizerDescriptor",
    "plugin_code",
]


@dataclass(frozen=True, kw_only=True)
class Descriptor:
    """One thing a plugin offers.

    Attributes:
        name: How users and files spell it; unique among things of its kind.
        summary: One line for ``jackfield plugins``.
        factory: ``"package.module:attribute"`` of what does the work.
        aliases: Other spellings that lead here.
    """

    name: str
    summary: str
    factory: str
    aliases: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """All spellings, the chief one first."""
        return (self.name, *self.aliases)

    def load(self) -> Any:
        """Import the factory.

        Raises:
            PluginImportError: The module does not import, or lacks the attribute.
        """
        return load_attribute(self.factory, f"{self.name!r}")

    def make(self, *arguments: Any) -> Any:
        """Import the factory and call it.

        Raises:
            PluginImportError: The module does not import, or lacks the attribute.
            PluginError: The factory raised what is no error of our tree.
        """
        factory = self.load()
        with plugin_code(f"factory {self.factory!r} of {self.name!r}"):
            return factory(*arguments)


@dataclass(frozen=True, kw_only=True)
class ArchitectureDescriptor(Descriptor):
    """A model family. Factory: ``(Checkpoint) -> Program``; name: ``general.architecture``."""


@dataclass(frozen=True, kw_only=True)
class BackendDescriptor(Descriptor):
    """A way to compute. Factory: ``() -> jackfield.backend.Backend``.

    Attributes:
        preference: ``--backend auto`` takes the available backend with the highest; a negative one
            is never taken unasked.
    """

    preference: int = 0


@dataclass(frozen=True, kw_only=True)
class TokenizerDescriptor(Descriptor):
    """A tokenizer algorithm. Factory: ``(Metadata) -> Tokenizer``; name: ``tokenizer.ggml.model``."""


@dataclass(frozen=True, kw_only=True)
class ChatFormatDescriptor(Descriptor):
    """How a family writes thinking and tool calls. Factory: ``() -> jackfield.text.ChatFormat``.

    A format fits when every text of ``template_has`` and none of ``template_lacks`` occurs in the
    chat template's source, or when the architecture is listed. The fitting format with the highest
    ``priority`` is taken.
    """

    template_has: tuple[str, ...] = ()
    template_lacks: tuple[str, ...] = ()
    architectures: tuple[str, ...] = ()
    priority: int = 0

    def fits(self, template: str, architecture: str) -> bool:
        """Tell whether this format reads and writes what that template and family use."""
        if architecture in self.architectures:
            return True
        if not self.template_has:
            return False
        has = all(mark in template for mark in self.template_has)
        return has and not any(mark in template for mark in self.template_lacks)


@dataclass(frozen=True, kw_only=True)
class ModelDescriptor(Descriptor):
    """A model file that a package brings along. Factory: ``() -> Path``; name: what ``--model`` may say.

    Attributes:
        preference: Where no model is named, the one with the highest is served.
    """

    preference: int = 0


@dataclass(frozen=True, kw_only=True)
class OpDescriptor(Descriptor):
    """An operation beyond the core's vocabulary. Factory: the ``Op`` subclass.

    Attributes:
        reference: ``"module:function"`` of the numpy meaning, ``(op, Inputs) -> None``; backends without a
            kernel of their own run this.
        kernels: Backend name to ``"module:attribute"`` of a native kernel.
    """

    reference: str
    kernels: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, kw_only=True)
class SamplerDescriptor(Descriptor):
    """A step of sampling. Factory: ``(SamplingParams, VocabularyView) -> SamplerStage | None``.

    Attributes:
        order: Stages run in ascending order; penalties are 100, truncations 200, temperature 300,
            selection 400.
    """

    order: int = 200


@dataclass(frozen=True, kw_only=True)
class ProtocolDescriptor(Descriptor):
    """An HTTP protocol. Factory: ``(Rail) -> jackfield.server.ProtocolRoutes``."""


@contextmanager
def plugin_code(what: str) -> Generator[None]:
    """Turn whatever a plugin's code raises into one sentence that says where.

    Raises:
        PluginError: It raised what is no error of our tree.
    """
    try:
        yield
    except JackfieldError:
        raise
    except (Exception, SystemExit) as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        place = f"{os.path.basename(where.filename)}, line {where.lineno}"
        raise PluginError(f"{what} failed: {reason} ({place})") from error


def load_attribute(path: str, wanted_by: str) -> Any:
    """Import ``"package.module:attribute"``.

    Raises:
        PluginImportError: The path is malformed, or importing or looking up fails; the cause is kept.
    """
    module_name, _, attribute = path.partition(":")
    if not attribute:
        raise PluginImportError(
            f"factory {path!r} of {wanted_by} has no ':'; expected 'package.module:attribute'"
        )
    try:
        return getattr(importlib.import_module(module_name), attribute)
    except (Exception, SystemExit) as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise PluginImportError(f"factory {path!r} of {wanted_by} cannot be loaded: {reason}") from error
