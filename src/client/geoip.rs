//! GeoIP databases, verified and compiled to address ranges when they are loaded.
//!
//! Format: <https://maxmind.github.io/MaxMind-DB/>. A city database of some million networks becomes 15 to 30 MB of
//! ranges, which answer in tens of nanoseconds where decoding a record takes hundreds.
//!
//! `Reader::verify` is not asked: it refuses databases that merely lack a description, such as those converted from
//! DB-IP's CSV. What it checks beyond that is checked while the file is compiled: the separator, the depth and size of the
//! tree, every pointer and every record that is used.

use std::fs::File;
use std::io::{self, Read};
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use maxminddb::{MaxMindDbError, Reader};
use rustc_hash::FxHashMap;
use serde::de::DeserializeOwned;

use super::centroids::centroid;
use super::place::{Place, PlaceId};
use super::ranges::{NOTHING, Pieces, Ranges};
use super::record::{AsnRecord, PlaceRecord};
use super::tree::Tree;
use super::walks::Walks;
use crate::config;
use crate::model::{Asn, Country, Timestamp};

/// Largest database, in bytes; the largest that are sold have about 2 GiB.
const FILE_MAX: u64 = 4 << 30;

/// Why a GeoIP database cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum GeoIpError {
    /// It cannot be read.
    #[error("{}: {error}; give [geoip] the path of a readable .mmdb file", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// It is larger than any database.
    #[error("{}: larger than 4 GiB; give [geoip] the path of an .mmdb file", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// It is no MaxMind DB file, or a damaged one.
    #[error("{}: {error}; fetch it again, write it beside and rename it into place", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        error: MaxMindDbError,
    },
    /// It is a database of something else.
    #[error("{}: a database of type \"{database_type}\" without a single {wanted}; {remedy}", path.display())]
    WrongKind {
        /// The file.
        path: PathBuf,
        /// The type that it says it has.
        database_type: String,
        /// What was looked for in its records.
        wanted: &'static str,
        /// What to do.
        remedy: &'static str,
    },
}

/// What a database file was loaded for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GeoIpUse {
    /// Places, from a city or country database.
    Places,
    /// Autonomous systems.
    Asns,
}

/// A database that was loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GeoIpFile {
    /// Its path.
    pub path: PathBuf,
    /// What it was loaded for.
    pub used_for: GeoIpUse,
    /// The type that it says it has, such as `GeoLite2-City`.
    pub database_type: String,
    /// When it was built.
    pub built: Timestamp,
    /// Networks in it; those inside one /64 are one.
    pub networks: usize,
}

/// The compiled databases. Shared between locators, so that other network rules do not read the files again.
#[derive(Debug)]
pub struct GeoRanges {
    files: Vec<GeoIpFile>,
    /// Distinct places; the first is the unknown one.
    places: Vec<Place>,
    place_of: Families,
    asn_of: Families,
}

impl GeoRanges {
    /// Reads, verifies and compiles all files of `[geoip]`, on all cores. Takes up to seconds and a database's size in
    /// memory: call it where blocking is allowed. Reports every file that cannot be used.
    pub fn load(geoip: &config::GeoIp) -> Result<Self, Vec<GeoIpError>> {
        let mut places = Places::default();
        let (mut city, mut asn) = (Vec::new(), Vec::new());
        let (mut files, mut errors) = (Vec::new(), Vec::new());
        let asn_of = |record: AsnRecord| record.asn().map_or(NOTHING, |asn| asn.0);
        for path in &geoip.city {
            match compile(path, GeoIpUse::Places, place_of, |place| places.intern(place)) {
                Ok((file, pieces)) => (files.push(file), city.push(pieces)).1,
                Err(error) => errors.push(error),
            }
        }
        for path in &geoip.asn {
            match compile(path, GeoIpUse::Asns, asn_of, |asn| asn) {
                Ok((file, pieces)) => (files.push(file), asn.push(pieces)).1,
                Err(error) => errors.push(error),
            }
        }
        if errors.is_empty() {
            let (place_of, asn_of) = (Families::new(city), Families::new(asn));
            Ok(Self { files, places: places.places, place_of, asn_of })
        } else {
            Err(errors)
        }
    }

    /// The place of an address (IPv4-mapped ones are IPv4 already).
    #[inline]
    pub(super) fn place(&self, address: IpAddr) -> PlaceId {
        PlaceId(self.place_of.get(address))
    }

    /// The autonomous system of an address (IPv4-mapped ones are IPv4 already).
    #[inline]
    pub(super) fn asn(&self, address: IpAddr) -> Option<Asn> {
        match self.asn_of.get(address) {
            NOTHING => None,
            number => Some(Asn(number)),
        }
    }

    /// Distinct places; the first is the unknown one.
    pub(super) fn places(&self) -> &[Place] {
        &self.places
    }

    /// Whether any file tells places.
    pub(super) fn has_places(&self) -> bool {
        self.places.len() > 1
    }

    /// The files, those for places first.
    pub fn files(&self) -> &[GeoIpFile] {
        &self.files
    }

