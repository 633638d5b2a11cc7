//! What the query signatures of Amazon S3 (SigV4) and Google Cloud Storage (V4) have in common: a canonical request, whose
//! hash stands in the text that is signed. Only the host is signed of the headers, and nothing of the body.

use aws_lc_rs::digest::{Context, SHA256};
use data_encoding::HEXLOWER;

use super::period::{Period, put_number, rfc3339};
use super::{LinkMethod, url};

/// Longest that either store lets a URL be good, in seconds: 7 days.
const LIFETIME_MAX: u64 = 7 * 86_400;

/// A store's words.
pub(super) struct Dialect {
    /// Such as `X-Amz-`.
    pub prefix: &'static str,
    /// Such as `AWS4-HMAC-SHA256`.
    pub algorithm: &'static str,
    /// What follows the day in the scope, such as `/us-east-1/s3/aws4_request`.
    pub scope: String,
    /// Whose key it is.
    pub id: String,
}

/// A dialect with its query prepared: `open` day `scope` moment `expires` seconds `headers` … `signature`.
pub(super) struct Presigner {
    dialect: Dialect,
    open: Vec<u8>,
    scope: Vec<u8>,
    expires: String,
    headers: String,
    signature: String,
}

/// What the key has to sign.
pub(super) struct ToSign {
    /// `YYYYMMDD`, which S3's key depends on.
    pub day: [u8; 8],
    pub text: Vec<u8>,
}

impl Presigner {
    pub(super) fn new(dialect: Dialect) -> Self {
        let Dialect { prefix, algorithm, .. } = dialect;
        let mut open = format!("?{prefix}Algorithm={algorithm}&{prefix}Credential=").into_bytes();
        url::put_value(&mut open, dialect.id.as_bytes());
        open.extend_from_slice(b"%2F");
        let mut scope = Vec::new();
        url::put_value(&mut scope, dialect.scope.as_bytes());
        scope.extend_from_slice(format!("&{prefix}Date=").as_bytes());
        let expires = format!("&{prefix}Expires=");
        let headers = format!("&{prefix}SignedHeaders=host");
        let signature = format!("&{prefix}Signature=");
        Self { open, scope, expires, headers, signature, dialect }
    }

    /// Appends the query but for the signature's value, and gives what has to be signed for it.
    pub(super) fn prepare(
        &self,
        out: &mut Vec<u8>,
        start: usize,
        period: &Period,
        method: LinkMethod,
    ) -> ToSign {
        let moment = basic(period.from);
        let day: [u8; 8] = std::array::from_fn(|i| moment[i]);
        let (host, path) = url::parts(out, start);
        url::make_strict(out, path.start);
        let path = path.start..out.len();
        for part in [&*self.open, &day, &self.scope, &moment, self.expires.as_bytes()] {
            out.extend_from_slice(part);
        }
        put_number(out, (period.until - period.from).min(LIFETIME_MAX));
        out.extend_from_slice(self.headers.as_bytes());
        let method: &[u8] = match method {
            LinkMethod::Get => b"GET\n",
            LinkMethod::Head => b"HEAD\n",
        };
        let mut canonical = Context::new(&SHA256);
        let query = path.end + 1..out.len();
        for part in [method, &out[path], b"\n", &out[query], b"\nhost:", &out[host]] {
            canonical.update(part);
        }
        canonical.update(b"\n\nhost\nUNSIGNED-PAYLOAD");
        out.extend_from_slice(self.signature.as_bytes());

        let mut text = Vec::with_capacity(256);
        let Dialect { algorithm, scope, .. } = &self.dialect;
        for part in [algorithm.as_bytes(), b"\n", &moment, b"\n", &day, scope.as_bytes(), b"\n"] {
            text.extend_from_slice(part);
        }
        put_hex(&mut text, canonical.finish().as_ref());
        ToSign { day, text }
    }
}

/// `YYYYMMDDTHHMMSSZ`
fn basic(seconds: u64) -> [u8; 16] {
    let mut basic = [b'0'; 16];
    let written = rfc3339(seconds);
    let written = written.bytes().filter(|byte| !matches!(byte, b'-' | b':'));
    basic.iter_mut().zip(written).for_each(|(place, byte)| *place = byte);
    basic
}

/// Appends bytes as hexadecimal, lower case.
pub(super) fn put_hex(out: &mut Vec<u8>, bytes: &[u8]) {
    let start = out.len();
    out.resize(start + 2 * bytes.len(), 0);
    HEXLOWER.encode_mut(bytes, &mut out[start..]);
}
