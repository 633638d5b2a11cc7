//! Who changed what, when and why.

use http::{Response, StatusCode};
use serde_json::{Value, json};

use crate::store::Order;

use super::{Admin, Body, Refusal, answers, query};

/// Orders on a page, where nobody says how many.
const PAGE: usize = 100;
/// Most orders on a page.
const PAGE_MAX: usize = 10_000;

impl Admin {
    /// `?before=ID&limit=100`: orders, the newest first; `next` is the `before` of the page that follows.
    pub(super) async fn audit(&self, uri: &http::Uri) -> Result<Response<Body>, Refusal> {
        let number = |name: &str, default: u64| match query(uri, name).map(|text| text.parse::<u64>()) {
            None => Ok(default),
            Some(Ok(number)) => Ok(number),
            Some(Err(_)) => Err(Refusal::BadRequest(format!("{name} is a number"))),
        };
        let before = number("before", u64::MAX)?;
        let limit = usize::try_from(number("limit", PAGE as u64)?).unwrap_or(PAGE_MAX).clamp(1, PAGE_MAX);
        let stopping = || Refusal::Unavailable("the service is stopping".to_owned());
        let orders = self.handle.orders(before, limit).await.ok_or_else(stopping)?;
        let orders =
            orders.map_err(|why| Refusal::Unavailable(format!("the audit cannot be read: {why}")))?;
        let next = orders.last().filter(|last| orders.len() == limit && last.id > 1).map(|last| last.id);
        let orders: Vec<Value> = orders.iter().map(shown).collect();
        let page = json!({ "orders": orders, "next": next });
        Ok(answers::json(StatusCode::OK, &page))
    }
}

/// An order as it is told: its moment as text, as in every other answer.
pub(super) fn shown(order: &Order) -> Value {
    let mut shown = json!(order);
    shown["at"] = json!(order.at.to_string());
    shown
}
