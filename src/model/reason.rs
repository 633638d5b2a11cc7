//! Named reasons, shared by explain, the logs, the metrics and the store.

use std::fmt;

macro_rules! reasons {
    ($(#[$about:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $text:literal,)* }) => {
        $(#[$about])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
        pub enum $name { $($(#[$doc])* #[serde(rename = $text)] $variant,)* }

        impl $name {
            /// Every reason there is, so that labels are bounded and known ahead.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The reason as a label.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

reasons! {
    /// Why a mirror is no candidate for a request.
    Exclusion {
        /// Not one probe has succeeded since the service started.
        NotProbed = "not_probed",
        /// Too many probes in a row failed.
        Down = "down",
        /// It answers again, but none of its copies was hashed since it was down.
        Returning = "returning",
        /// The operator took it out.
        Drained = "drained",
        /// It holds no verified copy of this asset.
        NoVerifiedCopy = "no_verified_copy",
        /// The mirror's `only` does not name this client.
        NotForClient = "only",
        /// The mirror's `never` names this client.
        NeverForClient = "never",
        /// The request came by https and the mirror speaks http.
        Downgrade = "downgrade",
        /// The mirror has only IPv6 addresses and the client came by IPv4.
        AddressFamily = "address_family",
        /// The client asked to avoid it.
        Avoided = "avoided",
    }
}

reasons! {
    /// Why a look at a mirror's copy failed.
    CopyFault {
        /// The host name did not resolve.
        Dns = "dns",
        /// No TCP connection.
        Connect = "connect",
        /// No TLS session: handshake, certificate or protocol.
        Tls = "tls",
        /// Something took longer than the deadline.
        Timeout = "timeout",
        /// The connection broke or the answer was not HTTP.
        Broken = "broken",
        /// 404 or 410 where a copy was expected.
        Missing = "missing",
        /// 401 or 403.
        Denied = "denied",
        /// 429 or 5xx.
        ServerError = "server_error",
        /// Another status that is not the file.
        UnexpectedStatus = "unexpected_status",
        /// More redirects than allowed, or in a circle.
        RedirectLoop = "redirect_loop",
        /// A redirect from https to http, to another scheme, or to a private address.
        ForbiddenRedirect = "forbidden_redirect",
        /// An HTML page (an error, a login, a default page) where the file should be.
        Html = "html",
        /// A length that is not the asset's.
        WrongLength = "wrong_length",
        /// A Content-Encoding: what clients would save is not the file.
        ContentEncoding = "content_encoding",
        /// ETag or Last-Modified differ from those of the verified copy.
        ValidatorChanged = "validator_changed",
        /// The bytes hash to something else.
        WrongDigest = "wrong_digest",
    }
}

impl CopyFault {
    /// Whether the fault says something about the copy (and so contradicts an earlier verification), not merely that
    /// the mirror could not be reached or was unwilling just now.
    pub const fn contradicts_copy(self) -> bool {
        match self {
            Self::Missing
            | Self::Html
            | Self::WrongLength
            | Self::ContentEncoding
            | Self::ValidatorChanged
            | Self::WrongDigest => true,
            Self::Dns
            | Self::Connect
            | Self::Tls
            | Self::Timeout
            | Self::Broken
            | Self::Denied
            | Self::ServerError
            | Self::UnexpectedStatus
            | Self::RedirectLoop
            | Self::ForbiddenRedirect => false,
        }
    }
}
