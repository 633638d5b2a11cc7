"""Target 5: what the writer's work costs in the big world, and whether requests wait for it."""
import json
import re
import shutil
import threading

from measure.context import Context
from measure.latency import Load, percentiles
from measure.rate import SCRIPT
from measure.record import Figure, Section, spread
from measure.servers import CLIENT_CORE, run
from measure.worlds import Service, World

NAME = "publishing"
# Rounds of each kind of change, and the longest time that all of them take.
CHANGES, CHANGES_WITHIN = 21, 1800
# Publications a second while requests are timed, and how long one slice of requests is.
A_SECOND, SLICE = 10, 3

# Kind of change, what it is called, the bound in milliseconds of work.
KINDS = [
    ("mirror_down", "a mirror goes down", 1),
    ("mirror_up", "a mirror comes back", 1),
    ("release", "a release of 1,000 assets appears", 50),
    ("rebuild", "a full rebuild, GeoIP kept", 2000),
    ("rebuild_with_geoip", "a full rebuild, GeoIP compiled", 2000),
]


def measure(context: Context) -> Section:
    world = context.worlds.of(context.options.big)
    costs = writers_work(context, world)
    figures = [figure for kind, what, bound in KINDS for figure in work_figures(what, bound, costs[kind])]
    rounds, published = timed_rounds(context, world)
    figures += [
        spread(5, "p99 under publishing / at rest", [under / rest for rest, under in rounds], bound=1.3,
               note=f"{published:.0f} publications a second, the writer and the answers on one core"),
        spread(5, "p99 at rest", [rest for rest, _ in rounds], "µs"),
    ]
    opened = ", ".join(f"{part.removesuffix('_ms')} {took:,.0f} ms" for part, took in costs["opened"].items())
    return Section(NAME, figures, {"work": costs, "p99_us": rounds}, [f"{world.shape}. Work of opening it, part by part: {opened}."])


def writers_work(context: Context, world: World) -> dict:
    """What `at-size publish` says, with a copy of the state: it publishes releases."""
    context.say("  the writer's work")
    state = world.folder / "publish-state"
    shutil.rmtree(state, ignore_errors=True)
    shutil.copytree(world.folder / "state", state, ignore=shutil.ignore_patterns("*.sock"))
    head = world.head("publish", state=state.name)
    said = run([context.binaries["at-size"], "publish", head, "--rounds", CHANGES], timeout=CHANGES_WITHIN)
    shutil.rmtree(state)
    return json.loads(said)


def work_figures(what: str, bound: float, cost: dict) -> list[Figure]:
    cpu, wall = cost["cpu_ms"], cost["wall_ms"]
    note = f"{cost['rounds']} times; from the fact to the snapshot {wall['median']:,.2f} ms ({wall['min']:,.2f} to {wall['max']:,.2f})"
    return [Figure(5, f"work: {what}", bound, True, cpu["median"], cpu["min"], cpu["max"], "ms", note)]


# ---- requests meanwhile ----


def timed_rounds(context: Context, world: World) -> tuple[list[tuple[float, float]], float]:
    """p99 in microseconds at rest and under publishing, in slices that alternate; and publications a second."""
    service = Service(context.binaries["waypost"], world, world.head("publishing"))
    service.start(context.servers)
    service.read_origin()
    rate = saturating_rate(world) / 2
    p99(context, world, Load(rate, 0))  # warms up, not counted
    rounds, orders = [], 0
    for n in range(max(7, context.options.rounds)):
        slices = {}
        for publishing in (n % 2 == 0, n % 2 == 1):
            with Publishing(service, publishing) as publisher:
                # Both slices of a round get their requests at the same moments.
                slices[publishing] = p99(context, world, Load(rate, context.options.seed + n))
            orders += publisher.orders
        rounds.append((slices[False], slices[True]))
        context.say(f"  round {n + 1}: p99 {slices[False]:.0f} µs at rest, {slices[True]:.0f} µs under publishing")
    context.servers.stop(service.name)
    return rounds, orders / len(rounds) / SLICE


def saturating_rate(world: World) -> float:
    said = run(["taskset", "-c", CLIENT_CORE, "wrk", "-t1", "-c32", "-d2s", "-s", SCRIPT, f"http://127.0.0.1:{world.port}", "--",
                world.requests], timeout=30)
    return float(re.search(r"Requests/sec:\s*([\d.]+)", said).group(1))


def p99(context: Context, world: World, load: Load) -> float:
    """Of one slice, in microseconds."""
    return percentiles(context, world.port, world.requests, load, SLICE)["p99"]


class Publishing:
    """Takes a mirror out and in again, A_SECOND times a second, while the block runs; or does nothing."""

    def __init__(self, service: Service, on: bool):
        self.service, self.orders, self.over = service, 0, threading.Event()
        self.thread = threading.Thread(target=self.work) if on else None

    def work(self) -> None:
        mirrors = self.service.world.shape.mirrors
        while not self.over.wait(1 / A_SECOND) or self.orders % 2:
            verb = "undrain" if self.orders % 2 else "drain"
            status = self.service.order(f"/v1/mirrors/m{self.orders // 2 % mirrors:04}/{verb}")
            if status != 200:
                raise RuntimeError(f"{verb} was answered with {status}")
            self.orders += 1

    def __enter__(self) -> "Publishing":
        if self.thread:
            self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        if self.thread:
            self.thread.join()
