//! The tables of a release's life: names, gates, tiers and tokens. One line for each rule, and values as they arrive.

use std::time::Duration;

use waypost::config::{GateMode, Host, Kept, Notify, Placeholder, Template, TemplatePart};
use waypost::model::{Check, Role};

use super::{BASE, read, refused, with_base};

const DIGEST: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

#[test]
fn names_are_checked() {
    let alias = |from: &str, to: &str| format!("[[alias]]\nfrom = {from:?}\nto = {to:?}");
    let from = |from: &str| alias(from, "/tool/stable/x");
    let to = |to: &str| alias("/old/{version}", to);
    let host = |name: &str| format!("[[host]]\nname = {name:?}");
    let prefix = |prefix: &str| format!("[[host]]\nname = \"h.example\"\nprefix = {prefix:?}");
    for (more, place, fragment) in [
        ("[[alias]]\nfrom = \"/a\"".to_owned(), "6:1: alias[0]:", "`to` is missing; add to = "),
        ("[[alias]]\nto = \"/a\"".to_owned(), "6:1: alias[0]:", "`from` is missing; add from = "),
        ("[alias]\nfrom = \"/a\"".to_owned(), "6:1: alias:", "write its header as [[alias]]"),
        (format!("{}\nstatus = 301", from("/a")), "9:1: alias[0].status:", "known here: from, to"),
        (from("old"), "7:8: alias[0].from:", "does not begin with a slash"),
        (from(""), "7:8: alias[0].from:", "does not begin with a slash"),
        (from("https://h.example/old"), "7:8: alias[0].from:", "does not begin with a slash"),
        (from("/a?b={version}"), "7:8: alias[0].from:", "holds '?', which a path must not"),
        (from("/a#b"), "7:8: alias[0].from:", "holds '#'"),
        (from("/a\\b"), "7:8: alias[0].from:", "holds '\\\\'"),
        (from("/a\nb"), "7:8: alias[0].from:", "holds '\\n'"),
        (from("/%ff"), "7:8: alias[0].from:", "escapes that are not UTF-8"),
        (from("/a%00"), "7:8: alias[0].from:", "no request's path may hold"),
        (from("/a%5Cb"), "7:8: alias[0].from:", "no request's path may hold"),
        (from(&format!("/{}", "a".repeat(1024))), "7:8: alias[0].from:", "longer than 1024 bytes"),
        (from("/{version"), "7:8: alias[0].from:", "has a { without its }"),
        (from("/version}"), "7:8: alias[0].from:", "has a } without its {"),
        (from("/a}{version}"), "7:8: alias[0].from:", "has a } without its {"),
        (from("/{version}}"), "7:8: alias[0].from:", "has a } without its {"),
        (from("/{{version}"), "7:8: alias[0].from:", "unknown placeholder {{version}"),
        (from("/{os}"), "7:8: alias[0].from:", "unknown placeholder {os}"),
        (from("/{}"), "7:8: alias[0].from:", "unknown placeholder {}"),
        (from("/{version}-{version}"), "7:8: alias[0].from:", "has {version} twice"),
        (from("/{version}{platform}"), "7:8: alias[0].from:", "nothing between them"),
        (to("tool/{version}/x"), "8:6: alias[0].to:", "does not begin with a slash"),
        (to("/tool/install?version={version}"), "8:6: alias[0].to:", "holds '?'"),
        (to("/tool/{version}/{platform}"), "6:1: alias[0]:", "`to` uses {platform}, and `from` does not"),
        (to("/tool/{name}"), "8:6: alias[0].to:", "unknown placeholder {name}"),
        ("[[host]]".to_owned(), "6:1: host[0]:", "`name` is missing; add name = \"get.example.com\""),
        (host(""), "7:8: host[0].name:", "is no host name"),
        (host("https://get.example.com"), "7:8: host[0].name:", "without scheme, port and path"),
        (host("get.example.com:443"), "7:8: host[0].name:", "is no host name"),
        (host("get.example.com/x"), "7:8: host[0].name:", "is no host name"),
        (host("*.example.com"), "7:8: host[0].name:", "is no host name"),
        (host("a..b"), "7:8: host[0].name:", "is no host name"),
        (host(".example"), "7:8: host[0].name:", "is no host name"),
        (host("a b"), "7:8: host[0].name:", "is no host name"),
        (host("::1"), "7:8: host[0].name:", "is no host name"),
        (host("[::1]:80"), "7:8: host[0].name:", "is no host name"),
        (host(&format!("{}.example", "a".repeat(64))), "7:8: host[0].name:", "is no host name"),
        (
            format!("{}\n{}", host("h.example"), host("H.Example.")),
            "9:8: host[1].name:",
            "`h.example` is given already",
        ),
        (format!("{}\nproduct = \"a/b\"", host("h.example")), "8:11: host[0].product:", "may not hold"),
        (format!("{}\nproduct = \"v1\"", host("h.example")), "8:11: host[0].product:", "reserved"),
        (prefix("releases"), "8:10: host[0].prefix:", "does not begin with a slash"),
        (prefix("/a?b"), "8:10: host[0].prefix:", "holds '?'"),
        (prefix("/%ff"), "8:10: host[0].prefix:", "not UTF-8"),
        (
            format!("{}\nprefix = \"/x\"\n[server]\npublic_url = \"https://H.example\"", host("h.example")),
            "6:1: host[0]:",
            "is the host of server.public_url",
        ),
    ] {
        refused(&format!("{BASE}{more}"), place, fragment);
    }
}

