//! Orders: what a person, a pipeline or the service itself decided, and the line that carries one to disk.

use aws_lc_rs::digest;
use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};

use crate::model::{ChannelName, MirrorName, ProductName, Timestamp, Version};

/// A decision that is durable: once acknowledged it is never lost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Order {
    /// Its number: 1, 2, 3, … in the order of their being given.
    pub id: u64,
    /// When it was given.
    pub at: Timestamp,
    /// Who gave it: a token's name, a user, `waypost` for the service itself. At most [`NewOrder::ACTOR_MAX`] bytes.
    pub actor: String,
    /// Why, in their words. At most [`NewOrder::REASON_MAX`] bytes.
    pub reason: String,
    /// What is to be.
    pub action: Action,
}

/// What an order wants.
// A field or a kind that this program does not know is refused, not skipped: half an order must not be obeyed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Action {
    /// Send nobody to this mirror.
    MirrorDrain {
        /// Which one.
        mirror: MirrorName,
    },
    /// Use this mirror again.
    MirrorUndrain {
        /// Which one.
        mirror: MirrorName,
    },
    /// Hash every copy on this mirror again.
    MirrorVerify {
        /// Which one.
        mirror: MirrorName,
    },
    /// Point a channel to a release.
    ChannelMove {
        /// Whose channel.
        product: ProductName,
        /// Which channel.
        channel: ChannelName,
        /// Where it pointed before; `None`: nowhere.
        from: Option<Version>,
        /// Where it points from now on.
        to: Version,
        /// By hand: the highest version that was known then, and what a version has to be above for the channel to move
        /// by itself again; kept when it has to leave a withdrawn release. `None`: it moved by itself.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        above: Option<Version>,
    },
    /// A channel does not move up by itself until it is released.
    ChannelHold {
        /// Whose channel.
        product: ProductName,
        /// Which channel.
        channel: ChannelName,
    },
    /// A held channel moves by itself again.
    ChannelRelease {
        /// Whose channel.
        product: ProductName,
        /// Which channel.
        channel: ChannelName,
    },
    /// Nobody is sent to a release's files any more; known or not.
    ReleaseWithdraw {
        /// Whose release.
        product: ProductName,
        /// Which release.
        version: Version,
        /// Which release to take instead, where one was named.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        replacement: Option<Version>,
    },
    /// A withdrawn release is handed out again.
    ReleaseRestore {
        /// Whose release.
        product: ProductName,
        /// Which release.
        version: Version,
    },
    /// A token is not believed any more, whatever its time.
    TokenRevoke {
        /// The issuer's name in the configuration.
        issuer: String,
        /// The token's id.
        token_id: String,
    },
    /// The index may have this sequence although a higher one was seen.
    OriginAccept {
        /// The sequence.
        sequence: u64,
    },
}

/// An order that has not been given its number yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewOrder {
    /// When it is given.
    pub at: Timestamp,
    /// Who gives it.
    pub actor: String,
    /// Why.
    pub reason: String,
    /// What is to be.
    pub action: Action,
}

impl NewOrder {
    /// Longest actor, in bytes.
    pub const ACTOR_MAX: usize = 256;
    /// Longest reason, in bytes.
    pub const REASON_MAX: usize = 4096;

    pub(super) fn numbered(self, id: u64) -> Order {
        let Self { at, actor, reason, action } = self;
        Order { id, at, actor, reason, action }
    }
}

const OPENING: &str = r#"{"sum":""#;
const MIDDLE: &str = r#"","order":"#;
const CLOSING: &str = "}";
/// Hexadecimal digits of a checksum: 64 bits find damage; they do not stop a forger, who could write the sum as well.
const SUM_DIGITS: usize = 16;

/// An order together with its line: JSON that carries a checksum of the order's own text.
///
/// The same line stands in the journal and in the database, so either can be refilled from the other, and whether
/// two lines are the same order is whether they are the same bytes, whatever a later program would write.
#[derive(Debug, Clone)]
pub(super) struct Sealed {
    pub order: Order,
    /// Without the newline.
    pub line: String,
}

/// Why a line is not an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unreadable {
    /// The checksum does not fit, or there is none.
    Damaged,
    /// The checksum fits and the order is not one that this program knows: a newer one wrote it.
    Unknown,
}

