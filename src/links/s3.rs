//! Amazon S3 and what speaks like it: presigned URLs, AWS Signature Version 4 in the query
//! (<https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html>). Path style and virtual-hosted style
//! differ in the mirror's URL alone.

use std::path::Path;
use std::sync::Arc;

use arc_swap::ArcSwap;
use aws_lc_rs::hmac::{self, HMAC_SHA256, Key};

use super::period::Period;
use super::presigned::{Dialect, Presigner, put_hex};
use super::{LinkMethod, SignerError, key_file};

pub(super) struct S3 {
    presigner: Presigner,
    region: String,
    /// `AWS4` and the secret access key.
    secret: Vec<u8>,
    /// The key of the day on which something was signed last.
    today: ArcSwap<([u8; 8], Key)>,
}

impl S3 {
    pub(super) fn load(region: &str, access_key: &Path, secret: &Path) -> Result<Self, SignerError> {
        Ok(Self::new(region, key_file::word(access_key)?, &key_file::read(secret)?))
    }

    fn new(region: &str, id: String, secret: &[u8]) -> Self {
        let secret = [b"AWS4", secret].concat();
        let dialect = Dialect {
            prefix: "X-Amz-",
            algorithm: "AWS4-HMAC-SHA256",
            scope: format!("/{region}/s3/aws4_request"),
            id,
        };
        let today = ArcSwap::from_pointee((*b"19700101", key_of(&secret, b"19700101", region)));
        Self { presigner: Presigner::new(dialect), region: region.to_owned(), secret, today }
    }

    pub(super) fn sign(&self, out: &mut Vec<u8>, start: usize, period: &Period, method: LinkMethod) {
        let to_sign = self.presigner.prepare(out, start, period, method);
        let today = self.today.load();
        if today.0 == to_sign.day {
            return put_hex(out, hmac::sign(&today.1, &to_sign.text).as_ref());
        }
        let key = key_of(&self.secret, &to_sign.day, &self.region);
        put_hex(out, hmac::sign(&key, &to_sign.text).as_ref());
        self.today.store(Arc::new((to_sign.day, key)));
    }
}

/// The key that signs on one day.
fn key_of(secret: &[u8], day: &[u8; 8], region: &str) -> Key {
    let steps: [&[u8]; 4] = [day, region.as_bytes(), b"s3", b"aws4_request"];
    steps.iter().fold(Key::new(HMAC_SHA256, secret), |key, step| {
        Key::new(HMAC_SHA256, hmac::sign(&key, step).as_ref())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "AKIAIOSFODNN7EXAMPLE";
    const SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";

    fn signed(url: &str, from: u64, seconds: u64, method: LinkMethod) -> String {
        let s3 = S3::new("us-east-1", ID.into(), SECRET.as_bytes());
        let mut out = format!("<{url}").into_bytes();
        s3.sign(&mut out, 1, &Period { from, until: from + seconds }, method);
        String::from_utf8(out.split_off(1)).unwrap()
    }

    /// The example on the page that is named above.
    #[test]
    fn the_published_example_is_signed_as_published() {
        let url =
            signed("https://examplebucket.s3.amazonaws.com/test.txt", 1_369_353_600, 86_400, LinkMethod::Get);
        let expected = "https://examplebucket.s3.amazonaws.com/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256\
            &X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request\
            &X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host\
            &X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404";
        assert_eq!(url, expected);
    }

    /// Another implementation, over days and odd names.
    #[test]
    fn whatever_the_day_and_the_name_another_signer_agrees() {
        let s3 = S3::new("eu-central-1", ID.into(), SECRET.as_bytes());
        for (day, name) in
            ["a", "a%20b/c", "v1.0%2Bb~1", "%C3%BC.tar.gz"].into_iter().cycle().take(40).enumerate()
        {
            let from = 1_700_000_000 + day as u64 * 50_000;
            let url = format!("http://localhost:9000/bucket/{name}");
            let mut out = url.clone().into_bytes();
            s3.sign(&mut out, 0, &Period { from, until: from + 330 }, LinkMethod::Head);
            let expected = rusty_s3::signing::sign(
                &jiff::Timestamp::from_second(from as i64).unwrap(),
                rusty_s3::Method::Head,
                url.parse().unwrap(),
                ID,
                SECRET,
                None,
                "eu-central-1",
                330,
                std::iter::empty(),
                std::iter::empty(),
            );
            assert_eq!(String::from_utf8(out).unwrap(), expected.as_str());
        }
    }

    #[test]
    fn a_plus_is_no_space_and_a_week_is_the_longest() {
        let url = signed("https://b.example/a+b", 1_700_000_000, 7 * 86_400 + 60, LinkMethod::Get);
        assert!(
            url.starts_with("https://b.example/a%2Bb?") && url.contains("X-Amz-Expires=604800&"),
            "{url}"
        );
    }
}
