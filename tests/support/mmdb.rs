//! Writes MaxMind DB files (<https://maxmind.github.io/MaxMind-DB/>) for tests: small ones, and broken ones.

#![allow(dead_code, missing_docs, clippy::unwrap_used)]

use std::net::IpAddr;

use ipnet::IpNet;

/// A value of the data section.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Text(String),
    Double(f64),
    Float(f32),
    U16(u16),
    U32(u32),
    U64(u64),
    Bool(bool),
    Map(Vec<(String, Value)>),
    Array(Vec<Value>),
    /// A pointer to an offset of the data section, wherever that leads.
    Pointer(u32),
}

pub fn text(text: &str) -> Value {
    Value::Text(text.into())
}

pub fn map<const N: usize>(entries: [(&str, Value); N]) -> Value {
    Value::Map(entries.into_iter().map(|(key, value)| (key.into(), value)).collect())
}

/// A record as GeoIP2 and GeoLite2 City databases have it.
pub fn nested_city(latitude: f64, longitude: f64, country: &str) -> Value {
    map([
        ("city", map([("names", map([("en", text("Somewhere"))]))])),
        ("country", map([("geoname_id", Value::U32(7)), ("iso_code", text(country))])),
        ("location", map([("latitude", Value::Double(latitude)), ("longitude", Value::Double(longitude))])),
        ("subdivisions", Value::Array(vec![map([("iso_code", text("XY"))])])),
    ])
}

/// A record of a flat city database.
pub fn flat_city(latitude: f32, longitude: f32, country: &str) -> Value {
    map([
        ("country_code", text(country)),
        ("city", text("Somewhere")),
        ("latitude", Value::Float(latitude)),
        ("longitude", Value::Float(longitude)),
    ])
}

/// A record of a nested country database.
pub fn nested_country(country: &str) -> Value {
    map([("country", map([("iso_code", text(country))]))])
}

/// A record of an ASN database.
pub fn asn(number: u32) -> Value {
    map([
        ("autonomous_system_number", Value::U32(number)),
        ("autonomous_system_organization", text("Example")),
    ])
}

/// A database that is being written. Networks may be nested; the longer one wins wherever it stands.
#[derive(Debug, Clone)]
pub struct Database {
    pub ip_version: u16,
    /// 24, 28 or 32.
    pub record_size: u16,
    pub database_type: String,
    pub build_epoch: u64,
    pub networks: Vec<(IpNet, Value)>,
    /// Added to every data pointer of the search tree.
    pub pointer_shift: u32,
}

/// A node's child.
#[derive(Debug, Clone, Copy)]
enum Child {
    Empty,
    Node(usize),
    Data(usize),
}

impl Database {
    pub fn new(ip_version: u16, networks: Vec<(IpNet, Value)>) -> Self {
        Self {
            ip_version,
            record_size: 28,
            database_type: "Test".into(),
            build_epoch: 1_790_000_000,
            networks,
            pointer_shift: 0,
        }
    }

    /// The file's bytes.
    pub fn bytes(&self) -> Vec<u8> {
        let (data, offsets) = self.data();
        let nodes = self.nodes(&offsets);
        let mut file = Vec::new();
        let number = |child: Child| match child {
            Child::Empty => nodes.len() as u32,
            Child::Node(node) => node as u32,
            Child::Data(offset) => nodes.len() as u32 + 16 + offset as u32 + self.pointer_shift,
        };
        for node in &nodes {
            push_node(&mut file, self.record_size, number(node[0]), number(node[1]));
        }
        file.extend([0; 16]);
        file.extend(data);
        file.extend(b"\xab\xcd\xefMaxMind.com");
        push_value(&mut file, &self.metadata(nodes.len() as u32));
        file
    }

    /// The data section, and where each network's record begins. Equal records are written once.
    fn data(&self) -> (Vec<u8>, Vec<usize>) {
        let (mut data, mut seen) = (Vec::new(), Vec::<(&Value, usize)>::new());
        let mut offsets = Vec::new();
        for (_, value) in &self.networks {
            let known = seen.iter().find(|(other, _)| *other == value).map(|(_, offset)| *offset);
            offsets.push(known.unwrap_or_else(|| {
                let offset = data.len();
                push_value(&mut data, value);
                seen.push((value, offset));
                offset
            }));
        }
        (data, offsets)
    }

    fn nodes(&self, offsets: &[usize]) -> Vec<[Child; 2]> {
        let mut nodes = vec![[Child::Empty; 2]];
        let mut order: Vec<usize> = (0..self.networks.len()).collect();
        order.sort_by_key(|i| self.depth(&self.networks[*i].0));
        for i in order {
            let network = self.networks[i].0;
            let (bits, depth) = (self.bits(network.addr()), self.depth(&network));
            assert!(depth > 0, "a network of the whole space has no place in the tree");
            let mut at = 0;
            for level in 0..depth - 1 {
                let side = (bits >> (127 - level) & 1) as usize;
                at = match nodes[at][side] {
                    Child::Node(node) => node,
                    // A longer network divides a shorter one.
                    outer => {
                        nodes.push([outer; 2]);
                        let node = nodes.len() - 1;
                        nodes[at][side] = Child::Node(node);
                        node
                    }
                };
            }
            let side = (bits >> (127 - (depth - 1)) & 1) as usize;
            nodes[at][side] = Child::Data(offsets[i]);
        }
        nodes
    }

