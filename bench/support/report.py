"""The table that comes out of it, with what is wanted and whether it is there."""

from proxies import FLOOR, OURS

ROWS = [
    ("requests a second, 1 connection", "per second at 1", "{:,.0f}"),
    ("requests a second, 64 connections", "per second at 64", "{:,.0f}"),
    ("requests a second, 512 connections", "per second at 512", "{:,.0f}"),
    ("processor time a call, 64 connections, µs", "cpu at 64", "{:.1f}"),
    ("processor time a call, 512 connections, µs", "cpu at 512", "{:.1f}"),
    ("of its core in use, 64 connections", "busy at 64", "{:.0%}"),
    ("latency, 1 connection, p50, µs", "p50 at 1", "{:.0f}"),
    ("latency at half its load, p99, µs", "p99", "{:.0f}"),
    ("an event of a stream, p50, µs", "events", "{:.0f}"),
    ("answers of 1 MiB, MB/s", "megabytes", "{:,.0f}"),
    ("processor time a challenge, µs", "challenge", "{:.1f}"),
    ("system calls a call", "system calls", "{:.2f}"),
    ("resident memory, idle, MiB", "memory", "{:.1f}"),
    ("resident memory, each idle stream, KiB", "stream", "{:.1f}"),
]


def targets(values):
    """What is wanted, as a name, a measured figure, its bound, and whether it is a lower one."""
    def of(name, what):
        return values.get((name, what))

    def ratio(what, peer, of_ours=None, minus=0.0):
        ours, theirs = of(OURS, of_ours or what), of(peer, what)
        return None if ours is None or theirs is None or theirs - minus <= 0 else (ours - minus) / (theirs - minus)

    direct = values.get(("upstream", "events"), 0.0)
    for connections in (64, 512):
        what = f"per second at {connections}"
        yield f"requests a second at {connections} / prototype", ratio(what, FLOOR), 0.85, True
        yield f"requests a second at {connections} / nginx raw", ratio(what, "nginx"), 0.65, True
        yield f"requests a second at {connections} / HAProxy with JWT", ratio(what, "haproxy"), 2.5, True
        yield f"requests a second at {connections} / Envoy with JWT", ratio(what, "envoy"), 4.0, True
    yield "system calls a call / nginx raw", ratio("system calls", "nginx"), 1.0, False
    yield "latency at 1 connection, p50 / prototype", ratio("p50 at 1", FLOOR), 1.15, False
    yield "latency at half load, p99 / nginx raw", ratio("p99", "nginx"), 2.0, False
    yield "time added to an event, p50 / nginx raw", ratio("events", "nginx", minus=direct), 1.2, False
    yield "answers of 1 MiB / nginx raw", ratio("megabytes", "nginx"), 0.9, True
    yield "resident memory, idle, MiB", of(OURS, "memory"), 20.0, False
    yield "resident memory of an idle stream / prototype", ratio("stream", FLOOR), 1.2, False
    challenge, call = of(OURS, "challenge"), of(OURS, "cpu at 64")
    yield "processor time of a challenge / of a call", challenge / call if challenge and call else None, 1.0, False
    yield "beside 10,000 invalid tokens a second: p50 at half load", of(OURS, "invalid: p50"), 1.1, False
    yield "beside 10,000 invalid tokens a second: requests a second at 64", of(OURS, "invalid: per second"), 0.9, True


def table(head, rows):
    lines = [head, ["---"] * len(head), *rows]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


def report(values, names, arguments, environment):
    figures = []
    for title, what, form in ROWS:
        row = [form.format(values[name, what]) if (name, what) in values else "–" for name in names]
        figures.append([title, *row])
    wanted = []
    for title, measured, bound, at_least in targets(values):
        if measured is None:
            continue
        kept = measured >= bound if at_least else measured <= bound
        sign = "≥" if at_least else "≤"
        wanted.append([title, f"{sign} {bound:g}", f"{measured:.2f}", "yes" if kept else "**no**"])
    direct = values.get(("upstream", "events"), 0.0)
    return (
        "# Results\n\n"
        f"Written by `bench/run`: medians of {arguments.rounds}, {arguments.seconds:g} s each, profile "
        f"`{arguments.profile}`; {environment}. An event takes {direct:.0f} µs without a proxy. "
        "Instructions are counted by `bench/instructions`: see README.md.\n\n"
        "## Figures\n\n" + table(["", *names], figures) + "\n## What is wanted\n\n"
        + table(["", "wanted", "measured", "kept"], wanted)
    )
