//! Who asks: from AWS's credentials file, or from the environment.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use rusty_s3::Credentials;

use super::BadS3;

/// Largest credentials file, in bytes.
const FILE_MAX: u64 = 1 << 20;
const KEY: &str = "aws_access_key_id";
const SECRET: &str = "aws_secret_access_key";
const TOKEN: &str = "aws_session_token";

/// Reads the `[default]` section of a file in AWS's format; without a file what `variable` says of
/// `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY` and `AWS_SESSION_TOKEN`.
///
/// # Errors
///
/// Where they are not there.
pub fn read(file: Option<&Path>, variable: impl Fn(&str) -> Option<String>) -> Result<Credentials, BadS3> {
    let Some(path) = file else {
        return credentials(|name| variable(&name.to_ascii_uppercase())).ok_or_else(|| {
            let how =
                "name a file with --credentials-file, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY";
            BadS3::Credentials(format!("there are no credentials for S3: {how}"))
        });
    };
    let mut text = String::new();
    let read = File::open(path).and_then(|file| file.take(FILE_MAX + 1).read_to_string(&mut text));
    read.map_err(|error| BadS3::Credentials(format!("{} cannot be read: {error}", path.display())))?;
    if text.len() as u64 > FILE_MAX {
        let why = format!("{} is no credentials file: it has more than {FILE_MAX} bytes", path.display());
        return Err(BadS3::Credentials(why));
    }
    credentials(|name| in_default(&text, name)).ok_or_else(|| {
        let needs = format!("needs a section [default] with {KEY} and {SECRET}");
        BadS3::Credentials(format!("{} {needs}", path.display()))
    })
}

fn credentials(value: impl Fn(&str) -> Option<String>) -> Option<Credentials> {
    let given = |name| value(name).filter(|text| !text.is_empty());
    let (key, secret) = (given(KEY)?, given(SECRET)?);
    Some(match given(TOKEN) {
        Some(token) => Credentials::new_with_token(key, secret, token),
        None => Credentials::new(key, secret),
    })
}

fn in_default(text: &str, name: &str) -> Option<String> {
    let mut in_default = false;
    for line in text.lines().map(str::trim) {
        if line.starts_with('[') {
            in_default = line == "[default]";
        } else if let Some((key, value)) = line.split_once('=').filter(|_| in_default)
            && key.trim() == name
        {
            return Some(value.trim().to_owned());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_section_counts_and_the_environment_only_without_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("credentials");
        let text = "[other]\naws_access_key_id = no\n[default]\n# c\naws_access_key_id = key\n\
                    aws_secret_access_key=se=cret\n[more]\naws_session_token = no\n";
        std::fs::write(&path, text).unwrap();
        let from_file = read(Some(&path), |_| Some("no".into())).unwrap();
        assert_eq!((from_file.key(), from_file.secret(), from_file.token()), ("key", "se=cret", None));

        let variable = |name: &str| name.starts_with("AWS_").then(|| name.to_owned());
        let from_environment = read(None, variable).unwrap();
        assert_eq!(from_environment.token(), Some("AWS_SESSION_TOKEN"));
        assert!(read(None, |_| Some(String::new())).is_err());
        std::fs::write(&path, "[default]\naws_access_key_id = key\n").unwrap();
        let said = read(Some(&path), |_| None).unwrap_err().to_string();
        assert!(said.contains("[default]"), "{said}");
    }
}
