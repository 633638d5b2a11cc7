//! Private downloads: what is refused, what is warned of, and what arrives.

use std::path::Path;
use std::time::Duration;

use waypost::config::{Access, Audit, IssuerKeys, JwtAlgorithm, Tickets};
use waypost::model::{RegionId, Timestamp};

use super::{BASE, read, refused, with_base};

/// Four lines of an issuer that lacks algorithms and keys.
const ISSUER: &str = "[[issuer]]\nname = \"ci\"\nissuer = \"https://i.example\"\naudience = \"a\"\n";

fn issuer(more: &str) -> String {
    format!("{ISSUER}{more}")
}

fn preset(more: &str) -> String {
    format!("[[issuer]]\nname = \"ci\"\naudience = \"a\"\n{more}")
}

fn entitlement(more: &str) -> String {
    format!(
        "{}\n[[entitlement]]\nissuer = \"ci\"\n{more}",
        issuer("algorithms = \"HS256\"\nsecret_file = \"s\"")
    )
}

fn allow(keys: &str) -> String {
    entitlement(&format!("allow = {{ product = \"agent\", {keys} }}"))
}

#[test]
fn issuers_are_checked() {
    let hs = "algorithms = \"HS256\"\n";
    let rs = "algorithms = \"RS256\"\n";
    for (more, place, fragment) in [
        (
            issuer("secret_file = \"s\""),
            "6:1: issuer[0]:",
            "`algorithms` is missing; add algorithms = [\"RS256\"]",
        ),
        (
            issuer("algorithms = \"none\"\nsecret_file = \"s\""),
            "10:14: issuer[0].algorithms:",
            "is none of \"HS256\"",
        ),
        (issuer("algorithms = []\nsecret_file = \"s\""), "10:14: issuer[0].algorithms:", "empty list"),
        (issuer(hs), "6:1: issuer[0]:", "does not say where its keys are; give one of jwks"),
        (issuer(&format!("{hs}jwks_file = \"k\"")), "6:1: issuer[0]:", "take HS256, HS384 and HS512 out"),
        (issuer(&format!("{hs}jwks = \"https://i.example/k\"")), "6:1: issuer[0]:", "need a shared secret"),
        (issuer(&format!("{rs}secret_file = \"s\"")), "6:1: issuer[0]:", "need public keys"),
        (
            issuer("algorithms = [\"HS256\", \"ES256\"]\nsecret_file = \"s\""),
            "6:1: issuer[0]:",
            "write algorithms = [\"HS256\"]",
        ),
        (
            issuer(&format!("{rs}jwks_file = \"k\"\njwks = \"https://i.example/k\"")),
            "6:1: issuer[0]:",
            "several places",
        ),
        (issuer(&format!("{rs}jwks = \"http://i.example/k\"")), "11:8: issuer[0].jwks:", "is no https URL"),
        (
            issuer(&format!("{rs}jwks = \"https://me:hunter2@i.example/\"")),
            "11:8: issuer[0].jwks:",
            "no https URL",
        ),
        (issuer(&format!("{rs}jwks = \"keys.json\"")), "11:8: issuer[0].jwks:", "name them with jwks_file"),
        (
            issuer(&format!("{rs}jwks_file = \"k\"\nrefresh = \"1h\"")),
            "6:1: issuer[0]:",
            "are for keys that are fetched",
        ),
        (
            issuer(&format!("{rs}jwks = \"https://i.example/k\"\nmax_age = \"1m\"")),
            "6:1: issuer[0]:",
            "`max_age` is shorter than `refresh`",
        ),
        (
            issuer(&format!("{rs}jwks = \"https://i.example/k\"\nrefresh = \"31d\"")),
            "12:11: issuer[0].refresh:",
            "from 10ms to 30d",
        ),
        (
            issuer(&format!("{rs}jwks_file = \"k\"\nleeway = \"6m\"")),
            "12:10: issuer[0].leeway:",
            "from 0s to 5m",
        ),
        (
            issuer(&format!("{rs}jwks_file = \"k\"\ntoken_id = \"\"")),
            "12:12: issuer[0].token_id:",
            "is empty",
        ),
        (issuer(&format!("{hs}secret_file = []")), "11:15: issuer[0].secret_file:", "empty list"),
        (
            issuer(&format!("{hs}secret_file = [\"a\", \"b\", \"c\", \"d\"]")),
            "11:15: issuer[0].secret_file:",
            "names more than 3 secrets",
        ),
        (
            issuer(&format!("{hs}secret_file = \"s\"\nsecret = \"x\"")),
            "12:1: issuer[0].secret:",
            "unknown key",
        ),
        (
            format!(
                "{}\n{}",
                issuer(&format!("{hs}secret_file = \"s\"")),
                issuer(&format!("{hs}secret_file = \"s\""))
            ),
            "13:8: issuer[1].name:",
            "`ci` is given already",
        ),
        (preset("preset = \"gitea\""), "9:10: issuer[0].preset:", "is none of \"github\""),
        (preset("preset = \"kubernetes\""), "6:1: issuer[0]:", "`issuer` is missing"),
        (
            preset("preset = \"kubernetes\"\nissuer = \"cluster\""),
            "6:1: issuer[0]:",
            "is no https URL below which",
        ),
        (preset("preset = \"github\"\nsecret_file = \"s\""), "6:1: issuer[0]:", "need public keys"),
        ("[[issuer]]\nname = \"ci\"\npreset = \"github\"".into(), "6:1: issuer[0]:", "`audience` is missing"),
    ] {
        refused(&format!("{BASE}{more}"), place, fragment);
    }
}

