//! `[[channel]]` and `[[product]]`.

use super::document::{Documents, Unique};
use super::reader::Spot;
use super::value::{Value, quoted};
use super::values::{Access, Channel, Product, Promote, Ready};
use crate::model::{ChannelName, ProductName};

/// Most channels, and most products, with settings of their own.
const ENTRIES_MAX: usize = 10_000;

/// Every `[[channel]]`.
pub(super) fn channels(documents: &mut Documents<'_>) -> Vec<Channel> {
    let mut names = Unique::default();
    let mut all = Vec::new();
    for mut section in documents.tables("channel", ENTRIES_MAX) {
        let name = section.require("name", "\"stable\"", |v| channel_name(v, &mut names));
        let ready = section.get("ready", ready).unwrap_or_default();
        let promote =
            section.get("promote", |v| v.word(&[("auto", Promote::Auto), ("manual", Promote::Manual)]));
        let promote = promote.unwrap_or_default();
        section.finish();
        all.extend(name.map(|name| Channel { name, ready, promote }));
    }
    all
}

pub(super) fn channel_name(value: Value<'_>, names: &mut Unique) -> Option<ChannelName> {
    let spot = value.spot().clone();
    let name: ChannelName = value.parsed("\"stable\"")?;
    names.claim(&spot, &name).map(|()| name)
}

/// `{ each_region = 1 }`, `"all"` or `"80%"`.
fn ready(value: Value<'_>) -> Option<Ready> {
    let examples = "{ each_region = 1 }, \"all\" or a share such as \"80%\"";
    if value.is_table() {
        let mut section = value.section()?;
        let count = section.require("each_region", "1", |v| v.integer(1..=4096));
        section.finish();
        return Some(Ready::EachRegion(count?));
    }
    let text = value.text(examples)?;
    if text == "all" {
        return Some(Ready::All);
    }
    let share = text.strip_suffix('%').and_then(|number| number.trim().parse::<f64>().ok());
    match share {
        Some(share) if share > 0.0 && share <= 100.0 => Some(Ready::Share(share)),
        Some(_) => {
            value.spot().refuse(format!("{} is out of range", quoted(text)), "write a share up to \"100%\"")
        }
        None => value.spot().refuse(format!("{} is no policy", quoted(text)), format!("write {examples}")),
    }
}

/// All products with settings of their own.
#[derive(Debug)]
pub(super) struct Products<'a> {
    pub(super) list: Vec<Product>,
    /// Those that are not for everybody, and where that is said.
    pub(super) entitled: Vec<(ProductName, Spot<'a>)>,
}

/// Every `[[product]]`.
pub(super) fn products<'a>(documents: &mut Documents<'a>) -> Products<'a> {
    let mut names = Unique::default();
    let (mut all, mut entitled) = (Vec::new(), Vec::new());
    for mut section in documents.tables("product", ENTRIES_MAX) {
        let name = section.require("name", "\"tool\"", |value| {
            let spot = value.spot().clone();
            let name: ProductName = value.parsed("\"tool\"")?;
            names.claim(&spot, &name).map(|()| name)
        });
        let mut own = Unique::default();
        let channels = section.get("channels", |v| v.one_or_list(|v| channel_name(v, &mut own)));
        let access = section.get("access", |v| {
            let spot = v.spot().clone();
            let access = v.word(&[("public", Access::Public), ("entitled", Access::Entitled)])?;
            Some((access, spot))
        });
        if let (Some(name), Some((Access::Entitled, spot))) = (&name, &access) {
            entitled.push((name.clone(), spot.clone()));
        }
        let deny_countries = section.get("deny_countries", |v| v.one_or_list(|v| v.parsed("\"DE\"")));
        section.finish();
        all.extend(name.map(|name| Product {
            name,
            channels: channels.unwrap_or_default(),
            access: access.map(|(access, _)| access).unwrap_or_default(),
            deny_countries: deny_countries.unwrap_or_default(),
        }));
    }
    Products { list: all, entitled }
}
