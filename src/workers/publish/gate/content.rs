//! Checks of a release as it was published, whoever holds it.

use std::collections::BTreeSet;

use rustc_hash::{FxHashMap, FxHashSet};

use crate::catalog::manifest::{Manifest, ManifestAsset};
use crate::catalog::publish::kind_of_name;
use crate::catalog::signature::SIGNATURE_SUFFIX;
use crate::catalog::{Kind, Release};
use crate::model::Platform;
use crate::model::{AssetIndex, SignatureState};
use crate::workers::publish::examined::Examined;
use crate::workers::publish::releases::Known;

use super::{Finding, Missing, NAMED_MAX};

/// What a manifest says of its release, as far as the checks go: noted once, because a manifest may be large.
///
/// Payloads are the files that people come for; what goes with them (signatures, checksums, sidecars) is judged by
/// them.
#[derive(Debug)]
pub struct Content {
    assets: usize,
    payloads: usize,
    /// Platforms and sidecars that are expected.
    expected: usize,
    /// Those that are not there.
    absent: Missing,
    /// What the metadata lack, and what in them does not fit.
    unlabelled: Missing,
    with_sha512: usize,
    /// Payloads with a signature that minisign can verify, in order.
    minisigned: Box<[AssetIndex]>,
    /// Payloads with a signature of another kind only.
    signed_otherwise: Lacking,
    unsigned: Lacking,
    without_provenance: Lacking,
    /// What built it, as the manifest says.
    pub(super) pipeline: Option<Box<str>>,
}

/// Assets that lack something: the first ones, and how many there are. Numbers, because every release keeps them.
#[derive(Debug, Default)]
struct Lacking {
    first: Vec<AssetIndex>,
    count: usize,
}

impl Lacking {
    fn add(&mut self, asset: AssetIndex) {
        if self.first.len() < NAMED_MAX {
            self.first.push(asset);
        }
        self.count += 1;
    }

    /// By name.
    fn of(&self, release: &Release) -> Missing {
        let name = |asset: &AssetIndex| release.asset(*asset).name.to_string();
        Missing { named: self.first.iter().map(name).collect(), count: self.count }
    }
}

/// An asset's kind: as the manifest says, else as its name tells.
fn kind_of(asset: &ManifestAsset) -> Option<&str> {
    asset.kind.as_deref().or_else(|| kind_of_name(&asset.name))
}

/// The assets of a manifest, told apart.
struct Parts<'m> {
    payloads: Vec<(AssetIndex, &'m ManifestAsset)>,
    /// By the name of a payload, the assets that go with it: those that it lists, and those named after it.
    companions: FxHashMap<&'m str, Vec<&'m ManifestAsset>>,
    names: FxHashMap<&'m str, &'m ManifestAsset>,
    /// What payloads' platforms are called, and what they mean: there are few.
    platforms: FxHashMap<&'m str, Option<Platform>>,
}

impl<'m> Parts<'m> {
    fn of(manifest: &'m Manifest) -> Self {
        let names: FxHashMap<&str, &ManifestAsset> =
            manifest.assets.iter().map(|asset| (asset.name.as_str(), asset)).collect();
        let listed: FxHashSet<&str> =
            manifest.assets.iter().flat_map(|asset| &asset.sidecars).map(|name| name.as_str()).collect();
        let suffixes = &manifest.expects.sidecars;
        let is_payload = |asset: &ManifestAsset| {
            !matches!(Kind::from_manifest(kind_of(asset)), Kind::Sidecar(_))
                && !listed.contains(asset.name.as_str())
                && !suffixes.iter().any(|suffix| asset.name.ends_with(suffix.as_str()))
        };
        let (mut payloads, mut others) = (Vec::new(), Vec::new());
        for (index, asset) in (0..).zip(&manifest.assets) {
            if is_payload(asset) {
                payloads.push((index, asset));
            } else {
                others.push(asset);
            }
        }
        let mut companions: FxHashMap<&str, Vec<&ManifestAsset>> = FxHashMap::default();
        companions.reserve(payloads.len());
        let mut platforms: FxHashMap<&str, Option<Platform>> = FxHashMap::default();
        for (_, asset) in &payloads {
            for text in &asset.platforms {
                platforms.entry(text).or_insert_with(|| Platform::parse(text));
            }
            let listed = asset.sidecars.iter().filter_map(|name| names.get(name.as_str()).copied());
            companions.insert(asset.name.as_str(), listed.collect());
        }
        for other in others {
            // `tool.tar.gz.intoto.jsonl` goes with `tool.tar.gz`: what is cut off may hold a dot.
            let shorter = |name: &&'m str| name.rsplit_once('.').map(|(shorter, _)| shorter);
            let mut bases = std::iter::successors(Some(other.name.as_str()), shorter).skip(1);
            if let Some(base) = bases.find(|base| companions.contains_key(base)) {
                companions.entry(base).or_default().push(other);
            }
        }
        Self { payloads, companions, names, platforms }
    }

