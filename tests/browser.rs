//! A person with a real browser before a private download: what they see, that they get the file, and what is kept of the
//! token and where.
#![allow(clippy::unwrap_used, missing_docs)]

#[path = "downloads/certificates.rs"]
mod certificates;
#[path = "support/chromium.rs"]
mod chromium;
#[path = "support/nginx.rs"]
mod nginx;
#[path = "browser/place.rs"]
mod place;
#[path = "support/process.rs"]
mod process;
#[path = "support/site.rs"]
mod site;
#[path = "support/tokens.rs"]
mod tokens;

use std::time::Duration;

use chromium::{Chromium, ENTER, TAB};
use place::{ARCHIVE, Log, MANUAL, Place, bytes};
use serde_json::{Value, json};
use tokens::{token, with};

const LONG: Duration = Duration::from_secs(900);

/// A site whose service has logged to [`Log`] from the beginning, and a browser before it.
async fn begin(session: Duration) -> (Place, Chromium) {
    Log::keep();
    let place = Place::start(session).await;
    let browser = place.browser().await;
    (place, browser)
}

/// Puts a token into the page without the mouse.
async fn put_in(browser: &Chromium, token: &str) {
    until_page(browser).await;
    browser.paste(token).await;
    browser.type_keys(ENTER).await;
}

/// The page that takes a token is there, and its field has a name and the focus.
async fn until_page(browser: &Chromium) {
    browser.until_focus_is_on("textbox", "Token").await;
}

/// Fails where the console says more than that an answer was an error, which the browser itself says of each.
async fn assert_quiet(browser: &Chromium) {
    let console = browser.console().await;
    let is_ours = |entry: &&Value| {
        let message = entry["message"].as_str().unwrap();
        entry["source"] != "network" || !message.contains(".example/") || message.contains("favicon")
    };
    let ours: Vec<_> = console.iter().filter(is_ours).collect();
    assert!(ours.is_empty(), "{ours:#?}");
}

#[tokio::test]
async fn the_page_is_usable_by_keyboard_and_says_what_is_wrong_with_a_token() {
    let (place, browser) = begin(LONG).await;
    browser.open(&place.file(ARCHIVE)).await;
    until_page(&browser).await;
    assert_eq!(browser.focus_property("type").await, "password");
    assert!(!browser.has("[role=alert]").await, "nothing is wrong yet");
    browser.type_keys(TAB).await;
    browser.until_focus_is_on("button", "Download").await;

    browser.open(&place.file(ARCHIVE)).await;
    for (token, why) in [
        ("nonsense", "no token"),
        (&with(json!({ "exp": 1_000_000_000 })), "the token has expired"),
        (&with(json!({ "aud": "elsewhere.example" })), "for another audience"),
    ] {
        put_in(&browser, token).await;
        browser.until_shows(why).await;
        assert!(browser.text_of("[role=alert]").await.contains(why));
        assert!(!browser.source().await.contains(token), "{why}");
        assert_eq!(browser.cookies().await, Vec::<Value>::new(), "nothing is kept of it");
    }
    put_in(&browser, &token()).await;
    assert!(browser.downloaded(ARCHIVE).await == bytes(ARCHIVE), "the page still knows for what it stands");
    assert_quiet(&browser).await;
}

#[tokio::test]
async fn the_token_is_kept_in_a_strict_cookie_and_stands_nowhere_else() {
    let (place, browser) = begin(LONG).await;
    let token = token();
    browser.open(&place.file(ARCHIVE)).await;
    put_in(&browser, &token).await;
    assert!(browser.downloaded(ARCHIVE).await == bytes(ARCHIVE));

    let cookies = browser.cookies().await;
    let (kept, others): (Vec<&Value>, Vec<&Value>) =
        cookies.iter().partition(|cookie| cookie["name"] == "waypost_token");
    assert_eq!(kept.len(), 1, "{cookies:#?}");
    assert_eq!(kept[0]["value"], token);
    assert!(others.iter().all(|other| other["value"] == "1"), "{others:#?}");
    for cookie in &cookies {
        assert_eq!((&cookie["httpOnly"], &cookie["secure"]), (&json!(true), &json!(true)), "{cookie:#}");
        assert_eq!((&cookie["sameSite"], &cookie["path"]), (&json!("Strict"), &json!("/")), "{cookie:#}");
        assert_eq!(cookie["domain"], "downloads.example", "for this host alone");
    }

    // The mirror is another site: it learns neither the token nor from where somebody came.
    for request in place.asked(1).await {
        assert_eq!((&*request.cookie, &*request.referer), ("-", "-"), "{request:?}");
        assert_eq!(request.authorization, "-", "{request:?}");
        assert!(!request.path.contains(&token), "{request:?}");
    }
    browser.open(&place.file(MANUAL)).await;
    assert!(browser.downloaded(MANUAL).await == bytes(MANUAL), "the next file needs no page");
    let history = browser.history().await;
    assert!(!history.concat().contains(&token), "{history:?}");
    assert!(!browser.source().await.contains(&token));
    let log = Log::keep().text();
    assert!(log.contains("waypost::access") && log.contains(ARCHIVE), "downloads are logged: {log}");
    let signature = token.rsplit_once('.').unwrap().1;
    assert!(!log.contains(signature), "the token is in the log");
    assert_quiet(&browser).await;
}

