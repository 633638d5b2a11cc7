//! `[[region]]`, and the names by which other tables refer to regions.

use std::collections::HashMap;

use super::document::{Documents, Unique};
use super::reader::nearest;
use super::value::{Value, quoted};
use super::values::Region;
use crate::model::{Location, RegionId, RegionName};

/// Most regions.
const REGIONS_MAX: usize = 1024;

/// All regions, and their positions by name.
#[derive(Debug, Default)]
pub(super) struct Regions {
    pub(super) list: Vec<Region>,
    ids: HashMap<RegionName, RegionId>,
    /// Whether a region could not be read, so that a name that is not found proves nothing.
    incomplete: bool,
}

/// Every `[[region]]`.
pub(super) fn regions(documents: &mut Documents<'_>) -> Regions {
    let mut regions = Regions::default();
    let (mut names, mut countries) = (Unique::default(), Unique::default());
    for mut section in documents.tables("region", REGIONS_MAX) {
        let name: Option<RegionName> = section.require("name", "\"eu\"", |value| {
            let spot = value.spot().clone();
            let name: RegionName = value.parsed("\"eu\"")?;
            names.claim(&spot, &name).map(|()| name)
        });
        let location = section.get("location", Value::location);
        let countries = section.get("countries", |value| {
            value.one_or_list(|value| {
                let spot = value.spot().clone();
                let country: crate::model::Country = value.parsed("\"DE\"")?;
                countries.claim(&spot, country.as_str()).map(|()| country)
            })
        });
        section.finish();
        match name {
            Some(name) => {
                let id = u16::try_from(regions.list.len()).expect("REGIONS_MAX fits u16");
                regions.ids.insert(name.clone(), RegionId(id));
                regions.list.push(Region { name, location, countries: countries.unwrap_or_default() });
            }
            None => regions.incomplete = true,
        }
    }
    regions
}

impl Regions {
    /// The region that a value names.
    pub(super) fn named(&self, value: Value<'_>) -> Option<RegionId> {
        let text = value.text("the name of a [[region]] in quotes")?;
        if let Some(id) = self.ids.get(text) {
            return Some(*id);
        }
        if self.incomplete || value.spot().notes.is_incomplete() {
            return None;
        }
        let remedy = match nearest(text, self.list.iter().map(|r| r.name.as_str())) {
            Some(name) => format!("did you mean `{name}`?"),
            None => "add a [[region]] of that name".into(),
        };
        value.spot().refuse(format!("there is no region {}", quoted(text)), remedy)
    }

    /// The centre of a region.
    pub(super) fn location(&self, region: Option<RegionId>) -> Option<Location> {
        self.list.get(region?.index())?.location
    }
}
