"""Targets 4 and 6: memory in the big world, and the time from kill -9 to the first redirect."""
import re
import socket
import time
from dataclasses import dataclass, replace
from pathlib import Path

from measure.context import Context
from measure.rate import SCRIPT
from measure.record import Failed, Figure, Section, spread
from measure.servers import CLIENT_CORE, ROOT
from measure.worlds import Service, Shape, World

NAME = "size"
STARTS = 7
# Longest wait for the first redirect.
REDIRECT_WITHIN = 300
# A service is quiet when it uses less than this share of a core over one look.
QUIET, QUIET_LOOK, QUIET_WITHIN = 0.05, 2.0, 2400
MB = 1_000_000


@dataclass
class Memory:
    """Bytes of a settled service."""

    resident: int
    proportional: int
    """Pss: pages that it shares with others count in part."""
    peak: int


def measure(context: Context) -> Section:
    shape: Shape = replace(context.options.big, listable=True)
    few = Shape(shape.mirrors, 1, 1, 100, listable=True)
    world, small = context.worlds.of(shape), context.worlds.of(few)
    whole, plain, least = (memory(context, *of) for of in ((world, True), (world, False), (small, False)))
    name = world.mean_name()
    beside = (plain.resident - least.resident) / (shape.all_assets - few.all_assets) - name
    starts = start_times(context, world)
    figures = [
        one(4, "memory per asset beside its name", beside, "bytes", 200,
            f"{plain.resident / MB:,.0f} MB without GeoIP, {least.resident / MB:,.0f} MB with {few.all_assets} assets, "
            f"a name has {name:.0f} bytes"),
        one(4, "memory, GeoIP included", whole.resident / MB, "MB", 500,
            f"Pss {whole.proportional / MB:,.0f} MB, at its peak {whole.peak / MB:,.0f} MB"),
        one(4, "of it GeoIP", (whole.resident - plain.resident) / MB, "MB", None),
        spread(6, "kill -9 to first redirect", starts, "s", 3),
    ]
    series = {"memory_mb": {"few assets": least.resident / MB, "without GeoIP": plain.resident / MB, "all": whole.resident / MB},
              "start_s": starts}
    return Section(NAME, figures, series, [f"{shape}. Memory is VmRSS of the service, started warm with the environment of deploy/waypost.service, when the origin was read. Folders of mirrors are listed "
                                             "over hours; what lies there takes 24 bytes more for each release on each mirror."])


def one(target: int, what: str, value: float, unit: str, bound: float | None, note: str = "") -> Figure:
    return Figure(target, what, bound, True, value, None, None, unit, note)


# ---- memory ----


def memory(context: Context, world: World, geoip: bool) -> Memory:
    """Of a service that was started warm, with the environment that it is deployed with, and has read the origin once."""
    service = Service(context.binaries["waypost"], world, world.head("memory", geoip=geoip), before=["env", *environment()])
    context.say(f"  memory with {world.shape}, GeoIP {'on' if geoip else 'off'}")
    service.start(context.servers)
    service.read_origin()
    wait_until_quiet(context, service.name)
    process = Path(f"/proc/{context.servers.running[service.name].pid}")
    rollup, status = (process / "smaps_rollup").read_text(), (process / "status").read_text()
    context.servers.stop(service.name)
    context.say(f"  {kilobytes(rollup, 'Rss') / MB:,.0f} MB")
    return Memory(kilobytes(rollup, "Rss"), kilobytes(rollup, "Pss"), kilobytes(status, "VmHWM"))


def environment() -> list[str]:
    unit = (ROOT / "deploy" / "waypost.service").read_text()
    return re.findall(r"^Environment=(\S+)$", unit, re.MULTILINE)


def kilobytes(text: str, name: str) -> int:
    found = re.search(rf"^{name}:\s*(\d+) kB", text, re.MULTILINE)
    if not found:
        raise Failed(f"no {name} in /proc")
    return int(found.group(1)) * 1024


def wait_until_quiet(context: Context, name: str) -> None:
    """Until the service does hardly anything."""
    until, (_, before) = time.monotonic() + QUIET_WITHIN, context.servers.cpu(name)
    while time.monotonic() < until:
        time.sleep(QUIET_LOOK)
        _, now = context.servers.cpu(name)
        if (now - before) / QUIET_LOOK < QUIET:
            return
        before = now
    raise Failed(f"the service is not quiet after {QUIET_WITHIN} s: it uses {(now - before) / QUIET_LOOK:.0%} of a core")


# ---- start ----


def start_times(context: Context, world: World) -> list[float]:
    """Seconds from the end of a process that was killed under load to the next one's first redirect."""
    service = Service(context.binaries["waypost"], world, world.head("start"))
    path, _ = world.lines()[0]
    service.start(context.servers)
    times = []
    for _ in range(STARTS):
        load = ["wrk", "-t1", "-c32", f"-d{REDIRECT_WITHIN}s", "-s", SCRIPT, f"http://127.0.0.1:{world.port}", "--", world.requests]
        context.servers.start("load", load, core=CLIENT_CORE)
        time.sleep(1)
        process = context.servers.running.pop(service.name)
        process.kill()
        process.wait()
        began = time.monotonic()
        context.servers.stop("load")
        # Without a core of its own: starting may use all there are.
        context.servers.start(service.name, service.command)
        times.append(first_redirect(world.port, path, began))
        context.say(f"  first redirect after {times[-1]:.2f} s")
        service.wait(context.servers)
    context.servers.stop(service.name)
    return times


def first_redirect(port: int, path: str, began: float) -> float:
    while (now := time.monotonic()) - began < REDIRECT_WITHIN:
        if status(port, path) == 302:
            return time.monotonic() - began
        time.sleep(max(0.0, now + 0.001 - time.monotonic()))
    raise Failed(f"no redirect within {REDIRECT_WITHIN} s")


def status(port: int, path: str) -> int:
    """The status of an answer; 0: nobody takes the connection."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
            connection.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
            answer = connection.recv(65536)
    except OSError:
        return 0
    words = answer.split(b" ", 2)
    return int(words[1]) if len(words) > 1 and words[1].isdigit() else 0
