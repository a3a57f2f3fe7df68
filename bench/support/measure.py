"""What is measured of a proxy: one function each, which returns a number."""

import os
import re
import subprocess
import sys
import tempfile
import time

from proxies import say

STREAMS = 1000
INVALID_PER_SECOND = 10_000


class Measures:
    def __init__(self, house, seconds):
        self.house, self.seconds = house, seconds

    def calls(self, proxy, connections, token=True, path="/mcp", seconds=None):
        """The load generator's figures for calls one after the other, with the proxy's own time for each."""
        before, started = proxy.cpu_seconds(), time.monotonic()
        seconds = seconds or self.seconds
        figures = self.house.load(proxy.address, "closed", "--seconds", seconds, "--warm-up", min(0.3, seconds / 5),
                                  connections=connections, token=token, path=path)
        elapsed = time.monotonic() - started
        wanted = "200" if token else "401"
        if set(figures["statuses"]) != {wanted}:
            say(self.house.log(proxy.name).read_text()[-4000:])
            sys.exit(f"{proxy.name} answers {figures['statuses']} to calls at {path}")
        figures["cpu"] = (proxy.cpu_seconds() - before) / figures["answered"] * 1e6
        figures["busy"] = (proxy.cpu_seconds() - before) / elapsed
        return figures

    def half_load(self, proxy, rate):
        figures = self.house.load(proxy.address, "open", "--rate", max(1, int(rate / 2)), "--seconds", self.seconds,
                                  "--warm-up", min(0.3, self.seconds / 5), connections=64)
        return figures

    def megabytes_per_second(self, proxy):
        """Answers of 1 MiB over 8 connections."""
        return self.calls(proxy, 8, path="/large")["per_second"] * 1.048576

    def event_delay(self, address):
        """How long an event takes from the upstream to the client: 1,600 a second over 64 streams."""
        figures = self.house.load(address, "streams", "--seconds", self.seconds, "--warm-up", min(0.3, self.seconds / 5),
                                  connections=64, path="/sse")
        if figures["ended"] or not figures["events"]:
            sys.exit(f"{figures['ended']} of 64 streams ended, {figures['events']} events came")
        return figures

    def memory(self, proxy, streams=STREAMS):
        """Resident kilobytes: idle, before anything was asked of it, and for each idle stream."""
        idle = proxy.resident_kilobytes()
        # what the first requests build once
        self.house.load(proxy.address, "closed", "--seconds", 10, "--requests", 50, connections=1)
        before = proxy.resident_kilobytes()
        command = self.house.load_command(proxy.address, "idle", path="/idle", connections=streams)
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
            opened = holder.stdout.readline()
            after = proxy.resident_kilobytes()
            holder.stdin.close()
        if f'"open":{streams}' not in opened.replace(" ", ""):
            sys.exit(f"{proxy.name} opened {opened.strip()} of {streams} streams")
        return idle, (after - before) / streams

    def system_calls(self, proxy, calls=20_000):
        """For each call, over 64 connections. Tracing slows the proxy down, so that it always finds work."""
        with tempfile.NamedTemporaryFile("r") as counted:
            tracer = subprocess.Popen(["strace", "-c", "-f", "-q", "-p", str(proxy.pid), "-o", counted.name],
                                      stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            time.sleep(0.5)
            figures = self.house.load(proxy.address, "closed", "--seconds", 120, "--requests", calls, connections=64)
            tracer.send_signal(2)
            tracer.wait()
            text = counted.read()
        total = re.search(r"^ *100\.00 +\S+ +(?:\d+ +)?(\d+).* total$", text, re.MULTILINE)
        if total is None:
            say(text)
            sys.exit("strace counted nothing")
        return int(total[1]) / figures["answered"]

    def interference(self, proxy, rate):
        """How much slower valid callers are served at half load, and at full load, beside invalid tokens."""
        def valid():
            half = self.half_load(proxy, rate)["p50"]
            return half, self.calls(proxy, 64)["per_second"]
        alone = valid()
        command = self.house.load_command(
            proxy.address, "open", "--rate", INVALID_PER_SECOND, "--seconds", 3600, connections=64,
            more=["--forge", "--from", "127.0.0.2"])
        attack = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        try:
            time.sleep(1)
            beside = valid()
            if attack.poll() is not None:
                sys.exit("the invalid tokens ended before they were to")
        finally:
            attack.kill()
            attack.wait()
        return beside[0] / alone[0], beside[1] / alone[1]


def environment():
    """What the figures were measured on, without the machine's name."""
    model = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), "?")
    return f"{model}, {os.cpu_count()} cores, Linux {os.uname().release.split('-')[0]}"
