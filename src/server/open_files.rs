//! How many files the system lets the process open: every connection is one, and so are the store and what is fetched.

use crate::config::Limits;

/// Where Linux says it.
const LIMITS: &str = "/proc/self/limits";

/// The limits with no more connections than leave a quarter of the files that may be open for everything else: clients that
/// open connections must not keep the store from writing or a mirror from being probed.
pub(super) fn within_open_files(listener: &str, limits: Limits) -> Limits {
    let files = std::fs::read_to_string(LIMITS).ok().and_then(|text| soft_limit(&text));
    let room = files.map_or(usize::MAX, |files| files - files / 4);
    if room < limits.connections {
        tracing::warn!(
            listener,
            "limits.connections is {}, but the system allows {} open files: {room} connections are accepted at once; \
             raise the limit (LimitNOFILE, ulimit -n)",
            limits.connections,
            files.unwrap_or_default(),
        );
    }
    Limits { connections: limits.connections.min(room), ..limits }
}

/// The limit in force; `None` where there is none.
fn soft_limit(text: &str) -> Option<usize> {
    let line = text.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_in_force_is_the_first_number_of_its_line() {
        let text = "Limit                     Soft Limit           Hard Limit           Units     \n\
                    Max processes             95801                95801                processes \n\
                    Max open files            1024                 524288               files     \n";
        assert_eq!(soft_limit(text), Some(1024));
        assert_eq!(soft_limit(&text.replace("1024  ", "unlimited")), None);
        assert_eq!(soft_limit(""), None);
    }
}
