"""Refuse sampling parameters that have no meaning, before anything is computed."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from jackfield.errors import RequestError
from jackfield.service.requests import Sampling

__all__ = ["check_sampling", "token_array"]

LOWEST = {
    "temperature": 0.0,
    "top_p": 0.0,
    "min_p": 0.0,
    "typical_p": 0.0,
    "mirostat_tau": 0.0,
    "mirostat_eta": 0.0,
    "xtc_probability": 0.0,
    "xtc_threshold": 0.0,
    "dry_multiplier": 0.0,
    "dry_base": 0.0,
}
FINITE = ("presence_penalty", "frequency_penalty")


def check_sampling(sampling: Sampling, vocab_size: int) -> None:
    """Raise for a parameter that is not a usable number.

    Raises:
        RequestError: ``param`` names the field.
    """
    for name, lowest in LOWEST.items():
        value = getattr(sampling, name)
        if not (math.isfinite(value) and value >= lowest):
            raise _refuse(name, value, "a finite number of at least 0")
    for name in FINITE:
        if not math.isfinite(getattr(sampling, name)):
            raise _refuse(name, getattr(sampling, name), "a finite number")
    if not (math.isfinite(sampling.repeat_penalty) and sampling.repeat_penalty > 0):
        raise _refuse("repeat_penalty", sampling.repeat_penalty, "a finite number above 0")
    if sampling.mirostat not in (0, 1, 2):
        raise _refuse("mirostat", sampling.mirostat, "0 (off), 1 or 2")
    _check_bias(sampling.logit_bias, vocab_size)


def check_ids(ids: Iterable[int], vocab_size: int, param: str) -> None:
    """Raise for an id outside the vocabulary: it must never reach a kernel.

    Raises:
        RequestError: ``param`` names the field.
    """
    for token_id in ids:
        if not 0 <= token_id < vocab_size:
            raise _refuse(param, token_id, f"token ids from 0 to {vocab_size - 1}")


def token_array(tokens: Sequence[int], vocab_size: int, param: str) -> npt.NDArray[np.int32]:
    """Return tokens as an array, every one of them in the vocabulary.

    Raises:
        RequestError: There is none, or one is outside the vocabulary; ``param`` names the field.
    """
    if not len(tokens):
        raise RequestError(f"{param} has no tokens; expected at least one", param=param)
    try:
        ids = np.asarray(tokens, np.int64)
    except OverflowError:
        check_ids(tokens, vocab_size, param)
        raise
    if int(ids.min()) < 0 or int(ids.max()) >= vocab_size:
        check_ids(ids.tolist(), vocab_size, param)
    return ids.astype(np.int32)


def _check_bias(logit_bias: dict[int, float], vocab_size: int) -> None:
    check_ids(logit_bias, vocab_size, "logit_bias")
    for token_id, amount in logit_bias.items():
        if math.isnan(amount) or amount == math.inf:
            raise _refuse("logit_bias", amount, f"a finite number or -inf for token {token_id}")


def _refuse(param: str, value: object, expected: str) -> RequestError:
    return RequestError(f"{param} is {value!r}; expected {expected}", param=param)
