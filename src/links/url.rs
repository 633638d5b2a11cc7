//! A URL's parts as bytes, and the forms in which schemes want its path.

use std::ops::Range;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode, percent_encode};

/// What is left as it is by RFC 3986 section 2.3, which is what the stores encode by; slashes part the segments.
const PATH: &AsciiSet = &NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// The same for a value in a query.
const VALUE: &AsciiSet = &PATH.add(b'/');

/// Where the host (with its port) and the path of the URL `out[start..]` lie.
pub(super) fn parts(out: &[u8], start: usize) -> (Range<usize>, Range<usize>) {
    let find = |from: usize, what: &[u8]| out[from..].windows(what.len()).position(|part| part == what);
    let host = find(start, b"://").map_or(start, |at| start + at + 3);
    let path = find(host, b"/").map_or(out.len(), |at| host + at);
    (host..path, path..out.len())
}

/// Appends a path's bytes without their encoding.
pub(super) fn put_decoded(out: &mut Vec<u8>, path: &[u8]) {
    // Hardly any path has anything to decode, and then it is copied at once.
    match path.contains(&b'%') {
        true => out.extend(percent_decode(path)),
        false => out.extend_from_slice(path),
    }
}

/// Appends a text, encoded for a query.
pub(super) fn put_value(out: &mut Vec<u8>, text: &[u8]) {
    percent_encode(text, VALUE).for_each(|part| out.extend_from_slice(part.as_bytes()));
}

/// Replaces the path that begins at `path` and ends `out` by its strictest form, where it has another.
pub(super) fn make_strict(out: &mut Vec<u8>, path: usize) {
    let is_strict = |byte: &u8| byte.is_ascii_alphanumeric() || b"/-._~".contains(byte);
    if out[path..].iter().all(is_strict) {
        return;
    }
    let decoded: Vec<u8> = percent_decode(&out[path..]).collect();
    out.truncate(path);
    percent_encode(&decoded, PATH).for_each(|part| out.extend_from_slice(part.as_bytes()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_found_behind_what_was_written_before_it() {
        let out = b"<https://a.example:8443/x/y";
        let (host, path) = parts(out, 1);
        assert_eq!((&out[host], &out[path]), (&b"a.example:8443"[..], &b"/x/y"[..]));
        for odd in ["", "x", "https://", "https://host", "/x", "://"] {
            parts(odd.as_bytes(), 0);
        }
    }

    #[test]
    fn a_path_has_one_strict_form() {
        for (written, strict) in [
            ("/a/b-1._~", "/a/b-1._~"),
            ("/a+b@c:d=e,f!", "/a%2Bb%40c%3Ad%3De%2Cf%21"),
            ("/%7e/%c3%bc%20", "/~/%C3%BC%20"),
            ("/100%", "/100%25"),
        ] {
            let mut out = format!("x{written}").into_bytes();
            make_strict(&mut out, 1);
            assert_eq!(String::from_utf8_lossy(&out[1..]), strict);
        }
    }
}