#[test]
fn gates_tiers_and_tokens_are_checked() {
    let token = |lines: &str| format!("[[admin.token]]\nname = \"ci\"\nrole = \"look\"\n{lines}");
    let long = "x".repeat(129);
    for (more, place, fragment) in [
        ("[[gate]]", "6:1: gate[0]:", "`check` is missing"),
        ("[[gate]]\ncheck = \"vibes\"", "7:9: gate[0].check:", "is none of \"completeness\""),
        ("[[gate]]\ncheck = \"hashes\"\nmode = \"warn\"", "8:8: gate[0].mode:", "none of \"gate\""),
        ("[[gate]]\ncheck = \"hashes\"\nowner = \"a\\nb\"", "8:9: gate[0].owner:", "is no name"),
        (&format!("[[gate]]\ncheck = \"hashes\"\nowner = \"{long}\""), "8:9: gate[0].owner:", "128 bytes"),
        ("[[gate]]\ncheck = \"hashes\"\nproducts = [\"\"]", "8:13: gate[0].products[0]:", "empty"),
        (
            "[[gate]]\ncheck = \"hashes\"\nproduct = \"a\"",
            "8:1: gate[0].product:",
            "did you mean `products`?",
        ),
        ("[[tier]]\nname = \"edge\"", "6:1: tier[0]:", "`releases` is missing"),
        ("[[tier]]\nreleases = \"all\"", "6:1: tier[0]:", "`name` is missing"),
        ("[[tier]]\nname = \"a b\"\nreleases = \"all\"", "7:8: tier[0].name:", "more than letters"),
        ("[[tier]]\nname = \"e\"\nreleases = \"some\"", "8:12: tier[0].releases:", "none of \"all\""),
        ("[[tier]]\nname = \"e\"\nreleases = 3", "8:12: tier[0].releases:", "expected a string"),
        ("[[tier]]\nname = \"e\"\nreleases = {}", "8:12: tier[0].releases:", "names no releases"),
        (
            "[[tier]]\nname = \"e\"\nreleases = { newest = 3, within = \"1d\" }",
            "8:12: tier[0].releases:",
            "names `newest` and `within`",
        ),
        (
            "[[tier]]\nname = \"e\"\nreleases = { newest = -1 }",
            "8:23: tier[0].releases.newest:",
            "out of range",
        ),
        (
            "[[tier]]\nname = \"e\"\nreleases = { newst = 1 }",
            "8:14: tier[0].releases.newst:",
            "did you mean `newest`?",
        ),
        (
            "[[tier]]\nname = \"e\"\nreleases = { within = \"soon\" }",
            "8:23: tier[0].releases.within:",
            "is not a duration",
        ),
        (
            "[[tier]]\nname = \"e\"\nchannels = [\"1.0\"]\nreleases = \"all\"",
            "8:13: tier[0].channels[0]:",
            "reads as a version",
        ),
        ("tier = \"edge\"", "6:8: mirror[0].tier:", "there is no tier \"edge\""),
        (
            "tier = \"edge-uss\"\n[[tier]]\nname = \"edge-us\"\nreleases = \"all\"",
            "6:8: mirror[0].tier:",
            "did you mean `edge-us`?",
        ),
        // Whoever names a tier that cannot be read is not blamed.
        ("tier = \"e\"\n[[tier]]\nname = \"e\"", "7:1: tier[0]:", "`releases` is missing"),
        ("[retention]\nnewest = 0", "7:10: retention.newest:", "out of range"),
        ("[retention]\nage = \"1h\"", "7:7: retention.age:", "from 1d to 36500d"),
        ("notify = {}", "6:10: mirror[0].notify:", "tells nobody"),
        ("notify = \"https://h.example/\"", "6:10: mirror[0].notify:", "expected a table"),
        (
            "notify = { url = \"ftp://h.example/secret\" }",
            "6:18: mirror[0].notify.url:",
            "no http or https URL",
        ),
        (
            "notify = { url = \"https://h.example\", command = \"x\" }",
            "6:10: mirror[0].notify:",
            "names `url` and `command`",
        ),
        ("notify = { command = [] }", "6:22: mirror[0].notify.command:", "names no program"),
        ("notify = { command = \"\" }", "6:22: mirror[0].notify.command:", "names no program"),
        ("notify = { command = [\"a\\u0000\"] }", "6:23: mirror[0].notify.command[0]:", "NUL"),
        ("[admin]\nlook = \"closed\"", "7:8: admin.look:", "none of \"open\", \"token\""),
        ("[admin]\ntoken = \"secret\"", "7:9: admin.token:", "[[token]]"),
        (
            &token(&format!("sha256 = \"{DIGEST}\"")).replace("\"ci\"", "\"waypost\""),
            "7:8: admin.token[0].name:",
            "the service and the origin",
        ),
        (
            &token(&format!("sha256 = \"{DIGEST}\"")).replace("\"ci\"", "\"origin\""),
            "7:8: admin.token[0].name:",
            "the service and the origin",
        ),
        (&token(""), "6:1: admin.token[0]:", "`sha256` is missing"),
        (&token("sha256 = \"hunter2\""), "9:10: admin.token[0].sha256:", "is no SHA-256"),
        (&token(&format!("sha256 = \"{DIGEST}00\"")), "9:10: admin.token[0].sha256:", "is no SHA-256"),
        (
            &token(&format!("sha256 = \"{DIGEST}\"\nsecret = \"x\"")),
            "10:1: admin.token[0].secret:",
            "unknown key",
        ),
        (
            &format!("[[admin.token]]\nname = \"ci\"\nrole = \"root\"\nsha256 = \"{DIGEST}\""),
            "8:8: admin.token[0].role:",
            "none of \"look\", \"release\", \"operate\"",
        ),
        (
            &format!("[[admin.token]]\nname = \"\"\nrole = \"look\"\nsha256 = \"{DIGEST}\""),
            "7:8: admin.token[0].name:",
            "is no name",
        ),
        (
            &format!(
                "{}\n[[admin.token]]\nname = \"me\"\nrole = \"look\"\nsha256 = \"{}\"",
                token(&format!("sha256 = \"{DIGEST}\"")),
                DIGEST.to_uppercase()
            ),
            "13:10: admin.token[1].sha256:",
            "is given already",
        ),
    ] {
        refused(&format!("{BASE}{more}"), place, fragment);
    }
}

