"""Target 7: what probing a thousand mirrors costs, and how fast copies are verified."""
import datetime
import json
import os
import random
import re
import signal
import statistics
import time
from pathlib import Path

from measure.context import Context
from measure.record import Failed, Section, spread
from measure.servers import CLIENT_CORE, SERVER_CORE, free_port, run
from measure.worlds import Service, World

NAME = "background"
PROBES_EVERY, RARELY = "15s", "1h"
# How long CPU is counted: several intervals, so that every mirror is probed as often.
COUNTED, SETTLED = 60, 15
HASH_ROUNDS = 7
# Files of the mirror that is verified, and the bytes of each.
FILES, FILE_BYTES = 6, 512 << 20
VERIFIED_WITHIN = 600


def measure(context: Context) -> Section:
    probing, kernel = probe_cost(context)
    figures = [spread(7, f"probing {context.options.big.mirrors:,} mirrors every 15 s", probing, "% of a core", 3,
                      note=f"{statistics.median(kernel):.2f} of it in the kernel")]
    rounds = hash_rounds(context)
    openssl = statistics.median(rate for _, rate in rounds)
    figures.append(spread(7, "hashing, waypost / openssl", [own / other for own, other in rounds], bound=0.8, at_most=False,
                          note=f"openssl {openssl / 1e6:,.0f} MB/s"))
    first, later, on_core = verification_rates(context)
    figures += [
        spread(7, "verification from socket to verdict / openssl", [rate / openssl for rate in later], bound=0.6, at_most=False,
               note=f"{statistics.median(later) / 1e6:,.0f} MB/s on one core"),
        spread(7, "the same by the service's time on the core, the kernel's for it included", [on_core / openssl]),
        spread(7, "the same for the first copy of a file, whose blocks are hashed too", [rate / openssl for rate in first],
               note=f"{statistics.median(first) / 1e6:,.0f} MB/s"),
    ]
    series = {"probing_percent": probing, "hash_rates": rounds, "verification_rates": [*first, *later]}
    return Section(NAME, figures, series)


# ---- probing ----


def probe_cost(context: Context) -> tuple[list[float], list[float]]:
    """Percent of a core, in all and in the kernel, beyond what the same service uses that hardly ever probes."""
    world = context.worlds.of(context.options.big)
    often, seldom = (busy(context, world, probe) for probe in (PROBES_EVERY, RARELY))
    quiet, quiet_kernel = (statistics.median(of) for of in zip(*seldom))
    return [all_ - quiet for all_, _ in often], [kernel - quiet_kernel for _, kernel in often]


def busy(context: Context, world: World, probe: str) -> list[tuple[float, float]]:
    """Percent of a core, in all and in the kernel, of three stretches without requests."""
    service = Service(context.binaries["waypost"], world, world.head("probing", probe=probe))
    service.start(context.servers)
    service.read_origin()
    # What the first probes set off ends meanwhile.
    time.sleep(SETTLED)
    stretches = []
    for _ in range(3):
        (user, all_), began = context.servers.cpu(service.name), time.monotonic()
        time.sleep(COUNTED)
        (user_after, all_after), took = context.servers.cpu(service.name), time.monotonic() - began
        used, in_user = (all_after - all_) / took * 100, (user_after - user) / took * 100
        stretches.append((used, used - in_user))
        context.say(f"  probes every {probe}: {used:.2f} % of a core, {used - in_user:.2f} in the kernel")
    context.servers.stop(service.name)
    return stretches


# ---- hashing ----


def hash_rounds(context: Context) -> list[tuple[float, float]]:
    """Bytes per second of the program's hashing and of openssl's, on one core, in turn."""
    rounds = []
    for _ in range(HASH_ROUNDS):
        said = run(["taskset", "-c", SERVER_CORE, context.binaries["at-size"], "hash", "--rounds", 2], timeout=60)
        own = statistics.median(json.loads(said)["bytes_per_second"])
        said = run(["taskset", "-c", SERVER_CORE, "openssl", "speed", "-mr", "-seconds", 1, "-bytes", 16384, "-evp", "sha256"], timeout=60)
        rounds.append((own, openssl_rate(said)))
        context.say(f"  hashing {own / 1e6:,.0f} MB/s, openssl {rounds[-1][1] / 1e6:,.0f} MB/s")
    return rounds


def openssl_rate(said: str) -> float:
    found = re.search(r"^\+F:\d+:[^:]+:([\d.]+)", said, re.MULTILINE)
    if not found:
        raise Failed(f"openssl speed says no rate:\n{said}")
    return float(found.group(1))


