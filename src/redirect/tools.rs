//! What tools do with a token when they are redirected. Seen with the versions of Debian 12.

use http::HeaderMap;
use http::header::USER_AGENT;

/// What a tool does with the `Authorization` header when it is sent to another host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Habit {
    /// It leaves it behind.
    Forgets,
    /// It sends it along.
    Repeats,
    /// Nobody knows.
    Unknown,
}

/// How the agents begin that leave the header behind.
const FORGETFUL: [&str; 13] = [
    "curl/",
    "python-requests/",
    "pip/",
    "node",
    "undici",
    "axios/",
    "go-http-client/",
    "debian apt",
    "git/",
    "homebrew/",
    "npm/",
    "mozilla/",
    "uv/",
];

/// How the agents begin that send it along.
const REPEATING: [&str; 5] = ["wget/", "wget2/", "aria2/", "python-urllib/", "http-tiny/"];

/// Whether the tool goes by a redirect's links rather than by its `Location`: wget2, which takes the signature of such a link
/// for a part of the file's name, does not resume it, and tells the mirror in `Referer` whence it came.
pub fn follows_links(headers: &HeaderMap) -> bool {
    let agent = headers.get(USER_AGENT).map_or(&b""[..], |agent| agent.as_bytes());
    agent.starts_with(b"wget2/")
}

/// The habit of the tool that sends these headers.
pub fn habit(headers: &HeaderMap) -> Habit {
    let Some(agent) = headers.get(USER_AGENT).and_then(|agent| agent.to_str().ok()) else {
        return Habit::Unknown;
    };
    let begins = |name: &&str| agent.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name));
    if FORGETFUL.iter().any(&begins) {
        Habit::Forgets
    } else if REPEATING.iter().any(begins) {
        Habit::Repeats
    } else {
        Habit::Unknown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tools_are_known_by_their_agents() {
        let of = |agent: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(USER_AGENT, agent.parse().unwrap());
            habit(&headers)
        };
        for agent in [
            "curl/7.88.1",
            "python-requests/2.28.1",
            "Debian APT-HTTP/1.3 (2.6.1)",
            "node",
            "Go-http-client/2.0",
        ] {
            assert_eq!(of(agent), Habit::Forgets, "{agent}");
        }
        for agent in ["Wget/1.21.3", "wget2/2.0.1", "aria2/1.36.0", "Python-urllib/3.11", "HTTP-Tiny/0.080"] {
            assert_eq!(of(agent), Habit::Repeats, "{agent}");
        }
        for agent in ["", "my-installer/1.0", "cur", "é"] {
            assert_eq!(of(agent), Habit::Unknown, "{agent}");
        }
        assert_eq!(habit(&HeaderMap::new()), Habit::Unknown);
    }

    #[test]
    fn wget2_alone_goes_by_links() {
        for (agent, follows) in [("wget2/1.99.1", true), ("Wget/1.21.3", false), ("aria2/1.36.0", false)] {
            let headers = HeaderMap::from_iter([(USER_AGENT, agent.parse().unwrap())]);
            assert_eq!(follows_links(&headers), follows, "{agent}");
        }
        assert!(!follows_links(&HeaderMap::new()));
    }
}
