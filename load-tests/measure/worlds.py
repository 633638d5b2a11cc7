"""Worlds of a given size: releases, mirrors that hold all of them, and the warm state of a service that knows it.

`examples/at-size` makes them, the same for the same seed. One nginx stands for all mirrors of all worlds: it answers with
the path that it is asked for, and every file of a world holds its own path.
"""
import http.client
import json
import re
import socket
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from measure.record import Failed
from measure.servers import CLIENT_CORE, Server, Servers, free_port, run
from measure.site import GEOIP

MIRRORS = "world-mirrors"
# Longest time that a world takes to be made, or a service in it to come up; under callgrind everything takes fifty times as
# long.
MADE_WITHIN, UP_WITHIN = 1200, 1800


@dataclass(frozen=True)
class Shape:
    """How large a world is."""

    mirrors: int
    products: int
    releases: int
    """Of each product."""
    assets: int
    """Of each release."""
    rules: int = 0
    listable: bool = False
    """Whether the service lists the mirrors' folders: once after its start, for a while, and every few hours."""

    @classmethod
    def parse(cls, text: str) -> "Shape":
        """MIRRORSxPRODUCTSxRELEASESxASSETS."""
        return cls(*(int(count) for count in text.split("x")))

    @property
    def all_assets(self) -> int:
        return self.products * self.releases * self.assets

    def __str__(self) -> str:
        return f"{self.mirrors:,} mirrors, {self.all_assets:,} assets, {self.rules:,} network rules"


class World:
    """The folder of one world: its origin, its state, its requests, and the configurations that use them."""

    def __init__(self, folder: Path, shape: Shape):
        self.folder, self.shape = folder, shape
        self.port, self.admin = free_port(), free_port()
        self.requests = folder / "requests.txt"

    def head(self, name: str, probe: str = "1h", geoip: bool = True, origin: str = "origin", state: str = "state") -> Path:
        """Writes NAME.toml: the world under settings of its own. Nothing is hashed or sampled again, and the origin is
        read at the start only."""
        databases = sorted(str(path) for path in GEOIP.glob("*.mmdb")) if geoip else []
        path = self.folder / f"{name}.toml"
        path.write_text(f"""
[server]
listen = ["127.0.0.1:{self.port}"]
admin = "127.0.0.1:{self.admin}"
public_url = "http://127.0.0.1:{self.port}"
trusted_proxies = ["127.0.0.0/8"]
state = "{state}"
include = ["world.toml"]

[origin]
url = "{origin}"
poll = "1d"

[geoip]
city = {json.dumps(databases)}

[probe]
interval = "{probe}"

[verify]
budget = "0B"

[log]
format = "json"
""")
        return path

    def lines(self) -> list[tuple[str, str]]:
        """The requests: path and client address."""
        pairs = (line.split() for line in self.requests.read_text().splitlines())
        return [(path, address) for path, address in pairs]

    def mean_name(self) -> float:
        """Mean length in bytes of an asset's name."""
        names = [path.rsplit("/", 1)[1] for path, _ in self.lines()]
        return sum(map(len, names)) / len(names)


