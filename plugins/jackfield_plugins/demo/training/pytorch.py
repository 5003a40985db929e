"""PyTorch, where it is installed: everything else here names it through this module."""

from __future__ import annotations

import importlib
from typing import Any, TypeAlias

from jackfield.errors import ConfigError

__all__ = ["Tensor", "pytorch"]

Tensor: TypeAlias = Any


def pytorch() -> Any:
    """Return the ``torch`` package.

    Raises:
        ConfigError: It is not installed.
    """
    try:
        return importlib.import_module("torch")
    except ImportError as error:
        raise ConfigError("training needs PyTorch; install it with pip install 'jackfield[train]'") from error
