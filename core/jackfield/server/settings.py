"""What the operator sets: addresses, keys, limits. Checked once, before anything listens."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, field
from pathlib import Path

from jackfield.errors import ConfigError

__all__ = ["BodyLimits", "ServerSettings", "StreamTimes", "UploadLimits"]

KIB, MIB, GIB = 2**10, 2**20, 2**30
HOST_NAME = re.compile(r"\[?[0-9a-fA-F:.]*:[0-9a-fA-F:.]*\]?|[^:\[\]@/\s]+")
ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://[^/\s]+")


@dataclass(frozen=True, kw_only=True)
class BodyLimits:
    """Largest request body of each class of route, and how slowly one may arrive.

    Attributes:
        json_bytes: Routes that say nothing else.
        conversation_bytes: Routes marked ``CONVERSATION``: messages, with base64 images in them.
        upload_bytes: Routes marked ``UPLOAD``.
        json_depth: Most nested arrays and objects. ``json_keys``, ``json_values``: most of each in a body.
        header_bytes: Request line and headers together.
        header_arrival_s: From the connection to the end of the headers.
        body_grace_s: From then on the body must average ``body_bytes_per_s`` and end in ``body_arrival_s``.
    """

    json_bytes: int = MIB
    conversation_bytes: int = 32 * MIB
    upload_bytes: int = 64 * MIB
    json_depth: int = 64
    json_keys: int = 100_000
    json_values: int = 1_000_000
    header_bytes: int = 32 * KIB
    num_headers: int = 100
    header_arrival_s: float = 10.0
    body_grace_s: float = 10.0
    body_bytes_per_s: int = 64 * KIB
    body_arrival_s: float = 120.0


@dataclass(frozen=True, kw_only=True)
class StreamTimes:
    """The clocks of a streamed answer.

    Attributes:
        queue_grace_s: How long a queued request may stay unanswered in the hope of a real status.
        heartbeat_s: Longest silence on the wire.
        stall_s: A client that reads nothing for this long is disconnected.
    """

    queue_grace_s: float = 0.25
    heartbeat_s: float = 5.0
    stall_s: float = 60.0


@dataclass(frozen=True, kw_only=True)
class UploadLimits:
    """What one API key may keep, and for how long.

    Attributes:
        directory: Parent of this process's private folder; the system's temporary folder by default.
        free_disk_bytes: An upload that would leave less is refused.
        text_characters: Longest text handed back when no model says how much it can read.
    """

    directory: Path | None = None
    owner_bytes: int = GIB
    owner_files: int = 1000
    lifetime_s: float = 24 * 3600.0
    free_disk_bytes: int = GIB
    text_characters: int = 8000


@dataclass(frozen=True, kw_only=True)
class ServerSettings:
    """Everything ``jackfield serve`` can be told about HTTP.

    Attributes:
        host, port: Where to listen; port 0 picks a free one.
        extra_ports: Further ports of the same host, such as Ollama's 11434.
        api_keys: Any of them opens the server; none leaves it open.
        insecure: Listen beyond this machine without a key.
        cors_origins: Web origins that may read answers, spelt exactly, or ``*`` when there is no key.
        allow_hosts: Names accepted in ``Host`` beside loopback and ``host``.
        default_backend: What ``/api/models`` calls the default.
        drain_s: How long running answers may go on after the signal to stop.
        json_logs: One JSON object a line instead of text.

    Raises:
        ConfigError: On construction, for a combination that cannot be meant.
    """

    host: str = "127.0.0.1"
    port: int = 5000
    extra_ports: tuple[int, ...] = ()
    api_keys: tuple[str, ...] = ()
    insecure: bool = False
    cors_origins: tuple[str, ...] = ()
    allow_hosts: tuple[str, ...] = ()
    default_backend: str = "auto"
    drain_s: float = 30.0
    json_logs: bool = False
    log_level: str = "INFO"
    bodies: BodyLimits = field(default_factory=BodyLimits)
    streams: StreamTimes = field(default_factory=StreamTimes)
    uploads: UploadLimits = field(default_factory=UploadLimits)

    def __post_init__(self) -> None:
        for port in (self.port, *self.extra_ports):
            if not 0 <= port <= 65535:
                raise ConfigError(f"port {port!r} does not exist; choose one from 0 to 65535")
        chosen = [port for port in (self.port, *self.extra_ports) if port]
        if len(set(chosen)) < len(chosen):
            raise ConfigError(f"port {chosen[0]} is named twice; choose another for the second listener")
        if not self.drain_s >= 0:
            raise ConfigError(f"drain_s is {self.drain_s}, expected at least 0 seconds")
        self._check_keys()
        self._check_names()
        self._check_origins()

    def _check_keys(self) -> None:
        if any(not key.isascii() or not key.isprintable() or not key.strip() for key in self.api_keys):
            raise ConfigError(
                "an API key is empty or has characters that no header carries; use printable ASCII"
            )
        if not (is_loopback(self.host) or self.api_keys or self.insecure):
            raise ConfigError(
                f"listening on {self.host!r} opens the server to the network without a key;"
                " set one with --api-key, or accept it with --insecure"
            )

    def _check_names(self) -> None:
        for name in self.allow_hosts:
            if not HOST_NAME.fullmatch(name):
                raise ConfigError(
                    f"allowed host {name!r} is no name that a Host header can have; give it without scheme and port"
                )

    def _check_origins(self) -> None:
        for origin in self.cors_origins:
            if origin == "*" and self.api_keys:
                raise ConfigError(
                    "CORS origin '*' together with an API key lets any web page use it; name the origins"
                )
            if origin != "*" and not ORIGIN.fullmatch(origin):
                raise ConfigError(f"CORS origin {origin!r} is not of the form 'https://name:port'")


def is_loopback(host: str) -> bool:
    """Tell whether listening on that host is reachable from this machine only."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
