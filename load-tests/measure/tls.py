"""Target 8: keep-alive over TLS and HTTP/2 next to hyper with rustls, and full handshakes next to nginx."""
import re
from pathlib import Path

from measure.context import Context
from measure.instructions import per_request
from measure.rate import Slice, in_rounds, ratio, slice_of, timed, use
from measure.record import Failed, Figure, Section, spread
from measure.references import Bare, Nginx
from measure.servers import CLIENT_CORE, Certificate, Server, run
from measure.site import Waypost

NAME = "tls"
# Of HTTP/2: connections, and requests at once on each.
CONNECTIONS, STREAMS = 8, 4
HANDSHAKE_SECONDS = 2


def measure(context: Context) -> Section:
    tested, paths = prepare(context)
    waypost, bare, nginx = tested
    for server in tested:
        server.start(context.servers)
        negotiated(server)
    context.say("  keep-alive, HTTP/1.1")
    http1 = in_rounds(context, [waypost, bare], slice_of)
    context.say("  keep-alive, HTTP/2")
    http2 = in_rounds(context, [waypost, bare], lambda context, server: slice_of_http2(context, server, paths))
    context.say("  full handshakes")
    handshakes = in_rounds(context, tested, handshakes_of)
    notes = [f"client {run(['openssl', 'version']).strip()}; nginx {nginx_openssl()}. ECDSA P-256; {negotiated(nginx)} with "
             f"nginx, {negotiated(waypost)} with waypost. Handshakes by `openssl s_time -new`: no session is taken up again."]
    for server in tested:
        context.servers.stop(server.name)
    per = {server.name: per_request(context, server) for server in (waypost, bare)}
    figures = [
        *keep_alive("HTTP/1.1 over TLS", http1, [waypost, bare]), *keep_alive("HTTP/2 over TLS", http2, [waypost, bare]),
        Figure(8, "instructions, HTTP/1.1 over TLS, waypost / bare hyper", None, True, per["waypost"] / per["bare hyper"],
               None, None, "times", f"{per['waypost']:,.0f} and {per['bare hyper']:,.0f}"),
        *cpu_of_handshakes(handshakes, tested),
    ]
    series = {name: {server: [vars(of[server]) for of in rounds] for server in rounds[0]}
              for name, rounds in (("http1", http1), ("http2", http2), ("handshakes", handshakes))}
    return Section(NAME, figures, series, notes)


def prepare(context: Context) -> tuple[list[Server], Path]:
    """The three servers with one certificate, and the paths alone, as h2load reads them."""
    site, work = context.site, context.work
    certificate = Certificate(work / "tls.pem", work / "tls.key")
    run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", certificate.key, "-out", certificate.chain])
    paths = work / "paths.txt"
    paths.write_text("".join(f"{line.split()[0]}\n" for line in site.requests.read_text().splitlines()))
    return [Waypost(context.binaries["waypost"], site, certificate), Bare(context.binaries["bare-hyper"], site, tls=certificate),
            Nginx(site, tls=certificate)], paths


def negotiated(server: Server) -> str:
    """Protocol, cipher and key exchange; only TLS 1.3 counts."""
    said = run(["openssl", "s_client", "-brief", "-connect", f"127.0.0.1:{server.port}"], timeout=20, errors_too=True)
    found = [re.search(pattern, said) for pattern in
             (r"Protocol version: (.*)", r"Ciphersuite: (.*)", r"Server Temp Key: (\w+)")]
    if not all(found) or found[0].group(1) != "TLSv1.3":
        raise Failed(f"{server.name} does not speak TLS 1.3:\n{said}")
    return " ".join(match.group(1) for match in found)


def nginx_openssl() -> str:
    said = run(["nginx", "-V"], errors_too=True)
    found = re.search(r"built with (.*)", said)
    return found.group() if found else "does not say its TLS library"


# ---- slices ----


def slice_of_http2(context: Context, server: Server, paths: Path) -> Slice:
    """One second of h2load. It cannot change a header: all requests come from one address."""
    def client() -> tuple[int, float]:
        said = run(["taskset", "-c", CLIENT_CORE, "h2load", "-t1", f"-c{CONNECTIONS}", f"-m{STREAMS}", "-D1", "-i", paths, "-B",
                    f"https://127.0.0.1:{server.port}", "-H", "x-forwarded-for: 81.2.69.142", "-H", "x-forwarded-proto: http", "-H", "accept: */*"], timeout=60)
        if "Application protocol: h2" not in said:
            raise Failed(f"{server.name} speaks no HTTP/2:\n{said}")
        redirects = re.search(r"(\d+) 3xx", said)
        failed = re.search(r"(\d+) failed, (\d+) errored, (\d+) timeout", said)
        if not redirects or int(redirects.group(1)) == 0 or any(int(count) for count in failed.groups()):
            raise Failed(f"{server.name}: HTTP/2 requests failed:\n{said}")
        return int(redirects.group(1)), float(re.search(r"finished in [\d.]+m?s, ([\d.]+) req/s", said).group(1))

    return timed(context, server, client)


def handshakes_of(context: Context, server: Server) -> Slice:
    """Connections one after the other, each closed after its handshake."""
    def client() -> tuple[int, float]:
        said = run(["taskset", "-c", CLIENT_CORE, "openssl", "s_time", "-new", "-tls1_3", "-time", HANDSHAKE_SECONDS,
                    "-connect", f"127.0.0.1:{server.port}"], timeout=60)
        found = re.search(r"(\d+) connections in (\d+) real seconds", said)
        if not found or int(found.group(1)) == 0:
            raise Failed(f"no handshake with {server.name}:\n{said}")
        return int(found.group(1)), int(found.group(1)) / HANDSHAKE_SECONDS

    return timed(context, server, client)


# ---- figures ----


def keep_alive(what: str, rounds: list[dict[str, Slice]], tested: list[Server]) -> list[Figure]:
    return [ratio(rounds, "rate", f"{what}, requests per second", "waypost", "bare hyper", bound=0.8, at_most=False, target=8),
            ratio(rounds, "user", f"{what}, user CPU per request", "waypost", "bare hyper", target=8),
            *(spread(8, f"{what}, requests per second, {server.name}", [of[server.name].rate for of in rounds],
                     note=use(rounds, server), unit="") for server in tested)]


def cpu_of_handshakes(rounds: list[dict[str, Slice]], tested: list[Server]) -> list[Figure]:
    return [ratio(rounds, "user", "user CPU per full handshake", "waypost", "nginx", bound=0.5, target=8),
            ratio(rounds, "user", "user CPU per full handshake", "bare hyper", "nginx", target=8),
            *(spread(8, f"user CPU per full handshake, {server.name}", [of[server.name].user * 1e6 for of in rounds],
                     note=use(rounds, server), unit="µs") for server in tested)]
