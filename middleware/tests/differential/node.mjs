// What a server in JavaScript acts on: JSON.parse, then plain member access.
//
// stdin: frames of a length (four bytes, big-endian) and a body; the length 0xFFFFFFFF asks to write out what is held
// back. stdout: one line a body, as `interpreters.rs` describes.

const text = (value) =>
  typeof value === "string" ? `s${Buffer.from(value, "utf16le").toString("hex")}` : "-";
const list = (value) =>
  Array.isArray(value) ? `[${value.map(text).join("+")}]` : "-";
const id = (value) => (value === undefined ? "-" : typeof value === "string" ? text(value) : "n");

function reading(message) {
  const params = message?.params;
  return [
    text(message?.method),
    id(message?.id),
    message?.result !== undefined || message?.error !== undefined ? "a" : "-",
    text(params?.name),
    text(params?.uri),
    text(params?.ref?.type),
    text(params?.ref?.name),
    text(params?.ref?.uri),
    text(params?.taskId),
    text(params?._meta?.["io.modelcontextprotocol/protocolVersion"]),
    list(params?.notifications?.resourceSubscriptions),
    list(params?.notifications?.taskIds),
  ].join(",");
}

function line(body) {
  let message;
  try {
    message = JSON.parse(body.toString("utf8"));
  } catch {
    return "!\n";
  }
  return Array.isArray(message) ? `B:${message.map(reading).join(";")}\n` : `O:${reading(message)}\n`;
}

let held = Buffer.alloc(0);
process.stdin.on("data", (chunk) => {
  held = held.length === 0 ? chunk : Buffer.concat([held, chunk]);
  let at = 0;
  const lines = [];
  while (held.length - at >= 4) {
    const length = held.readUInt32BE(at);
    if (length === 0xffffffff) {
      at += 4;
      continue;
    }
    if (held.length - at - 4 < length) break;
    lines.push(line(held.subarray(at + 4, at + 4 + length)));
    at += 4 + length;
  }
  held = held.subarray(at);
  process.stdout.write(lines.join(""));
});
