//! From a URL to a connection, each phase timed apart.

use std::fmt::Display;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tokio_rustls::TlsConnector;
use url::{Host, Url};

use super::exchange::Stream;
use super::failure::{Evidence, Families, Trouble};
use super::hosts::is_global;
use super::proxy::Proxy;
use crate::model::CopyFault;

/// Most addresses of one host that are tried.
const ADDRESSES_MAX: usize = 8;

/// Most names that are resolved at once. The system's resolver cannot be interrupted and holds a thread; when it hangs,
/// the threads for files and the store must not go with it.
const LOOKUPS_MAX: usize = 32;

/// How long an address may stay silent before the next is tried beside it (RFC 8305 section 5).
const NEXT_ADDRESS_AFTER: Duration = Duration::from_millis(250);

/// Where a connection may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// The configuration names the host.
    Anywhere,
    /// A redirect named it: only where every address is globally routable.
    GlobalOnly,
}

/// Opens connections.
pub(super) struct Dialer {
    tls: Arc<ClientConfig>,
    pub(super) proxy: Option<Proxy>,
    lookups: Arc<Semaphore>,
}

impl Dialer {
    pub(super) fn new(tls: Arc<ClientConfig>, proxy: Option<Proxy>) -> Self {
        Self { tls, proxy, lookups: Arc::new(Semaphore::new(LOOKUPS_MAX)) }
    }

    /// Resolves, connects, and for https shakes hands; notes in `evidence` how long each took.
    pub(super) async fn dial(
        &self,
        url: &Url,
        reach: Reach,
        evidence: &mut Evidence,
    ) -> Result<Box<dyn Stream>, Trouble> {
        let began = Instant::now();
        let next_hop = match &self.proxy {
            Some(proxy) => {
                refuse_private_literal(url, reach)?;
                &proxy.url
            }
            None => url,
        };
        let mut addresses = self.resolve(next_hop).await?;
        if matches!(next_hop.host(), Some(Host::Domain(_))) {
            evidence.timings.dns = Some(began.elapsed());
        }
        if self.proxy.is_none() {
            evidence.families = Some(families(&addresses));
            refuse_private(&addresses, reach)?;
        }
        order(&mut addresses);

        let began = Instant::now();
        let mut stream = connect(addresses).await?;
        let secure = url.scheme() == "https";
        if let Some(proxy) = self.proxy.as_ref().filter(|_| secure) {
            proxy.tunnel(&mut stream, url).await?;
        }
        evidence.timings.connect = Some(began.elapsed());
        if !secure {
            return Ok(Box::new(stream));
        }

        let began = Instant::now();
        let handshake = TlsConnector::from(Arc::clone(&self.tls)).connect(server_name(url)?, stream);
        let stream = handshake.await.map_err(|error| Trouble::of(CopyFault::Tls, &error))?;
        evidence.timings.tls = Some(began.elapsed());
        Ok(Box::new(stream))
    }

    async fn resolve(&self, url: &Url) -> Result<Vec<SocketAddr>, Trouble> {
        let port = url.port_or_known_default().unwrap_or(80);
        match url.host() {
            Some(Host::Ipv4(ip)) => Ok(vec![SocketAddr::new(ip.into(), port)]),
            Some(Host::Ipv6(ip)) => Ok(vec![SocketAddr::new(ip.into(), port)]),
            Some(Host::Domain(name)) => {
                let trouble = |why: &dyn Display| Trouble::new(CopyFault::Dns, format_args!("{name}: {why}"));
                match self.lookup(name.to_owned(), port).await {
                    Ok(addresses) if addresses.is_empty() => Err(trouble(&"no address")),
                    Ok(addresses) => Ok(addresses),
                    Err(error) => Err(trouble(&error)),
                }
            }
            None => Err(Trouble::new(CopyFault::Dns, "the URL has no host")),
        }
    }

    async fn lookup(&self, name: String, port: u16) -> io::Result<Vec<SocketAddr>> {
        let permit = Arc::clone(&self.lookups).acquire_owned().await.map_err(io::Error::other)?;
        let lookup = tokio::task::spawn_blocking(move || {
            // Held until the thread is free again, even where nobody waits for the answer any more.
            let _permit = permit;
            (name.as_str(), port).to_socket_addrs().map(Iterator::collect)
        });
        lookup.await.map_err(io::Error::other)?
    }
}

fn families(addresses: &[SocketAddr]) -> Families {
    Families { v4: addresses.iter().any(SocketAddr::is_ipv4), v6: addresses.iter().any(SocketAddr::is_ipv6) }
}

/// Refuses a redirect's target if any of its addresses is private: those that were resolved here are those that are
/// connected to, so a name that answers differently next time gains nothing.
fn refuse_private(addresses: &[SocketAddr], reach: Reach) -> Result<(), Trouble> {
    match addresses.iter().find(|address| reach == Reach::GlobalOnly && !is_global(address.ip())) {
        Some(address) => Err(forbidden(address.ip())),
        None => Ok(()),
    }
}

