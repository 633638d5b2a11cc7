"""Target 9: what private downloads cost, in instructions per request of the thread that answers."""
import base64
import hashlib
import hmac
import http.client
import json
import re
import subprocess
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from measure import callgrind
from measure.context import Context
from measure.instructions import send, short
from measure.record import Failed, Figure, Section
from measure.servers import SERVER_CORE, run
from measure.site import PRODUCT, Site, Waypost

NAME = "private"
WITHIN = 1.25
# Requests before instructions are counted, so that every token is remembered then, and those that are counted.
WARMING, COUNTED = 2_000, 10_000
REMEMBERED = 1_000
# The same for tokens of which each comes once.
FIRST_WARMING, FIRST_COUNTED = 100, 1_000
AUDIENCE = "downloads.example.com"
ALGORITHMS = {"RS256": "ci", "ES256": "cluster", "HS256": "customers"}
# Functions of the listing.
SHOWN = 30
# No copy is sampled meanwhile.
QUIET = '\n[verify]\nbudget = "0B"\n'


@dataclass(frozen=True)
class Guard:
    """How the site's product is kept from others: the small site is the same but for this."""

    name: str
    entitled: bool
    mirror: str = ""
    """What each mirror's table says besides."""


PUBLIC = Guard("public", False)
PRIVATE = Guard("private mirrors", True, "private = true\n")
SIGNED = Guard("signed links", True, 'sign.kind = "secure_link"\nsign.secret_file = "keys/link"\n')


def measure(context: Context) -> Section:
    keys = Keys(context.work / "keys")
    context.say("  tokens are signed")
    tokens = {algorithm: keys.tokens(algorithm, FIRST_WARMING + FIRST_COUNTED) for algorithm in ALGORITHMS}
    services = {guard: service(context, guard) for guard in (PUBLIC, PRIVATE, SIGNED)}
    tickets = context.work / "ticket-requests.txt"
    exchange(context, services[PRIVATE], tokens["RS256"][0], tickets)

    requests = context.site.requests
    remembered = Load("remembered token", requests, tokens["RS256"][:REMEMBERED])
    public = per_request(context, services[PUBLIC], Load("nobody", requests))
    costs = {
        "remembered token, private mirrors": per_request(context, services[PRIVATE], remembered),
        "remembered token, signed links": per_request(context, services[SIGNED], remembered),
        "ticket, private mirrors": per_request(context, services[PRIVATE], Load("ticket", tickets)),
    }
    first = {algorithm: per_request(context, services[PRIVATE], Load(f"first {algorithm} token", requests, tokens[algorithm],
                                                                     FIRST_WARMING, FIRST_COUNTED)) for algorithm in ALGORITHMS}
    return Section(NAME, figures(public, costs, first), {"tables": [listing(public, costs)]}, [note(tokens["RS256"], services[SIGNED])])


def figures(public: "Cost", costs: dict[str, "Cost"], first: dict[str, "Cost"]) -> list[Figure]:
    def shown(what: str, cost: "Cost") -> Figure:
        note = f"in the thread that writes the record: {cost.recording:,.0f}" if cost.recording else ""
        return Figure(9, f"instructions per request, {what}", None, True, cost.answering, None, None, "", note)

    found = [shown("public", public), *(shown(what, cost) for what, cost in costs.items()),
             *(shown(f"first {algorithm} token", cost) for algorithm, cost in first.items())]
    for what, cost in costs.items():
        bound = WITHIN if what == "remembered token, private mirrors" else None
        found.append(Figure(9, f"instructions, {what} / public", bound, True, cost.answering / public.answering, None, None, "times"))
    return found


def listing(public: "Cost", costs: dict[str, "Cost"]) -> dict:
    """The functions in which a remembered token costs most beyond a public request."""
    remembered, signed = (costs[f"remembered token, {guard.name}"].functions for guard in (PRIVATE, SIGNED))
    beyond = Counter({name: count - public.functions[name] for name, count in (remembered | signed).items()})
    rows = [[f"`{short(name)}`", *(f"{column[name]:,.0f}" for column in (public.functions, remembered, signed))]
            for name, _ in beyond.most_common(SHOWN)]
    return {"title": "Where a remembered token's instructions go", "head": ["function", "public", "remembered token", "signed links"], "rows": rows}


def note(tokens: list[str], signed: "Guarded") -> str:
    return (f"The small site, without probes and polls, once for everybody, once entitled on private mirrors and once on mirrors with "
            f"secure_link ({signed.links} links in an answer). {REMEMBERED:,} tokens of {len(tokens[0]):,} bytes (RS256) in turn; what was "
            "given is recorded. valgrind knows fewer instructions than the processor, so a signature takes other paths under it.")


