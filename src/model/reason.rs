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
        /// The product is for entitled callers, and the mirror would give its files to everybody.
        NotPrivate = "not_private",
        /// The caller's tool repeats the token to the mirror, whose store refuses a request that has two credentials.
        RefusesCredentials = "refuses_credentials",
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
        /// 400, 401, 403 or 410 for a request that was signed: the signature is refused, or came too late.
        SignatureRefused = "signature_refused",
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

reasons! {
    /// Why somebody is not given what they ask for.
    Denial {
        /// The product is for entitled callers, and the request carries no token.
        NoToken = "no_token",
        /// What stands where a token should is none: not three parts, not JSON, or with a critical extension.
        Malformed = "malformed",
        /// The token is longer than any that is looked at.
        TooLarge = "too_large",
        /// A claim or header parameter stands in it twice.
        DuplicateClaim = "duplicate_claim",
        /// A claim that has to be there is not, or is of another type.
        MissingClaim = "missing_claim",
        /// No issuer of this name is configured.
        UnknownIssuer = "unknown_issuer",
        /// The issuer may not sign with this algorithm.
        WrongAlgorithm = "wrong_algorithm",
        /// The issuer has no key of this id.
        UnknownKey = "unknown_key",
        /// The issuer's keys are not known, or are older than they may be.
        NoKeys = "no_keys",
        /// The signature is not that of the issuer's key.
        BadSignature = "bad_signature",
        /// It is for another audience.
        WrongAudience = "wrong_audience",
        /// It is not valid any more.
        Expired = "expired",
        /// It is not valid yet.
        NotYetValid = "not_yet_valid",
        /// It was revoked.
        Revoked = "revoked",
        /// The ticket is none, or is for another file or network.
        BadTicket = "bad_ticket",
        /// The ticket is not valid any more.
        ExpiredTicket = "expired_ticket",
        /// No rule gives this to the token.
        NotEntitled = "not_entitled",
        /// A rule would, to clients in another region.
        Region = "region",
        /// A rule would, at another time.
        Time = "time",
        /// A rule would, and the token has taken as many files as it may.
        Count = "count",
        /// The product may not be served to this country.
        Territory = "territory",
        /// The caller's tool repeats the token to mirrors, and each that could serve it refuses that.
        TokenWouldLeak = "token_would_leak",
        /// A rule gives a number of files, and no more can be counted.
        NotCounted = "not_counted",
        /// The answer has to be recorded, and could not be.
        NotRecorded = "not_recorded",
    }
}

reasons! {
    /// What the scorecard of a release looks at.
    Check {
        /// Every expected platform has an asset, every asset its expected sidecars (C1).
        Completeness = "completeness",
        /// Labels, date, notes, channels that fit the version (C2, C5).
        Metadata = "metadata",
        /// Every asset has its digest, and published checksum files say the same as the manifest (I3, I4).
        Hashes = "hashes",
        /// The mirrors that are to hold the release do, as its channels' policies ask (A6, R3).
        Mirrors = "mirrors",
        /// Every asset was hashed right somewhere, no copy is wrong, no signature fails (I1, I2, I5).
        Verification = "verification",
        /// Every asset is signed, and by a trusted key (I4).
        Signatures = "signatures",
        /// Every asset says where it comes from (I4).
        Provenance = "provenance",
        /// Its channels have a good release to fall back to (Q3).
        Rollback = "rollback",
        /// How quickly it arrives (R1, R3).
        Propagation = "propagation",
        /// What the origin says of it now is accepted (C6).
        Origin = "origin",
        /// No mirror keeps files that it is not to have (C4, C7).
        Inventory = "inventory",
    }
}

reasons! {
    /// Why what the origin says is refused.
    OriginFault {
        /// No signature, where trusted keys are configured.
        Unsigned = "unsigned",
        /// A signature that does not verify with any trusted key.
        BadSignature = "bad_signature",
        /// A good signature of something else: its trusted comment names another release or sequence.
        SignatureForAnother = "signature_for_another",
        /// The index has a lower sequence than one that was seen.
        SequenceWentBack = "sequence_went_back",
        /// A published name, size or digest changed or left.
        ChangedAfterPublication = "changed_after_publication",
        /// The bytes are not those that the index names.
        WrongDigest = "wrong_digest",
        /// It describes another release than its path.
        WrongPlace = "wrong_place",
        /// It is no manifest or index.
        Invalid = "invalid",
        /// It could not be read.
        Unreadable = "unreadable",
    }
}

reasons! {
    /// Why an issuer's keys were not fetched. The last good ones stay.
    KeyFault {
        /// Nobody answered, or not in time.
        Unreachable = "unreachable",
        /// Another status than 200.
        UnexpectedStatus = "unexpected_status",
        /// The answer is longer than a JWK set may be.
        TooLong = "too_long",
        /// It is no JWK set.
        Invalid = "invalid",
        /// No key in it can verify tokens.
        NoUsableKey = "no_usable_key",
    }
}

reasons! {
    /// What is known of an asset's signature.
    SignatureState {
        /// It has none.
        Unsigned = "unsigned",
        /// It has one that was not looked at yet, or no key is configured to look with.
        Unchecked = "unchecked",
        /// It verifies with a trusted key and names this file.
        Good = "good",
        /// It verifies with no trusted key.
        BadSignature = "bad_signature",
        /// It is a good signature of a file with another name.
        SignatureForAnother = "signature_for_another",
        /// It is no signature.
        Unreadable = "unreadable",
    }
}

impl SignatureState {
    /// Whether the file must not be trusted.
    pub const fn is_wrong(self) -> bool {
        matches!(self, Self::BadSignature | Self::SignatureForAnother | Self::Unreadable)
    }
}

reasons! {
    /// What a named token may do; each may what those before it may.
    Role {
        /// Look.
        Look = "look",
        /// Move channels, withdraw and restore releases, have the origin looked at.
        Release = "release",
        /// Everything.
        Operate = "operate",
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
            | Self::SignatureRefused
            | Self::ServerError
            | Self::UnexpectedStatus
            | Self::RedirectLoop
            | Self::ForbiddenRedirect => false,
        }
    }
}
