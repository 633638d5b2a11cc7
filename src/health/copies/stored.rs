//! The ledger's entry as it is stored: 39 bytes for a release that is whole and at rest.
//!
//! | bytes | what |
//! |---|---|
//! | 1 | the form's number: [`FORM`] |
//! | 1 | [`WHOLE`] and [`UNREST`], each or none |
//! | 4 | how many assets the release has |
//! | 8 | when the last whole pass ended, in milliseconds since 1970; the smallest number: never |
//! | 8 | when the release was whole first, as above |
//! | 1 | how many marks follow |
//! | 12 each | an asset and the fingerprint of its copy, by ascending asset |
//! | any, with [`UNREST`] | what is going on, in JSON: seldom there, and wide |
//! | 4 | FNV-1a of all before |
//!
//! Numbers are little-endian.

use super::{Copies, MARKS_MAX, Marks, Moment, Unrest};
use crate::model::{AssetIndex, Fingerprint};

/// Another form is not read: everything is looked at again.
const FORM: u8 = 1;
/// Every asset is verified.
const WHOLE: u8 = 1;
/// Something is going on.
const UNREST: u8 = 2;

impl Copies {
    /// The ledger entry as it is stored.
    pub fn to_bytes(&self) -> Vec<u8> {
        let flag = |on: bool, flag: u8| if on { flag } else { 0 };
        let mut bytes = Vec::with_capacity(27 + 12 * self.marks.len());
        bytes.extend([FORM, flag(self.whole, WHOLE) | flag(self.unrest.is_some(), UNREST)]);
        bytes.extend(self.assets.to_le_bytes());
        bytes.extend(self.passed_at.0.to_le_bytes());
        bytes.extend(self.completed_at.0.to_le_bytes());
        bytes.push(self.marks.len() as u8);
        for (asset, mark) in self.marks.iter() {
            bytes.extend(asset.to_le_bytes());
            bytes.extend(mark.0.to_le_bytes());
        }
        if let Some(unrest) = &self.unrest {
            bytes.extend(serde_json::to_vec(unrest).unwrap_or_default());
        }
        bytes.extend(check_of(&bytes).to_le_bytes());
        bytes
    }

    /// Reads what [`Copies::to_bytes`] wrote. `None` where it is damaged, of another form or of a release with another
    /// number of assets: then everything is looked at again.
    pub fn from_bytes(bytes: &[u8], assets: AssetIndex) -> Option<Self> {
        let (mut body, check) = bytes.split_last_chunk()?;
        if check_of(body) != u32::from_le_bytes(*check) {
            return None;
        }
        let [form, flags] = take(&mut body)?;
        let is_of_this_release = u32::from_le_bytes(take(&mut body)?) == assets;
        if form != FORM || flags & !(WHOLE | UNREST) != 0 || !is_of_this_release {
            return None;
        }
        let passed_at = Moment(i64::from_le_bytes(take(&mut body)?));
        let completed_at = Moment(i64::from_le_bytes(take(&mut body)?));
        let marks = marks(&mut body)?;
        let unrest = match flags & UNREST {
            0 => body.is_empty().then_some(None)?,
            _ => Some(serde_json::from_slice(body).ok()?),
        };
        let copies = Self { assets, whole: flags & WHOLE != 0, marks, passed_at, completed_at, unrest };
        copies.is_sound().then_some(copies)
    }

    /// Whether no part of it contradicts another.
    fn is_sound(&self) -> bool {
        let unrest_fits = self.unrest.as_deref().is_none_or(|unrest| {
            let Unrest { held, trouble, pass } = unrest;
            let held_fits = if self.whole { held.is_empty() } else { held.len() < self.assets };
            let trouble_fits = trouble.keys().all(|asset| *asset < self.assets && !self.holds(*asset));
            let pass_fits = pass.is_none_or(|asset| asset < self.assets);
            held.fits(self.assets) && held_fits && trouble_fits && pass_fits && !unrest.is_over()
        });
        unrest_fits
            && self.marks.assets().is_sorted_by(|a, b| a < b)
            && self.marks.assets().all(|a| self.holds(a))
    }
}

fn marks(body: &mut &[u8]) -> Option<Marks> {
    let [count] = take(body)?;
    match count {
        0 => Some(Marks::None),
        1 => mark(body).map(|(asset, mark)| Marks::One(asset, mark)),
        _ if usize::from(count) <= MARKS_MAX => {
            (0..count).map(|_| mark(body)).collect::<Option<Vec<_>>>().map(Marks::new)
        }
        _ => None,
    }
}

fn mark(body: &mut &[u8]) -> Option<(AssetIndex, Fingerprint)> {
    let asset = AssetIndex::from_le_bytes(take(body)?);
    Some((asset, Fingerprint(u64::from_le_bytes(take(body)?))))
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    bytes.split_off(..N)?.try_into().ok()
}

/// FNV-1a of 32 bits: against damage, as a disk or a hand may do it.
fn check_of(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

#[cfg(test)]
#[path = "stored/tests.rs"]
mod tests;
