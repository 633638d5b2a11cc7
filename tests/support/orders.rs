//! Orders as an operator or a pipeline gives them.

#![allow(dead_code, missing_docs, clippy::unwrap_used)]

use serde_json::Value;
use waypost::catalog::ReleaseId;
use waypost::model::{ChannelName, ProductName, Version};
use waypost::store::{Action, Order};
use waypost::workers::fact::{Instruction, Refused, Wish};
use waypost::workers::report::Topic;

use super::Site;

pub fn product(name: &str) -> ProductName {
    ProductName::new(name).unwrap()
}

pub fn version(text: &str) -> Version {
    Version::parse(text).unwrap()
}

pub fn channel(name: &str) -> ChannelName {
    ChannelName::new(name).unwrap()
}

/// Promotes a release of `tool`.
pub fn promote(text: &str, to: &str) -> Wish {
    let release = ReleaseId { product: product("tool"), version: version(text) };
    Wish::Promote { release, channel: channel(to), expected: None, force: false }
}

/// Rolls a channel of `tool` back.
pub fn rollback(name: &str) -> Wish {
    Wish::Rollback { product: product("tool"), channel: channel(name), expected: None }
}

pub fn hold(name: &str) -> Wish {
    Wish::Plain(Action::ChannelHold { product: product("tool"), channel: channel(name) })
}

pub fn release(name: &str) -> Wish {
    Wish::Plain(Action::ChannelRelease { product: product("tool"), channel: channel(name) })
}

/// Withdraws a release of `tool`.
pub fn withdraw(text: &str, replacement: Option<&str>) -> Wish {
    let replacement = replacement.map(version);
    Wish::Plain(Action::ReleaseWithdraw { product: product("tool"), version: version(text), replacement })
}

pub fn restore(text: &str) -> Wish {
    Wish::Plain(Action::ReleaseRestore { product: product("tool"), version: version(text) })
}

/// The same, only if the channel points there now.
pub fn expecting(wish: Wish, at: Option<&str>) -> Wish {
    let expected = Some(at.map(version));
    match wish {
        Wish::Promote { release, channel, force, .. } => Wish::Promote { release, channel, expected, force },
        Wish::Rollback { product, channel, .. } => Wish::Rollback { product, channel, expected },
        other => panic!("{other:?} expects nothing"),
    }
}

/// The same, although checks fail.
pub fn forced(wish: Wish) -> Wish {
    match wish {
        Wish::Promote { release, channel, expected, .. } => {
            Wish::Promote { release, channel, expected, force: true }
        }
        other => panic!("{other:?} is not forced"),
    }
}

impl Site {
    /// Gives an order in the name of `ci`.
    pub async fn wish(&self, wish: Wish, reason: &str) -> Result<Order, Refused> {
        let instruction = Instruction { actor: "ci".to_owned(), reason: reason.to_owned(), wish };
        self.handle().order(instruction).await
    }

    /// The same, and it is carried out.
    pub async fn obeyed(&self, wish: Wish) -> Order {
        self.wish(wish, "the test wants it").await.unwrap()
    }

    /// The same, and it is refused with this.
    pub async fn refused(&self, wish: Wish) -> Refused {
        self.wish(wish, "the test wants it").await.unwrap_err()
    }

    /// What is reported of a channel of `tool`.
    pub async fn channel_report(&self, name: &str) -> Value {
        let report = self.report(Topic::Channels(Some(product("tool")))).await;
        let lines = report["channels"].as_array().unwrap().clone();
        lines.into_iter().find(|line| line["channel"] == name).unwrap_or(Value::Null)
    }

    /// What is reported of a release of `tool`.
    pub async fn release_report(&self, text: &str) -> Value {
        self.report(Topic::Release(product("tool"), text.to_owned())).await
    }
}