#[test]
fn entitlements_are_checked() {
    for (more, place, fragment) in [
        (
            "[[entitlement]]\nissuer = \"x\"\nallow = { product = \"p\" }".into(),
            "7:10: entitlement[0].issuer:",
            "there is no issuer \"x\"; add an [[issuer]]",
        ),
        (
            entitlement("allow = { product = \"p\" }").replace("\"ci\"\nallow", "\"cii\"\nallow"),
            "13:10: entitlement[0].issuer:",
            "there is no issuer \"cii\"",
        ),
        (entitlement(""), "12:1: entitlement[0]:", "`allow` is missing"),
        (entitlement("allow = []"), "14:9: entitlement[0].allow:", "is an empty list"),
        (entitlement("allow = [{}]"), "14:10: entitlement[0].allow[0]:", "`product` is missing"),
        (entitlement("allow = \"agent\""), "14:9: entitlement[0].allow:", "expected a table"),
        (
            entitlement("allow = { product = \"a b/c\" }"),
            "14:21: entitlement[0].allow.product:",
            "write it like \"agent\"",
        ),
        (
            entitlement("allow = { product = \"a***\" }"),
            "14:21: entitlement[0].allow.product:",
            "is no pattern",
        ),
        (allow("channels = []"), "14:41: entitlement[0].allow.channels:", "is an empty list"),
        (allow("channels = \"1.0\""), "14:41: entitlement[0].allow.channels:", "reads as a version"),
        (allow("versions = \"^1\""), "14:41: entitlement[0].allow.versions:", "\">=1.0, <2.0\""),
        (allow("platforms = \"a b\""), "14:42: entitlement[0].allow.platforms:", "is no platform"),
        (allow("regions = [\"eu\"]"), "14:41: entitlement[0].allow.regions[0]:", "there is no region"),
        (
            allow("from = \"tomorrow\""),
            "14:37: entitlement[0].allow.from:",
            "nor a date; write it like \"2027-01-31T",
        ),
        (allow("from = 2027-01-01T00:00:00"), "14:37: entitlement[0].allow.from:", "moment with its offset"),
        (allow("from = 7"), "14:37: entitlement[0].allow.from:", "found an integer"),
        (allow("from = 2027-02-01, until = \"2027-02-01\""), "14:9: entitlement[0].allow:", "never given"),
        (allow("assets = 0"), "14:39: entitlement[0].allow.assets:", "from 1 to"),
        (allow("version = \"1\""), "14:30: entitlement[0].allow.version:", "did you mean `versions`?"),
        (
            entitlement("when = { sub = [] }\nallow = { product = \"p\" }"),
            "14:16: entitlement[0].when.sub:",
            "is an empty list",
        ),
        (
            entitlement("when = { sub = true }\nallow = { product = \"p\" }"),
            "14:16: entitlement[0].when.sub:",
            "expected a string",
        ),
        (
            entitlement("when = \"acme\"\nallow = { product = \"p\" }"),
            "14:8: entitlement[0].when:",
            "expected a table",
        ),
    ] {
        refused(&format!("{BASE}{more}"), place, fragment);
    }
}

