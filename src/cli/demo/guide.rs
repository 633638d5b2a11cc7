//! What to try while the demonstration runs. Lines that begin with two spaces are commands.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

use super::scenery::{
    CLIENTS, CORRUPT_FILE, CORRUPT_MIRROR, MIRRORS, OLDER, PRODUCT, VERSION, platform, program_name,
};
use crate::app::Addresses;

/// The commands, with the addresses that were bound.
pub fn text(addresses: &Addresses, config_file: &Path) -> String {
    let public = addresses.public.first().copied().unwrap_or(SocketAddr::from(([127, 0, 0, 1], 8080)));
    let public = reachable(public);
    let (curl, at) = (curl(), format!("http://{public}/{PRODUCT}"));
    let (platform, program) = (platform(), program_name(VERSION));
    let [near_corrupt, .., far] = CLIENTS;
    let from = |address: &str| format!("-H 'X-Forwarded-For: {address}'");
    let near = from(near_corrupt.address);

    let mut text = format!(
        "ready: http://{public} redirects to {} mirrors; Ctrl-C stops it and removes all files\n\n\
         A client's address is played by a header, which is believed because this machine is a trusted proxy.\n",
        MIRRORS.len()
    );
    for client in CLIENTS {
        text +=
            &format!("\n# {} is sent to its nearest mirror: see Location and Waypost-Mirror\n", client.city);
        text += &format!("  {curl} -sI {} {at}/stable/{platform}\n", from(client.address));
    }
    text += "\n# Download it, and check it against the digest that the service vouches for\n";
    text += &format!(
        "  {curl} -sfL {near} -O {at}/{VERSION}/{program} && {curl} -sf {at}/{VERSION}/{program}.sha256 | sha256sum -c -\n"
    );
    text +=
        "\n# The mirrors in this client's order: as JSON, as lines, as a Metalink for download managers\n";
    text += &format!("  {curl} -sf {near} '{at}/stable/{program}?mirrors'\n");
    text += &format!("  {curl} -sf {} '{at}/{OLDER}/README.txt?mirrors=text'\n", from(far.address));
    text += &format!("  {curl} -sf {near} {at}/stable/{program}.meta4\n");
    text += "\n# That mirror failed? Ask for the next one\n";
    text += &format!("  {curl} -sI {near} '{at}/stable/{platform}?avoid={CORRUPT_MIRROR}'\n");
    text += &format!(
        "\n# The copy of {CORRUPT_FILE} on {CORRUPT_MIRROR} has one wrong byte: {} is sent elsewhere for this file\n",
        near_corrupt.city
    );
    text += &format!("  {curl} -sI {near} {at}/stable/{CORRUPT_FILE}\n");
    if let Some(admin) = addresses.admin {
        text += "\n# What the service counts\n";
        text += &format!("  {curl} -sf http://{admin}/metrics\n");
    }
    let program = std::env::current_exe().map_or_else(|_| "waypost".into(), |path| quoted(&path));
    let config = format!("--config {}", quoted(config_file));
    let address = near_corrupt.address;
    text += "\n# Why; what was seen of the corrupt copy; send nobody to Frankfurt for a while\n";
    text += &format!("  {program} explain /{PRODUCT}/stable/{CORRUPT_FILE} --from {address} {config}\n");
    text += &format!("  {program} mirror show {CORRUPT_MIRROR} {config}\n");
    text += &format!("  {program} mirror drain fra --reason 'trying it out' {config}\n");
    text += &format!("  {program} release list {config}\n");
    text
}

/// Where a listener on all addresses can be reached from here.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

/// curl, kept from a proxy where one is configured: it could not reach this machine's loopback.
fn curl() -> &'static str {
    let proxied = ["http_proxy", "all_proxy", "ALL_PROXY"].iter().any(|key| std::env::var_os(key).is_some());
    if proxied { "curl --noproxy '*'" } else { "curl" }
}

/// A path as a shell's word.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@%".contains(c);
    if text.chars().all(plain) { text } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_can_be_pasted_whatever_the_paths() {
        assert_eq!(quoted(Path::new("/tmp/a-b/waypost")), "/tmp/a-b/waypost");
        assert_eq!(quoted(Path::new("/tmp/it's here")), r"'/tmp/it'\''s here'");
        assert_eq!(reachable("0.0.0.0:80".parse().unwrap()).to_string(), "127.0.0.1:80");
        assert_eq!(reachable("[::]:80".parse().unwrap()).to_string(), "[::1]:80");
        assert_eq!(reachable("10.0.0.1:80".parse().unwrap()).to_string(), "10.0.0.1:80");
    }
}
