//! Which file comes when: releases one after the other, and in each what belongs to a file after that file.

use std::collections::{HashMap, VecDeque};

use super::wanted::Wanted;
use crate::catalog::checksums::is_list_name;

/// What waits for what.
#[derive(Debug)]
pub(super) struct Order {
    /// Releases that have not begun, in order.
    to_begin: VecDeque<usize>,
    releases: Vec<Release>,
    files: Vec<File>,
    ready: VecDeque<usize>,
}

#[derive(Debug, Default)]
struct Release {
    /// Files by how many others they stand on, those that stand on none first.
    levels: VecDeque<Vec<usize>>,
    /// Files of the level that is under way.
    open: usize,
    failed: bool,
}

#[derive(Debug, Default)]
struct File {
    release: usize,
    /// The file that it belongs to; a list of checksums belongs to all.
    of: Option<usize>,
    failed: bool,
}

impl Order {
    pub fn new(wanted: &[Wanted]) -> Self {
        let mut numbers: HashMap<_, usize> = HashMap::new();
        let mut members: Vec<Vec<usize>> = Vec::new();
        for (i, file) in wanted.iter().enumerate() {
            let number = *numbers.entry(&file.release).or_insert(members.len());
            if number == members.len() {
                members.push(Vec::new());
            }
            members[number].push(i);
        }
        let mut order = Self {
            to_begin: (0..members.len()).collect(),
            releases: Vec::with_capacity(members.len()),
            files: wanted.iter().map(|_| File::default()).collect(),
            ready: VecDeque::new(),
        };
        for members in members {
            order.add_release(wanted, members);
        }
        order
    }

    fn add_release(&mut self, wanted: &[Wanted], mut members: Vec<usize>) {
        let by_name: HashMap<&str, usize> = members.iter().map(|i| (wanted[*i].asset.as_str(), *i)).collect();
        let mut depths: HashMap<usize, usize> = HashMap::new();
        let mut levels: VecDeque<Vec<usize>> = VecDeque::new();
        // A file's name is longer than that of the file that it belongs to; among equals the given order stays.
        members.sort_by_key(|i| wanted[*i].asset.len());
        for i in members {
            let name = wanted[i].asset.as_str();
            let of = name.rmatch_indices('.').find_map(|(dot, _)| by_name.get(&name[..dot])).copied();
            let depth = match of {
                Some(of) => depths.get(&of).copied().unwrap_or(0) + 1,
                None => usize::from(is_checksums(name)),
            };
            depths.insert(i, depth);
            self.files[i] = File { release: self.releases.len(), of, failed: false };
            if levels.len() <= depth {
                levels.resize(depth + 1, Vec::new());
            }
            levels[depth].push(i);
        }
        self.releases.push(Release { levels, open: 0, failed: false });
    }

    /// The next file that may be copied; `None`: only when others are done, if at all.
    pub fn next(&mut self) -> Option<usize> {
        loop {
            if let Some(i) = self.ready.pop_front() {
                return Some(i);
            }
            let release = self.to_begin.pop_front()?;
            // Nothing has failed yet that could hold anything back.
            self.go_on(release);
        }
    }

    /// Notes the end of a file. Returns those that are held back because of it.
    pub fn done(&mut self, i: usize, good: bool) -> Vec<usize> {
        let release = self.files[i].release;
        self.files[i].failed = !good;
        self.releases[release].failed |= !good;
        self.releases[release].open -= 1;
        if self.releases[release].open == 0 { self.go_on(release) } else { Vec::new() }
    }

    /// Begins the next level that has something to do.
    fn go_on(&mut self, release: usize) -> Vec<usize> {
        let mut held_back = Vec::new();
        while self.releases[release].open == 0
            && let Some(level) = self.releases[release].levels.pop_front()
        {
            let any_failed = self.releases[release].failed;
            for i in level.into_iter().rev() {
                let stands_on_failure = self.files[i].of.map_or(any_failed, |of| self.files[of].failed);
                if !stands_on_failure {
                    self.releases[release].open += 1;
                    self.ready.push_front(i);
                } else {
                    self.files[i].failed = true;
                    held_back.push(i);
                }
            }
        }
        held_back
    }
}