impl Sealed {
    /// Longest line that is read, newline included. The longest that is written has half of this.
    pub const LINE_MAX: usize = 64 * 1024;

    pub fn new(order: Order) -> Self {
        let text = serde_json::to_string(&order).expect("an order is text and numbers, which JSON can say");
        let line = format!("{OPENING}{}{MIDDLE}{text}{CLOSING}", sum(text.as_bytes()));
        Self { order, line }
    }

    pub fn read(line: &[u8]) -> Result<Self, Unreadable> {
        let (sealed, text) = split(line).ok_or(Unreadable::Damaged)?;
        if sealed != sum(text).as_bytes() {
            return Err(Unreadable::Damaged);
        }
        let order = serde_json::from_slice(text).map_err(|_| Unreadable::Unknown)?;
        let line = String::from_utf8(line.to_vec()).map_err(|_| Unreadable::Damaged)?;
        Ok(Self { order, line })
    }
}

fn sum(text: &[u8]) -> String {
    let mut hex = HEXLOWER.encode(digest::digest(&digest::SHA256, text).as_ref());
    hex.truncate(SUM_DIGITS);
    hex
}

/// The checksum and the order's text.
fn split(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let line = line.strip_prefix(OPENING.as_bytes())?.strip_suffix(CLOSING.as_bytes())?;
    let (sum, rest) = line.split_at_checked(SUM_DIGITS)?;
    Some((sum, rest.strip_prefix(MIDDLE.as_bytes())?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order() -> Order {
        let action = Action::ChannelMove {
            product: ProductName::new("tool").unwrap(),
            channel: ChannelName::new("stable").unwrap(),
            from: None,
            to: Version::parse("v1.8.2").unwrap(),
            above: None,
        };
        let at = Timestamp::from_millis(1_763_632_800_000);
        NewOrder { at, actor: "ci".into(), reason: "line\nbreak \"ü\"".into(), action }.numbered(7)
    }

    #[test]
    fn a_line_is_one_line_of_json_and_reads_back_as_the_same_order() {
        let sealed = Sealed::new(order());
        assert!(!sealed.line.contains('\n'));
        let json: serde_json::Value = serde_json::from_str(&sealed.line).unwrap();
        assert_eq!(json["order"]["action"]["kind"], "channel_move");
        assert_eq!(json["order"]["at"], 1_763_632_800_000_i64);
        let read = Sealed::read(sealed.line.as_bytes()).unwrap();
        assert_eq!((read.order, read.line), (order(), sealed.line));
    }

    #[test]
    fn any_changed_byte_and_any_cut_is_noticed() {
        let line = Sealed::new(order()).line.into_bytes();
        for at in 0..line.len() {
            let mut changed = line.clone();
            changed[at] ^= 0x04;
            assert_eq!(Sealed::read(&changed).unwrap_err(), Unreadable::Damaged, "byte {at}");
            assert_eq!(Sealed::read(&line[..at]).unwrap_err(), Unreadable::Damaged, "cut at {at}");
        }
    }

    #[test]
    fn an_intact_order_of_a_newer_kind_is_told_from_damage() {
        for text in [
            r#"{"id":1,"at":0,"actor":"a","reason":"r","action":{"kind":"release_burn"}}"#,
            r#"{"id":1,"at":0,"actor":"a","reason":"r","action":{"kind":"mirror_drain","mirror":"fra","until":5}}"#,
            r#"{"id":1,"at":0,"actor":"a","reason":"r","until":5,"action":{"kind":"mirror_drain","mirror":"fra"}}"#,
        ] {
            let line = format!("{OPENING}{}{MIDDLE}{text}{CLOSING}", sum(text.as_bytes()));
            assert_eq!(Sealed::read(line.as_bytes()).unwrap_err(), Unreadable::Unknown, "{text}");
        }
    }

    #[test]
    fn the_longest_order_fits_well_into_a_line() {
        let longest = Order {
            actor: "\u{1}".repeat(NewOrder::ACTOR_MAX),
            reason: "\u{1}".repeat(NewOrder::REASON_MAX),
            ..order()
        };
        assert!(Sealed::new(longest).line.len() < Sealed::LINE_MAX / 2);
    }
}
