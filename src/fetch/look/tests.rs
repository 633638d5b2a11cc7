use super::*;

fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
    lines.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap())).collect()
}

const PLAIN: Expected = Expected { size: 1000, range: None, validator: None, html_is_fine: false };
const RANGED: Expected = Expected { range: Some((0, 63)), ..PLAIN };

/// A name, the status, the headers, and what is seen.
type Case = (&'static str, u16, &'static [(&'static str, &'static str)], Result<Option<u64>, CopyFault>);

#[test]
fn an_answer_is_judged_by_the_first_thing_that_is_wrong() {
    use CopyFault::*;
    const HTML: (&str, &str) = ("content-type", "Text/HTML; charset=utf-8");
    const GZIP: (&str, &str) = ("content-encoding", "gzip");
    const SHORT: (&str, &str) = ("content-length", "999");
    const RIGHT: (&str, &str) = ("content-length", "1000");
    let table: [Case; 22] = [
        ("the file", 200, &[RIGHT], Ok(Some(1000))),
        ("no length (chunked)", 200, &[], Ok(None)),
        ("not found", 404, &[HTML], Err(Missing)),
        ("gone", 410, &[], Err(Missing)),
        ("unauthorized", 401, &[HTML], Err(Denied)),
        ("forbidden", 403, &[], Err(Denied)),
        ("too many requests", 429, &[], Err(ServerError)),
        ("internal error", 500, &[], Err(ServerError)),
        ("bad gateway of its own number", 599, &[], Err(ServerError)),
        ("no content", 204, &[], Err(UnexpectedStatus)),
        ("a redirect without a target", 302, &[], Err(UnexpectedStatus)),
        ("not modified", 304, &[], Err(UnexpectedStatus)),
        ("a part that was not asked for", 206, &[("content-range", "bytes 0-9/1000")], Err(UnexpectedStatus)),
        ("encoded, before type and length", 200, &[GZIP, HTML, SHORT], Err(ContentEncoding)),
        ("encoded twice", 200, &[("content-encoding", "identity, br"), RIGHT], Err(ContentEncoding)),
        ("said to be plain", 200, &[("content-encoding", "Identity"), RIGHT], Ok(Some(1000))),
        ("a page, before length", 200, &[HTML, SHORT], Err(Html)),
        ("an XHTML page", 200, &[("content-type", "application/xhtml+xml"), RIGHT], Err(Html)),
        ("short", 200, &[SHORT], Err(WrongLength)),
        ("lengths that disagree", 200, &[RIGHT, SHORT], Err(WrongLength)),
        ("a length with a sign", 200, &[("content-length", "+1000")], Err(WrongLength)),
        ("text of another kind", 200, &[("content-type", "text/plain"), RIGHT], Ok(Some(1000))),
    ];
    for (case, status, lines, answer) in table {
        let mut map = HeaderMap::new();
        for (name, value) in lines {
            map.append(HeaderName::from_static(name), value.parse().unwrap());
        }
        let seen = look(StatusCode::from_u16(status).unwrap(), &map, &PLAIN);
        assert_eq!(seen.map(|seen| seen.length), answer, "{case}");
    }
}

#[test]
fn an_html_asset_may_be_html() {
    let page: AssetPath = "docs/Index.HTML".parse().unwrap();
    let map = headers(&[("content-type", "text/html"), ("content-length", "7")]);
    assert!(look(StatusCode::OK, &map, &Expected::of(&page, 7)).is_ok());
    let archive: AssetPath = "html.tar.gz".parse().unwrap();
    assert_eq!(look(StatusCode::OK, &map, &Expected::of(&archive, 7)), Err(CopyFault::Html));
}

#[test]
fn a_part_counts_when_it_is_the_part_that_was_asked_for() {
    let part = |range: &str| {
        look(StatusCode::PARTIAL_CONTENT, &headers(&[("content-range", range)]), &RANGED).map(|s| s.length)
    };
    assert_eq!(part("bytes 0-63/1000"), Ok(Some(1000)));
    assert_eq!(part("Bytes 0-63/1000"), Ok(Some(1000)));
    assert_eq!(part("bytes 0-63/*"), Ok(None));
    let bad = "bytes 0-63/999|bytes 0-62/1000|bytes 1-63/1000|bytes */1000|bytes 0-63|bytes 63-0/1000|items 0-63/1000|\
               bytes 0-63/63|bytes=0-63/1000|bytes 0-63/+1000|bytes 0-63/99999999999999999999999|bytes */*|";
    for range in bad.split('|') {
        assert_eq!(part(range), Err(CopyFault::WrongLength), "{range}");
    }
    assert_eq!(
        look(StatusCode::PARTIAL_CONTENT, &HeaderMap::new(), &RANGED),
        Err(CopyFault::WrongLength),
        "a multipart answer names no range"
    );
    let tiny = Expected { size: 10, ..RANGED };
    let cut = headers(&[("content-range", "bytes 0-9/10")]);
    assert!(look(StatusCode::PARTIAL_CONTENT, &cut, &tiny).unwrap().partial);
    let whole = headers(&[("content-length", "1000")]);
    assert!(!look(StatusCode::OK, &whole, &RANGED).unwrap().partial, "a server may ignore ranges");
}

