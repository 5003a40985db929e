"""A process that runs already, and its pipes, as an event loop sees them."""

from __future__ import annotations

import asyncio
import subprocess

__all__ = ["PipedProcess"]


class PipedProcess:
    """What ``asyncio.create_subprocess_exec`` returns, for a process that was started without a loop.

    Attributes:
        orders: Its standard input.
        reports: Its standard output.
    """

    def __init__(
        self, process: subprocess.Popen[bytes], orders: asyncio.WriteTransport, reports: asyncio.StreamReader
    ) -> None:
        self._process = process
        self.orders = orders
        self.reports = reports

    @classmethod
    async def attach(cls, process: subprocess.Popen[bytes]) -> PipedProcess:
        """Give the process's pipes to the running loop; the process is ended when that fails."""
        loop, reports = asyncio.get_running_loop(), asyncio.StreamReader()
        try:
            orders, _ = await loop.connect_write_pipe(asyncio.BaseProtocol, process.stdin)
            await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reports), process.stdout)
        except BaseException:
            process.kill()
            raise
        return cls(process, orders, reports)

    @property
    def process_id(self) -> int:
        """The operating system's number for it."""
        return self._process.pid

    def kill(self) -> None:
        """End it now."""
        self._process.kill()

    async def wait(self) -> int:
        """Return its exit status once it has ended; a thread waits, so call it when the end is near."""
        return await asyncio.to_thread(self._process.wait)