class Service(Server):
    """The service in a world, warm from its state."""

    def __init__(self, binary: Path, world: World, head: Path, name: str = "waypost-at-size", before: list | None = None):
        """`before`: a program and its arguments under which it runs."""
        super().__init__(name, [*(before or []), binary, "serve", "--config", head], world.port)
        self.world = world

    def start(self, servers: Servers) -> None:
        servers.log(self.name).unlink(missing_ok=True)
        super().start(servers)

    def wait(self, servers: Servers, name: str | None = None) -> None:
        """Until every mirror was seen to be there. Told by the log, because asking costs the service instructions."""
        name = name or self.name
        until, up = time.monotonic() + UP_WITHIN, 0
        while time.monotonic() < until and servers.running[name].poll() is None:
            up = servers.log(name).read_text(errors="replace").count('"after":"healthy"')
            if up >= self.world.shape.mirrors:
                return
            time.sleep(0.2)
        raise Failed(f"{up} of {self.world.shape.mirrors} mirrors are up: see {servers.log(name)}")

    def metric(self, name: str, label: str = "") -> float:
        """The sum of a metric's values."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.world.admin}/metrics", timeout=600) as answer:
            lines = answer.read().decode().splitlines()
        pattern = re.compile(rf"{name}(?:\{{.*\}})? ")
        return sum(float(line.split()[-1]) for line in lines if pattern.match(line) and label in line)

    def read_origin(self) -> None:
        """Has the origin looked at, and waits until that look is published: the one at the start is over then."""
        until = time.monotonic() + UP_WITHIN
        while (status := self.order("/v1/origin/poll")) != 200:
            if status not in (503, 504) or time.monotonic() > until:
                raise Failed(f"the origin's look ended with status {status}")

    def order(self, path: str) -> int:
        """Gives an order through the operator's socket; returns the status of the answer."""
        connection = Local(self.world.folder / "state" / "admin.sock")
        try:
            connection.request("POST", path, json.dumps({"actor": "load-tests", "reason": "a load test"}),
                               {"Content-Type": "application/json"})
            answer = connection.getresponse()
            answer.read()
            return answer.status
        finally:
            connection.close()


class Local(http.client.HTTPConnection):
    """HTTP over a socket of this machine."""

    def __init__(self, path: Path):
        super().__init__("localhost", timeout=120)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self.path))


class Worlds:
    """The worlds of a run; each is made when first asked for."""

    def __init__(self, work: Path, servers: Servers, at_size: Path, seed: int, say: Callable[[str], None]):
        self.work, self.servers, self.at_size, self.seed, self.say = work, servers, at_size, seed, say
        self.made: dict[Shape, World] = {}
        self.mirror_port = free_port()

    def of(self, shape: Shape) -> World:
        """The world of this shape, with its mirrors running."""
        self.start_mirrors()
        if shape not in self.made:
            self.made[shape] = self.make(shape)
        return self.made[shape]

    def make(self, shape: Shape) -> World:
        self.say(f"  a world of {shape}")
        folder = self.work / f"world-{len(self.made) + 1}"
        folder.mkdir()
        world = World(folder, shape)
        (folder / "origin").mkdir()
        began = time.monotonic()
        run([self.at_size, "world", world.head("waypost", geoip=False), "--mirrors", shape.mirrors, "--products", shape.products,
             "--releases", shape.releases, "--assets", shape.assets, "--rules", shape.rules, "--seed", self.seed,
             "--mirror-port", self.mirror_port, *(["--listable"] if shape.listable else [])], timeout=MADE_WITHIN)
        self.say(f"  made in {time.monotonic() - began:.0f} s")
        return world

    def start_mirrors(self) -> None:
        if MIRRORS in self.servers.running:
            return
        path = self.work / "world-mirrors.conf"
        path.write_text(self.nginx())
        self.servers.start(MIRRORS, ["nginx", "-p", self.work, "-c", path], core=CLIENT_CORE)
        self.servers.wait_for_port(MIRRORS, self.mirror_port)

    def nginx(self) -> str:
        work = self.work
        return f"""
daemon off; worker_processes 1; pid {work}/world-mirrors.pid; error_log {work}/world-mirrors-errors.log warn; user root;
events {{ worker_connections 8192; }}
http {{
    access_log off; default_type application/octet-stream; keepalive_requests 1000000;
    client_body_temp_path {work}/tmp; proxy_temp_path {work}/tmp; fastcgi_temp_path {work}/tmp;
    uwsgi_temp_path {work}/tmp; scgi_temp_path {work}/tmp;
    server {{
        listen 127.0.0.1:{self.mirror_port} backlog=4096;
        location ~ ^/m\\d+/(.*/)_?([^/]+)$ {{ return 200 $1$2; }}
    }}
}}
"""
