//! Published files of checksums, such as `SHA256SUMS`: what they say, and whether the manifest says the same.

use super::Release;
use super::checksums::{Entry, FileDigest, is_list_name, parse};

/// Largest file of checksums that is read, in bytes.
pub const CHECKSUMS_MAX: u64 = 1 << 20;

/// Whether an asset of this name holds SHA-256 checksums, as the tools that write them name it; any case.
pub fn is_checksums_name(name: &str) -> bool {
    let name = file_name(name).to_ascii_lowercase();
    name.ends_with(".sha256") || (is_list_name(&name) && !name.contains("sha512"))
}

/// How a release's file of checksums contradicts its manifest: it gives a file of the release another digest. Files that
/// the release does not have are no contradiction.
pub fn contradiction(release: &Release, listed_in: &str, text: &[u8]) -> Option<String> {
    let folder = &listed_in[..listed_in.len() - file_name(listed_in).len()];
    let its_own = listed_in.get(..listed_in.len().saturating_sub(".sha256".len())).unwrap_or_default();
    // What is no file of checksums says nothing that could be wrong.
    let entries = parse(text).unwrap_or_default().entries.into_iter();
    let mut wrong = entries.filter_map(|Entry { name, digest }| {
        let FileDigest::Sha256(sha256) = digest else { return None };
        let asset = match name {
            Some(name) => {
                // Names are as seen from the folder of the file; some tools write them as seen from the top.
                release.by_name(&format!("{folder}{name}")).or_else(|| release.by_name(&name))?
            }
            None => release.by_name(its_own)?,
        };
        let asset = release.asset(asset);
        (asset.sha256 != sha256).then_some((asset, sha256))
    });
    let (asset, sha256) = wrong.next()?;
    let text = format!("{listed_in} says {sha256} for {}, the manifest {}", asset.name, asset.sha256);
    match wrong.count() {
        0 => Some(text),
        more => Some(format!("{text}; and {more} more")),
    }
}

fn file_name(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::super::{Asset, Kind, ReleaseId, ReleaseParts};
    use super::*;
    use crate::model::{ProductName, Sha256, Version};
    use proptest::prelude::*;

    fn digest(n: u8) -> Sha256 {
        Sha256::new([n; 32])
    }

    fn release(names: &[&str]) -> Release {
        let kind = Kind::from_manifest(None);
        let assets = names.iter().zip(1..).map(|(name, n)| Asset::new(name, 1, digest(n), None, kind));
        let (product, version) = (ProductName::new("tool").unwrap(), Version::parse("1.0").unwrap());
        Release::new(ReleaseParts {
            id: ReleaseId { product, version },
            published_at: None,
            notes_url: None,
            channels: vec![],
            assets: assets.collect(),
            platforms: vec![],
            manifest_sha256: digest(0),
        })
    }

    #[test]
    fn files_of_checksums_are_known_by_their_names() {
        for name in [
            "SHA256SUMS",
            "a/sha256sums",
            "SHA256SUM.txt",
            "checksums.txt",
            "sha256.sum",
            "tool_1.8.2_checksums.txt",
            "a.tar.gz.sha256",
        ] {
            assert!(is_checksums_name(name), "{name}");
        }
        for name in ["SHA512SUMS", "SHA256SUMS.minisig", "sha256", "sha512.sum", "tool-checksums.txt.gz"] {
            assert!(!is_checksums_name(name), "{name}");
        }
    }

    #[test]
    fn another_digest_for_a_file_of_the_release_is_a_contradiction() {
        let release = release(&["a", "sub/a", "a.sha256"]);
        let line = |n: u8, name: &str| format!("{}  {name}\n", digest(n));
        let says = |listed_in: &str, text: &str| contradiction(&release, listed_in, text.as_bytes());
        assert_eq!(says("SHA256SUMS", &(line(1, "a") + &line(2, "./sub/a") + &line(9, "elsewhere"))), None);
        assert_eq!(says("sub/SHA256SUMS", &(line(2, "a") + &line(2, "sub/a"))), None);
        let text = says("SHA256SUMS", &(line(2, "a") + &line(9, "sub/a"))).unwrap();
        assert!(text.contains(&format!("says {} for a", digest(2))), "{text}");
        assert!(text.ends_with("; and 1 more"), "{text}");
        assert_eq!(says("a.sha256", &format!("{}\n", digest(1))), None);
        assert!(says("a.sha256", &digest(3).to_string()).is_some());
        assert_eq!(says("SHA256SUMS", &digest(3).to_string()), None, "a digest of nothing");
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in proptest::collection::vec(any::<u8>(), 0..200), name in ".{0,12}") {
            contradiction(&release(&["a"]), &name, &text);
        }
    }
}
