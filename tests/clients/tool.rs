//! The tools, and how each is told of a token.

use data_encoding::BASE64;

use crate::place::{ARCHIVE, Desk, PACKAGE, WHEEL};
use crate::python::python;

/// How a token comes along.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    Bearer,
    Password,
    /// A file for passwords: netrc, or apt's `auth.conf`.
    File,
    /// A URL with a ticket, and nothing else.
    Ticket,
}

pub const WAYS: [Way; 4] = [Way::Bearer, Way::Password, Way::File, Way::Ticket];

/// What a tool is to fetch, and with what.
pub struct Errand<'a> {
    /// The canonical URL, or the one with the ticket.
    pub url: &'a str,
    pub token: &'a str,
    pub desk: &'a Desk,
}

/// A program and its arguments.
pub type Call = Vec<String>;

pub struct Tool {
    pub name: &'static str,
    /// What it fetches.
    pub file: &'static str,
    /// How it is told of a token, in the order of [`WAYS`], as the README shows it; empty: not at all.
    pub how: [&'static str; 4],
    pub call: fn(Way, &Errand<'_>) -> Call,
}

impl Tool {
    const fn new(name: &'static str, how: [&'static str; 4], call: fn(Way, &Errand<'_>) -> Call) -> Self {
        Self { name, file: ARCHIVE, how, call }
    }

    const fn fetching(self, file: &'static str) -> Self {
        Self { file, ..self }
    }
}

const WGET: [&str; 4] = ["`--header`", "`--user`, `--password`", "`~/.netrc`", "yes"];

pub const TOOLS: [Tool; 10] = [
    Tool::new("curl", ["`-H`", "`-u`", "`-n`", "yes"], curl),
    Tool::new("wget", WGET, wget),
    Tool::new("wget2", WGET, wget2),
    Tool::new("aria2", ["`--header`", "`--http-user`, `--http-passwd`", "`~/.netrc`", "yes"], aria2),
    Tool::new("Python's requests", ["`headers=`", "`auth=`", "`~/.netrc`", "yes"], requests),
    Tool::new("Python's urllib", ["`headers=`", "`HTTPBasicAuthHandler`", "", "yes"], urllib),
    Tool::new("Perl's HTTP::Tiny", ["`headers =>`", "in the URL", "", "yes"], perl),
    Tool::new("Node's fetch", ["`headers:`", "`headers:`", "", "yes"], node),
    Tool::new("pip (a wheel's URL)", ["", "in the URL", "`~/.netrc`", "yes"], pip).fetching(WHEEL),
    Tool::new("apt", ["", "in the URL", "`auth.conf`", ""], apt).fetching(PACKAGE),
];

fn call(program: &str, before: &[&str], token: &[String], url: &str) -> Call {
    let mut call: Call = [&[program], before].concat().into_iter().map(str::to_owned).collect();
    call.extend_from_slice(token);
    call.push(url.to_owned());
    call
}

fn bearer(errand: &Errand<'_>) -> String {
    format!("Authorization: Bearer {}", errand.token)
}

/// The URL with a user and the token as its password.
fn with_password(Errand { url, token, .. }: &Errand<'_>) -> String {
    url.replacen("http://", &format!("http://x:{token}@"), 1)
}

/// The host of a URL, with its port.
fn authority(url: &str) -> &str {
    url.split('/').nth(2).unwrap()
}

fn write_netrc(Errand { url, token, desk }: &Errand<'_>) {
    let (host, _) = authority(url).split_once(':').unwrap();
    desk.write(".netrc", &format!("machine {host} login x password {token}\n"));
}

fn curl(way: Way, errand: &Errand<'_>) -> Call {
    let own = match way {
        Way::Bearer => vec!["-H".to_owned(), bearer(errand)],
        Way::Password => vec!["-u".to_owned(), format!("x:{}", errand.token)],
        Way::File => {
            write_netrc(errand);
            vec!["-n".to_owned()]
        }
        Way::Ticket => vec![],
    };
    call("curl", &["-fsSL", "-o", "got"], &own, errand.url)
}

/// wget and wget2.
fn wget_options(way: Way, errand: &Errand<'_>) -> Vec<String> {
    match way {
        Way::Bearer => vec![format!("--header={}", bearer(errand))],
        Way::Password => vec!["--user=x".to_owned(), format!("--password={}", errand.token)],
        Way::File => {
            write_netrc(errand);
            vec![]
        }
        Way::Ticket => vec![],
    }
}

fn wget(way: Way, errand: &Errand<'_>) -> Call {
    call("wget", &["-nv", "-t1"], &wget_options(way, errand), errand.url)
}

fn wget2(way: Way, errand: &Errand<'_>) -> Call {
    call("wget2", &["--tries=1"], &wget_options(way, errand), errand.url)
}

fn aria2(way: Way, errand: &Errand<'_>) -> Call {
    let own = match way {
        Way::Bearer => vec![format!("--header={}", bearer(errand))],
        Way::Password => vec!["--http-user=x".to_owned(), format!("--http-passwd={}", errand.token)],
        Way::File => {
            write_netrc(errand);
            vec![]
        }
        Way::Ticket => vec![],
    };
    let plain = ["--no-conf", "--show-console-readout=false", "--file-allocation=none", "--max-tries=1"];
    call("aria2c", &plain, &own, errand.url)
}

const REQUESTS: &str = r#"
import sys, requests
way, token, url = sys.argv[1:]
headers = {"Authorization": "Bearer " + token} if way == "Bearer" else {}
auth = ("x", token) if way == "Password" else None
answer = requests.get(url, headers=headers, auth=auth)
answer.raise_for_status()
open("got", "wb").write(answer.content)
"#;

const URLLIB: &str = r#"
import sys, urllib.request
way, token, url = sys.argv[1:]
request = urllib.request.Request(url)
if way == "Bearer":
    request.add_header("Authorization", "Bearer " + token)
passwords = urllib.request.HTTPPasswordMgrWithDefaultRealm()
if way == "Password":
    passwords.add_password(None, url, "x", token)
opener = urllib.request.build_opener(urllib.request.HTTPBasicAuthHandler(passwords))
open("got", "wb").write(opener.open(request).read())
"#;

const NODE: &str = r#"
const [way, given, url] = process.argv.slice(1);
const headers = way === "Ticket" ? {} : { authorization: given };
const answer = await fetch(url, { headers });
if (!answer.ok) throw new Error(String(answer.status));
(await import("node:fs")).writeFileSync("got", Buffer.from(await answer.arrayBuffer()));
"#;

fn script(way: Way, errand: &Errand<'_>) -> [String; 2] {
    if way == Way::File {
        write_netrc(errand);
    }
    [format!("{way:?}"), errand.token.to_owned()]
}

fn requests(way: Way, errand: &Errand<'_>) -> Call {
    call(&python(), &["-c", REQUESTS], &script(way, errand), errand.url)
}

fn urllib(way: Way, errand: &Errand<'_>) -> Call {
    call("python3", &["-I", "-c", URLLIB], &script(way, errand), errand.url)
}

const PERL: &str = r#"
my ($way, $token, $url) = @ARGV;
my %headers = $way eq "Bearer" ? (Authorization => "Bearer $token") : ();
my $answer = HTTP::Tiny->new->get($url, { headers => \%headers });
die "$answer->{status}\n" unless $answer->{success};
open(my $file, ">:raw", "got") or die;
print $file $answer->{content};
"#;

fn perl(way: Way, errand: &Errand<'_>) -> Call {
    let url = match way {
        Way::Password => with_password(errand),
        _ => errand.url.to_owned(),
    };
    call("perl", &["-MHTTP::Tiny", "-e", PERL], &script(way, errand), &url)
}

fn node(way: Way, errand: &Errand<'_>) -> Call {
    let given = match way {
        Way::Password => format!("Basic {}", BASE64.encode(format!("x:{}", errand.token).as_bytes())),
        _ => format!("Bearer {}", errand.token),
    };
    call("node", &["--input-type=module", "-e", NODE], &[format!("{way:?}"), given], errand.url)
}

fn pip(way: Way, errand: &Errand<'_>) -> Call {
    let url = match way {
        Way::Password => with_password(errand),
        _ => errand.url.to_owned(),
    };
    if way == Way::File {
        write_netrc(errand);
    }
    let plain =
        ["-m", "pip", "download", "--isolated", "--no-input", "--no-index", "--no-deps", "--no-cache-dir"];
    call(&python(), &plain, &[], &url)
}

/// `apt-get update` and `download` with nothing of this machine's.
fn apt(way: Way, errand: &Errand<'_>) -> Call {
    let Errand { url, token, desk } = errand;
    let folder = desk.path().join("apt");
    for part in ["lists/partial", "cache/archives/partial", "etc"] {
        std::fs::create_dir_all(folder.join(part)).unwrap();
    }
    let source = match way {
        Way::Password => with_password(errand),
        _ => (*url).to_owned(),
    };
    let (source, _) = source.split_once("stable/").unwrap();
    if way == Way::File {
        desk.write("apt/auth.conf", &format!("machine http://{} login x password {token}\n", authority(url)));
    }
    desk.write("apt/sources.list", &format!("deb [trusted=yes] {source} stable/\n"));
    desk.write("apt/status", "");
    let folder = folder.display();
    let settings = format!(
        "Dir::Etc \"{folder}\"; Dir::Etc::main \"none\"; Dir::Etc::parts \"none\"; Dir::Etc::sourceparts \"none\";\n\
         Dir::Etc::netrcparts \"none\"; Dir::State \"{folder}\"; Dir::State::status \"{folder}/status\";\n\
         Dir::Cache \"{folder}/cache\"; APT::Sandbox::User \"root\"; Acquire::Retries \"0\";\n\
         Acquire::Languages \"none\"; Acquire::http::Proxy \"DIRECT\";\n"
    );
    desk.write("apt.conf", &settings);
    let both = "apt-get -q update && apt-get -q download agent";
    ["env", "APT_CONFIG=apt.conf", "sh", "-c", both].map(str::to_owned).to_vec()
}