# ---- from socket to verdict ----


def verification_rates(context: Context) -> tuple[list[float], list[float], float]:
    """Bytes per second from one verdict to the next, one copy at a time: of the first copies, whose blocks are hashed for
    later samples as well, and of those on a second mirror that joins then; the latter also by the service's time on its core."""
    folder = context.work / "verification"
    ports = {name: free_port() for name in ("mirror", "public", "admin")}
    publish_files(context, folder)
    (folder / "nginx.conf").write_text(nginx(folder, ports["mirror"]))
    context.servers.start("verified-mirror", ["nginx", "-p", folder, "-c", folder / "nginx.conf"], core=CLIENT_CORE)
    context.servers.wait_for_port("verified-mirror", ports["mirror"])
    (folder / "waypost.toml").write_text(configuration(ports, ["one"]))
    name = "waypost-verifying"
    context.servers.log(name).unlink(missing_ok=True)
    context.servers.start(name, [context.binaries["waypost"], "serve", "--config", folder / "waypost.toml"], core=SERVER_CORE)
    first = wait_for_verdicts(context, name, "one")
    (folder / "waypost.toml").write_text(configuration(ports, ["one", "two"]))
    _, before = context.servers.cpu(name)
    context.servers.running[name].send_signal(signal.SIGHUP)
    later = wait_for_verdicts(context, name, "two")
    _, after = context.servers.cpu(name)
    context.servers.stop(name)
    context.servers.stop("verified-mirror")
    rates = [[FILE_BYTES / (end - begin) for begin, end in zip(verdicts, verdicts[1:])] for verdicts in (first, later)]
    for which, of in zip(("first copies", "second copies"), rates):
        context.say(f"  verified, {which}: " + ", ".join(f"{rate / 1e6:,.0f} MB/s" for rate in of))
    return *rates, FILES * FILE_BYTES / (after - before)


def publish_files(context: Context, folder: Path) -> None:
    """A release of equal large files, and a small one before them, whose verdict starts the clock."""
    files = folder / "origin" / "tool" / "1.0.0"
    files.mkdir(parents=True)
    (files / "a-first.tar.gz").write_bytes(b"first")
    large = files / "b-0.tar.gz"
    block = random.Random(context.options.seed).randbytes(1 << 20)
    with open(large, "wb") as file:
        for _ in range(FILE_BYTES // len(block)):
            file.write(block)
    for n in range(1, FILES):
        os.link(large, files / f"b-{n}.tar.gz")
    run([context.binaries["waypost"], "manifest", "create", files, "--in-place", "--origin", folder / "origin", "--product", "tool",
         "--version", "1.0.0", "--channel", "stable"], timeout=300)


def nginx(folder: Path, port: int) -> str:
    return f"""
daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/nginx-errors.log warn; user root;
events {{ worker_connections 256; }}
http {{
    access_log off; default_type application/octet-stream; sendfile on;
    client_body_temp_path {folder}/tmp; proxy_temp_path {folder}/tmp; fastcgi_temp_path {folder}/tmp;
    uwsgi_temp_path {folder}/tmp; scgi_temp_path {folder}/tmp;
    server {{ listen 127.0.0.1:{port}; root {folder}/origin; }}
}}
"""


def configuration(ports: dict[str, int], mirrors: list[str]) -> str:
    return f"""
[server]
listen = ["127.0.0.1:{ports['public']}"]
admin = "127.0.0.1:{ports['admin']}"
state = "state"

[origin]
url = "origin"

[probe]
interval = "1h"

[verify]
concurrency = 1
bandwidth = "1TiB"

[log]
format = "json"
level = "info,waypost::workers=debug"
""" + "".join(f"""
[[mirror]]
name = "{mirror}"
url = "http://127.0.0.1:{ports['mirror']}/"
""" for mirror in mirrors)


def wait_for_verdicts(context: Context, name: str, mirror: str) -> list[float]:
    """The moments of all verdicts on a mirror, in seconds, as the log has them."""
    log, until = context.servers.log(name), time.monotonic() + VERIFIED_WITHIN
    while time.monotonic() < until and context.servers.running[name].poll() is None:
        whole = [line for line in log.read_text().splitlines(keepends=True) if line.endswith("\n")]
        lines = [line for line in whole if "a copy is right" in line and f'"mirror":"{mirror}"' in line]
        if len(lines) == FILES + 1:
            return [datetime.datetime.fromisoformat(json.loads(line)["timestamp"]).timestamp() for line in lines]
        time.sleep(0.5)
    raise Failed(f"the copies are not verified within {VERIFIED_WITHIN} s: see {log}")
