"""The server at its port, from the first moment to the last.

The port is taken before anything else is begun, so a port that is not to be had is told at once, and no process is
left behind. At a signal the batcher begins to end in the same moment in which the server does, so that its deadline
counts from there.
"""

from __future__ import annotations

import errno
import os
import socket
import threading
from collections.abc import Callable
from typing import Any

import uvicorn

from parser.config import ConfigError
from parser.serve import Batcher


def taken(host: str, port: int) -> list[socket.socket]:
    """Take a port at every address of a host; until they are listened to, callers are turned away.

    Args:
        host: a name or an address.
        port: 0 takes a free one, the same at every address.

    Raises:
        ConfigError: it is not to be had.
    """
    bound: list[socket.socket] = []
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        absent = None
        for family, address in dict.fromkeys((each[0], each[4]) for each in found):
            try:
                bound.append(_bound(family, (address[0], port, *address[2:])))
            except OSError as error:
                if error.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                    raise
                absent = error  # a name may have an address of a family that this machine lacks
                continue
            port = bound[-1].getsockname()[1]
        if absent and not bound:
            raise absent
    except OSError as error:
        for one in bound:
            one.close()
        raise ConfigError(
            f"cannot listen on port {port} of {host} ({error.strerror}); end what has it, or give another --port "
            "(0 takes a free one) or --host"
        ) from error
    return bound


def _bound(family: int, address: tuple[Any, ...]) -> socket.socket:
    one = socket.socket(family)
    try:
        if os.name == "posix":  # elsewhere it would share the port with others
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        one.bind(address)
    except OSError:
        one.close()
        raise
    return one


class Server(uvicorn.Server):
    """Says when it listens, and ends the batcher together with its connections.

    Args:
        config: of uvicorn.
        batcher: of the application.
        listening: called when requests are taken.
    """

    def __init__(self, config: uvicorn.Config, batcher: Batcher, listening: Callable[[], None]) -> None:
        super().__init__(config)
        self._batcher, self._listening = batcher, listening

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen."""
        await super().startup(sockets)
        self._listening()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Answer what waits, within the batcher's deadline."""
        threading.Thread(target=self._batcher.stop, name="stop", daemon=True).start()
        await super().shutdown(sockets)
