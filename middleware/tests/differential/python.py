"""What a server in Python acts on: json.loads of the bytes, then look-ups in dicts.

stdin: frames of a length (four bytes, big-endian) and a body; the length 0xFFFFFFFF asks to write out what is held
back. stdout: one line a body, as `interpreters.rs` describes.
"""

import json
import sys


def member(value, key):
    return value.get(key) if isinstance(value, dict) else None


def text(value):
    return "s" + value.encode("utf-16-le", "surrogatepass").hex() if isinstance(value, str) else "-"


def texts(value):
    return "[" + "+".join(map(text, value)) + "]" if isinstance(value, list) else "-"


def identifier(message):
    if not isinstance(message, dict) or "id" not in message:
        return "-"
    return text(message["id"]) if isinstance(message["id"], str) else "n"


def reading(message):
    params = member(message, "params")
    reference = member(params, "ref")
    notifications = member(params, "notifications")
    answers = isinstance(message, dict) and ("result" in message or "error" in message)
    return ",".join(
        (
            text(member(message, "method")),
            identifier(message),
            "a" if answers else "-",
            text(member(params, "name")),
            text(member(params, "uri")),
            text(member(reference, "type")),
            text(member(reference, "name")),
            text(member(reference, "uri")),
            text(member(params, "taskId")),
            text(member(member(params, "_meta"), "io.modelcontextprotocol/protocolVersion")),
            texts(member(notifications, "resourceSubscriptions")),
            texts(member(notifications, "taskIds")),
        )
    )


def line(body):
    try:
        message = json.loads(body)
    except (ValueError, RecursionError):
        return b"!\n"
    if isinstance(message, list):
        read = "B:" + ";".join(map(reading, message))
    else:
        read = "O:" + reading(message)
    return read.encode() + b"\n"


def main():
    frames, out = sys.stdin.buffer, sys.stdout.buffer
    while len(head := frames.read(4)) == 4:
        length = int.from_bytes(head, "big")
        if length == 0xFFFFFFFF:
            out.flush()
        else:
            out.write(line(frames.read(length)))


main()
