"""What a client may send: a body is read whole before it is understood, so its size is limited while it comes."""

from __future__ import annotations

from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send


class Bodies:
    """Around the application: a body of more than `most` bytes gets 413, and is not kept.

    One that tells its length is refused unread; one that comes in chunks, when there are too many.
    """

    def __init__(self, app: ASGIApp, most: int) -> None:
        self.app, self.most = app, most
        self.why = f"a body has at most {most:,} bytes; send fewer utterances at a time"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        told = dict(scope["headers"]).get(b"content-length", b"0")
        if told.isdigit() and int(told) > self.most:
            return await JSONResponse({"detail": self.why}, 413)(scope, receive, send)
        came = 0

        async def receives() -> Message:
            nonlocal came
            message = await receive()
            came += len(message.get("body", b""))
            if came > self.most:
                raise HTTPException(413, self.why)
            return message

        await self.app(scope, receives, send)