/// Whether a file tells the checksums of a whole release: `SHA256SUMS`, `tool_1.8.2_checksums.txt`.
fn is_checksums(name: &str) -> bool {
    // Of whichever algorithm: `MD5SUMS` is read by nobody here, and by others.
    is_list_name(name) || name.to_ascii_lowercase().trim_end_matches(".txt").ends_with("sums")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::wanted::{Source, TargetPath};
    use super::*;
    use crate::catalog::ReleaseId;
    use crate::model::{AssetPath, ProductName, Sha256, Version};

    fn wanted(version: &str, asset: &str) -> Wanted {
        let release = ReleaseId {
            product: ProductName::new("tool").unwrap(),
            version: Version::parse(version).unwrap(),
        };
        let asset = AssetPath::new(asset).unwrap();
        Wanted {
            path: TargetPath::of(&release, &asset).unwrap(),
            source: Source::File("/".into()),
            size: 1,
            sha256: Sha256::new([0; 32]),
            release: Arc::new(release),
            asset,
        }
    }

    /// Everything that is ready, by name.
    fn ready(order: &mut Order, files: &[Wanted]) -> Vec<(usize, String)> {
        std::iter::from_fn(|| order.next()).map(|i| (i, files[i].asset.to_string())).collect()
    }

    #[test]
    fn what_belongs_to_a_file_comes_after_it() {
        let names = ["SHA256SUMS.minisig", "a.gz.sha256", "SHA256SUMS", "a.gz", "b", "a.gz.sha256.asc"];
        let files: Vec<Wanted> = names.iter().map(|name| wanted("1.0", name)).collect();
        let mut order = Order::new(&files);
        let mut seen = Vec::new();
        loop {
            let mut wave = ready(&mut order, &files);
            if wave.is_empty() {
                break;
            }
            for (i, _) in &wave {
                assert!(order.done(*i, true).is_empty());
            }
            wave.sort();
            seen.push(wave.into_iter().map(|(_, name)| name).collect::<Vec<_>>());
        }
        let expected: [&[&str]; 3] =
            [&["a.gz", "b"], &["a.gz.sha256", "SHA256SUMS"], &["SHA256SUMS.minisig", "a.gz.sha256.asc"]];
        assert_eq!(seen, expected);
    }

    #[test]
    fn a_list_of_checksums_is_known_by_its_name_of_whichever_algorithm() {
        for name in ["SHA256SUMS", "sha256.sum", "tool_1.8.2_checksums.txt", "MD5SUMS", "b2sums.txt"] {
            assert!(is_checksums(name), "{name}");
        }
        assert!(!is_checksums("tool.zip.sha256") && !is_checksums("sums.tar.gz"));
    }

    #[test]
    fn a_file_that_failed_holds_back_what_belongs_to_it_and_nothing_else() {
        let names = ["a", "a.asc", "a.asc.sha256", "b", "b.asc", "SHA256SUMS"];
        let mut files: Vec<Wanted> = names.iter().map(|name| wanted("1.0", name)).collect();
        files.push(wanted("2.0", "a"));
        let mut order = Order::new(&files);
        assert_eq!(ready(&mut order, &files).len(), 3, "the next release does not wait");
        assert!(order.done(3, true).is_empty());
        let mut held = order.done(0, false);
        held.sort_unstable();
        assert_eq!(held, [1, 5]);
        assert_eq!(ready(&mut order, &files), [(4, "b.asc".to_owned())]);
        assert_eq!(order.done(4, true), [2]);
        assert!(order.done(6, true).is_empty());
        assert_eq!(order.next(), None);
    }
}
