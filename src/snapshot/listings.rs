//! What `releases.json` of a product says, written when first asked for: once for everybody, or once for all whose rules say
//! the same. It may be megabytes, and takes as long to write as ten thousand redirects.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use bytes::Bytes;

use crate::config::Allow;

/// Most bytes of documents for some that are kept for a product, beside the one that was asked for last.
const KEPT_BYTES: usize = 64 << 20;
/// Most of them: they are looked through one by one.
const KEPT_MAX: usize = 64;

/// What `releases.json` of a product says; the same for all views that say the same.
#[derive(Debug, Default)]
pub struct Listings {
    everything: OnceLock<Bytes>,
    /// The one that was asked for last comes first.
    parts: Mutex<Vec<Part>>,
}

/// What those are told to whom these rules give something.
#[derive(Debug, Clone)]
struct Part {
    rules: Arc<[Arc<Allow>]>,
    document: Arc<OnceLock<Bytes>>,
}

impl Listings {
    /// All of it.
    pub fn everything(&self, write: impl FnOnce() -> Bytes) -> Bytes {
        self.everything.get_or_init(write).clone()
    }

    /// What these rules give of it. They have to be those that hold for the client's region now: then nothing else decides.
    pub fn part(&self, rules: Vec<Arc<Allow>>, write: impl FnOnce() -> Bytes) -> Bytes {
        let document = self.find(rules);
        let mut is_new = false;
        let bytes = document.get_or_init(|| {
            is_new = true;
            write()
        });
        if is_new {
            self.forget();
        }
        bytes.clone()
    }

    /// The document for these rules, written or not.
    fn find(&self, rules: Vec<Arc<Allow>>) -> Arc<OnceLock<Bytes>> {
        let mut parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
        let at = parts.iter().position(|part| *part.rules == *rules);
        let found = at.map(|at| parts.remove(at));
        let part = found.unwrap_or_else(|| Part { rules: rules.into(), document: Arc::default() });
        parts.insert(0, part.clone());
        parts.truncate(KEPT_MAX);
        part.document
    }

    /// Forgets what was asked for longest ago, where all together is too much.
    fn forget(&self) {
        let mut parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
        let mut bytes = 0;
        let fits = |part: &&Part| {
            bytes += part.document.get().map_or(0, Bytes::len);
            bytes <= KEPT_BYTES
        };
        let kept = parts.iter().skip(1).take_while(fits).count();
        parts.truncate(1 + kept);
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::config::ProductPattern;
    use crate::model::{ProductName, Timestamp};

    /// A rule that differs from others by its number.
    fn rule(number: i64) -> Arc<Allow> {
        Arc::new(Allow {
            product: ProductPattern::Name(ProductName::new("agent").unwrap()),
            channels: vec![],
            versions: None,
            platforms: vec![],
            regions: vec![],
            from: Some(Timestamp::from_millis(number)),
            until: None,
            assets: None,
        })
    }

    #[test]
    fn a_document_is_written_once_for_all_whose_rules_say_the_same() {
        let (listings, written) = (Listings::default(), Cell::new(0));
        let part = |rules: &[i64]| {
            let write = || {
                written.set(written.get() + 1);
                Bytes::from(format!("{rules:?}"))
            };
            listings.part(rules.iter().map(|number| rule(*number)).collect(), write)
        };
        for _ in 0..3 {
            for rules in [&[1][..], &[2], &[1, 2], &[]] {
                assert_eq!(part(rules), format!("{rules:?}"));
            }
        }
        assert_eq!(written.get(), 4);
        assert_eq!(listings.everything(|| Bytes::from("all")), "all");
        assert_eq!(listings.everything(|| unreachable!("it was written")), "all");
    }

    #[test]
    fn so_many_are_kept_and_those_that_were_asked_for_last() {
        let listings = Listings::default();
        let is_kept = |number| {
            let is_new = Cell::new(false);
            listings.part(vec![rule(number)], || {
                is_new.set(true);
                Bytes::new()
            });
            !is_new.get()
        };
        let most = KEPT_MAX as i64;
        assert!((0..most).all(|number| !is_kept(number)));
        assert!(is_kept(0), "and is now the last that was asked for");
        assert!(!is_kept(most));
        assert!(is_kept(0) && !is_kept(1));
    }

    #[test]
    fn so_many_bytes_are_kept_beside_the_document_that_was_asked_for_last() {
        let listings = Listings::default();
        let lengths = || -> Vec<usize> {
            let parts = listings.parts.lock().unwrap();
            parts.iter().map(|part| part.document.get().unwrap().len()).collect()
        };
        let write = |number, length| drop(listings.part(vec![rule(number)], || vec![0; length].into()));
        write(1, KEPT_BYTES / 2);
        write(2, KEPT_BYTES / 2);
        write(3, KEPT_BYTES + 1);
        assert_eq!(lengths(), [KEPT_BYTES + 1, KEPT_BYTES / 2, KEPT_BYTES / 2]);
        write(4, 1);
        assert_eq!(lengths(), [1], "it is too long to be kept, and those before it are older");
    }
}