# ---- a service ----


class Guarded(Waypost):
    """The small site's service with a guard, and nothing happening in the background."""

    def __init__(self, binary: Path, site: Site, guard: Guard):
        super().__init__(binary, site)
        self.guard, self.links = guard, 0
        path = site.work / f"waypost-{guard.name.replace(' ', '-')}.toml"
        path.write_text(site.configuration(None, interval="1d", mirror=guard.mirror) + QUIET + (rights() if guard.entitled else ""))
        self.command = [binary, "serve", "--config", path]


def rights() -> str:
    """Three issuers, of which each gives the product to those who have the claims."""
    issuers = {"RS256": 'jwks_file = "keys/RS256.json"', "ES256": 'jwks_file = "keys/ES256.json"', "HS256": 'secret_file = "keys/HS256"'}
    text = [f'[[product]]\nname = "{PRODUCT}"\naccess = "entitled"\n\n[tickets]\nsecret_file = "keys/tickets"\nttl = "1h"\n']
    for algorithm, name in ALGORITHMS.items():
        text.append(f"""
[[issuer]]
name = "{name}"
issuer = "https://{name}.example.com"
audience = "{AUDIENCE}"
algorithms = ["{algorithm}"]
{issuers[algorithm]}

[[entitlement]]
issuer = "{name}"
when = {{ repository_owner = "acme", ref = ["refs/heads/main", "refs/tags/*"] }}
allow = [
    {{ product = "other-*" }},
    {{ product = "{PRODUCT}", channels = ["stable"], versions = ">=1.0", platforms = ["linux-amd64"] }},
]
""")
    return "".join(text)


def service(context: Context, guard: Guard) -> Guarded:
    """The service, started once, so that it has verified all copies by this configuration."""
    guarded = Guarded(context.binaries["waypost"], context.site, guard)
    guarded.start(context.servers)
    context.servers.stop(guarded.name)
    return guarded


def exchange(context: Context, service: Guarded, token: str, requests: Path) -> None:
    """Has the service seal a ticket for every asset, and writes the requests with them."""
    service.start(context.servers)
    connection = http.client.HTTPConnection("127.0.0.1", context.site.port, timeout=60)
    sealed: dict[str, str] = {}
    lines = []
    for line in context.site.requests.read_text().splitlines():
        path, address = line.split()
        if path not in sealed:
            connection.request("GET", f"{path}?ticket", headers={"Authorization": f"Bearer {token}"})
            answer = connection.getresponse()
            text = answer.read().decode()
            if answer.status != 200:
                raise Failed(f"no ticket for {path}: {answer.status}")
            sealed[path] = text.strip().partition("?")[2]
        lines.append(f"{path}?{sealed[path]} {address}\n")
    connection.close()
    requests.write_text("".join(lines))
    context.servers.stop(service.name)


# ---- instructions ----


@dataclass(frozen=True)
class Load:
    """Requests, with one of the tokens each, in turn."""

    name: str
    requests: Path
    tokens: list[str] = field(default_factory=list)
    warming: int = WARMING
    counted: int = COUNTED


@dataclass(frozen=True)
class Cost:
    """Instructions per request."""

    answering: float
    recording: float
    """In the thread that writes the record."""
    functions: Counter[str]
    """Of the thread that answers."""


def per_request(context: Context, service: Guarded, load: Load) -> Cost:
    """The service under callgrind, which counts from the end of the warming on."""
    name = f"{load.name} {service.guard.name}"
    context.say(f"  {name}: {load.counted} requests under callgrind")
    out = context.work / f"callgrind.{name.replace(' ', '-')}"
    valgrind = ["valgrind", "--tool=callgrind", "--instr-atstart=no", "--separate-threads=yes", f"--callgrind-out-file={out}"]
    context.servers.log(name).unlink(missing_ok=True)
    process = context.servers.start(name, [*valgrind, *service.command], core=SERVER_CORE)
    service.wait(context.servers, name)
    lines = [f"Bearer {token}" for token in load.tokens]
    send(load.requests, service.port, load.warming, authorization=lines[:load.warming])
    run(["callgrind_control", "--instr=on", process.pid])
    head = send(load.requests, service.port, load.counted, authorization=lines[-load.counted:])
    run(["callgrind_control", "--dump", process.pid])
    service.links = len(re.findall(rb"rel=duplicate", head))
    context.servers.stop(name)
    # Threads have no names here: they are known by what they run.
    threads = {path: path.read_text(errors="replace") for path in context.work.glob(f"{out.name}.1-*")}
    answering = [path for path, text in threads.items() if "redirect::answer" in text]
    recording = [path for path, text in threads.items() if "deliveries::recorder::Recorder" in text and path not in answering]
    if len(answering) != 1:
        raise Failed(f"{len(answering)} threads answer in {out}.1-*: see {context.servers.log(name)}")
    functions = Counter({name: count / load.counted for name, count in callgrind.by_function(answering[0]).items()})
    totals = [sum(callgrind.total(path) for path in paths) / load.counted for paths in (answering, recording)]
    return Cost(*totals, functions)


