//! Each tool, each way of carrying a token, each kind of mirror: who gets the file, and the README's table of it.

use std::fs;
use std::path::Path;

use crate::place::{Desk, Mirrors, Place};
use crate::tokens::token;
use crate::tool::{Errand, TOOLS, Tool, WAYS, Way};

/// What came of one errand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// It has the file, byte for byte.
    Got {
        from: &'static str,
        /// The mirror saw the token; of the bucket nobody asks: it would not have given the file.
        leaked: bool,
    },
    /// It was told, by a 400, what works instead, and has nothing.
    Told,
}

/// The outcomes at one place: as many as tools, as many as ways; none where a tool knows no such way.
type Outcomes = Vec<[Option<Outcome>; WAYS.len()]>;

async fn all(mirrors: Mirrors) -> Outcomes {
    let place = Place::start(mirrors).await;
    let mut outcomes = Vec::new();
    for tool in &TOOLS {
        let mut row = [None; WAYS.len()];
        for ((cell, way), how) in row.iter_mut().zip(WAYS).zip(tool.how) {
            if !how.is_empty() {
                *cell = Some(fetch(&place, mirrors, tool, way).await);
            }
        }
        outcomes.push(row);
    }
    outcomes
}

async fn fetch(place: &Place, mirrors: Mirrors, tool: &Tool, way: Way) -> Outcome {
    let (desk, token) = (Desk::new(), token());
    let url = match way {
        Way::Ticket => place.ticket(tool.file, &token).await,
        _ => place.stable(tool.file),
    };
    let call = (tool.call)(way, &Errand { url: &url, token: &token, desk: &desk });
    let arguments: Vec<&str> = call[1..].iter().map(String::as_str).collect();
    let asked = if mirrors == Mirrors::S3 { 0 } else { place.asked().len() };
    let (told, to_nginx, to_s3) =
        (place.told().await, place.redirected_to("nginx").await, place.redirected_to("s3").await);

    let ended = desk.run(&call[0], &arguments).await;

    let about = format!("{} by {way:?} at {mirrors:?}: {ended:#?}", tool.name);
    let has_it = desk.has(place.bytes(tool.file));
    if place.told().await > told {
        assert!(!has_it, "{about}");
        return Outcome::Told;
    }
    assert!(has_it, "{about}");
    let by_nginx = place.redirected_to("nginx").await > to_nginx;
    assert_ne!(by_nginx, place.redirected_to("s3").await > to_s3, "from one of them: {about}");
    if !by_nginx {
        return Outcome::Got { from: "s3", leaked: false };
    }
    let asked = place.until_asked(asked).await;
    assert!(asked.iter().all(|request| request.referer == "-"), "a ticket may be a part of that: {asked:?}");
    let leaked = asked.iter().any(|request| request.authorization != "-");
    Outcome::Got { from: "nginx", leaked }
}

/// What the table says of a tool and a way.
fn cell(name: &str, how: &str, nginx: Option<Outcome>, s3: Option<Outcome>, both: Option<Outcome>) -> String {
    let (Some(nginx), Some(s3), Some(both)) = (nginx, s3, both) else { return "–".to_owned() };
    let Outcome::Got { leaked, .. } = nginx else {
        panic!("{name}, {how}: nginx takes a token beside its own")
    };
    match s3 {
        Outcome::Got { .. } => {
            assert!(!leaked, "{name}, {how}: the bucket was not asked for two credentials");
            assert_eq!(both, s3, "{name}, {how}: the nearer mirror");
            how.to_owned()
        }
        Outcome::Told => {
            assert_eq!(both, nginx, "{name}, {how}: the mirror that does not mind");
            format!("{how} (not S3)")
        }
    }
}

#[tokio::test]
async fn the_readme_says_what_works_with_which_client() {
    let (nginx, s3, both) = tokio::join!(all(Mirrors::Nginx), all(Mirrors::S3), all(Mirrors::Both));
    let mut table =
        "| client | a header | user and password | netrc | ticket |\n|---|---|---|---|---|\n".to_owned();
    for (row, tool) in TOOLS.iter().enumerate() {
        let cells = tool.how.iter().enumerate().map(|(column, how)| {
            let of = |outcomes: &Outcomes| outcomes[row][column];
            cell(tool.name, how, of(&nginx), of(&s3), of(&both))
        });
        let cells: Vec<String> = cells.collect();
        table.push_str(&format!("| {} | {} |\n", tool.name, cells.join(" | ")));
    }
    let readme = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    assert!(readme.contains(&table), "README.md has to say of private downloads:\n\n{table}");
}
