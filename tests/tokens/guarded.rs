//! A site whose `agent` is for those alone who have a token of an issuer that publishes its keys.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use waypost::config::JwtAlgorithm::Es256;
use waypost::config::{Access, Issuer, IssuerKeys, Product};

use crate::signer::{AUD, ISS, Signer, allow, configured, entitlement, jwks};
use crate::site::{EU, Mirror, Site, own_address};

pub const FILE: &str = "/agent/1.0/a.tar.gz";

pub struct Guarded {
    pub site: Site,
    /// Where the keys are published.
    pub publisher: Mirror,
}

/// How the keys are fetched and kept, how many files a token may take, and whether requests are logged.
#[derive(Clone, Copy)]
pub struct Terms {
    pub refresh: Duration,
    pub max_age: Duration,
    pub assets: Option<u32>,
    pub access_log: bool,
}

pub const HOUR: Duration = Duration::from_secs(3600);

/// Nothing is fetched but at the start and when it is asked for.
pub const SELDOM: Terms = Terms { refresh: HOUR, max_age: HOUR, assets: None, access_log: false };
/// Fetched again and again.
pub const OFTEN: Terms = Terms { refresh: Duration::from_millis(50), ..SELDOM };

impl Guarded {
    /// A site with a publisher that has these keys; not even a set, where there are none.
    pub async fn start(terms: Terms, keys: &[Value]) -> Self {
        let publisher = Mirror::start(own_address(), None).await;
        if !keys.is_empty() {
            publisher.put("jwks", jwks(keys));
        }
        let url = format!("{}jwks", publisher.url());
        let site = Site::builder()
            .mirror("fra", |m| m.region("eu"))
            .release("agent", "1.0", &[("a.tar.gz", b"a"), ("b.tar.gz", b"b"), ("c.tar.gz", b"c")], &[])
            .release("tool", "1.0", &[("tool.tar.gz", b"tool")], &[])
            .amend(move |config| {
                let url = url.parse().unwrap();
                let Terms { refresh, max_age, assets, access_log } = terms;
                config.log.access = access_log;
                let keys = IssuerKeys::Jwks { url, refresh, max_age };
                config.issuers = vec![Issuer { keys, ..configured(&[Es256]) }];
                let agent = waypost::config::Allow { assets, ..allow("agent") };
                config.entitlements = vec![entitlement(0, &[], vec![agent])];
                config.mirrors.iter_mut().for_each(|mirror| mirror.private = true);
                config.products.push(Product {
                    name: crate::site::orders::product("agent"),
                    channels: vec![],
                    access: Access::Entitled,
                    deny_countries: vec![],
                });
            })
            .start()
            .await;
        site.until_everywhere("agent", "1.0").await;
        site.until_everywhere("tool", "1.0").await;
        Self { site, publisher }
    }

    /// The status of a request with a token.
    pub async fn status(&self, path: &str, token: &str) -> u16 {
        let bearer = format!("Bearer {token}");
        let headers = [("x-forwarded-for", EU), ("authorization", bearer.as_str()), ("user-agent", "curl/8")];
        self.site.request(http::Method::GET, path, &headers).await.status.as_u16()
    }

    pub async fn until_status(&self, token: &str, status: u16) {
        let what = format!("{status}");
        self.site.until(&what, async || (self.status(FILE, token).await == status).then_some(())).await;
    }

    pub async fn fetches(&self, outcome: &str) -> f64 {
        let name = "waypost_issuer_key_fetches_total";
        self.site.metric(&format!("{name}{{issuer=\"ci\",outcome=\"{outcome}\"}}")).await
    }

    /// Waits for so many more fetches with this outcome.
    pub async fn until_fetched(&self, outcome: &str, more: f64) {
        let before = self.fetches(outcome).await;
        self.site.until(outcome, async || (self.fetches(outcome).await >= before + more).then_some(())).await;
    }

    /// Requests that were denied for a reason.
    pub async fn denied(&self, issuer: &str, reason: &str) -> f64 {
        let name = "waypost_entitlement_checks_total";
        let labels = format!("issuer=\"{issuer}\",product=\"agent\",reason=\"{reason}\"");
        self.site.metric(&format!("{name}{{{labels}}}")).await
    }
}

/// A token that is good for an hour from now on.
pub fn token(signer: &Signer, kid: &str, id: &str) -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let claims = json!({ "iss": ISS, "aud": AUD, "exp": since.as_secs() + 3600, "jti": id });
    signer.token("ES256", kid, &claims)
}
