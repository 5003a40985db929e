"""Reading JSON bodies so that no input costs more than a 400, and writing JSON answers."""

from __future__ import annotations

import re
from typing import Any, TypeVar, cast

import msgspec
import numpy as np
from litestar import Request, Response

from jackfield.errors import RequestError
from jackfield.server.settings import BodyLimits

__all__ = ["convert", "decode_json", "json_response", "read_body", "require_model"]

T = TypeVar("T")
STRINGS = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)', re.DOTALL)
NOT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
ONE_BRACKET = bytes.maketrans(b"{}", b"[]")
AT_FIELD = re.compile(r"(?P<what>.*?)(?: - at `(?:key in )?\$\.?(?P<field>[^`]*)`)?", re.DOTALL)


async def read_body(request: Request[Any, Any, Any]) -> bytes:
    """Return the whole body; the rail has bounded its size and its time."""
    return await request.body()


def decode_json(body: bytes, limits: BodyLimits | None = None) -> Any:
    """Return the JSON value of a body.

    Raises:
        RequestError: It is empty, is not UTF-8, is not JSON (NaN is not), or has too many or too deep parts.
    """
    _check_structure(body, limits or BodyLimits())
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError) as error:
        raise RequestError(f"the body is not valid JSON: {_reason(error)}", code="invalid_json") from None


def convert(value: Any, wanted: type[T]) -> T:
    """Give a decoded value its type.

    Raises:
        RequestError: A field has the wrong type or is out of range; ``param`` names it.
    """
    try:
        return msgspec.convert(value, wanted)
    except (msgspec.ValidationError, RecursionError, ValueError, OverflowError) as error:
        raise _field_error(str(error)) from None


def require_model(body: object) -> dict[str, Any]:
    """Return the body's fields when it is an object that names a model.

    Raises:
        RequestError: It is not, or does not.
    """
    if not isinstance(body, dict):
        raise RequestError(f"the body must be a JSON object, got {type(body).__name__}")
    fields = cast("dict[str, Any]", body)
    model = fields.get("model")
    if model is None or (isinstance(model, str) and not model.strip()):
        raise RequestError("model is required", param="model")
    return fields


def json_response(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response[bytes]:
    """Return a JSON answer of any value msgspec can encode."""
    return Response(
        msgspec.json.encode(value), status_code=status, media_type="application/json", headers=headers or {}
    )


def _check_structure(body: bytes, limits: BodyLimits) -> None:
    """Bound what decoding will allocate, in time linear in the body: strings out, then count and sum."""
    rest = STRINGS.sub(b"", body)
    brackets = rest.translate(ONE_BRACKET, delete=NOT_BRACKETS)
    if rest.count(b":") > limits.json_keys:
        raise RequestError(f"the body has more than {limits.json_keys} keys", code="invalid_json")
    if rest.count(b",") + brackets.count(b"[") > limits.json_values:
        raise RequestError(f"the body has more than {limits.json_values} values", code="invalid_json")
    if _depth(brackets) > limits.json_depth:
        raise RequestError(f"the body nests deeper than {limits.json_depth} levels", code="invalid_json")


def _depth(brackets: bytes) -> int:
    steps = np.where(np.frombuffer(brackets, dtype=np.uint8) == ord("["), 1, -1)
    return int(np.cumsum(steps).max(initial=0))


def _reason(error: Exception) -> str:
    if isinstance(error, UnicodeDecodeError):
        return "it is not UTF-8"
    if isinstance(error, RecursionError):
        return "it nests too deep"
    return str(error) or "it cannot be read"


def _field_error(text: str) -> RequestError:
    match = AT_FIELD.fullmatch(text)
    field = match["field"] if match else None
    what = match["what"] if match else text
    what = what.replace("`", "").replace("Expected", "expected", 1)
    if not field:
        return RequestError(f"the body has the wrong form: {what}")
    return RequestError(f"field {field!r} has the wrong form: {what}", param=field)