# ---- tokens ----


class Keys:
    """The issuers' keys, and all other secrets of the site, each in a file."""

    def __init__(self, folder: Path):
        self.folder = folder
        folder.mkdir(exist_ok=True)
        for name in ("HS256", "tickets", "link"):
            (folder / name).write_text(hashlib.sha256(f"{name} of the load tests".encode()).hexdigest())
        run(["openssl", "genrsa", "-out", folder / "RS256.pem", "2048"])
        run(["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", folder / "ES256.pem"])
        modulus = run(["openssl", "rsa", "-in", folder / "RS256.pem", "-noout", "-modulus"]).strip().partition("=")[2]
        self.publish("RS256", {"kty": "RSA", "n": base64url(bytes.fromhex(modulus)), "e": "AQAB"})
        public = subprocess.run(["openssl", "ec", "-in", folder / "ES256.pem", "-pubout", "-outform", "DER"], check=True, capture_output=True)
        # The point is what a SubjectPublicKeyInfo of P-256 ends with.
        x, y = public.stdout[-64:-32], public.stdout[-32:]
        self.publish("ES256", {"kty": "EC", "crv": "P-256", "x": base64url(x), "y": base64url(y)})

    def publish(self, algorithm: str, key: dict[str, str]) -> None:
        keys = [{**key, "kid": f"{algorithm} of the load tests", "alg": algorithm, "use": "sig"}]
        (self.folder / f"{algorithm}.json").write_text(json.dumps({"keys": keys}))

    def tokens(self, algorithm: str, count: int) -> list[str]:
        """Different ones of about a kilobyte, with what GitHub Actions writes into its own."""
        with ThreadPoolExecutor(2) as pool:
            return list(pool.map(lambda n: self.token(algorithm, n), range(count)))

    def token(self, algorithm: str, n: int) -> str:
        header = {"alg": algorithm, "typ": "JWT", **({} if algorithm == "HS256" else {"kid": f"{algorithm} of the load tests"})}
        now, mark = int(time.time()), hashlib.sha256(str(n).encode()).hexdigest()
        claims = {
            "jti": f"{mark[:8]}-{mark[8:12]}-{mark[12:16]}-{mark[16:20]}-{mark[20:32]}", "sub": "repo:acme/tool:ref:refs/heads/main",
            "aud": AUDIENCE, "ref": "refs/heads/main", "sha": mark[:40], "repository": "acme/tool", "repository_owner": "acme",
            "run_id": str(6_000_000_000 + n), "run_number": str(n), "run_attempt": "1", "actor": "octocat", "workflow": "release",
            "event_name": "push", "ref_type": "branch", "iss": f"https://{ALGORITHMS[algorithm]}.example.com",
            "nbf": now - 60, "iat": now - 60, "exp": now + 86_400,
        }
        message = ".".join(base64url(json.dumps(part, separators=(",", ":")).encode()) for part in (header, claims))
        return f"{message}.{base64url(self.signature(algorithm, message.encode()))}"

    def signature(self, algorithm: str, message: bytes) -> bytes:
        if algorithm == "HS256":
            return hmac.digest((self.folder / "HS256").read_bytes(), message, "sha256")
        command = ["openssl", "dgst", "-sha256", "-sign", str(self.folder / f"{algorithm}.pem")]
        signature = subprocess.run(command, input=message, check=True, capture_output=True).stdout
        return signature if algorithm == "RS256" else raw(signature)


def raw(signature: bytes) -> bytes:
    """ECDSA's two numbers in 32 bytes each (RFC 7518 section 3.4) from their DER form: SEQUENCE { INTEGER, INTEGER }."""
    numbers, at = [], 2
    for _ in range(2):
        length = signature[at + 1]
        numbers.append(int.from_bytes(signature[at + 2:at + 2 + length], "big").to_bytes(32, "big"))
        at += 2 + length
    return b"".join(numbers)


def base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
