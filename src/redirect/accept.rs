//! What an `Accept` header asks for (RFC 9110 section 12.5.1).

use http::HeaderMap;
use http::header::ACCEPT;

/// What a client would rather have than the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// The file: what nearly everybody wants, whatever else their tool can read.
    File,
    /// A Metalink.
    Metalink,
    /// The mirrors as JSON.
    Json,
}

/// Most list elements of an Accept header that are looked at.
const ELEMENTS_MAX: usize = 64;

/// The quality of each media range that matters here, in thousandths; `None` where it is not named.
#[derive(Debug, Default)]
struct Qualities {
    metalink: Option<u16>,
    json: Option<u16>,
    problem: Option<u16>,
    text: Option<u16>,
    html: Option<u16>,
    any: Option<u16>,
}

impl Qualities {
    fn read(headers: &HeaderMap) -> Self {
        let mut qualities = Self::default();
        let lines = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
        for element in lines.flat_map(|line| line.split(',')).take(ELEMENTS_MAX) {
            let mut parts = element.split(';').map(str::trim);
            let range = parts.next().unwrap_or_default();
            if let Some(slot) = qualities.slot(range) {
                *slot = Some(parts.find_map(quality).unwrap_or(1000));
            }
        }
        qualities
    }

    /// Where the quality of a media range is kept; `None` for one that does not matter here.
    fn slot(&mut self, range: &str) -> Option<&mut Option<u16>> {
        let slots = [
            ("application/metalink4+xml", &mut self.metalink),
            ("application/json", &mut self.json),
            ("application/problem+json", &mut self.problem),
            ("text/plain", &mut self.text),
            ("text/html", &mut self.html),
            ("*/*", &mut self.any),
        ];
        slots.into_iter().find(|(name, _)| range.eq_ignore_ascii_case(name)).map(|(_, slot)| slot)
    }
}

/// `q=0.8` as thousandths; RFC 9110 section 12.4.2.
fn quality(parameter: &str) -> Option<u16> {
    let (name, value) = parameter.split_once('=')?;
    if !name.trim().eq_ignore_ascii_case("q") {
        return None;
    }
    let q: f32 = value.trim().parse().ok()?;
    Some((q.clamp(0.0, 1.0) * 1000.0) as u16)
}

/// What a request asks for. aria2 and axios name lists beside `*/*` and still want the file, so only a preference over
/// `*/*` counts.
pub fn wanted(headers: &HeaderMap) -> Wanted {
    let qualities = Qualities::read(headers);
    let any = qualities.any.unwrap_or(0);
    let (metalink, json) = (qualities.metalink.unwrap_or(0), qualities.json.unwrap_or(0));
    if metalink > any && metalink >= json {
        Wanted::Metalink
    } else if json > any {
        Wanted::Json
    } else {
        Wanted::File
    }
}

/// How an error is best told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// `application/problem+json` (RFC 9457).
    Problem,
    /// A short page.
    Page,
    /// One line of text.
    Line,
}

/// How a client would like to be told of an error.
pub fn told(headers: &HeaderMap) -> Told {
    let qualities = Qualities::read(headers);
    let json = qualities.json.max(qualities.problem).or(qualities.any);
    if qualities.html > json.max(qualities.text) {
        Told::Page
    } else if qualities.text.max(qualities.html) > json {
        Told::Line
    } else {
        Told::Problem
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(accept: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, accept.parse().unwrap());
        headers
    }

    #[test]
    fn only_a_preference_over_anything_asks_for_a_list() {
        for (accept, wants) in [
            ("*/*", Wanted::File),
            // aria2 1.36
            ("*/*,application/metalink4+xml,application/metalink+xml", Wanted::File),
            // axios
            ("application/json, text/plain, */*", Wanted::File),
            // a browser
            ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", Wanted::File),
            ("application/metalink4+xml", Wanted::Metalink),
            ("application/metalink4+xml, */*;q=0.5", Wanted::Metalink),
            ("application/metalink4+xml;q=0.4, */*;q=0.5", Wanted::File),
            ("application/json", Wanted::Json),
            ("application/json;q=0.9, */*;q=0.1, application/metalink4+xml;q=0.2", Wanted::Json),
            ("application/json;q=0", Wanted::File),
            ("application/json;q=garbage", Wanted::Json),
            (",,;;q=,", Wanted::File),
        ] {
            assert_eq!(wanted(&headers(accept)), wants, "{accept}");
        }
        assert_eq!(wanted(&HeaderMap::new()), Wanted::File);
    }

    #[test]
    fn errors_are_told_as_asked() {
        assert_eq!(told(&HeaderMap::new()), Told::Problem);
        assert_eq!(told(&headers("*/*")), Told::Problem);
        assert_eq!(told(&headers("text/plain")), Told::Line);
        assert_eq!(told(&headers("text/html,*/*;q=0.8")), Told::Page);
        assert_eq!(told(&headers("text/html, text/plain, */*;q=0.8")), Told::Line);
        assert_eq!(told(&headers("application/json, text/plain;q=0.5")), Told::Problem);
    }
}
