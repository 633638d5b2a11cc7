//! A real browser, driven as a person would: a Chromium without a window, by chromedriver (W3C WebDriver, JSON over HTTP).

#![allow(dead_code, missing_docs, clippy::unwrap_used)]

use std::fs;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use bytes::Bytes;
use http::Method;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::Child;
use tokio::time::timeout;

use super::process::{PATIENCE, command, spawn, until};
use super::site::ask_with;

/// Keys that have no letter (WebDriver section 17.4.2).
pub const TAB: &str = "\u{e004}";
pub const ENTER: &str = "\u{e007}";

/// The name under which an element is told (WebDriver section 12.1).
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

pub struct Chromium {
    /// Its end is that of the browser, which hangs on a pipe, also where a test is killed.
    _driver: Child,
    driver: SocketAddr,
    session: String,
    desk: TempDir,
}

impl Chromium {
    /// A new browser without a past, to which these names are at these addresses, whatever port a URL has.
    pub async fn start(names: &[(&str, SocketAddr)]) -> Self {
        let desk = tempfile::Builder::new().prefix("waypost-browser-").tempdir().unwrap();
        fs::create_dir(desk.path().join("downloads")).unwrap();
        let (_driver, driver) = start_driver(desk.path()).await;
        let mut browser = Self { _driver, driver, session: String::new(), desk };
        let rules: Vec<_> = names.iter().map(|(name, address)| format!("MAP {name} {address}")).collect();
        let wanted = json!({ "capabilities": { "alwaysMatch": {
            "acceptInsecureCerts": true,
            "goog:loggingPrefs": { "browser": "ALL" },
            "goog:chromeOptions": {
                "args": [
                    "--headless=new",
                    "--remote-debugging-pipe",
                    // It has none as root, nor in most containers; what it is shown are the tests' own pages.
                    "--no-sandbox",
                    "--disable-dev-shm-usage",
                    "--no-proxy-server",
                    format!("--user-data-dir={}", browser.desk.path().join("profile").display()),
                    format!("--host-resolver-rules={}", rules.join(", ")),
                ],
                "prefs": {
                    "download.default_directory": browser.desk.path().join("downloads"),
                    "download.prompt_for_download": false,
                },
            },
        } } });
        let began = browser.ask(Method::POST, "", &wanted).await;
        let began =
            began.unwrap_or_else(|why| panic!("no chromium: run tests/run, which installs it: {why}"));
        browser.session = format!("/{}", began["sessionId"].as_str().unwrap());
        browser
    }

    /// A command of the protocol: what it gave, or why not.
    async fn ask(&self, method: Method, command: &str, said: &Value) -> Result<Value, Value> {
        let body = if method == Method::GET { Bytes::new() } else { said.to_string().into() };
        let stream = TcpStream::connect(self.driver).await.unwrap();
        let path = format!("/session{}{command}", self.session);
        let mut answer = ask_with(stream, method, &path, &[("host", "localhost")], body).await.json();
        let value = answer["value"].take();
        if value["error"].is_string() { Err(value) } else { Ok(value) }
    }

    async fn get(&self, command: &str) -> Value {
        self.ask(Method::GET, command, &Value::Null).await.unwrap_or_else(|why| panic!("{command}: {why:#}"))
    }

    async fn post(&self, command: &str, said: &Value) -> Value {
        self.ask(Method::POST, command, said).await.unwrap_or_else(|why| panic!("{command}: {why:#}"))
    }

    // ---- what a person does ----

    /// Puts a URL into the address bar.
    pub async fn open(&self, url: &str) {
        self.post("/url", &json!({ "url": url })).await;
    }

    /// Goes back by the button.
    pub async fn back(&self) {
        self.post("/back", &json!({})).await;
    }

    /// Clicks on the first thing that a selector finds.
    pub async fn click(&self, selector: &str) {
        let element = self.find(selector).await;
        self.post(&format!("/element/{element}/click"), &json!({})).await;
    }

    /// Pastes a text to wherever the focus is.
    pub async fn paste(&self, text: &str) {
        let said = json!({ "cmd": "Input.insertText", "params": { "text": text } });
        self.post("/goog/cdp/execute", &said).await;
    }

    /// Types on the keyboard, wherever the focus is.
    pub async fn type_keys(&self, keys: &str) {
        let press = |key: char| {
            [json!({ "type": "keyDown", "value": key }), json!({ "type": "keyUp", "value": key })]
        };
        let keys: Vec<Value> = keys.chars().flat_map(press).collect();
        let said = json!({ "actions": [{ "type": "key", "id": "keyboard", "actions": keys }] });
        self.post("/actions", &said).await;
    }

    // ---- what a person sees ----

    /// The text that the page shows.
    pub async fn text(&self) -> String {
        self.text_of("body").await
    }

    pub async fn text_of(&self, selector: &str) -> String {
        let element = self.find(selector).await;
        self.get(&format!("/element/{element}/text")).await.as_str().unwrap().to_owned()
    }

