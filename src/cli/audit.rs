//! `waypost audit`: who changed what, when and why.

use serde::Deserialize;
use serde_json::{Value, json};

use super::outcome::{CliError, Exit, print, printable};
use super::service::Service;
use super::table::{Align, Table};

/// Orders that one question asks for.
const PAGE: usize = 1000;

/// `waypost audit`
#[derive(Debug, clap::Args)]
pub struct AuditArgs {
    /// Only so many of the newest; 0: all
    #[arg(long, value_name = "N", default_value_t = 50)]
    limit: usize,
    /// Only about this product
    #[arg(long)]
    product: Option<String>,
    /// Only by this actor: a token's name, a user, `waypost` for what the service did by itself
    #[arg(long)]
    actor: Option<String>,
    #[command(flatten)]
    service: Service,
}

#[derive(Debug, Deserialize)]
struct Page {
    orders: Vec<Value>,
    next: Option<u64>,
}

/// Runs it.
///
/// # Errors
///
/// Where the service does not answer.
pub async fn run(args: AuditArgs) -> Result<Exit, CliError> {
    let client = args.service.client()?;
    let mut found: Vec<Value> = Vec::new();
    let mut before: Option<u64> = None;
    let full = |found: &Vec<Value>| args.limit > 0 && found.len() >= args.limit;
    loop {
        let before_part = before.map_or_else(String::new, |before| format!("&before={before}"));
        let page: Page = client.get(&format!("/v1/audit?limit={PAGE}{before_part}")).await?.read()?;
        found.extend(page.orders.into_iter().filter(|order| args.wants(order)));
        before = page.next;
        if before.is_none() || full(&found) {
            break;
        }
    }
    if args.limit > 0 {
        found.truncate(args.limit);
    }
    match args.service.json {
        true => print(json!({ "orders": found }).to_string()),
        false => print(table(&found)),
    }
    Ok(Exit::Done)
}

impl AuditArgs {
    fn wants(&self, order: &Value) -> bool {
        let is =
            |wanted: &Option<String>, value: &Value| wanted.as_ref().is_none_or(|wanted| value == wanted);
        is(&self.actor, &order["actor"]) && is(&self.product, &order["action"]["product"])
    }
}

fn table(orders: &[Value]) -> String {
    if orders.is_empty() {
        return "no orders\n".into();
    }
    let mut table = Table::new(&[
        ("ID", Align::Right),
        ("WHEN", Align::Left),
        ("WHO", Align::Left),
        ("WHAT", Align::Left),
        ("WHY", Align::Left),
    ]);
    for order in orders {
        let text = |key: &str| order[key].as_str().map_or_else(String::new, |text| printable(text, 300));
        table.row([
            order["id"].to_string(),
            text("at"),
            text("actor"),
            what(&order["action"]),
            text("reason"),
        ]);
    }
    table.render()
}

/// An action in one line: its kind, then its values.
fn what(action: &Value) -> String {
    let Some(fields) = action.as_object() else { return String::new() };
    let kind = fields.get("kind").and_then(Value::as_str).unwrap_or_default().replace('_', " ");
    let plain = |value: &Value| match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let named = |(key, value): (&String, &Value)| match key.as_str() {
        "kind" => None,
        "product" | "version" | "channel" | "mirror" => Some(plain(value)),
        _ if value.is_null() => None,
        key => Some(format!("{key} {}", plain(value))),
    };
    let values: Vec<String> = fields.iter().filter_map(named).collect();
    printable(&format!("{kind}: {}", values.join(" ")), 500)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_is_one_line() {
        let order = json!({ "id": 7, "at": "2025-11-20T10:00:00Z", "actor": "ci", "reason": "ship\nit",
            "action": { "kind": "channel_move", "product": "tool", "channel": "stable", "from": null, "to": "1.8.2" } });
        let text = table(&[order]);
        assert_eq!(text.lines().count(), 2, "{text}");
        for part in ["2025-11-20T10:00:00Z", "channel move: tool stable to 1.8.2", "ship\\nit"] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }
}