    /// The address's bits from the top, as the tree sees them.
    fn bits(&self, address: IpAddr) -> u128 {
        match (self.ip_version, address) {
            (4, IpAddr::V4(v4)) => u128::from(v4.to_bits()) << 96,
            (6, IpAddr::V4(v4)) => u128::from(v4.to_bits()),
            (6, IpAddr::V6(v6)) => v6.to_bits(),
            _ => panic!("an IPv6 network in an IPv4 database"),
        }
    }

    fn depth(&self, network: &IpNet) -> u32 {
        let above = if self.ip_version == 6 && network.addr().is_ipv4() { 96 } else { 0 };
        above + u32::from(network.prefix_len())
    }

    fn metadata(&self, node_count: u32) -> Value {
        map([
            ("binary_format_major_version", Value::U16(2)),
            ("binary_format_minor_version", Value::U16(0)),
            ("build_epoch", Value::U64(self.build_epoch)),
            ("database_type", text(&self.database_type)),
            ("description", Value::Map(Vec::new())),
            ("ip_version", Value::U16(self.ip_version)),
            ("languages", Value::Array(Vec::new())),
            ("node_count", Value::U32(node_count)),
            ("record_size", Value::U16(self.record_size)),
        ])
    }
}

/// A file whose search tree is a chain of `nodes` nodes, both children of each being the next one: without a bound, a
/// walk over it takes two to the power of `nodes` steps. Its last node leads nowhere, or to data.
pub fn chain(nodes: u32, data: bool) -> Vec<u8> {
    let mut file = Vec::new();
    for node in 1..=nodes {
        let end = if data { nodes + 16 } else { nodes };
        let next = if node == nodes { end } else { node };
        push_node(&mut file, 24, next, next);
    }
    file.extend([0; 16]);
    push_value(&mut file, &nested_country("DE"));
    file.extend(b"\xab\xcd\xefMaxMind.com");
    let database = Database { record_size: 24, ..Database::new(6, Vec::new()) };
    push_value(&mut file, &database.metadata(nodes));
    file
}

fn push_node(file: &mut Vec<u8>, record_size: u16, left: u32, right: u32) {
    match record_size {
        24 => {
            file.extend(&left.to_be_bytes()[1..]);
            file.extend(&right.to_be_bytes()[1..]);
        }
        28 => {
            file.extend(&left.to_be_bytes()[1..]);
            file.push((left >> 24 << 4 | right >> 24) as u8);
            file.extend(&right.to_be_bytes()[1..]);
        }
        _ => {
            file.extend(left.to_be_bytes());
            file.extend(right.to_be_bytes());
        }
    }
}

/// A control byte, with the extended type and the larger sizes where they are needed.
fn push_control(out: &mut Vec<u8>, kind: u8, size: usize) {
    let (low, more): (u8, &[u8]) = match size {
        0..29 => (size as u8, &[]),
        29..285 => (29, &[(size - 29) as u8]),
        _ => (30, &((size - 285) as u16).to_be_bytes()),
    };
    if kind < 8 {
        out.push(kind << 5 | low);
    } else {
        out.extend([low, kind - 7]);
    }
    out.extend(more);
}

fn push_number(out: &mut Vec<u8>, kind: u8, bytes: &[u8]) {
    let significant = bytes.iter().skip_while(|byte| **byte == 0).copied().collect::<Vec<u8>>();
    push_control(out, kind, significant.len());
    out.extend(significant);
}

fn push_value(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Text(text) => {
            push_control(out, 2, text.len());
            out.extend(text.as_bytes());
        }
        Value::Double(number) => {
            push_control(out, 3, 8);
            out.extend(number.to_be_bytes());
        }
        Value::Float(number) => {
            push_control(out, 15, 4);
            out.extend(number.to_be_bytes());
        }
        Value::U16(number) => push_number(out, 5, &number.to_be_bytes()),
        Value::U32(number) => push_number(out, 6, &number.to_be_bytes()),
        Value::U64(number) => push_number(out, 9, &number.to_be_bytes()),
        Value::Bool(yes) => push_control(out, 14, usize::from(*yes)),
        Value::Map(entries) => {
            push_control(out, 7, entries.len());
            for (key, value) in entries {
                push_value(out, &text(key));
                push_value(out, value);
            }
        }
        Value::Array(items) => {
            push_control(out, 11, items.len());
            items.iter().for_each(|item| push_value(out, item));
        }
        Value::Pointer(to) => {
            // Type 1 with the size bits that say: four bytes follow.
            out.push(1 << 5 | 3 << 3);
            out.extend(to.to_be_bytes());
        }
    }
}