#[test]
fn who_names_an_issuer_that_cannot_be_read_is_not_blamed() {
    let more = entitlement("allow = { product = \"p\" }").replace("secret_file = \"s\"", "");
    refused(&format!("{BASE}{more}"), "6:1: issuer[0]:", "does not say where its keys are");
}

#[test]
fn issuers_with_accounts_for_everybody_need_claims() {
    for name in ["github", "gitlab", "google"] {
        for when in ["", "when = {}\n", "when = { sub = \"*\", ref = [\"x\", \"**\"] }\n"] {
            let given = format!("[[entitlement]]\nissuer = \"ci\"\n{when}allow = {{ product = \"p\" }}");
            let text = format!("{BASE}{}\n{given}", preset(&format!("preset = \"{name}\"")));
            refused(&text, "10:1: entitlement[0]:", "everybody who has an account");
            let own = preset(&format!("preset = \"{name}\"\nissuer = \"https://own.example\""));
            assert!(read(&format!("{BASE}{own}\n{given}")).is_ok(), "{own}");
        }
    }
}

#[test]
fn tickets_and_the_audit_are_checked() {
    for (more, place, fragment) in [
        ("[tickets]\nttl = \"2h\"", "7:7: tickets.ttl:", "from 10s to 1h"),
        ("[tickets]\nttl = \"9s\"", "7:7: tickets.ttl:", "from 10s to 1h"),
        ("[tickets]\nsession = \"13h\"", "7:11: tickets.session:", "from 1m to 12h"),
        ("[tickets]\nsecret_file = [\"\"]", "7:16: tickets.secret_file[0]:", "empty path"),
        ("[tickets]\nsecret = \"hunter2\"", "7:1: tickets.secret:", "known here: secret_file"),
        ("[audit]\nrotate = \"1B\"", "7:10: audit.rotate:", "out of range"),
        ("[audit]\nkeep = -1", "7:8: audit.keep:", "from 0 to"),
        (
            "[audit]\nfile = \"\"\nrequired = true\n[[product]]\nname = \"p\"\naccess = \"entitled\"",
            "6:1: audit:",
            "nothing would be given",
        ),
        ("[[product]]\nname = \"p\"\naccess = \"secret\"", "8:10: product[0].access:", "\"entitled\""),
        (
            "[[product]]\nname = \"p\"\ndeny_countries = \"Korea\"",
            "8:18: product[0].deny_countries:",
            "two letters",
        ),
        ("private = 1", "6:11: mirror[0].private:", "true or false"),
    ] {
        refused(&format!("{BASE}{more}"), place, fragment);
    }
}

#[test]
fn what_could_be_a_secret_is_not_repeated() {
    for more in [
        issuer("algorithms = \"HS256\"\nsecret = \"hunter2\""),
        issuer("algorithms = \"RS256\"\njwks = \"https://me:hunter2@i.example/\""),
        issuer("algorithms = \"RS256\"\njwks = \"http://i.example/?key=hunter2\""),
        "[tickets]\nsecret = \"hunter2\"".into(),
    ] {
        let problems = read(&format!("{BASE}{more}")).unwrap_err();
        assert!(problems.iter().all(|problem| !problem.to_string().contains("hunter2")), "{problems:?}");
    }
}

