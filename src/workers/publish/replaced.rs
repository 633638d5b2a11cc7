//! What was replaced and may still be read: it is the writer that frees it, never a request, which would wait. After a
//! reload that takes milliseconds.

use std::collections::VecDeque;
use std::sync::Arc;

/// Most that are kept. A thread that had no request since may hold one for long.
const MOST: usize = 16;

/// What was replaced, the oldest first.
#[derive(Debug)]
pub(super) struct Replaced<T>(VecDeque<Arc<T>>);

impl<T> Default for Replaced<T> {
    fn default() -> Self {
        Self(VecDeque::new())
    }
}

impl<T> Replaced<T> {
    /// Keeps it as long as somebody else does.
    pub(super) fn keep(&mut self, replaced: Arc<T>) {
        self.0.push_back(replaced);
        if self.0.len() > MOST {
            self.0.pop_front();
        }
    }

    /// Frees what nobody reads any more.
    pub(super) fn free(&mut self) {
        self.0.retain(|replaced| Arc::strong_count(replaced) > 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_somebody_reads_is_kept_until_nobody_does() {
        let mut replaced = Replaced::default();
        let (read, unread) = (Arc::new("read"), Arc::new("unread"));
        let (reader, gone) = (Arc::clone(&read), Arc::downgrade(&unread));
        replaced.keep(read);
        replaced.keep(unread);
        replaced.free();
        assert!(gone.upgrade().is_none());
        let last = Arc::downgrade(&reader);
        drop(reader);
        assert!(last.upgrade().is_some(), "the reader freed it");
        replaced.free();
        assert!(last.upgrade().is_none());
    }

    #[test]
    fn a_reader_that_never_comes_back_holds_a_few_and_no_more() {
        let mut replaced = Replaced::default();
        let readers: Vec<Arc<usize>> = (0..100).map(Arc::new).collect();
        readers.iter().for_each(|reader| replaced.keep(Arc::clone(reader)));
        replaced.free();
        assert_eq!(replaced.0.len(), MOST);
    }
}