/// Behind a proxy names are resolved there, so that only what stands in the URL can be judged.
fn refuse_private_literal(url: &Url, reach: Reach) -> Result<(), Trouble> {
    let private = match url.host() {
        _ if reach == Reach::Anywhere => return Ok(()),
        Some(Host::Ipv4(ip)) => !is_global(ip.into()),
        Some(Host::Ipv6(ip)) => !is_global(ip.into()),
        Some(Host::Domain(name)) => {
            let name = name.trim_end_matches('.');
            name == "localhost" || name.ends_with(".localhost")
        }
        None => true,
    };
    if private { Err(forbidden(url.host_str().unwrap_or("nowhere"))) } else { Ok(()) }
}

fn forbidden(place: impl Display) -> Trouble {
    let detail = format_args!("redirected to {place}, which is private and not in the configuration");
    Trouble::new(CopyFault::ForbiddenRedirect, detail)
}

/// IPv6 and IPv4 by turns, IPv6 first (RFC 8305 section 4), and not too many.
fn order(addresses: &mut Vec<SocketAddr>) {
    let (v6, v4): (Vec<_>, Vec<_>) = addresses.drain(..).partition(SocketAddr::is_ipv6);
    let (mut v6, mut v4) = (v6.into_iter(), v4.into_iter());
    while addresses.len() < ADDRESSES_MAX {
        let before = addresses.len();
        addresses.extend(v6.next());
        addresses.extend(v4.next());
        if addresses.len() == before {
            break;
        }
    }
}

/// The first connection that comes about. The losers of the race end when the set is dropped.
async fn connect(addresses: Vec<SocketAddr>) -> Result<TcpStream, Trouble> {
    let mut waiting = addresses.into_iter();
    let mut racing = JoinSet::new();
    let mut refusals: Vec<String> = Vec::new();
    loop {
        match waiting.next() {
            Some(address) => {
                racing.spawn(async move { (address, TcpStream::connect(address).await) });
            }
            None if racing.is_empty() => return Err(Trouble::new(CopyFault::Connect, refusals.join("; "))),
            None => {}
        }
        tokio::select! {
            Some(done) = racing.join_next() => match done {
                Ok((_, Ok(stream))) => {
                    // Only a matter of latency; a socket that refuses it still works.
                    let _ = stream.set_nodelay(true);
                    return Ok(stream);
                }
                Ok((address, Err(error))) => refusals.push(format!("{address}: {error}")),
                Err(error) => refusals.push(error.to_string()),
            },
            () = sleep(NEXT_ADDRESS_AFTER), if waiting.len() > 0 => {}
        }
    }
}

fn server_name(url: &Url) -> Result<ServerName<'static>, Trouble> {
    match url.host() {
        Some(Host::Ipv4(ip)) => Ok(ServerName::from(IpAddr::from(ip))),
        Some(Host::Ipv6(ip)) => Ok(ServerName::from(IpAddr::from(ip))),
        host => {
            let name = host.map(|host| host.to_string()).unwrap_or_default();
            let bad = |error| Trouble::new(CopyFault::Tls, format_args!("{name:?}: {error}"));
            ServerName::try_from(name.clone()).map_err(bad)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_take_turns_and_few_addresses_are_tried() {
        let v6 = |n: u16| SocketAddr::from(([0x2001, 0, 0, 0, 0, 0, 0, n], 80));
        let v4 = |n: u8| SocketAddr::from(([192, 0, 2, n], 80));
        let mut some = vec![v4(1), v4(2), v4(3), v6(1)];
        order(&mut some);
        assert_eq!(some, [v6(1), v4(1), v4(2), v4(3)]);
        let mut many: Vec<_> = (0..100).map(v6).collect();
        order(&mut many);
        assert_eq!(many.len(), ADDRESSES_MAX);
    }

    #[test]
    fn one_private_address_among_global_ones_is_enough_to_refuse() {
        let mixed = [SocketAddr::from(([1, 1, 1, 1], 80)), SocketAddr::from(([10, 0, 0, 1], 80))];
        assert!(refuse_private(&mixed, Reach::GlobalOnly).is_err());
        assert!(refuse_private(&mixed[..1], Reach::GlobalOnly).is_ok());
        assert!(refuse_private(&mixed, Reach::Anywhere).is_ok());
    }

    #[test]
    fn behind_a_proxy_what_the_url_says_is_judged() {
        let refused = |text: &str| refuse_private_literal(&text.parse().unwrap(), Reach::GlobalOnly).is_err();
        for private in ["http://10.0.0.1/", "http://[::1]/", "http://localhost./", "http://a.localhost/"] {
            assert!(refused(private), "{private}");
        }
        assert!(!refused("http://mirror.example/"));
        assert!(!refused("http://1.1.1.1/"));
    }
}