#[test]
fn a_copy_that_ends_before_the_range_has_the_wrong_length() {
    let status = StatusCode::RANGE_NOT_SATISFIABLE;
    let beyond = |range| look(status, &headers(&[("content-range", range)]), &RANGED);
    assert_eq!(beyond("bytes */12"), Err(CopyFault::WrongLength));
    assert_eq!(beyond("bytes */1000"), Err(CopyFault::UnexpectedStatus));
    assert_eq!(look(status, &HeaderMap::new(), &RANGED), Err(CopyFault::UnexpectedStatus));
}

#[test]
fn a_changed_validator_is_noticed_and_an_unchanged_one_is_the_same_however_it_is_asked_for() {
    let tagged = [("etag", "\"a\""), ("last-modified", "Fri, 20 Nov 2026 10:00:00 GMT")];
    let with = |extra: (&'static str, &str)| headers(&[tagged[0], tagged[1], extra]);
    let whole = look(StatusCode::OK, &with(("content-length", "1000")), &PLAIN).unwrap();
    let chunked = look(StatusCode::OK, &headers(&tagged), &PLAIN).unwrap();
    let part = with(("content-range", "bytes 0-63/1000"));
    let part = look(StatusCode::PARTIAL_CONTENT, &part, &RANGED).unwrap();
    assert_eq!(whole.fingerprint, part.fingerprint);
    assert_eq!(whole.fingerprint, chunked.fingerprint);

    let verified = Expected { validator: Some(whole.fingerprint), ..PLAIN };
    assert!(look(StatusCode::OK, &headers(&tagged), &verified).is_ok());
    for changed in [
        headers(&[("etag", "\"b\""), tagged[1]]),
        headers(&[("etag", "W/\"a\""), tagged[1]]),
        headers(&[tagged[0], ("last-modified", "Fri, 20 Nov 2026 10:00:01 GMT")]),
        headers(&[tagged[0]]),
        HeaderMap::new(),
    ] {
        assert_eq!(
            look(StatusCode::OK, &changed, &verified),
            Err(CopyFault::ValidatorChanged),
            "{changed:?}"
        );
    }
}

#[test]
fn fingerprints_are_the_same_in_every_version() {
    let map = headers(&[("etag", "\"a\"")]);
    assert_eq!(fingerprint(&map, 1000).0, 6_482_483_604_670_503_291);
    assert_ne!(fingerprint(&map, 1000), fingerprint(&map, 1001));
    assert_ne!(fingerprint(&HeaderMap::new(), 0), fingerprint(&HeaderMap::new(), 1));
}

#[test]
fn html_is_recognised_by_its_beginning() {
    for page in ["<!DOCTYPE html>", "\u{feff}\r\n <!doctype HTML public", "<html>", "<HTML lang=en>"] {
        assert!(looks_like_html(page.as_bytes()), "{page}");
    }
    for file in ["", "<", "<!doctype", "PK\u{3}\u{4}", "<?xml version='1.0'?>", "# <html>"] {
        assert!(!looks_like_html(file.as_bytes()), "{file}");
    }
}

proptest::proptest! {
    #[test]
    fn no_head_makes_it_panic(
        status in 100u16..1000,
        lines in proptest::collection::vec((0usize..6, proptest::collection::vec(32u8..=255, 0..40)), 0..8),
        range in proptest::option::of((0u64.., 0u64..)),
        size in 0u64..,
        body in proptest::collection::vec(0u8.., 0..80),
    ) {
        let names = [CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, CONTENT_ENCODING, ETAG, LAST_MODIFIED];
        let mut map = HeaderMap::new();
        for (name, value) in lines {
            if let Ok(value) = HeaderValue::from_bytes(&value) {
                map.append(names[name].clone(), value);
            }
        }
        let expected = Expected { size, range, validator: None, html_is_fine: false };
        let _ = look(StatusCode::from_u16(status).unwrap(), &map, &expected);
        looks_like_html(&body);
    }

    #[test]
    fn a_content_range_is_read_as_it_is_written(first in 0u64..1 << 40, more in 0u64..1 << 40, rest in 1u64..1 << 40) {
        let (last, total) = (first + more, first + more + rest);
        let value = format!("bytes {first}-{last}/{total}").parse().unwrap();
        proptest::prop_assert_eq!(content_range(&value), Some((Some((first, last)), Some(total))));
    }

    #[test]
    fn no_content_range_makes_it_panic(text in "(bytes|)[ =]?[0-9*+-]{0,24}[-/]?[0-9*-]{0,24}[/]?[0-9*]{0,24}") {
        content_range(&text.parse().unwrap());
    }
}
