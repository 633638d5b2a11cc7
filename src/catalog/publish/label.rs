//! What a file's name says of it: platform, kind, and the files that go with it.

use std::collections::BTreeMap;

use crate::catalog::checksums::is_list_name;

/// Suffixes of files that belong to the file they are named after.
const SIDECARS: &[&str] = &[
    ".minisig",
    ".sig",
    ".asc",
    ".sha256",
    ".sha512",
    ".pem",
    ".crt",
    ".sbom",
    ".sbom.json",
    ".spdx.json",
    ".cdx.json",
    ".intoto.jsonl",
    ".sigstore",
    ".sigstore.json",
];

/// Suffixes, in lower case, and the kind that they tell; the first that fits decides.
const KINDS: &[(&str, &[&str])] = &[
    ("signature", &[".minisig", ".sig", ".asc", ".p7s"]),
    ("certificate", &[".pem", ".crt"]),
    ("sbom", &[".sbom.json", ".spdx.json", ".cdx.json", ".bom.json", ".spdx", ".sbom"]),
    ("provenance", &[".intoto.jsonl", ".sigstore.json", ".sigstore", ".provenance.json"]),
    ("checksum", &[".sha256", ".sha512", ".sha1", ".md5", "sha256sums", "sha512sums", "checksums.txt"]),
    (
        "image",
        &[".iso", ".img", ".img.gz", ".img.xz", ".img.zst", ".qcow2", ".vhd", ".vhdx", ".vmdk", ".ova"],
    ),
    (
        "package",
        &[".deb", ".rpm", ".apk", ".pkg.tar.zst", ".snap", ".flatpak", ".nupkg", ".whl", ".jar", ".gem"],
    ),
    (
        "installer",
        &[".msi", ".msix", ".pkg", ".dmg", "setup.exe", "installer.exe", "install.sh", "install.ps1"],
    ),
    ("archive", &[".zip", ".7z", ".tar", ".tgz", ".txz", ".gz", ".xz", ".zst", ".bz2"]),
    ("binary", &[".exe", ".appimage"]),
];

/// Kinds that are for a platform: what somebody who asks for a platform wants.
const INSTALLABLE: &[&str] = &["archive", "binary", "installer", "package", "image"];

/// Words in names and the operating system they tell.
const SYSTEMS: &[(&str, &[&str])] = &[
    ("linux", &["linux"]),
    ("darwin", &["darwin", "macos", "osx", "mac", "apple"]),
    ("windows", &["windows", "win", "win32", "win64"]),
    ("freebsd", &["freebsd"]),
    ("openbsd", &["openbsd"]),
    ("netbsd", &["netbsd"]),
    ("illumos", &["illumos"]),
    ("android", &["android"]),
];

/// Words in names and the processor they tell.
const PROCESSORS: &[(&str, &[&str])] = &[
    ("amd64", &["amd64", "x64", "win64"]),
    ("arm64", &["arm64", "aarch64"]),
    ("armv7", &["armv7", "armv7l", "armhf"]),
    ("armv6", &["armv6", "armv6l"]),
    ("386", &["386", "i386", "i686", "x86"]),
    ("riscv64", &["riscv64", "riscv64gc"]),
    ("ppc64le", &["ppc64le", "powerpc64le"]),
    ("s390x", &["s390x"]),
    ("loong64", &["loong64", "loongarch64"]),
];

/// Suffixes that tell the operating system where no word does.
const SYSTEM_SUFFIXES: &[(&str, &[&str])] = &[
    ("linux", &[".deb", ".rpm", ".snap", ".flatpak", ".appimage"]),
    ("windows", &[".exe", ".msi", ".msix"]),
    ("darwin", &[".dmg", ".pkg"]),
];

/// What a name says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::catalog) struct Label {
    pub kind: Option<&'static str>,
    /// `<system>-<processor>`; both for a universal macOS file.
    pub platforms: Vec<String>,
}

/// The kind that a file's name tells.
pub fn kind_of_name(name: &str) -> Option<&'static str> {
    let base = name.rsplit('/').next().unwrap_or(name).to_lowercase();
    kind_of_base(&base)
}

fn kind_of_base(base: &str) -> Option<&'static str> {
    let told = KINDS.iter().find(|(_, suffixes)| ends_with_any(base, suffixes)).map(|(kind, _)| *kind);
    told.or_else(|| is_list_name(base).then_some("checksum"))
}

