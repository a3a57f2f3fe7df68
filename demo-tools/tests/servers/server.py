"""A server as the Python SDK's documentation has it, with either generation of the SDK and nothing of ours.

    server.py http PORT
    server.py stdio
"""

import sys
from importlib.metadata import version
from pathlib import Path

import anyio

if version("mcp").startswith("1."):
    from mcp.server.fastmcp import Context, FastMCP as Server
else:
    from mcp.server import MCPServer as Server
    from mcp.server.mcpserver import Context

server = Server("Calculator")


@server.tool()
def add(a: int, b: int) -> int:
    """Adds two numbers"""
    return a + b


@server.tool()
def greet(name: str) -> str:
    """Says hello"""
    return f"Hello, {name}!"


@server.tool()
async def steps(n: int, ctx: Context) -> str:
    """Counts, and reports its progress"""
    for step in range(n):
        await ctx.report_progress(step + 1, n)
    return f"{n} steps"


@server.tool()
async def wait(note: str, ctx: Context) -> str:
    """Says that it has begun, waits to be cancelled, and leaves a note of that"""
    try:
        await ctx.report_progress(1, 2)
        await anyio.sleep_forever()
    except anyio.get_cancelled_exc_class():
        Path(note).write_text("cancelled")
        raise


@server.resource("greeting://{name}")
def greeting(name: str) -> str:
    """A greeting for someone"""
    return f"Dear {name}"


@server.prompt()
def review(code: str) -> str:
    """Asks for a review"""
    return f"Please review: {code}"


if sys.argv[1] == "stdio":
    server.run()
elif version("mcp").startswith("1."):
    server.settings.port = int(sys.argv[2])
    server.run("streamable-http")
else:
    server.run("streamable-http", port=int(sys.argv[2]))
