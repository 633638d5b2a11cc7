"""The servers that Waypost is held against."""
import base64
import hashlib
import re
from pathlib import Path

from measure.servers import Certificate, Server, free_port
from measure.site import PRODUCT, REGIONS, VERSION, Site, Waypost

GEOIP2 = Path("/usr/lib/nginx/modules/ngx_http_geoip2_module.so")

# Where most clients are, each country with a region near it; the others take the first region.
NEAR = {
    "fra": "DE FR NL BE CH AT IT ES PT GB IE PL CZ", "arn": "SE NO DK FI EE LV LT RU", "iad": "US CA",
    "sjc": "MX", "gru": "BR AR CL CO PE", "jnb": "ZA NG KE EG MA", "bom": "IN PK BD AE IR SA", "sin": "SG MY TH ID PH VN",
    "nrt": "JP KR CN TW HK", "syd": "AU NZ",
}


class Bare(Server):
    """hyper with one constant answer, the recorded one; with a certificate rustls below it."""

    def __init__(self, binary: Path, site: Site, name: str = "bare hyper", tls: Certificate | None = None):
        port = free_port()
        command = [binary, port, "--answer", site.answer, "--threads", "1"]
        super().__init__(name, command + (["--tls", tls.chain, tls.key] if tls else []), port, tls)


class Nginx(Server):
    """nginx that does what Waypost does as far as nginx can: believes X-Forwarded-For, looks the client's country up, maps it
    to a mirror and the path to a digest, and sends the same header lines. Where it cannot do equal work, it does less:
    the alternates are constant hosts. Plain: `return 302` of a constant location, nothing else."""

    def __init__(self, site: Site, name: str = "nginx", plain: bool = False, tls: Certificate | None = None):
        port = free_port()
        file = name.replace(" ", "-") + ("-tls" if tls else "")
        self.configuration = site.work / f"{file}.conf"
        location = PLAIN if plain else equal_work(site)
        self.configuration.write_text(frame(site.work, file, port, tls, "" if plain else lookups(site), location))
        super().__init__(name, ["nginx", "-p", site.work, "-c", self.configuration], port, tls)


PLAIN = "        return 302 http://127.0.0.1/m000$uri;\n"


def frame(work: Path, name: str, port: int, tls: Certificate | None, lookups: str, location: str) -> str:
    """One process, as the others are; no log."""
    module = f"load_module {GEOIP2};" if lookups else ""
    secure = ""
    if tls:
        secure = f"ssl_certificate {tls.chain}; ssl_certificate_key {tls.key}; ssl_protocols TLSv1.2 TLSv1.3;"
    return f"""{module}
daemon off; master_process off; pid {work}/{name}.pid; error_log {work}/{name}-errors.log warn; user root;
events {{ worker_connections 4096; }}
http {{
    access_log off; server_tokens off; keepalive_requests 100000000; keepalive_timeout 75s; client_header_timeout 10s;
    client_body_temp_path {work}/tmp; proxy_temp_path {work}/tmp; fastcgi_temp_path {work}/tmp;
    uwsgi_temp_path {work}/tmp; scgi_temp_path {work}/tmp;
{lookups}
    server {{
        listen 127.0.0.1:{port} backlog=1024{' ssl http2' if tls else ''};
        {secure}
{location}
    }}
}}
"""


def lookups(site: Site) -> str:
    """The client's address and country, and the maps from country to mirror and from path to digest."""
    ipv4 = next(path for path in site.geoip if "ipv6" not in path.name)
    regions = list(REGIONS)
    mirrors = [f"        {country} m{regions.index(region) % site.mirrors:03};"
               for region, countries in NEAR.items() for country in countries.split()]
    digests = []
    for path in sorted((site.work / "release").glob("tool-*.tar.gz")):
        digest = base64.b64encode(hashlib.sha256(path.read_bytes()).digest()).decode()
        digests.append(f'        /{PRODUCT}/{VERSION}/{path.name} "SHA-256={digest}";')
    newline = "\n"
    return f"""
    set_real_ip_from 127.0.0.0/8; real_ip_header X-Forwarded-For;
    geoip2 {ipv4} {{ $country country_code; }}
    map_hash_max_size 16384; map_hash_bucket_size 256;
    map $country $mirror {{
        default m000;
{newline.join(mirrors)}
    }}
    map $uri $digest {{
{newline.join(digests)}
    }}
"""


def equal_work(site: Site) -> str:
    """The header lines of the recorded answer, with what depends on the request taken from the maps. nginx adds its own Server
    and Connection lines and a page of 138 bytes to a redirect, which its configuration cannot take away."""
    lines = site.answer.read_text().split("\n\n")[0].splitlines()[1:]
    headers = [tuple(part.strip() for part in line.split(":", 1)) for line in lines]
    location = next(value for name, value in headers if name.lower() == "location")
    mirror, path = re.search(r"/(m\d{3})(/.*)$", location).groups()
    written = []
    for name, value in headers:
        value = value.replace(path, "$uri").replace(f"/{mirror}$uri", "/$mirror$uri").replace('"', '\\"')
        match name.lower():
            case "location" | "content-length" | "date" | "server" | "connection":
                continue
            case "digest":
                value = "$digest"
            case "waypost-mirror":
                value = "$mirror"
        written.append(f'        add_header {name} "{value}" always;')
    return "\n".join([*written, f"        return 302 {location.removesuffix(mirror + path)}$mirror$uri;"])


def everybody(binaries: dict[str, Path], site: Site) -> list[Server]:
    """Waypost first, then those that it is held against, in clear text."""
    return [Waypost(binaries["waypost"], site), Bare(binaries["bare-hyper"], site), Nginx(site),
            Nginx(site, "nginx, plain", plain=True)]