#[test]
fn presets_are_the_published_settings_and_what_is_given_beside_them_wins() {
    let of = |more: &str| with_base(&preset(more)).config.issuers.remove(0);
    let url = |keys: &IssuerKeys| match keys {
        IssuerKeys::Jwks { url, .. } => url.to_string(),
        IssuerKeys::JwksFile(path) => path.display().to_string(),
        IssuerKeys::Secrets(_) => panic!(),
    };
    for (more, iss, keys, token_id) in [
        (
            "preset = \"github\"",
            "https://token.actions.githubusercontent.com",
            "https://token.actions.githubusercontent.com/.well-known/jwks",
            "jti",
        ),
        ("preset = \"gitlab\"", "https://gitlab.com", "https://gitlab.com/oauth/discovery/keys", "jti"),
        (
            "preset = \"gitlab\"\nissuer = \"https://git.example/\"\ntoken_id = \"job_id\"",
            "https://git.example/",
            "https://git.example/oauth/discovery/keys",
            "job_id",
        ),
        (
            "preset = \"kubernetes\"\nissuer = \"https://k.example\"",
            "https://k.example",
            "https://k.example/openid/v1/jwks",
            "jti",
        ),
        (
            "preset = \"kubernetes\"\nissuer = \"cluster\"\njwks_file = \"k.json\"",
            "cluster",
            "/etc/waypost/k.json",
            "jti",
        ),
        (
            "preset = \"google\"",
            "https://accounts.google.com",
            "https://www.googleapis.com/oauth2/v3/certs",
            "sub",
        ),
        (
            "preset = \"google\"\njwks = \"http://127.0.0.1:1/k\"",
            "https://accounts.google.com",
            "http://127.0.0.1:1/k",
            "sub",
        ),
    ] {
        let issuer = of(more);
        assert_eq!((issuer.issuer.as_str(), issuer.token_id.as_str()), (iss, token_id), "{more}");
        assert_eq!(url(&issuer.keys), keys, "{more}");
        assert_eq!(issuer.algorithms[0], JwtAlgorithm::Rs256, "{more}");
    }
    assert_eq!(of("preset = \"github\"\nalgorithms = \"ES256\"").algorithms, [JwtAlgorithm::Es256]);
}

#[test]
fn private_downloads_arrive_as_written() {
    let loaded = with_base(
        r#"
        private = true
        [[region]]
        name = "eu"
        [[product]]
        name = "agent"
        access = "entitled"
        deny_countries = ["KP", "IR"]
        [[issuer]]
        name = "ci"
        issuer = "https://i.example"
        audience = ["a", "b"]
        algorithms = ["HS256", "hs512"]
        secret_file = ["one", "/two"]
        leeway = "0s"
        [[entitlement]]
        issuer = "ci"
        when = { plan = ["gold", "pro-*"], "a.b" = "[x]" }
        allow = [
            { product = "agent", channels = "stable", versions = ">=1.0, <2", platforms = "linux-x64", regions = "eu" },
            { product = "*", from = 2027-01-01, until = "2027-01-01T02:00:00+01:00", assets = 3 },
        ]
        [tickets]
        secret_file = "t"
        [audit]
        required = true
        "#,
    );
    assert_eq!(loaded.warnings, []);
    let config = loaded.config;
    assert!(config.mirrors[0].private);
    assert_eq!((config.products[0].access, config.products[0].deny_countries.len()), (Access::Entitled, 2));
    let issuer = &config.issuers[0];
    assert_eq!(issuer.keys, IssuerKeys::Secrets(vec!["/etc/waypost/one".into(), "/two".into()]));
    assert_eq!(issuer.algorithms, [JwtAlgorithm::Hs256, JwtAlgorithm::Hs512]);
    assert_eq!((issuer.leeway, issuer.audiences.len()), (Duration::ZERO, 2));
    let entitlement = &config.entitlements[0];
    assert_eq!((entitlement.issuer, entitlement.when[0].claim.as_str()), (0, "plan"));
    assert!(entitlement.when[0].patterns[1].matches("pro-7/x"), "* is any text");
    assert!(entitlement.when[1].patterns[0].matches("[x]"), "brackets are themselves");
    let [first, second] = &entitlement.allow[..] else { panic!() };
    assert_eq!((first.platforms[0].as_str(), &first.regions[..]), ("linux-amd64", &[RegionId(0)][..]));
    assert_eq!(first.versions.as_ref().unwrap().to_string(), ">=1.0, <2");
    let moment = |text| Timestamp::parse_rfc3339(text);
    assert_eq!(second.from, moment("2027-01-01T00:00:00Z"));
    assert_eq!(second.until, moment("2027-01-01T01:00:00Z"));
    assert_eq!((second.assets, second.product.matches(&"anything".parse().unwrap())), (Some(3), true));
    assert_eq!(config.tickets, Tickets { secrets: vec!["/etc/waypost/t".into()], ..Tickets::default() });
    let file = Some(Path::new("/etc/waypost/state/deliveries.jsonl").into());
    assert_eq!(config.audit, Audit { file, required: true, rotate: 100 << 20, keep: 10 });
    let none = with_base("").config;
    assert_eq!((none.audit.file, none.tickets), (None, Tickets::default()), "nothing is entitled");
}