    /// Waits until the page shows this.
    pub async fn until_shows(&self, text: &str) {
        until(&format!("the browser shows {text:?}"), async || {
            // Between two pages there is no body.
            let Ok(body) = self.ask(Method::POST, "/element", &by("body")).await else { return false };
            let command = format!("/element/{}/text", body[ELEMENT].as_str().unwrap());
            let shown = self.ask(Method::GET, &command, &Value::Null).await;
            shown.is_ok_and(|shown| shown.as_str().unwrap().contains(text))
        })
        .await;
    }

    /// Whether the page has such a thing.
    pub async fn has(&self, selector: &str) -> bool {
        self.ask(Method::POST, "/element", &by(selector)).await.is_ok()
    }

    /// The page as it stands now, what was changed since it came included.
    pub async fn source(&self) -> String {
        self.get("/source").await.as_str().unwrap().to_owned()
    }

    async fn find(&self, selector: &str) -> String {
        let element = self.post("/element", &by(selector)).await;
        element[ELEMENT].as_str().unwrap().to_owned()
    }

    /// Waits until this has the focus: its role and its name, as a screen reader says them.
    pub async fn until_focus_is_on(&self, role: &str, name: &str) {
        until(&format!("the {role} {name:?} has the focus"), async || {
            // Between two pages there is nothing.
            let Ok(element) = self.ask(Method::GET, "/element/active", &Value::Null).await else {
                return false;
            };
            let element = element[ELEMENT].as_str().unwrap();
            let is = async |what: &str, so: &str| {
                let said = self.ask(Method::GET, &format!("/element/{element}/{what}"), &Value::Null).await;
                said.is_ok_and(|said| said == so)
            };
            is("computedrole", role).await && is("computedlabel", name).await
        })
        .await;
    }

    /// What `name` is to what has the focus.
    pub async fn focus_property(&self, name: &str) -> Value {
        let element = self.get("/element/active").await;
        self.get(&format!("/element/{}/property/{name}", element[ELEMENT].as_str().unwrap())).await
    }

    // ---- what it keeps ----

    /// The cookies that it would send to the site of this page.
    pub async fn cookies(&self) -> Vec<Value> {
        self.get("/cookie").await.as_array().unwrap().clone()
    }

    /// The URLs of the tab's history.
    pub async fn history(&self) -> Vec<String> {
        let said = json!({ "cmd": "Page.getNavigationHistory", "params": {} });
        let history = self.post("/goog/cdp/execute", &said).await;
        let entries = history["entries"].as_array().unwrap().iter();
        entries.map(|entry| entry["url"].as_str().unwrap().to_owned()).collect()
    }

    /// What the console has said since it was asked last.
    pub async fn console(&self) -> Vec<Value> {
        self.post("/se/log", &json!({ "type": "browser" })).await.as_array().unwrap().clone()
    }

    /// A file that it has downloaded, once it is there: until then its name is that of an empty file.
    pub async fn downloaded(&self, name: &str) -> Vec<u8> {
        let file = self.downloads().join(name);
        until(&format!("the browser has downloaded {name}"), async || is_filled(&file)).await;
        let bytes = fs::read(&file).unwrap();
        fs::remove_file(file).unwrap();
        bytes
    }

    pub fn downloads(&self) -> PathBuf {
        self.desk.path().join("downloads")
    }
}

impl Drop for Chromium {
    /// The browser ends before its folder goes: else it would write there still.
    fn drop(&mut self) {
        let Ok(mut driver) = std::net::TcpStream::connect(self.driver) else { return };
        driver.set_read_timeout(Some(PATIENCE)).ok();
        let end = format!(
            "DELETE /session{} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n",
            self.session
        );
        driver.write_all(end.as_bytes()).ok();
        // It answers when the browser has ended, and keeps the connection.
        driver.read_exact(&mut [0; 12]).ok();
    }
}

fn is_filled(file: &Path) -> bool {
    fs::metadata(file).is_ok_and(|about| about.len() > 0)
}

fn by(selector: &str) -> Value {
    json!({ "using": "css selector", "value": selector })
}

/// It takes a port that is free, and says which.
async fn start_driver(desk: &Path) -> (Child, SocketAddr) {
    let mut command = command("chromedriver", desk);
    command.args(["--port=0", "--log-level=SEVERE"]).env("TMPDIR", desk);
    let mut driver = spawn(command.stdout(Stdio::piped()).stderr(Stdio::null()));
    let mut lines = BufReader::new(driver.stdout.take().unwrap()).lines();
    let port = async {
        while let Some(line) = lines.next_line().await.unwrap() {
            if let Some((_, port)) = line.split_once("started successfully on port ") {
                return port.trim_end_matches('.').parse().unwrap();
            }
        }
        panic!("chromedriver ended before it was there")
    };
    let port: u16 = timeout(PATIENCE, port).await.expect("chromedriver says its port");
    (driver, SocketAddr::from(([127, 0, 0, 1], port)))
}
