"""What the vendors' own libraries sign, at times that are given: independent of Waypost, which has to sign the same.

    signers.py keys FOLDER      makes keys, in every form in which operators have them
    signers.py sign CASES       prints a JSON list: what each case of the JSON file is signed with
"""

import base64
import datetime
import json
import sys
import urllib.parse
from pathlib import Path

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa


def keys(folder):
    pkcs8, traditional = serialization.PrivateFormat.PKCS8, serialization.PrivateFormat.TraditionalOpenSSL
    made = {
        "rsa": rsa.generate_private_key(public_exponent=65537, key_size=2048),
        "rsa4096": rsa.generate_private_key(public_exponent=65537, key_size=4096),
        "p256": ec.generate_private_key(ec.SECP256R1()),
        "p384": ec.generate_private_key(ec.SECP384R1()),
    }
    for name, key in made.items():
        for form, encoding in (("pkcs8", pkcs8), ("traditional", traditional)):
            pem = key.private_bytes(serialization.Encoding.PEM, encoding, serialization.NoEncryption())
            (folder / f"{name}.{form}.pem").write_bytes(pem)
    account = {
        "type": "service_account",
        "project_id": "project",
        "private_key_id": "1",
        "private_key": (folder / "rsa.pkcs8.pem").read_text(),
        "client_email": "signer@project.iam.gserviceaccount.com",
        "token_uri": "https://oauth2.googleapis.com/token",
    }
    (folder / "account.json").write_text(json.dumps(account))


def moment(seconds):
    return datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc)


def s3(case):
    import botocore.auth
    import botocore.session
    from botocore.config import Config

    botocore.auth.get_current_datetime = lambda *_, **__: moment(case["from"]).replace(tzinfo=None)
    client = botocore.session.get_session().create_client(
        "s3",
        region_name=case["region"],
        endpoint_url=case["endpoint"],
        aws_access_key_id=case["id"],
        aws_secret_access_key=case["secret"],
        config=Config(signature_version="s3v4", s3={"addressing_style": case["style"]}),
    )
    operation = {"GET": "get_object", "HEAD": "head_object"}[case["method"]]
    what = {"Bucket": case["bucket"], "Key": case["key"]}
    return client.generate_presigned_url(operation, Params=what, ExpiresIn=case["until"] - case["from"])


def gcs(case):
    from google.cloud import storage
    from google.cloud.storage import _signing
    from google.oauth2 import service_account

    stamp = moment(case["from"]).strftime("%Y%m%dT%H%M%SZ")
    _signing.get_v4_now_dtstamps = lambda: (stamp, stamp[:8])
    credentials = service_account.Credentials.from_service_account_file(case["key_file"])
    blob = storage.Client("project", credentials).bucket(case["bucket"]).blob(case["key"])
    return blob.generate_signed_url(
        version="v4",
        expiration=case["until"] - case["from"],
        method=case["method"],
        scheme="https",
        virtual_hosted_style=case["style"] == "virtual",
    )


def azure(case):
    from azure.storage.blob._shared_access_signature import BlobSharedAccessSignature

    signer = BlobSharedAccessSignature(case["account"], account_key=case["secret"])
    signer.x_ms_version = case["version"]
    token = signer.generate_blob(
        case["container"],
        case["key"],
        permission="r",
        expiry=moment(case["until"]),
        ip=case["addresses"],
        protocol="https",
    )
    return dict(urllib.parse.parse_qsl(token))


def cloudfront(case):
    """The URL, but for its signature where that is another each time; this is verified instead."""
    from botocore.signers import CloudFrontSigner

    key = serialization.load_pem_private_key(Path(case["key_file"]).read_bytes(), None)
    query = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(case["signed"]).query))
    given = base64.b64decode(query["Signature"].replace("-", "+").replace("_", "=").replace("~", "/"))

    def sign(policy):
        if isinstance(key, rsa.RSAPrivateKey):
            return key.sign(policy, padding.PKCS1v15(), hashes.SHA256())
        key.public_key().verify(given, policy, ec.ECDSA(hashes.SHA256()))
        return given

    signer = CloudFrontSigner(case["key_pair_id"], sign)
    until = moment(case["until"])
    if case["network"] is None:
        url = signer.generate_presigned_url(case["url"], date_less_than=until)
    else:
        policy = signer.build_policy(case["url"], until, ip_address=case["network"])
        url = signer.generate_presigned_url(case["url"], policy=policy)
    # botocore leaves it to its caller to say what the signature is over.
    return url + "&Hash-Algorithm=SHA256"


SCHEMES = {"s3": s3, "gcs": gcs, "azure": azure, "cloudfront": cloudfront}

if __name__ == "__main__":
    _, order, path = sys.argv
    if order == "keys":
        keys(Path(path))
    else:
        cases = json.loads(Path(path).read_text())
        print(json.dumps([SCHEMES[case["scheme"]](case) for case in cases]))
