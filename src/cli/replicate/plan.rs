//! What is wanted: as the running service says it for a mirror, or as an origin lists it.

use std::path::Path;
use std::sync::Arc;

use serde::Deserialize;
use url::Url;

use crate::catalog::index::ManifestPath;
use crate::catalog::manifest::Manifest;
use crate::catalog::{ReleaseId, url_below};
use crate::cli::outcome::{CliError, printable};
use crate::config::{Origin, OriginAt};
use crate::fetch::Fetcher;
use crate::model::{AssetPath, ChannelName, OriginFault, ProductName, Version};
use crate::replicate::{Plan, Source, TargetPath, Wanted};
use crate::workers::fact::{Listed, Reading};
use crate::workers::origin::look_once;

/// What of a path from elsewhere is shown, in characters.
const SHOWN: usize = 200;

/// `GET /v1/mirrors/NAME/files`, as far as it is needed here.
#[derive(Debug, Deserialize)]
pub(super) struct MirrorFiles {
    files: Vec<MirrorFile>,
    #[serde(default)]
    unwanted: Vec<UnwantedRelease>,
}

#[derive(Debug, Deserialize)]
struct MirrorFile {
    path: String,
    origin: String,
    url: Option<String>,
    size: u64,
    sha256: String,
    product: String,
    version: String,
    asset: String,
}

#[derive(Debug, Deserialize)]
struct UnwantedRelease {
    product: ProductName,
}

/// What the service says; the origin is where `origin` says, else where the service does.
pub(super) fn of_mirror(files: MirrorFiles, origin: Option<&OriginAt>) -> Result<Plan, CliError> {
    if origin.is_none() && files.files.iter().any(|file| file.url.is_none()) {
        let why = "the service's origin is a folder on its machine; say with --origin where it is from here";
        return Err(CliError::Usage(why.into()));
    }
    let mut plan = Plan::default();
    for file in files.files {
        match wanted(&file, origin) {
            Ok(wanted) => plan.want(wanted),
            Err(why) => plan.refuse(&printable(&file.path, SHOWN), format!("refused: {why}")),
        }
    }
    // The service names every release that there is, so that whatever else lies in these products' folders may go.
    files.unwanted.iter().for_each(|release| plan.look_at(&release.product, true));
    Ok(plan)
}

/// Nothing that the service says is believed before it is looked at.
fn wanted(file: &MirrorFile, origin: Option<&OriginAt>) -> Result<Wanted, String> {
    let release = ReleaseId {
        product: ProductName::new(&file.product).map_err(|bad| format!("its product {bad}"))?,
        version: Version::parse(&file.version).map_err(|bad| format!("its version: {bad}"))?,
    };
    let below = TargetPath::new(&file.origin).map_err(|bad| format!("its path at the origin {bad}"))?;
    let source = match (origin, &file.url) {
        (Some(origin), _) => source(origin, below.as_str())?,
        (None, Some(url)) => {
            let url: Url = url.parse().map_err(|bad| format!("its URL: {bad}"))?;
            if !matches!(url.scheme(), "http" | "https") {
                return Err("its URL is neither http nor https".into());
            }
            Source::Url(url)
        }
        (None, None) => return Err("nobody says where it is".into()),
    };
    Ok(Wanted {
        path: TargetPath::new(&file.path).map_err(|bad| format!("its path {bad}"))?,
        source,
        size: file.size,
        sha256: file.sha256.parse().map_err(|bad| format!("its sha256: {bad}"))?,
        release: Arc::new(release),
        asset: AssetPath::new(&file.asset).map_err(|bad| format!("its name {bad}"))?,
    })
}

fn source(origin: &OriginAt, below: &str) -> Result<Source, String> {
    Ok(match origin {
        OriginAt::Folder(folder) => Source::File(Path::new(folder).join(below)),
        OriginAt::Url(url) => Source::Url(url_below(url, below).map_err(|bad| format!("its URL: {bad}"))?),
    })
}