#[test]
fn a_token_or_a_webhook_that_is_refused_is_not_repeated() {
    for more in [
        "[[admin.token]]\nname = \"ci\"\nrole = \"look\"\nsha256 = \"hunter2\"",
        "notify = { url = \"ftp://h.example/hunter2\" }",
        "notify = { url = \"https://[hunter2\" }",
        "notify = { url = \"https://ci:hunter2@h.example/\" }",
    ] {
        let problems = read(&format!("{BASE}{more}")).unwrap_err();
        assert!(problems.iter().all(|problem| !problem.to_string().contains("hunter2")), "{problems:?}");
    }
}

#[test]
fn names_arrive_as_requests_are_compared() {
    let config = with_base(
        r#"
        [[alias]]
        from = "/a%20b/%7Bé%/{asset}"
        to = "/{asset}/{asset}{asset}"
        [[host]]
        name = "Get.Bücher.EXAMPLE."
        product = "tool"
        prefix = "/a%20b/c/"
        [[host]]
        name = "[2001:DB8::0:1]"
        prefix = "/"
        [[host]]
        name = "a.example"
        [server]
        public_url = "https://a.example"
        "#,
    )
    .config;
    let literal = |text: &str| TemplatePart::Literal(text.into());
    let asset = || TemplatePart::Hole(Placeholder::Asset);
    assert_eq!(config.aliases[0].from, Template(vec![literal("/a b/{é%/"), asset()]));
    assert_eq!(config.aliases[0].to, Template(vec![literal("/"), asset(), literal("/"), asset(), asset()]));
    let host = |name: &str, product: Option<&str>, prefix: &str| Host {
        name: name.into(),
        product: product.map(|product| product.parse().unwrap()),
        prefix: prefix.into(),
    };
    assert_eq!(
        config.hosts,
        [
            host("get.xn--bcher-kva.example", Some("tool"), "/a b/c"),
            host("[2001:db8::1]", None, ""),
            host("a.example", None, ""),
        ]
    );
}

