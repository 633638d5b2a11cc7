//! Where a request carries its token.

use std::borrow::Cow;
use std::fmt;

use data_encoding::BASE64;
use http::HeaderMap;
use http::header::{AUTHORIZATION, COOKIE};

/// The cookie of a browser in which somebody has put a token into the page.
pub const SESSION_COOKIE: &str = "waypost_token";
/// The parameter of a URL that carries a ticket.
pub const TICKET_PARAMETER: &str = "ticket";

/// What a request carries.
#[derive(Clone, PartialEq, Eq)]
pub enum Presented<'a> {
    /// Nothing.
    Nothing,
    /// A token in the `Authorization` header, which some tools repeat to where they are redirected.
    Header(Cow<'a, [u8]>),
    /// A token in the browser's cookie.
    Cookie(&'a str),
    /// Something in the header that carries no token: another scheme, or two headers.
    Unusable,
}

/// Where it stands, and never the token.
impl fmt::Debug for Presented<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nothing => "Nothing",
            Self::Header(_) => "Header",
            Self::Cookie(_) => "Cookie",
            Self::Unusable => "Unusable",
        })
    }
}

impl<'a> Presented<'a> {
    /// Looks at the header: `Bearer` (RFC 6750 section 2.1), `Basic` with the token as password, or as the user where the
    /// password is empty (RFC 7617), then at the cookie.
    pub fn of(headers: &'a HeaderMap) -> Self {
        let mut lines = headers.get_all(AUTHORIZATION).iter();
        match (lines.next(), lines.next()) {
            (None, _) => cookie(headers).map_or(Self::Nothing, Self::Cookie),
            (Some(_), Some(_)) => Self::Unusable,
            (Some(line), None) => token(line.as_bytes()).map_or(Self::Unusable, Self::Header),
        }
    }
}

/// As bytes: a token that is remembered is found without reading it.
fn token(line: &[u8]) -> Option<Cow<'_, [u8]>> {
    // As nearly all write it.
    if let Some(token @ [first, .., last]) = line.strip_prefix(b"Bearer ")
        && !(first.is_ascii_whitespace() || last.is_ascii_whitespace())
    {
        return Some(token.into());
    }
    let (scheme, rest) = parted(line, b' ')?;
    let rest = rest.trim_ascii();
    if scheme.eq_ignore_ascii_case(b"bearer") {
        return (!rest.is_empty()).then_some(rest.into());
    }
    if !scheme.eq_ignore_ascii_case(b"basic") {
        return None;
    }
    let pair = BASE64.decode(rest).ok()?;
    let (user, password) = parted(&pair, b':')?;
    let token = if password.is_empty() { user } else { password };
    (!token.is_empty()).then(|| token.to_owned().into())
}

/// What stands before and after the first such byte.
fn parted(bytes: &[u8], at: u8) -> Option<(&[u8], &[u8])> {
    let end = bytes.iter().position(|byte| *byte == at)?;
    Some((&bytes[..end], &bytes[end + 1..]))
}

/// The token in the cookie (RFC 6265 section 5.4).
fn cookie(headers: &HeaderMap) -> Option<&str> {
    let lines = headers.get_all(COOKIE).iter().filter_map(|line| line.to_str().ok());
    let mut pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(name, value)| *name == SESSION_COOKIE && !value.is_empty()).map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of<'h>(lines: &[(http::HeaderName, &str)], into: &'h mut HeaderMap) -> Presented<'h> {
        for (name, line) in lines {
            into.append(name, line.parse().unwrap());
        }
        Presented::of(into)
    }

    #[test]
    fn a_token_is_found_where_tools_put_it() {
        let header = |text: &'static str| Presented::Header(text.as_bytes().into());
        let basic = |pair: &str| format!("Basic {}", BASE64.encode(pair.as_bytes()));
        for (lines, presented) in [
            (vec![], Presented::Nothing),
            (vec![(AUTHORIZATION, "Bearer a.b.c".to_owned())], header("a.b.c")),
            (vec![(AUTHORIZATION, "bearer  a.b.c ".to_owned())], header("a.b.c")),
            (vec![(AUTHORIZATION, basic("ci:a.b.c"))], header("a.b.c")),
            (vec![(AUTHORIZATION, basic("a.b.c:"))], header("a.b.c")),
            (vec![(AUTHORIZATION, basic("ci:a:b"))], header("a:b")),
            (vec![(AUTHORIZATION, basic(":"))], Presented::Unusable),
            (vec![(AUTHORIZATION, "Basic ?".to_owned())], Presented::Unusable),
            (vec![(AUTHORIZATION, "Bearer".to_owned())], Presented::Unusable),
            (vec![(AUTHORIZATION, "Digest a=b".to_owned())], Presented::Unusable),
            (
                vec![(AUTHORIZATION, "Bearer a".to_owned()), (AUTHORIZATION, "Bearer b".to_owned())],
                Presented::Unusable,
            ),
            (vec![(COOKIE, "x=y; waypost_token=a.b.c; z=".to_owned())], Presented::Cookie("a.b.c")),
            (vec![(COOKIE, "waypost_token=".to_owned())], Presented::Nothing),
            (
                vec![(COOKIE, "waypost_token=c".to_owned()), (AUTHORIZATION, "Bearer a".to_owned())],
                header("a"),
            ),
        ] {
            let lines: Vec<_> = lines.iter().map(|(name, line)| (name.clone(), line.as_str())).collect();
            let mut headers = HeaderMap::new();
            assert_eq!(of(&lines, &mut headers), presented, "{lines:?}");
        }
    }
}