/// What of an origin is wanted; an empty list chooses all.
pub(super) struct Choice<'a> {
    pub products: &'a [ProductName],
    pub versions: &'a [Version],
    pub channels: &'a [ChannelName],
}

impl Choice<'_> {
    fn has_product(&self, product: &ProductName) -> bool {
        self.products.is_empty() || self.products.contains(product)
    }

    /// Whether every version of every channel is wanted.
    fn is_all(&self) -> bool {
        self.versions.is_empty() && self.channels.is_empty()
    }

    fn has(&self, manifest: &Manifest) -> bool {
        let versions = self.versions.is_empty() || self.versions.contains(&manifest.version);
        let named = |channel| manifest.channels.contains(channel);
        versions && (self.channels.is_empty() || self.channels.iter().any(named))
    }
}

/// What an origin lists, without what was withdrawn.
pub(super) async fn of_origin(
    origin: &Origin,
    choice: &Choice<'_>,
    fetcher: &Fetcher,
) -> Result<Plan, CliError> {
    let listing = match look_once(origin, fetcher).await {
        Reading::Listing(listing) => listing,
        Reading::Unreadable(why) if why.reason == OriginFault::Unreadable => {
            return Err(CliError::Unknown(format!("the origin cannot be read: {why}")));
        }
        Reading::Unreadable(why) => return Err(CliError::No(format!("the origin is not believed: {why}"))),
        Reading::WentBack(sequence) => {
            return Err(CliError::No(format!("the origin's index went back to sequence {sequence}")));
        }
    };
    let mut plan = Plan::default();
    let (mut has_product, mut has_any) = (false, false);
    for (path, listed) in listing.manifests {
        let Ok(at) = ManifestPath::parse(&path) else { continue };
        if !choice.has_product(&at.product) {
            continue;
        }
        has_product = true;
        let manifest = match listed {
            Listed::Read(read)
                if read.manifest.product == at.product && read.manifest.version == at.version =>
            {
                read.manifest
            }
            Listed::Read(_) => {
                plan.look_at(&at.product, false);
                plan.refuse(&path, "it describes another release");
                continue;
            }
            // What it lists may be wanted: nothing of the product is taken for a stray.
            Listed::Refused(why) => {
                plan.look_at(&at.product, false);
                plan.refuse(&path, why);
                continue;
            }
            Listed::Unchanged => continue,
        };
        plan.look_at(&at.product, true);
        let is_chosen = choice.has(&manifest);
        has_any |= is_chosen;
        let withdrawn =
            listing.withdrawn.iter().any(|it| it.product == at.product && it.version == at.version);
        if withdrawn || manifest.withdrawn.is_some() || !is_chosen {
            continue;
        }
        want(&mut plan, &manifest, origin);
    }
    // A misspelt name must not be taken for the wish to hold nothing, which `--delete` would see to.
    if !has_product && !choice.products.is_empty() {
        return Err(CliError::No("the origin has no such product".into()));
    }
    if !has_any && !choice.is_all() {
        return Err(CliError::No("the origin has no release of that version and channel".into()));
    }
    Ok(plan)
}

fn want(plan: &mut Plan, manifest: &Manifest, origin: &Origin) {
    let release =
        Arc::new(ReleaseId { product: manifest.product.clone(), version: manifest.version.clone() });
    for asset in &manifest.assets {
        let wanted = TargetPath::of(&release, &asset.name).map_err(|bad| format!("its path {bad}"));
        let wanted = wanted.and_then(|path| {
            Ok(Wanted {
                source: source(&origin.at, path.as_str())?,
                path,
                size: asset.size,
                sha256: asset.sha256,
                release: Arc::clone(&release),
                asset: asset.name.clone(),
            })
        });
        match wanted {
            Ok(wanted) => plan.want(wanted),
            Err(why) => plan.refuse(&format!("{}/{}/{}", release.product, release.version, asset.name), why),
        }
    }
}
