"""`mcp` 1.x: handshake era only."""

from contextlib import asynccontextmanager

from mcp import ClientSession
from mcp.client.streamable_http import streamable_http_client


def authorization_code(callback):
    return callback["code"], callback.get("state")


@asynccontextmanager
async def open_client(url, http, era, **answers):
    if era != "legacy":
        raise ValueError(f"this SDK does not speak the {era} era")
    async with streamable_http_client(url, http_client=http) as (read, write, _session_id):
        async with ClientSession(read, write, **answers) as session:
            session.protocol_version = (await session.initialize()).protocolVersion
            yield session
