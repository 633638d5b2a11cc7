//! Files of address ranges, as providers publish them.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, Read};
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use ipnet::IpNet;
use serde::Deserialize;

use super::network::canonical_network;
use crate::config::RangeFormat;
use crate::model::Country;

/// Largest range file, in bytes; the largest published ones have about 10 MB.
const FILE_MAX: u64 = 64 << 20;
/// Most networks in one file.
const NETWORKS_MAX: usize = 1_000_000;

/// Why a range file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RangeFileError {
    /// It cannot be read.
    #[error("{}: {error}; give [[client_network]] the path of a readable file", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// It is too large.
    #[error("{}: more than 64 MiB or a million networks; keep only the networks that you have clients in", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// It is not of its format.
    #[error("{}: not in the format \"{format}\": {error}; check `format`, or fetch the file again", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// The format it should have.
        format: &'static str,
        /// What is wrong, and where.
        error: String,
    },
    /// An entry is no network.
    #[error("{}: {place}: {text:?} is {problem}; correct or remove it", path.display())]
    Entry {
        /// The file.
        path: PathBuf,
        /// The line, or the entry's position in the JSON list.
        place: String,
        /// What stands there.
        text: String,
        /// What is wrong with it.
        problem: &'static str,
    },
}

/// A network of a range file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FileNetwork {
    /// Without host bits.
    pub network: IpNet,
    /// The provider's name for the region; for geofeeds the region (`US-CA`), else the country. Empty: none.
    pub region: String,
    /// The country, where the format has one.
    pub country: Option<Country>,
}

/// The format's name in the configuration.
fn name(format: RangeFormat) -> &'static str {
    match format {
        RangeFormat::Aws => "aws",
        RangeFormat::Gcp => "gcp",
        RangeFormat::Azure => "azure",
        RangeFormat::Geofeed => "geofeed",
        RangeFormat::Cidr => "cidr",
    }
}

/// Reads a range file.
pub(super) fn read(path: &Path, format: RangeFormat) -> Result<Vec<FileNetwork>, RangeFileError> {
    let failed = |error| RangeFileError::Read { path: path.to_owned(), error };
    let mut bytes = Vec::new();
    File::open(path).and_then(|file| file.take(FILE_MAX + 1).read_to_end(&mut bytes)).map_err(failed)?;
    if bytes.len() as u64 > FILE_MAX {
        return Err(RangeFileError::TooLarge { path: path.to_owned() });
    }
    parse(&bytes, format).map_err(|bad| bad.at(path, format))
}

