"""The official Python SDK, either generation, through the same steps as every other client.

Reads one JSON object from stdin:
  {"mcp_url", "era": "legacy" | "modern", "scenario": "full" | "refresh" | "sign_in" | "calls",
   "redirect_uri", "client_metadata_url"?, "users": [{"username", "password"}],
   "calls"?: [{"tool", "arguments", "until"?}], "answers"?: bool}
and prints one JSON report; the assertions are the caller's.
"""

import asyncio
import json
import sys
import time
from contextlib import asynccontextmanager
from pathlib import Path
from importlib.metadata import version

import anyio
from mcp import types
from mcp.client.auth import OAuthClientProvider
from mcp.shared.auth import OAuthClientMetadata

from browser import Browser, single
from storage import MemoryStorage
from wire import recorder

GENERATION = version("mcp").split(".")[0]
if GENERATION == "1":
    import httpx
    from generation1 import authorization_code, open_client
else:
    import httpx2 as httpx
    from generation2 import authorization_code, open_client


async def sample(_context, params):
    text = types.TextContent(type="text", text=f"sampled: {params.messages[0].content.text}")
    return types.CreateMessageResult(role="assistant", model="none", content=text)


async def elicit(_context, _params):
    return types.ElicitResult(action="accept", content={"name": "Alex"})


# what a client says that is asked something by a server
ANSWERS = {"sampling_callback": sample, "elicitation_callback": elicit}


class Session:
    """One person with one client: own storage, own browser, own connection."""

    def __init__(self, given, user):
        self.given = given
        self.storage = MemoryStorage()
        self.browser = Browser(httpx, user)
        self.report = {"username": user["username"], "wire": [], "authorizations": [], "steps": {}}
        self._callback = None

    @asynccontextmanager
    async def opened(self):
        self.provider = OAuthClientProvider(
            server_url=self.given["mcp_url"],
            client_metadata=OAuthClientMetadata(
                client_name="End-to-end Python client",
                redirect_uris=[self.given["redirect_uri"]],
                token_endpoint_auth_method="none",
            ),
            storage=self.storage,
            redirect_handler=self._redirect,
            callback_handler=self._returned,
            client_metadata_url=self.given.get("client_metadata_url"),
        )
        hooks = {"response": [recorder(self.report["wire"])]}
        async with httpx.AsyncClient(auth=self.provider, event_hooks=hooks, timeout=30) as http:
            answers = ANSWERS if self.given.get("answers") else {}
            async with open_client(self.given["mcp_url"], http, self.given["era"], **answers) as client:
                self.client = client
                self.report["protocol_version"] = client.protocol_version
                yield self
        await self.browser.close()

    async def _redirect(self, url):
        self._callback, pages = await self.browser.authorize(url)
        asked = single(url)
        self.report["authorizations"].append(
            {
                "endpoint": url.split("?")[0],
                "client_id": asked["client_id"],
                "scope": asked.get("scope"),
                "resource": asked.get("resource"),
                "challenge_method": asked.get("code_challenge_method"),
                "iss": self._callback.get("iss"),
                "pages": pages,
            }
        )

    async def _returned(self):
        return authorization_code(self._callback)

    async def call(self, tool, /, **arguments):
        result = await self.client.call_tool(tool, arguments)
        return result.model_dump(by_alias=True, mode="json", exclude_none=True)

    async def progress(self, tool, arguments):
        told = []

        async def progressed(progress, _total, _message):
            told.append(progress)

        result = await self.client.call_tool(tool, arguments, progress_callback=progressed)
        return result.model_dump(by_alias=True, mode="json", exclude_none=True), told

    async def cancelled(self, tool, arguments, until):
        """Calls a tool that never ends, cancels that once it has begun, and waits for the file that it leaves behind."""
        with anyio.CancelScope() as scope:

            async def progressed(_progress, _total, _message):
                scope.cancel()

            await self.client.call_tool(tool, arguments, progress_callback=progressed)
        while not Path(until).exists():
            await asyncio.sleep(0.02)
        return "cancelled" if scope.cancelled_caught else "answered"

    async def tools(self):
        tools = (await self.client.list_tools()).tools
        return [tool.model_dump(by_alias=True, mode="json", exclude_none=True) for tool in tools]


async def full(session, steps, is_first):
    steps["tools_anonymous"] = await session.tools()
    steps["auth_show_anonymous"] = await session.call("auth_show")
    steps["teaser_anonymous"] = await session.call("notes_teaser")
    steps["authorizations_before"] = len(session.report["authorizations"])
    steps["list_first"] = await session.call("notes_list")
    if not is_first:
        return
    steps["tools_signed_in"] = await session.tools()
    steps["auth_show"] = await session.call("auth_show")
    steps["echo"] = await session.call("echo", text="grüße, 世界")
    steps["add"] = await session.call("notes_add", text="buy milk")
    steps["list"] = await session.call("notes_list")
    steps["teaser"] = await session.call("notes_teaser")
    steps["whoami"] = await session.call("auth_whoami")


async def refresh(session, steps, _is_first):
    await session.call("notes_list")
    steps["after"] = []
    for _ in range(2):
        expiry = session.storage.access_token_expiry()
        # This SDK refreshes before the call and goes by `expires_in` counted from the response, which
        # can end up to a second after the token's own `exp`.
        while time.time() < expiry or session.provider.context.is_token_valid():
            await asyncio.sleep(0.05)
        await session.call("notes_list")
        steps["after"].append({"expired_at": expiry, "expires_at": session.storage.access_token_expiry()})


async def sign_in(session, steps, _is_first):
    steps["whoami"] = await session.call("auth_whoami")


async def calls(session, steps, _is_first):
    steps["tools"] = await session.tools()
    steps["results"], steps["progress"] = [], []
    for call in session.given["calls"]:
        if call.get("until"):
            result, told = await session.cancelled(call["tool"], call["arguments"], call["until"]), []
        else:
            result, told = await session.progress(call["tool"], call["arguments"])
        steps["results"].append(result)
        steps["progress"].append(told)


async def main():
    given = json.load(sys.stdin)
    scenario = {"full": full, "refresh": refresh, "sign_in": sign_in, "calls": calls}[given["scenario"]]
    report = {"sdk": version("mcp"), "people": []}
    for index, user in enumerate(given["users"]):
        session = Session(given, user)
        report["people"].append(session.report)
        async with session.opened():
            await scenario(session, session.report["steps"], index == 0)
    print(json.dumps(report))


asyncio.run(main())