#[test]
fn what_nobody_could_have_and_what_everybody_has_is_warned_of() {
    let agent = "[[product]]\nname = \"agent\"\naccess = \"entitled\"\n";
    let gives = entitlement("allow = { product = \"agent\" }");
    let said = |more: &str| {
        let warnings = with_base(more).warnings;
        warnings.iter().map(|warning| format!("{}: {}", warning.line, warning.message)).collect::<Vec<_>>()
    };
    let starts = |said: Vec<String>, expected: &[&str]| {
        assert_eq!(said.len(), expected.len(), "{said:?}");
        said.iter().zip(expected).for_each(|(said, start)| assert!(said.contains(start), "{said}"));
    };
    starts(said(&format!("private = true\n{agent}{gives}")), &[]);
    starts(said(&format!("{agent}{gives}")), &["8: no mirror signs its links"]);
    starts(said(&format!("private = true\n{agent}")), &["9: no [[entitlement]] gives this product"]);
    starts(said(&gives), &["14: \"agent\" is public"]);
    starts(said(&entitlement("allow = { product = \"*\" }")), &[]);
}

#[test]
fn a_rule_that_names_no_owner_at_an_issuer_for_everybody_is_warned_of() {
    for (preset_of, claim, warned) in [
        ("github", "ref", true),
        ("github", "repository_owner_id", false),
        ("gitlab", "ref_protected", true),
        ("gitlab", "project_path", false),
        ("google", "email_verified", true),
        ("google", "email", false),
    ] {
        let given = format!(
            "[[entitlement]]\nissuer = \"ci\"\nwhen = {{ {claim} = \"x\" }}\nallow = {{ product = \"*\" }}"
        );
        let loaded = with_base(&format!("{}\n{given}", preset(&format!("preset = \"{preset_of}\""))));
        let told = loaded.warnings.iter().any(|warning| warning.to_string().contains("says whose tokens"));
        assert_eq!(told, warned, "{preset_of} {claim}");
    }
}

#[test]
fn what_the_page_on_private_downloads_shows_is_accepted() {
    let page = include_str!("../../docs/private.md");
    let blocks: Vec<&str> =
        page.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert_eq!(blocks.len(), 2);
    let region = "[[region]]\nname = \"eu\"\nlocation = [50.1, 8.7]\n";
    let loaded = with_base(&format!("{region}{}", blocks.concat()));
    assert_eq!((loaded.config.entitlements.len(), loaded.warnings.len()), (2, 0), "{:?}", loaded.warnings);
}
