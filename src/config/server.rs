//! `[server]`, `[server.tls]`, `[limits]` and `[log]`: the service itself.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use tracing_subscriber::EnvFilter;

use super::reader::Section;
use super::value::{Value, quoted};
use super::values::{ClientHeader, Limits, Log, LogFormat, Server, TlsFiles};

const HOUR: Duration = Duration::from_secs(3600);
/// Most public listeners.
const LISTENERS_MAX: usize = 64;

/// `[server]`, `include` excepted.
pub(super) fn server(mut section: Section<'_>) -> Server {
    let listen =
        section.get("listen", listeners).unwrap_or_else(|| vec![SocketAddr::from(([0u16; 8], 8080))]);
    let admin = admin(&mut section, &listen);
    let tls = section.table("tls").and_then(tls);
    let words = [("x-forwarded-for", ClientHeader::XForwardedFor), ("forwarded", ClientHeader::Forwarded)];
    let server = Server {
        listen,
        admin,
        public_url: section.get("public_url", Value::host_url),
        trusted_proxies: section
            .get("trusted_proxies", |v| v.one_or_list(Value::network))
            .unwrap_or_default(),
        client_header: section
            .get("client_header", |v| v.word(&words))
            .unwrap_or(ClientHeader::XForwardedFor),
        state: state(&mut section),
        drain: section.get("drain", |v| v.duration(Duration::ZERO..=HOUR)).unwrap_or(Duration::from_secs(10)),
        tls,
    };
    section.finish();
    server
}

fn address(value: Value<'_>) -> Option<SocketAddr> {
    let example = "an address and a port, such as \"127.0.0.1:8080\" or \"[::]:8080\"";
    let text = value.text(example)?;
    match text.parse() {
        Ok(address) => Some(address),
        Err(_) => value
            .spot()
            .refuse(format!("{} is no address with a port", quoted(text)), format!("write {example}")),
    }
}

fn listeners(value: Value<'_>) -> Option<Vec<SocketAddr>> {
    let spot = value.spot().clone();
    let listen = value.one_or_list(address)?;
    let twice = listen.iter().enumerate().find(|(i, a)| a.port() != 0 && listen[..*i].contains(a));
    match twice {
        _ if listen.is_empty() => spot.refuse("is empty", "remove the key, or name an address and port"),
        _ if listen.len() > LISTENERS_MAX => {
            spot.refuse(format!("names more than {LISTENERS_MAX} addresses"), "remove some")
        }
        Some((_, address)) => spot.refuse(format!("names {address} twice"), "name each address once"),
        None => Some(listen),
    }
}

fn admin(section: &mut Section<'_>, listen: &[SocketAddr]) -> Option<SocketAddr> {
    let Some(value) = section.take("admin") else { return Some(SocketAddr::from(([127, 0, 0, 1], 9180))) };
    if matches!(value.as_str(), Some("" | "off")) {
        return None;
    }
    let spot = value.spot().clone();
    let admin = address(value)?;
    if admin.port() != 0 && listen.contains(&admin) {
        return spot
            .refuse(format!("{admin} is a public listener too"), "give the admin interface its own port");
    }
    Some(admin)
}

fn tls(mut section: Section<'_>) -> Option<TlsFiles> {
    let certificate = section.require("certificate", "\"tls/fullchain.pem\"", Value::path);
    let key_file = section.require("key_file", "\"tls/key.pem\"", Value::path);
    section.finish();
    Some(TlsFiles { certificate: certificate?, key_file: key_file? })
}

/// The state folder; `state` beside the file where none is named.
pub(super) fn state(section: &mut Section<'_>) -> PathBuf {
    let given = section.get("state", Value::path);
    given.unwrap_or_else(|| section.spot.source.folder().join("state"))
}

/// `[limits]`
pub(super) fn limits(mut section: Section<'_>) -> Limits {
    let default = Limits::default();
    let deadline = Duration::from_millis(10)..=HOUR;
    let limits = Limits {
        connections: section.get("connections", |v| v.integer(1..=1_000_000)).unwrap_or(default.connections),
        connections_per_client: section
            .get("connections_per_client", |v| v.integer(0..=1_000_000))
            .unwrap_or(default.connections_per_client),
        header_bytes: section
            .get("header_bytes", |v| v.size(8 << 10..=1 << 20))
            .and_then(|bytes| usize::try_from(bytes).ok())
            .unwrap_or(default.header_bytes),
        headers: section.get("headers", |v| v.integer(10..=1000)).unwrap_or(default.headers),
        first_byte: section.get("first_byte", |v| v.duration(deadline.clone())).unwrap_or(default.first_byte),
        header: section.get("header", |v| v.duration(deadline.clone())).unwrap_or(default.header),
        idle: section.get("idle", |v| v.duration(deadline.clone())).unwrap_or(default.idle),
        write: section.get("write", |v| v.duration(deadline)).unwrap_or(default.write),
        requests_per_connection: section
            .get("requests_per_connection", |v| v.integer(1..=1_000_000_000))
            .unwrap_or(default.requests_per_connection),
    };
    section.finish();
    limits
}

/// `[log]`
pub(super) fn log(mut section: Section<'_>) -> Log {
    let formats = [("auto", LogFormat::Auto), ("text", LogFormat::Text), ("json", LogFormat::Json)];
    let log = Log {
        format: section.get("format", |v| v.word(&formats)).unwrap_or(LogFormat::Auto),
        level: section.get("level", level).unwrap_or_else(|| "info".into()),
        access: section.get("access", Value::boolean).unwrap_or(false),
    };
    section.finish();
    log
}

fn level(value: Value<'_>) -> Option<String> {
    const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
    let example = "a level (off, error, warn, info, debug, trace) or a filter such as \"info,waypost=debug\"";
    let text = value.text(example)?;
    let is_level = |word: &str| LEVELS.iter().any(|level| level.eq_ignore_ascii_case(word.trim()));
    // A filter takes a word that is no level for the name of a module, so a typing error would turn logging on for a
    // module that does not exist and off for the rest.
    let misspelt = text.split(',').find(|part| !part.contains(['=', '[', ']']) && !is_level(part));
    match (misspelt, EnvFilter::try_new(text)) {
        (None, Ok(_)) => Some(text.to_owned()),
        (Some(part), _) => {
            value.spot().refuse(format!("{} is no log level", quoted(part)), format!("write {example}"))
        }
        (None, Err(error)) => {
            value.spot().refuse(format!("{}: {error}", quoted(text)), format!("write {example}"))
        }
    }
}
