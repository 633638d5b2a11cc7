//! Python with its standard library alone, and who hands a password on to the mirror.

use crate::site::{LINUX, Site};

/// What a small installer does: the version, the file, its checksum.
const INSTALL: &str = r#"
import hashlib, sys, urllib.request

def get(name):
    with urllib.request.urlopen(sys.argv[1] + "tool/stable/" + name) as answer:
        return answer.read(), answer.geturl()

version = get("version.txt")[0].decode().strip()
data, url = get("linux-amd64")
digest, name = get("linux-amd64.sha256")[0].decode().split()
assert hashlib.sha256(data).hexdigest() == digest, "checksum"
assert version in name and url.endswith("/" + name), (version, name, url)
open(name, "wb").write(data)
"#;

const WITH_PASSWORD: &str = r#"
import sys, urllib.request
urllib.request.urlopen(urllib.request.Request(sys.argv[1], headers={"Authorization": "Basic dTpw"})).read()
"#;

#[tokio::test]
async fn urllib_downloads_and_checks_a_release() {
    let site = Site::start().await;
    site.run("python3", &["-I", "-c", INSTALL, &site.url]).await.ok();
    site.assert_has(LINUX, LINUX);
    site.stop().await;
}

#[tokio::test]
async fn some_clients_hand_a_password_on_to_the_mirror() {
    let site = Site::start().await;
    let url = site.stable("linux-amd64");
    let wget = ["--user=u", "--password=p", "--auth-no-challenge", "-q", "-O", "got", &url];
    let header = "--header=Authorization: Basic dTpw";
    let aria2 = ["--no-conf", "-q", "--allow-overwrite=true", "-o", "got", header, &url];
    for (program, arguments, agent, hands_on) in [
        ("curl", &["-fsSL", "-u", "u:p", "-o", "got", &url][..], "curl", false),
        ("wget", &wget[..], "Wget/", true),
        ("wget2", &["-q", header, &url][..], "wget2", true),
        ("aria2c", &aria2[..], "aria2", true),
        ("python3", &["-I", "-c", WITH_PASSWORD, &url][..], "Python-urllib", true),
    ] {
        site.run(program, arguments).await.ok();
        let (_, request) = site.until_asked(agent, 1).await.remove(0);
        assert_eq!(request.authorization == "Basic dTpw", hands_on, "{program}: {request:?}");
    }
    site.stop().await;
}
