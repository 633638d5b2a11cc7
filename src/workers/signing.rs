//! How the service itself asks a mirror that serves signed links only: as the mirror's clients do.

use std::borrow::Cow;
use std::sync::Arc;

use url::Url;

use crate::fetch::Get;
use crate::links::{LinkFor, LinkMethod, Signer};
use crate::model::Clock;

/// Signs what is asked of one mirror, where it asks for that.
#[derive(Clone)]
pub struct Signing {
    /// Signs; `None`: links to the mirror are as they are.
    pub signer: Option<Arc<Signer>>,
    /// The time, from which a signature is good.
    pub clock: Arc<dyn Clock>,
}

impl Signing {
    /// A URL of the mirror as it has to be asked for, now.
    pub fn sign<'u>(&self, url: &'u Url) -> Cow<'u, Url> {
        let Some(signer) = &self.signer else { return Cow::Borrowed(url) };
        // Bound to nobody's network: it is this service that asks.
        let link = LinkFor { method: LinkMethod::Get, client: None, now: self.clock.now() };
        let mut signed = url.as_str().as_bytes().to_vec();
        signer.sign(&mut signed, 0, &link);
        // What a signer makes of a URL is one. If it were none, the mirror would be asked without a signature and say so.
        let signed = String::from_utf8(signed).ok().and_then(|text| text.parse().ok());
        signed.map_or(Cow::Borrowed(url), Cow::Owned)
    }

    /// A request for a URL that was signed here: it is told so.
    pub fn asking<'a>(&self, get: Get<'a>) -> Get<'a> {
        Get { signed: self.signer.is_some(), ..get }
    }
}
