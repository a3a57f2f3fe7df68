"""An MCP server over standard input and output that does what the name of a tool says, good or bad.

Only the standard library: any Python 3 runs it. Arguments: `stubborn` ignores SIGTERM and the end of its input, `modern`
answers `server/discover`, `silent` never answers `initialize`, `unwilling` answers with an error. It does not survive the
`initialize` of a client named `fatal`.
"""

import json
import os
import signal
import sys
import threading
import time

if "stubborn" in sys.argv:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
out = threading.Lock()
hanging = {}
answers = 0


def write(text):
    with out:
        sys.stdout.write(text + "\n")
        sys.stdout.flush()


def send(message):
    write(json.dumps({"jsonrpc": "2.0", **message}))


def result(id, text):
    send({"id": id, "result": {"content": [{"type": "text", "text": text}], "unknown": 1.50}})


def call(id, params):
    name, arguments = params["name"], params.get("arguments", {})
    token = params.get("_meta", {}).get("progressToken")
    if name == "echo":
        time.sleep(arguments.get("seconds", 0))
        result(id, arguments.get("text", ""))
    elif name == "pid":
        result(id, str(os.getpid()))
    elif name == "env":
        result(id, json.dumps(dict(os.environ)))
    elif name == "progress":
        for step in (1, 2):
            send({"method": "notifications/progress", "params": {"progressToken": token, "progress": step}})
        result(id, "done")
    elif name == "die":
        print("dying \x1b[31mred", file=sys.stderr, flush=True)
        os._exit(3)
    elif name == "progress_and_die":
        send({"method": "notifications/progress", "params": {"progressToken": token, "progress": 1}})
        time.sleep(0.2)
        os._exit(3)
    elif name == "hang":
        hanging[id] = True
    elif name == "garbage":
        for line in ("hello", "{", "[]", '{"id":1}', '{"jsonrpc":"2.0","id":"x","result":1}', "\xff", ""):
            write(line)
        result(id, "after garbage")
    elif name == "huge":
        write("x" * 300_000)
    elif name == "flood":
        for number in range(5_000):
            send({"method": "notifications/message", "params": {"level": "info", "data": number}})
        result(id, "after the flood")
    elif name == "ask":
        # the answer may be there before the next line is
        hanging["s-1"] = id
        send({"id": "s-1", "method": "roots/list"})
    elif name == "answers":
        result(id, str(answers))


for line in sys.stdin:
    message = json.loads(line)
    method, id = message.get("method"), message.get("id")
    answers += method is None
    if method == "initialize" and message["params"]["clientInfo"]["name"] == "fatal":
        os._exit(3)
    if method == "initialize" and "silent" in sys.argv:
        continue
    if method == "initialize" and "unwilling" not in sys.argv:
        version = message["params"]["protocolVersion"]
        info = {"name": "test", "version": "1"}
        send({"id": id, "result": {"protocolVersion": version, "capabilities": {"tools": {}}, "serverInfo": info}})
    elif method == "server/discover" and "modern" in sys.argv:
        send({"id": id, "result": {"supportedVersions": ["2026-07-28"], "capabilities": {}, "resultType": "complete"}})
    elif method == "tools/call":
        threading.Thread(target=call, args=(id, message["params"]), daemon=True).start()
    elif method == "notifications/cancelled":
        if hanging.pop(message["params"]["requestId"], None):
            result(message["params"]["requestId"], "cancelled")
    elif method is None and id in hanging:
        result(hanging.pop(id), json.dumps(message["result"]))
    elif id is not None:
        send({"id": id, "error": {"code": -32601, "message": "unknown"}})
while "stubborn" in sys.argv:
    time.sleep(1)