    /// Address ranges of both families and both uses.
    pub fn range_count(&self) -> usize {
        self.place_of.len() + self.asn_of.len()
    }

    /// Bytes that the ranges and places take.
    pub fn bytes(&self) -> usize {
        self.place_of.bytes() + self.asn_of.bytes() + size_of_val(&*self.places)
    }
}

/// Distinct places while files are read.
struct Places {
    places: Vec<Place>,
    ids: FxHashMap<(u64, Option<Country>), u32>,
}

impl Default for Places {
    fn default() -> Self {
        Self { places: vec![Place::default()], ids: FxHashMap::default() }
    }
}

impl Places {
    fn intern(&mut self, place: Option<Place>) -> u32 {
        let Some(place) = place else { return NOTHING };
        let bits = place.location.map_or(u64::MAX, |at| {
            u64::from((at.latitude() as f32).to_bits()) << 32 | u64::from((at.longitude() as f32).to_bits())
        });
        *self.ids.entry((bits, place.country)).or_insert_with(|| {
            self.places.push(place);
            // A file of 4 GiB has fewer records than that.
            (self.places.len() - 1) as u32
        })
    }
}

/// The place of a record: its coordinates, else its country's centroid.
fn place_of(record: PlaceRecord) -> Option<Place> {
    let country = record.country();
    let location = record.location().or_else(|| country.and_then(centroid));
    let is_known = location.is_some() || country.is_some();
    is_known.then_some(Place { location, country, region: None })
}

/// Ranges of both address families.
#[derive(Debug)]
struct Families {
    v4: Ranges<u32>,
    /// By the upper halves of the addresses: a /64 is one link, in one place.
    v6: Ranges<u64>,
}

impl Families {
    fn new(files: Vec<FamilyPieces>) -> Self {
        let (v4, v6) = files.into_iter().map(|file| (file.v4, file.v6)).unzip();
        Self { v4: Pieces::overlay(v4).index(), v6: Pieces::overlay(v6).index() }
    }

    #[inline]
    fn get(&self, address: IpAddr) -> u32 {
        match address {
            IpAddr::V4(v4) => self.v4.get(v4.to_bits()),
            IpAddr::V6(v6) => self.v6.get((v6.to_bits() >> 64) as u64),
        }
    }

    fn len(&self) -> usize {
        self.v4.len() + self.v6.len()
    }

    fn bytes(&self) -> usize {
        self.v4.bytes() + self.v6.bytes()
    }
}

/// The ranges of one file.
pub(super) struct FamilyPieces {
    pub v4: Pieces<u32>,
    pub v6: Pieces<u64>,
}

/// Reads a file and walks its search tree. `meaning` is what a record says, `number` the value that its ranges get.
fn compile<R: DeserializeOwned, M: Send>(
    path: &Path,
    used_for: GeoIpUse,
    meaning: impl Fn(R) -> M + Sync,
    number: impl FnMut(M) -> u32,
) -> Result<(GeoIpFile, FamilyPieces), GeoIpError> {
    let bytes = read(path)?;
    let damaged = |error| GeoIpError::Damaged { path: path.to_owned(), error };
    let reader = Reader::from_source(bytes.as_slice()).map_err(damaged)?;
    let (v4, v6) = Tree::of(&reader, &bytes).map_err(damaged)?;
    let walks = Walks { v4, v6, reader };
    let records = walks.records(bytes.len(), meaning).map_err(damaged)?;
    let networks = records.networks;
    let values = records.numbered(number);
    let metadata = walks.reader.metadata();
    if values.all_nothing() {
        let (wanted, remedy) = match used_for {
            GeoIpUse::Places => ("country or location", "give geoip.city a city or country database"),
            GeoIpUse::Asns => ("autonomous system number", "give geoip.asn an ASN database"),
        };
        let database_type = metadata.database_type.chars().take(64).collect();
        return Err(GeoIpError::WrongKind { path: path.to_owned(), database_type, wanted, remedy });
    }
    let pieces = walks.pieces(&values).map_err(damaged)?;
    let built = i64::try_from(metadata.build_epoch.saturating_mul(1000)).unwrap_or(i64::MAX);
    let file = GeoIpFile {
        path: path.to_owned(),
        used_for,
        database_type: metadata.database_type.clone(),
        built: Timestamp::from_millis(built),
        networks,
    };
    Ok((file, pieces))
}

/// Reads a whole file, bounded.
fn read(path: &Path) -> Result<Vec<u8>, GeoIpError> {
    let failed = |error| GeoIpError::Read { path: path.to_owned(), error };
    let file = File::open(path).map_err(failed)?;
    let about = file.metadata().map_err(failed)?;
    if !about.is_file() {
        return Err(failed(io::Error::new(io::ErrorKind::InvalidInput, "not a file")));
    }
    if about.len() > FILE_MAX {
        return Err(GeoIpError::TooLarge { path: path.to_owned() });
    }
    let mut bytes = Vec::with_capacity(about.len() as usize);
    // The file may grow while it is read.
    file.take(FILE_MAX).read_to_end(&mut bytes).map_err(failed)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests;