/// What is wrong with a file's text.
#[derive(Debug)]
enum Bad {
    Format(String),
    Entry { place: String, text: String, problem: &'static str },
    TooMany,
}

impl Bad {
    fn at(self, path: &Path, format: RangeFormat) -> RangeFileError {
        let path = path.to_owned();
        match self {
            Self::Format(error) => RangeFileError::Format { path, format: name(format), error },
            Self::Entry { place, text, problem } => RangeFileError::Entry { path, place, text, problem },
            Self::TooMany => RangeFileError::TooLarge { path },
        }
    }
}

fn parse(bytes: &[u8], format: RangeFormat) -> Result<Vec<FileNetwork>, Bad> {
    let mut list = List::default();
    match format {
        RangeFormat::Aws => {
            let file: Aws<'_> = json(bytes)?;
            let v4 = file.prefixes.iter().map(|entry| (&entry.ip_prefix, &entry.region));
            let v6 = file.ipv6_prefixes.iter().map(|entry| (&entry.ipv6_prefix, &entry.region));
            for (i, (prefix, region)) in v4.chain(v6).enumerate() {
                list.push(prefix, region, None, || format!("prefix {}", i + 1))?;
            }
        }
        RangeFormat::Gcp => {
            let file: Gcp<'_> = json(bytes)?;
            for (i, entry) in file.prefixes.iter().enumerate() {
                for prefix in entry.v4.iter().chain(&entry.v6) {
                    list.push(prefix, &entry.scope, None, || format!("prefix {}", i + 1))?;
                }
            }
        }
        RangeFormat::Azure => {
            let file: Azure<'_> = json(bytes)?;
            for tag in &file.values {
                for prefix in &tag.properties.address_prefixes {
                    list.push(prefix, &tag.properties.region, None, || format!("service tag {}", tag.name))?;
                }
            }
        }
        RangeFormat::Geofeed => lines(bytes, |line, place| {
            let mut columns = line.split(',').map(str::trim);
            let prefix = columns.next().unwrap_or_default();
            let (country, region) = (columns.next().unwrap_or_default(), columns.next().unwrap_or_default());
            let code = match country {
                "" => None,
                code => Some(code.parse().map_err(|_| Bad::Entry {
                    place: place(),
                    text: shown(code),
                    problem: "no country as two letters (RFC 8805 section 2.1.1.2)",
                })?),
            };
            list.push(prefix, if region.is_empty() { country } else { region }, code, place)
        })?,
        RangeFormat::Cidr => lines(bytes, |line, place| list.push(line, "", None, place))?,
    }
    Ok(list.networks)
}

/// Calls `entry` for each line that is neither empty nor a comment; comments begin with `#`, also behind an entry.
fn lines(
    bytes: &[u8],
    mut entry: impl FnMut(&str, &dyn Fn() -> String) -> Result<(), Bad>,
) -> Result<(), Bad> {
    let text = std::str::from_utf8(bytes).map_err(|error| Bad::Format(error.to_string()))?;
    for (i, line) in text.strip_prefix('\u{feff}').unwrap_or(text).lines().enumerate() {
        let line = line.split('#').next().unwrap_or_default().trim();
        if !line.is_empty() {
            entry(line, &|| format!("line {}", i + 1))?;
        }
    }
    Ok(())
}

fn json<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, Bad> {
    serde_json::from_slice(bytes).map_err(|error| Bad::Format(error.to_string()))
}

/// What an error message repeats of a file's text.
fn shown(text: &str) -> String {
    text.chars().take(64).collect()
}

#[derive(Default)]
struct List {
    networks: Vec<FileNetwork>,
}

impl List {
    fn push(
        &mut self,
        prefix: &str,
        region: &str,
        country: Option<Country>,
        place: impl Fn() -> String,
    ) -> Result<(), Bad> {
        let network: IpNet = match prefix.parse() {
            Ok(network) => network,
            // A bare address is a network of one (RFC 8805 section 2.1.1.1).
            Err(_) => prefix.parse::<IpAddr>().map(IpNet::from).map_err(|_| Bad::Entry {
                place: place(),
                text: shown(prefix),
                problem: "no network such as 192.0.2.0/24",
            })?,
        };
        if self.networks.len() == NETWORKS_MAX {
            return Err(Bad::TooMany);
        }
        self.networks.push(FileNetwork {
            network: canonical_network(network),
            region: region.to_owned(),
            country,
        });
        Ok(())
    }
}

/// <https://docs.aws.amazon.com/vpc/latest/userguide/aws-ip-syntax.html>
#[derive(Deserialize)]
struct Aws<'a> {
    #[serde(borrow)]
    prefixes: Vec<AwsV4<'a>>,
    #[serde(borrow, default)]
    ipv6_prefixes: Vec<AwsV6<'a>>,
}

#[derive(Deserialize)]
struct AwsV4<'a> {
    #[serde(borrow)]
    ip_prefix: Cow<'a, str>,
    #[serde(borrow)]
    region: Cow<'a, str>,
}

#[derive(Deserialize)]
struct AwsV6<'a> {
    #[serde(borrow)]
    ipv6_prefix: Cow<'a, str>,
    #[serde(borrow)]
    region: Cow<'a, str>,
}

/// <https://www.gstatic.com/ipranges/cloud.json>
#[derive(Deserialize)]
struct Gcp<'a> {
    #[serde(borrow)]
    prefixes: Vec<GcpPrefix<'a>>,
}

#[derive(Deserialize)]
struct GcpPrefix<'a> {
    #[serde(borrow, rename = "ipv4Prefix", default)]
    v4: Option<Cow<'a, str>>,
    #[serde(borrow, rename = "ipv6Prefix", default)]
    v6: Option<Cow<'a, str>>,
    /// Absent in `goog.json`.
    #[serde(borrow, default)]
    scope: Cow<'a, str>,
}

/// <https://www.microsoft.com/en-us/download/details.aspx?id=56519>
#[derive(Deserialize)]
struct Azure<'a> {
    #[serde(borrow)]
    values: Vec<AzureTag<'a>>,
}