/// Reads a name; what it does not say stays empty.
pub(in crate::catalog) fn read(name: &str) -> Label {
    let base = name.rsplit('/').next().unwrap_or(name).to_lowercase();
    let platforms = platforms(&base);
    let told = kind_of_base(&base);
    // `tool-1.8.2-linux-amd64`: what follows the last dot is no extension.
    let bare = base
        .rsplit_once('.')
        .is_none_or(|(_, end)| end.contains(['-', '_']) || end.starts_with(char::is_numeric));
    let kind = told.or_else(|| (bare && !platforms.is_empty()).then_some("binary"));
    let wanted = kind.is_some_and(|kind| INSTALLABLE.contains(&kind));
    Label { kind, platforms: if wanted { platforms } else { Vec::new() } }
}

fn ends_with_any(base: &str, suffixes: &[&str]) -> bool {
    suffixes.iter().any(|suffix| base.ends_with(suffix))
}

/// The platforms that a text in lower case names: a file's name, or a target triple.
pub(in crate::catalog) fn platforms(base: &str) -> Vec<String> {
    let text = base.replace("x86_64", "amd64").replace("x86-64", "amd64");
    let words: Vec<&str> = text.split(|c: char| !c.is_ascii_alphanumeric()).collect();
    let told = |table: &[(&'static str, &[&str])]| {
        table
            .iter()
            .find(|(_, spellings)| words.iter().any(|word| spellings.contains(word)))
            .map(|(name, _)| *name)
    };
    let by_suffix =
        || SYSTEM_SUFFIXES.iter().find(|(_, suffixes)| ends_with_any(base, suffixes)).map(|(name, _)| *name);
    let Some(system) = told(SYSTEMS).or_else(by_suffix) else { return Vec::new() };
    match told(PROCESSORS) {
        Some(processor) => vec![format!("{system}-{processor}")],
        None if system == "darwin" && words.iter().any(|word| matches!(*word, "all" | "universal")) => {
            vec!["darwin-amd64".into(), "darwin-arm64".into()]
        }
        None => Vec::new(),
    }
}

/// The name of the file that a sidecar is named after; several where the sidecar's suffix can be read in two ways.
pub(in crate::catalog) fn bases(name: &str) -> impl Iterator<Item = &str> {
    SIDECARS.iter().filter_map(|suffix| name.strip_suffix(suffix))
}

/// For each name that has sidecars among `names`, the positions of these. `names` gives each name's position.
pub(super) fn sidecars(names: &BTreeMap<&str, usize>) -> Vec<(usize, usize)> {
    let base_of = |name: &str| bases(name).find_map(|base| names.get(base)).copied();
    names.iter().filter_map(|(name, sidecar)| Some((base_of(name)?, *sidecar))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_platform_and_kind_as_publishers_write_them() {
        for (name, kind, platform) in [
            ("tool_linux_amd64.tar.gz", "archive", "linux-amd64"),
            ("tool-1.8.2-x86_64-unknown-linux-musl.tar.xz", "archive", "linux-amd64"),
            ("tool-aarch64-apple-darwin.zip", "archive", "darwin-arm64"),
            ("tool_Darwin_all.tar.gz", "archive", "darwin-amd64 darwin-arm64"),
            ("tool-v1.8.2-linux-amd64", "binary", "linux-amd64"),
            ("bin/linux/tool-x64.exe", "binary", "windows-amd64"),
            ("tool-win64.zip", "archive", "windows-amd64"),
            ("tool_1.8.2_arm64.deb", "package", "linux-arm64"),
            ("tool-setup.exe", "installer", ""),
            ("Tool-x86_64.AppImage", "binary", "linux-amd64"),
            ("tool-i686.msi", "installer", "windows-386"),
            ("tool_linux_amd64.tar.gz.minisig", "signature", ""),
            ("sha256.sum", "checksum", ""),
            ("tool_linux_amd64.tar.gz.spdx.json", "sbom", ""),
            ("tool_linux_amd64.intoto.jsonl", "provenance", ""),
            ("SHA256SUMS", "checksum", ""),
            ("tool_1.8.2_checksums.txt", "checksum", ""),
            ("disk.img.xz", "image", ""),
            ("README.md", "", ""),
            ("LICENSE", "", ""),
            ("linux-amd64.txt", "", ""),
        ] {
            let label = read(name);
            assert_eq!((label.kind.unwrap_or(""), &*label.platforms.join(" ")), (kind, platform), "{name}");
        }
    }

    #[test]
    fn sidecars_need_the_file_that_they_are_named_after() {
        let names = ["a.zip", "a.zip.minisig", "a.zip.spdx.json", "a.zip.spdx.json.asc", "lonely.sig"];
        let names = names.iter().enumerate().map(|(i, name)| (*name, i)).collect();
        assert_eq!(sidecars(&names), [(0, 1), (0, 2), (2, 3)]);
    }
}