#[tokio::test]
async fn the_back_button_leads_to_the_file_again_and_to_no_page_of_yesterday() {
    let (place, browser) = begin(LONG).await;
    browser.open(&place.file(ARCHIVE)).await;
    put_in(&browser, &token()).await;
    browser.downloaded(ARCHIVE).await;
    browser.open(&place.wiki()).await;
    browser.back().await;
    assert!(
        browser.downloaded(ARCHIVE).await == bytes(ARCHIVE),
        "the page was not kept: it was asked for anew"
    );
}

#[tokio::test]
async fn a_link_on_another_site_leads_to_the_file_by_one_click_more() {
    let (place, browser) = begin(LONG).await;
    browser.open(&place.file(ARCHIVE)).await;
    put_in(&browser, &token()).await;
    browser.downloaded(ARCHIVE).await;

    // A strict cookie stays away where another site sends a person here.
    browser.open(&place.wiki()).await;
    browser.click("li:nth-of-type(2) a").await;
    browser.until_shows("A token is needed").await;
    assert_eq!(browser.text_of("a").await, "Go on to the download.");
    browser.click("a").await;
    assert!(browser.downloaded(MANUAL).await == bytes(MANUAL));
    let asked = place.asked(2).await;
    assert!(asked.iter().all(|request| request.referer == "-" && request.cookie == "-"), "{asked:?}");
    assert_quiet(&browser).await;
}

#[tokio::test]
async fn who_goes_on_without_a_token_is_not_sent_round_in_circles() {
    let (place, browser) = begin(LONG).await;
    browser.open(&place.wiki()).await;
    browser.click("a").await;
    browser.until_shows("Go on to the download.").await;
    browser.click("a").await;
    // The page again, which offers nothing now that would not help.
    process::until("there is no link", async || !browser.has("a").await).await;
    put_in(&browser, &token()).await;
    assert!(browser.downloaded(ARCHIVE).await == bytes(ARCHIVE));

    // An old ticket hides the token that is there.
    browser.open(&format!("{}?ticket=old", place.file(MANUAL))).await;
    assert!(browser.text_of("[role=alert]").await.contains("ticket"));
    browser.click("a").await;
    assert!(browser.downloaded(MANUAL).await == bytes(MANUAL));
}

#[tokio::test]
async fn when_the_time_is_over_the_page_comes_again_and_says_so() {
    let (place, browser) = begin(Duration::from_secs(4)).await;
    browser.open(&place.file(ARCHIVE)).await;
    put_in(&browser, &token()).await;
    browser.downloaded(ARCHIVE).await;
    let keeps = |cookies: &[Value]| cookies.iter().any(|cookie| cookie["name"] == "waypost_token");
    process::until("the cookie is gone", async || !keeps(&browser.cookies().await)).await;
    browser.open(&place.file(MANUAL)).await;
    assert!(
        browser
            .text_of("[role=alert]")
            .await
            .contains("the time for which this browser keeps a token is over")
    );
    put_in(&browser, &token()).await;
    assert!(browser.downloaded(MANUAL).await == bytes(MANUAL));
}

#[tokio::test]
async fn errors_are_pages_that_people_can_read() {
    let (place, browser) = begin(LONG).await;
    let asked = json!({ "reason": "it lost data", "replacement": "1.0" });
    let answer = place.site.post("/v1/releases/agent/0.9/withdraw", &asked).await;
    assert_eq!(answer.status, 200, "{}", answer.text());

    browser.open(&place.file(ARCHIVE)).await;
    put_in(&browser, &with(json!({ "team": "other" }))).await;
    browser.until_shows("the token does not give this").await;
    put_in(&browser, &token()).await;
    browser.downloaded(ARCHIVE).await;
    for (path, says) in [
        ("/", "Not Found"),
        ("/agent/1.0/nothing", "Not Found"),
        ("/exotic/1.0/exotic.tar.gz", "Unavailable For Legal Reasons"),
        ("/agent/0.9/agent-0.9-linux-amd64.tar.gz", "it lost data"),
    ] {
        browser.open(&place.url(path)).await;
        let text = browser.text().await;
        assert!(text.contains(says) && !text.contains('{'), "{path}: {text}");
        assert!(browser.has("h1").await && browser.has("meta[name=viewport]").await, "{path}");
    }
    browser.click("a").await;
    assert!(browser.downloaded(ARCHIVE).await == bytes(ARCHIVE), "the replacement is one click away");
    assert_quiet(&browser).await;
}

/// Inside a company, perhaps. The browser then does not say from where it comes.
#[tokio::test]
async fn the_page_works_without_https_as_well() {
    Log::keep();
    let place = Place::with("http", LONG).await;
    let browser = place.browser().await;
    browser.open(&place.file(ARCHIVE)).await;
    put_in(&browser, &token()).await;
    assert!(browser.downloaded(ARCHIVE).await == bytes(ARCHIVE));
    let cookies = browser.cookies().await;
    assert!(!cookies.is_empty() && cookies.iter().all(|cookie| cookie["secure"] == false), "{cookies:#?}");
    browser.open(&place.wiki()).await;
    browser.click("li:nth-of-type(2) a").await;
    browser.until_shows("Go on to the download.").await;
    browser.click("a").await;
    assert!(browser.downloaded(MANUAL).await == bytes(MANUAL));
}