#[test]
fn gates_tiers_and_tokens_arrive_as_written() {
    let config = with_base(&format!(
        r#"
        tier = "edge"
        notify = {{ command = "sync" }}
        [[gate]]
        check = "signatures"
        mode = "gate"
        owner = ""
        [[gate]]
        check = "origin"
        products = "tool"
        [[tier]]
        name = "edge"
        releases = {{ within = "90d" }}
        [[tier]]
        name = "edge"
        channels = ["stable"]
        releases = "current"
        [retention]
        age = "730d"
        [admin]
        look = "token"
        [[admin.token]]
        name = "ci"
        role = "release"
        sha256 = "{DIGEST}"
        "#
    ))
    .config;
    assert_eq!(
        (config.mirrors[0].tier.as_str(), &config.mirrors[0].notify),
        ("edge", &Some(Notify::Command(vec!["sync".into()])))
    );
    let gates: Vec<_> =
        config.gates.iter().map(|g| (g.check, g.mode, g.owner.as_str(), g.products.len())).collect();
    assert_eq!(gates, [(Check::Signatures, GateMode::Gate, "", 0), (Check::Origin, GateMode::Gate, "", 1)]);
    let tiers: Vec<_> = config.tiers.iter().map(|t| (t.name.as_str(), t.releases)).collect();
    let quarter = Duration::from_secs(90 * 86_400);
    assert_eq!(tiers, [("edge", Kept::Within(quarter)), ("edge", Kept::Current), ("all", Kept::All)]);
    assert_eq!(
        (config.retention.newest, config.retention.age),
        (None, Some(Duration::from_secs(730 * 86_400)))
    );
    assert!(!config.admin.open_look);
    let token = &config.admin.tokens[0];
    assert_eq!(
        (token.name.as_str(), token.role, token.sha256.to_string().as_str()),
        ("ci", Role::Release, DIGEST)
    );
    let none = with_base("").config;
    assert!(none.admin.open_look && none.admin.tokens.is_empty() && none.gates.is_empty());
    assert_eq!(none.mirrors[0].tier.as_str(), "all");
}
