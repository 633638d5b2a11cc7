//! Moments and spans of time as people say them.

use std::time::Duration;

use crate::model::Timestamp;

/// How long `span` is, in its largest unit: `42 s`, `3 min`, `5 h`, `12 d`.
pub fn words(span: Duration) -> String {
    let seconds = span.as_secs();
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min", seconds / 60),
        3600..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// An RFC 3339 moment as seen from `now`: `3 min ago`, `in 5 s`; as it is where it is no moment.
pub fn relative(moment: &str, now: Timestamp) -> String {
    let Some(at) = Timestamp::parse_rfc3339(moment) else { return moment.to_owned() };
    match now >= at {
        true if now.since(at) < Duration::from_secs(1) => "just now".into(),
        true => format!("{} ago", words(now.since(at))),
        false => format!("in {}", words(at.since(now))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_told_from_now() {
        let now = Timestamp::parse_rfc3339("2026-11-20T12:00:00Z").unwrap();
        for (moment, told) in [
            ("2026-11-20T12:00:00Z", "just now"),
            ("2026-11-20T11:59:01Z", "59 s ago"),
            ("2026-11-20T11:57:00Z", "3 min ago"),
            ("2026-11-19T11:00:00Z", "25 h ago"),
            ("2026-11-10T12:00:00Z", "10 d ago"),
            ("2026-11-20T14:00:05+02:00", "in 5 s"),
            ("yesterday", "yesterday"),
        ] {
            assert_eq!(relative(moment, now), told);
        }
    }
}