    fn companions(&self, asset: &ManifestAsset) -> impl Iterator<Item = &'m ManifestAsset> {
        self.companions.get(asset.name.as_str()).into_iter().flatten().copied()
    }

    /// Expected platforms and sidecars: how many, and which are absent.
    fn expected(&self, manifest: &Manifest) -> (usize, Missing) {
        let there: BTreeSet<&Platform> = self.platforms.values().flatten().collect();
        let mut absent = Missing::default();
        for text in &manifest.expects.platforms {
            if !Platform::parse(text).is_some_and(|platform| there.contains(&platform)) {
                absent.add(|| format!("platform {text}"));
            }
        }
        let suffixes = &manifest.expects.sidecars;
        for (_, asset) in &self.payloads {
            for suffix in suffixes {
                let name = format!("{}{suffix}", asset.name.as_str());
                if !self.names.contains_key(name.as_str()) {
                    absent.add(|| name);
                }
            }
        }
        (manifest.expects.platforms.len() + self.payloads.len() * suffixes.len(), absent)
    }

    fn unlabelled(&self, manifest: &Manifest) -> Missing {
        let mut missing = Missing::default();
        if manifest.published_at.is_none() {
            missing.add(|| "published_at".to_owned());
        }
        if manifest.notes_url.is_none() {
            missing.add(|| "notes_url".to_owned());
        }
        if manifest.channels.is_empty() {
            missing.add(|| "channels".to_owned());
        }
        if manifest.version.is_pre_release() && manifest.channels.iter().any(|c| c.as_str() == "stable") {
            missing.add(|| format!("channel stable, because {} is a pre-release", manifest.version));
        }
        let for_a_platform = |asset: &ManifestAsset| matches!(kind_of(asset), Some("archive" | "binary"));
        for (_, asset) in self.payloads.iter().filter(|(_, asset)| for_a_platform(asset)) {
            if !asset.platforms.iter().any(|text| matches!(self.platforms.get(&**text), Some(Some(_)))) {
                missing.add(|| format!("platform of {}", asset.name.as_str()));
            }
        }
        missing
    }
}

impl Content {
    /// Notes what a manifest says.
    pub fn of(manifest: &Manifest) -> Self {
        let parts = Parts::of(manifest);
        let (expected, absent) = parts.expected(manifest);
        let mut minisigned = Vec::new();
        let (mut signed_otherwise, mut unsigned) = (Lacking::default(), Lacking::default());
        let mut without_provenance = Lacking::default();
        for (index, asset) in &parts.payloads {
            let signatures = || parts.companions(asset).filter(|with| kind_of(with) == Some("signature"));
            let is_minisign =
                |with: &ManifestAsset| with.name.strip_suffix(SIGNATURE_SUFFIX) == Some(&*asset.name);
            if signatures().any(is_minisign) {
                minisigned.push(*index);
            } else if signatures().next().is_some() {
                signed_otherwise.add(*index);
            } else {
                unsigned.add(*index);
            }
            let tells_origin =
                |with: &ManifestAsset| matches!(kind_of(with), Some("provenance" | "attestation" | "sbom"));
            if asset.provenance.is_none() && !parts.companions(asset).any(tells_origin) {
                without_provenance.add(*index);
            }
        }
        Self {
            assets: manifest.assets.len(),
            payloads: parts.payloads.len(),
            expected,
            absent,
            unlabelled: parts.unlabelled(manifest),
            with_sha512: manifest.assets.iter().filter(|asset| asset.sha512.is_some()).count(),
            minisigned: minisigned.into(),
            signed_otherwise,
            unsigned,
            without_provenance,
            pipeline: manifest.pipeline.as_deref().map(Into::into),
        }
    }

    /// The share of what is expected that is there.
    pub(super) fn completeness_ratio(&self) -> f64 {
        share(self.expected - self.absent.count, self.expected)
    }