#[derive(Deserialize)]
struct AzureTag<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow)]
    properties: AzureProperties<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AzureProperties<'a> {
    /// Empty for tags that are not of one region.
    #[serde(borrow, default)]
    region: Cow<'a, str>,
    #[serde(borrow)]
    address_prefixes: Vec<Cow<'a, str>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The networks as `network region country`.
    fn networks(format: RangeFormat, text: &str) -> Vec<String> {
        let list = parse(text.as_bytes(), format).unwrap();
        let country = |entry: &FileNetwork| entry.country.map_or(String::new(), |code| code.to_string());
        list.iter().map(|entry| format!("{} {} {}", entry.network, entry.region, country(entry))).collect()
    }

    fn refusal(format: RangeFormat, text: &str) -> String {
        parse(text.as_bytes(), format).unwrap_err().at(Path::new("ranges"), format).to_string()
    }

    #[test]
    fn providers_files_are_read() {
        let aws = r#"{"syncToken": "1", "prefixes": [
            {"ip_prefix": "3.5.140.0/22", "region": "ap-northeast-2", "service": "AMAZON"}],
            "ipv6_prefixes": [{"ipv6_prefix": "2a05:d07a:a000::/40", "region": "eu-south-1", "service": "S3"}]}"#;
        assert_eq!(
            networks(RangeFormat::Aws, aws),
            ["3.5.140.0/22 ap-northeast-2 ", "2a05:d07a:a000::/40 eu-south-1 "]
        );

        let gcp = r#"{"prefixes": [{"ipv4Prefix": "34.1.208.0/20", "service": "Google Cloud", "scope": "africa-south1"},
            {"ipv6Prefix": "2600:1900:8000::/44", "scope": "us-east1"}, {"ipv4Prefix": "8.8.4.0/24"}]}"#;
        assert_eq!(
            networks(RangeFormat::Gcp, gcp),
            ["34.1.208.0/20 africa-south1 ", "2600:1900:8000::/44 us-east1 ", "8.8.4.0/24  "]
        );

        let azure = r#"{"changeNumber": 1, "values": [{"name": "AzureCloud.westeurope", "id": "x", "properties": {
            "region": "westeurope", "addressPrefixes": ["13.69.0.0/17", "2603:1020::/40"]}}]}"#;
        assert_eq!(
            networks(RangeFormat::Azure, azure),
            ["13.69.0.0/17 westeurope ", "2603:1020::/40 westeurope "]
        );

        let geofeed = "\u{feff}# comment\r\n192.0.2.0/24,US,US-CA,Los Angeles,\r\n2001:db8::/32,DE\r\n\r\n198.51.100.7,,,,\r\n";
        assert_eq!(
            networks(RangeFormat::Geofeed, geofeed),
            ["192.0.2.0/24 US-CA US", "2001:db8::/32 DE DE", "198.51.100.7/32  "]
        );

        let cidr = "# office\n10.1.2.3/16 # with host bits\n\n2001:db8::1\n::ffff:192.0.2.0/120";
        assert_eq!(
            networks(RangeFormat::Cidr, cidr),
            ["10.1.0.0/16  ", "2001:db8::1/128  ", "192.0.2.0/24  "]
        );
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        for (format, text, expected) in [
            (RangeFormat::Cidr, "10.0.0.0/8\nten.0.0.0/8", "line 2: \"ten.0.0.0/8\" is no network"),
            (RangeFormat::Cidr, "10.0.0.0/33", "line 1"),
            (RangeFormat::Geofeed, "192.0.2.0/24,Germany", "line 1: \"Germany\" is no country"),
            (RangeFormat::Geofeed, "a,DE", "line 1: \"a\" is no network"),
            (
                RangeFormat::Aws,
                "{\"prefixes\": [{\"ip_prefix\": \"x\", \"region\": \"r\"}]}",
                "prefix 1: \"x\"",
            ),
            (RangeFormat::Aws, "{\"prefixes\": [", "not in the format \"aws\": EOF"),
            (RangeFormat::Gcp, "[]", "not in the format \"gcp\""),
            (
                RangeFormat::Azure,
                r#"{"values": [{"name": "T", "properties": {"addressPrefixes": ["y"]}}]}"#,
                "service tag T: \"y\"",
            ),
            (RangeFormat::Azure, "{\"prefixes\": []}", "missing field `values`"),
        ] {
            let message = refusal(format, text);
            assert!(message.starts_with("ranges: ") && message.contains(expected), "{message}");
        }
        let message =
            parse(b"\xff\xfe", RangeFormat::Cidr).unwrap_err().at(Path::new("r"), RangeFormat::Cidr);
        assert!(message.to_string().contains("utf-8"), "{message}");
    }
}
