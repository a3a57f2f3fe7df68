"""`mcp` 2.x: both eras."""

from contextlib import asynccontextmanager

from mcp.client.client import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import AuthorizationCodeResult


def authorization_code(callback):
    return AuthorizationCodeResult(code=callback["code"], state=callback.get("state"), iss=callback.get("iss"))


@asynccontextmanager
async def open_client(url, http, era, **answers):
    mode = "auto" if era == "modern" else "legacy"
    async with Client(streamable_http_client(url, http_client=http), mode=mode, **answers) as client:
        yield client
