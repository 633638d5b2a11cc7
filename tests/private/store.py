"""A store that gives its files to signed links alone, as the vendors' services check them: what is signed is made from the request
as it arrives, by their documentation, and held against the signature by the public key (or the shared one).

    store.py serve SCHEME FOLDER      prints its port; FOLDER has files/, keys/ (all are believed), tls.pem and tls.key
    store.py key rsa|ec NAME          makes NAME.private.pem and NAME.public.pem
"""

import base64
import datetime
import hashlib
import hmac as macs
import http.server
import re
import ssl
import sys
import time
import urllib.parse
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa


class Refused(Exception):
    """What the service says: a status, and its words."""


def error(status, code, message):
    text = '<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{}</Code><Message>{}</Message></Error>'
    return Refused(status, text.format(code, message))


def believed():
    """The names and contents of the keys."""
    return {key.name: key.read_bytes().strip() for key in (FOLDER / "keys").iterdir()}


def verified(key, signature, message):
    key = serialization.load_pem_public_key(key)
    try:
        if isinstance(key, rsa.RSAPublicKey):
            key.verify(signature, message, padding.PKCS1v15(), hashes.SHA256())
        else:
            key.verify(signature, message, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        return False
    return True


def mac(key, message):
    return macs.new(key, message.encode(), hashlib.sha256)


def hmac(request, path, query, values):
    """By the default template: hex, over the expiry and the path."""
    if not any(mac(key, values["expires"] + path).hexdigest() == values["signature"] for key in believed().values()):
        raise Refused(403, "forbidden\n")
    if int(values["expires"]) < time.time():
        raise Refused(403, "expired\n")


def cloudfront(request, path, query, values):
    """A canned policy over the URL without the three parameters that CloudFront takes out."""
    denied = error(403, "AccessDenied", "Access denied")
    if "Key-Pair-Id" not in values:
        raise error(403, "MissingKey", "Missing Key-Pair-Id query parameter or cookie value")
    key = believed().get(values["Key-Pair-Id"])
    if key is None:
        raise error(403, "InvalidKey", "Unknown Key")
    if values.get("Hash-Algorithm") != "SHA256":
        raise denied  # it would be SHA-1, which no key here has signed
    resource = "https://" + request.headers["Host"] + path
    policy = '{{"Statement":[{{"Resource":"{}","Condition":{{"DateLessThan":{{"AWS:EpochTime":{}}}}}}}]}}'
    policy = policy.format(resource, values["Expires"]).encode()
    signature = base64.b64decode(values["Signature"].translate(str.maketrans("-_~", "+=/")))
    if not verified(key, signature, policy) or int(values["Expires"]) < time.time():
        raise denied


def gcs(request, path, query, values):
    """V4: a canonical request of the method, the path as it is asked for, the query in order, and the host."""
    unsigned = sorted(part for part in query.split("&") if not part.startswith("X-Goog-Signature="))
    host = "host:" + request.headers["Host"] + "\n"
    canonical = "\n".join([request.command, path, "&".join(unsigned), host, "host", "UNSIGNED-PAYLOAD"])
    date, scope = values["X-Goog-Date"], values["X-Goog-Credential"].split("/", 1)[1]
    to_sign = "\n".join([values["X-Goog-Algorithm"], date, scope, hashlib.sha256(canonical.encode()).hexdigest()])
    signature = bytes.fromhex(values["X-Goog-Signature"])
    if not any(verified(key, signature, to_sign.encode()) for key in believed().values()):
        raise error(403, "SignatureDoesNotMatch", "Access denied.")
    began = datetime.datetime.strptime(date, "%Y%m%dT%H%M%SZ").replace(tzinfo=datetime.timezone.utc)
    if began.timestamp() + int(values["X-Goog-Expires"]) < time.time():
        raise error(400, "ExpiredToken", "Invalid argument.")


def azure(request, path, query, values):
    """A service SAS for one blob, over its decoded path."""
    failed = error(403, "AuthenticationFailed", "Server failed to authenticate the request.")
    given = lambda name: values.get(name, "")
    resource = "/blob/account" + urllib.parse.unquote(path)
    fields = [given("sp"), given("st"), given("se"), resource, given("si"), given("sip"), given("spr"), given("sv")]
    to_sign = "\n".join(fields + [given("sr")] + [""] * 7)
    signatures = [mac(base64.b64decode(key), to_sign).digest() for key in believed().values()]
    if base64.b64decode(given("sig")) not in signatures:
        raise failed
    if datetime.datetime.fromisoformat(given("se").replace("Z", "+00:00")).timestamp() < time.time():
        raise failed


class Store(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        path, _, query = self.path.partition("?")
        try:
            CHECK(self, path, query, dict(urllib.parse.parse_qsl(query)))
            file = FOLDER / "files" / urllib.parse.unquote(path).lstrip("/")
            if not file.is_file():
                raise error(404, "NoSuchKey", "The specified key does not exist.")
            self.give(file)
        except Refused as refused:
            self.say(refused.args[0], {"Content-Type": "application/xml"}, refused.args[1].encode())
        except (KeyError, ValueError):
            self.say(403, {}, b"no signature\n")

    do_HEAD = do_GET

    def give(self, file):
        content, headers = file.read_bytes(), {"ETag": f'"{file.stat().st_mtime_ns}"', "Accept-Ranges": "bytes"}
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if asked is None:
            return self.say(200, headers, content)
        first, last = int(asked[1]), min(int(asked[2] or len(content)), len(content) - 1)
        headers["Content-Range"] = f"bytes {first}-{last}/{len(content)}"
        self.say(206, headers, content[first : last + 1])

    def say(self, status, headers, body):
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_):
        pass


def serve():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Store)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(FOLDER / "tls.pem", FOLDER / "tls.key")
    # Handshakes are made by each connection's thread.
    server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    print(server.server_address[1], flush=True)
    server.serve_forever()


def make_key(kind, name):
    made = rsa.generate_private_key(65537, 2048) if kind == "rsa" else ec.generate_private_key(ec.SECP256R1())
    pem = serialization.Encoding.PEM
    private = made.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    public = made.public_key().public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo)
    Path(name + ".private.pem").write_bytes(private)
    Path(name + ".public.pem").write_bytes(public)


if __name__ == "__main__":
    order, what, where = sys.argv[1:]
    if order == "key":
        make_key(what, where)
    else:
        CHECK, FOLDER = {"hmac": hmac, "cloudfront": cloudfront, "gcs": gcs, "azure": azure}[what], Path(where)
        serve()
