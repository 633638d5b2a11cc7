//! `notify` of a mirror: whom to tell that it lacks something.

use url::Url;

use super::reader::Section;
use super::value::Value;
use super::values::Notify;

/// Longest command, in words.
const WORDS_MAX: usize = 64;

/// `notify = { url = "…" }` or `{ command = ["…"] }` of a mirror.
pub(super) fn notify(mut section: Section<'_>) -> Option<Notify> {
    let spot = section.spot.clone();
    let given = section.len();
    let url = section.get("url", webhook);
    let command = section.get("command", command);
    section.finish();
    let remedy = "write { url = \"https://…\" } or { command = [\"/usr/local/bin/sync\"] }";
    match (url, command) {
        (Some(url), None) => Some(Notify::Webhook(url)),
        (None, Some(words)) => Some(Notify::Command(words)),
        (Some(_), Some(_)) => spot.refuse("names `url` and `command`", remedy),
        (None, None) if given == 0 => spot.lacks("tells nobody", remedy),
        // The key that is unknown or bad is the problem.
        (None, None) => None,
    }
}

/// A program and its arguments.
fn command(value: Value<'_>) -> Option<Vec<String>> {
    let spot = value.spot().clone();
    let words = value.one_or_list(|value| {
        let word = value.text("a word of the command")?;
        if word.contains('\0') {
            return value.spot().refuse("holds a NUL character", "remove it");
        }
        Some(word.to_owned())
    })?;
    match words.first() {
        Some(program) if !program.is_empty() && words.len() <= WORDS_MAX => Some(words),
        Some(program) if !program.is_empty() => {
            spot.refuse(format!("has more than {WORDS_MAX} words"), "put them into a script")
        }
        _ => spot.refuse("names no program", "write it like [\"/usr/local/bin/sync\", \"fra\"]"),
    }
}

fn webhook(value: Value<'_>) -> Option<Url> {
    let text = value.text("\"https://hooks.example.net/sync\"")?;
    let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    // The text is not repeated: it may hold a secret.
    let Some(url) = url else {
        let remedy = "write it like \"https://hooks.example.net/sync\"";
        return value.spot().refuse("is no http or https URL", remedy);
    };
    if !url.username().is_empty() || url.password().is_some() {
        let remedy = "remove what stands before the @, which is not sent; a secret may be part of the path or the query";
        return value.spot().refuse("holds a user name or password", remedy);
    }
    Some(url)
}
