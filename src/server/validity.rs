//! Between which moments a certificate is valid (RFC 5280, section 4.1.2.5): as much of DER as that takes.

use crate::model::Timestamp;

/// The first and the last moment of a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Validity {
    pub(super) not_before: Timestamp,
    pub(super) not_after: Timestamp,
}

const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

impl Validity {
    /// Reads it from a certificate in DER. `None` where that is not one.
    pub(super) fn of(certificate: &[u8]) -> Option<Self> {
        let (_, certificate, _) = element(certificate).filter(|e| e.0 == SEQUENCE)?;
        let (_, mut rest, _) = element(certificate).filter(|e| e.0 == SEQUENCE)?;
        if rest.first() == Some(&VERSION) {
            rest = element(rest)?.2;
        }
        // Serial number, signature algorithm, issuer.
        for _ in 0..3 {
            rest = element(rest)?.2;
        }
        let (_, validity, _) = element(rest).filter(|e| e.0 == SEQUENCE)?;
        let (tag, text, rest) = element(validity)?;
        let not_before = moment(tag, text)?;
        let (tag, text, _) = element(rest)?;
        Some(Self { not_before, not_after: moment(tag, text)? })
    }
}

/// Tag and content of the first element, and what follows it.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = der.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81..=0x83 => {
            let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            (bytes.iter().fold(0, |sum, &byte| sum << 8 | usize::from(byte)), rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}

/// `YYMMDDHHMMSSZ` or `YYYYMMDDHHMMSSZ`.
fn moment(tag: u8, text: &[u8]) -> Option<Timestamp> {
    let text = std::str::from_utf8(text).ok().filter(|text| text.is_ascii())?;
    let (year, rest) = match tag {
        UTC_TIME => {
            let (year, rest) = text.split_at_checked(2)?;
            // RFC 5280: 50 to 99 are of the last century.
            (format!("{}{year}", if year < "50" { "20" } else { "19" }), rest)
        }
        GENERALIZED_TIME => {
            let (year, rest) = text.split_at_checked(4)?;
            (year.to_owned(), rest)
        }
        _ => return None,
    };
    let digits = rest.strip_suffix('Z').filter(|digits| digits.len() == 10)?;
    let part = |from: usize| &digits[from..from + 2];
    let (month, day, hour, minute, second) = (part(0), part(2), part(4), part(6), part(8));
    Timestamp::parse_rfc3339(&format!("{year}-{month}-{day}T{hour}:{minute}:{second}Z"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn stamp(text: &str) -> Timestamp {
        Timestamp::parse_rfc3339(text).unwrap()
    }

    fn certificate(from: i32, to: i32) -> Vec<u8> {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(vec!["localhost".into()]).unwrap();
        params.not_before = rcgen::date_time_ymd(from, 1, 2);
        params.not_after = rcgen::date_time_ymd(to, 3, 4);
        params.self_signed(&key).unwrap().der().to_vec()
    }

    #[test]
    fn both_forms_of_time_are_read() {
        let near = Validity::of(&certificate(1999, 2049)).unwrap();
        assert_eq!(near.not_before, stamp("1999-01-02T00:00:00Z"));
        assert_eq!(near.not_after, stamp("2049-03-04T00:00:00Z"));
        let far = Validity::of(&certificate(2051, 2099)).unwrap();
        assert_eq!(far.not_before, stamp("2051-01-02T00:00:00Z"));
        assert_eq!(far.not_after, stamp("2099-03-04T00:00:00Z"));
    }

    #[test]
    fn a_cut_certificate_is_none() {
        let whole = certificate(2020, 2030);
        for length in 0..whole.len() {
            assert_eq!(Validity::of(&whole[..length]), None, "{length}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), at in 0_usize..400, byte: u8) {
            let _ = Validity::of(&bytes);
            let mut broken = certificate(2020, 2030);
            let at = at % broken.len();
            broken[at] = byte;
            let _ = Validity::of(&broken);
        }
    }
}
