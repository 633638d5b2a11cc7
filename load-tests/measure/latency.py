"""Target 2: latency at half the rate at which Waypost saturates its core."""
import json
import statistics
from dataclasses import dataclass
from pathlib import Path

from measure.context import Context
from measure.rate import slice_of
from measure.record import Figure, Section, spread
from measure.references import everybody
from measure.servers import CLIENT_CORE, run

NAME = "latency"
PERCENTILES = ["p50", "p90", "p99", "p99.9"]
# A slice of this many seconds has some hundred requests beyond its 99th percentile.
SECONDS = 2


@dataclass
class Load:
    rate: float
    seed: int


def measure(context: Context) -> Section:
    tested = everybody(context.binaries, context.site)[:3]
    for server in tested:
        server.start(context.servers)
    # The same load for all: half of what Waypost can do.
    rate = statistics.median(slice_of(context, tested[0]).rate for _ in range(3)) / 2
    context.say(f"  {rate:,.0f} requests/s")
    rounds = []
    for n in range(context.options.rounds):
        order = tested if n % 2 == 0 else tested[::-1]
        # Every server of a round gets its requests at the same moments.
        rounds.append({server.name: percentiles(context, server.port, context.site.requests, Load(rate, context.options.seed + n))
                       for server in order})
        context.say(f"  round {n + 1}: p99 " + ", ".join(f"{name} {of['p99']:,.0f} µs" for name, of in rounds[-1].items()))
    for server in tested:
        context.servers.stop(server.name)
    series = {"rate": rate, "rounds": {server.name: [of[server.name] for of in rounds] for server in tested}}
    return Section(NAME, figures(rounds, rate), series)


def percentiles(context: Context, port: int, requests: Path, load: Load, seconds: float = SECONDS) -> dict[str, float]:
    """Microseconds from the moment a request was due to its answer."""
    said = run(["taskset", "-c", CLIENT_CORE, context.binaries["paced-client"], port, "--requests", requests,
                "--rate", load.rate, "--seconds", seconds, "--seed", load.seed], timeout=60)
    return json.loads(said)


def figures(rounds: list[dict[str, dict[str, float]]], rate: float) -> list[Figure]:
    def ratio(key: str, other: str, bound: float | None = None, note: str = "") -> Figure:
        values = [of["waypost"][key] / of[other][key] for of in rounds]
        return spread(2, f"{key} latency, waypost / {other}", values, bound=bound, note=note)

    shown = [ratio("p99", "bare hyper", 1.3, f"at {rate:,.0f} requests/s for both"), ratio("p50", "bare hyper"),
             ratio("p99.9", "bare hyper"), ratio("p99", "nginx")]
    for name in rounds[0]:
        shown += [spread(2, f"{key} latency, {name}", [of[name][key] for of in rounds], "µs") for key in PERCENTILES]
    return shown