    /// The share of payloads that say where they come from.
    pub(super) fn provenance_ratio(&self) -> f64 {
        share(self.payloads - self.without_provenance.count, self.payloads)
    }

    /// The share of payloads that are signed; with trusted keys, whose signatures were verified.
    pub(super) fn signature_ratio(&self, known: &Known, has_keys: bool) -> f64 {
        let signed = match has_keys {
            true => self.verdicts(known).filter(|state| *state == SignatureState::Good).count(),
            false => self.payloads - self.unsigned.count,
        };
        share(signed, self.payloads)
    }

    /// Verdicts on payloads.
    fn verdicts(&self, known: &Known) -> impl Iterator<Item = SignatureState> {
        let is_payload = |name: &str| {
            let index = known.release.by_name(name);
            index.is_some_and(|index| self.minisigned.binary_search(&index).is_ok())
        };
        let verdicts = known.examined.signatures.iter();
        verdicts.filter(move |(name, _)| is_payload(name)).map(|(_, state)| *state)
    }

    /// Signatures that minisign can verify and that were not looked at yet.
    pub(super) fn unchecked(&self, known: &Known) -> usize {
        let looked_at = self.verdicts(known).filter(|state| *state != SignatureState::Unchecked);
        self.minisigned.len().saturating_sub(looked_at.count())
    }

    pub(super) fn completeness(&self) -> Finding {
        let summary = match self.expected {
            0 => "the manifest expects nothing in particular".to_owned(),
            expected => {
                format!("{} of {expected} expected platforms and sidecars", expected - self.absent.count)
            }
        };
        Finding::of(summary, self.absent.clone())
    }

    pub(super) fn metadata(&self) -> Finding {
        let summary = match self.unlabelled.count {
            0 => "date, notes, channels and platforms are there and fit".to_owned(),
            count => format!("{count} labels are missing or do not fit"),
        };
        Finding::of(summary, self.unlabelled.clone())
    }

    pub(super) fn hashes(&self, examined: &Examined) -> Finding {
        let contradicts =
            |(file, why): (&String, &Option<String>)| Some(format!("{file}: {}", why.as_ref()?));
        let wrong: Missing = examined.checksums.iter().filter_map(contradicts).collect();
        let summary = format!(
            "SHA-256 of all {} assets, SHA-512 of {}; of {} published checksum files read, {} contradict",
            self.assets,
            self.with_sha512,
            examined.checksums.len(),
            wrong.count
        );
        Finding::of(summary, wrong)
    }

    pub(super) fn signatures(&self, known: &Known, has_keys: bool) -> Finding {
        let mut missing = Missing::default();
        let state = |mut names: Missing, state: SignatureState| {
            names.named.iter_mut().for_each(|name| *name = format!("{name}: {state}"));
            names
        };
        missing.take_in(super::wrong_signatures(known));
        missing.take_in(state(self.unsigned.of(&known.release), SignatureState::Unsigned));
        if !has_keys {
            let signed = self.payloads - self.unsigned.count;
            let summary =
                format!("{signed} of {} files signed; no trusted key to verify them", self.payloads);
            return Finding::of(summary, missing);
        }
        missing.take_in(state(self.signed_otherwise.of(&known.release), SignatureState::Unchecked));
        let good = self.verdicts(known).filter(|state| *state == SignatureState::Good).count();
        let summary = format!("{good} of {} files signed by a trusted key", self.payloads);
        let unchecked = self.unchecked(known);
        if !missing.is_empty() || unchecked == 0 {
            return Finding::of(summary, missing);
        }
        let name = |index: &AssetIndex| &*known.release.asset(*index).name;
        let not_yet = self.minisigned.iter().map(name).filter(|name| {
            let state = known.examined.signatures.get(*name);
            state.is_none_or(|state| *state == SignatureState::Unchecked)
        });
        let named = not_yet.take(NAMED_MAX).map(|name| format!("{name}: {}", SignatureState::Unchecked));
        Finding { ok: None, summary, missing: Missing { named: named.collect(), count: unchecked } }
    }

    pub(super) fn provenance(&self, release: &Release) -> Finding {
        let told = self.payloads - self.without_provenance.count;
        let summary = format!("{told} of {} files say where they come from", self.payloads);
        Finding::of(summary, self.without_provenance.of(release))
    }
}

/// A share of nothing is all of it.
pub(super) fn share(part: usize, whole: usize) -> f64 {
    if whole == 0 { 1.0 } else { part as f64 / whole as f64 }
}
