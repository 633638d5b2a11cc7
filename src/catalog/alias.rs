//! Links that were published before: what an old path may mean.

use crate::config::{self, Placeholder, TemplatePart};

/// Most places that are tried for the placeholders of one request's path, over all aliases. A path of separators fits a
/// template in more ways than anybody meant.
const TRIES_MAX: usize = 1000;
/// What may follow an old path as it may follow every other.
const DERIVED: [&str; 3] = ["", ".sha256", ".meta4"];
/// How many placeholders there are.
const PLACEHOLDERS: usize = Placeholder::Asset as usize + 1;

/// All aliases, in the order in which they are tried.
#[derive(Debug, Default)]
pub struct Aliases(Box<[Alias]>);

/// One alias: `prefix hole (separator hole)* tail`.
#[derive(Debug)]
struct Alias {
    prefix: Box<str>,
    holes: Box<[Placeholder]>,
    /// What stands after each hole but the last.
    separators: Box<[Box<str>]>,
    tail: Box<str>,
    to: Box<[TemplatePart]>,
}

impl Aliases {
    /// Compiles the configured aliases.
    pub fn new(aliases: &[config::Alias]) -> Self {
        Self(aliases.iter().map(Alias::new).collect())
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The first meaning that one of the decoded `paths` has by any alias: `meaning` is asked of each path that it may
    /// stand for, in the order of the aliases, the shortest placeholders first.
    ///
    /// An alias whose beginning or end is another costs a comparison, and all tries together are bounded.
    pub fn find<T>(&self, paths: &[&str], meaning: impl FnMut(&str) -> Option<T>) -> Option<T> {
        let mut search = Search { left: TRIES_MAX, values: [""; PLACEHOLDERS], path: String::new(), meaning };
        paths.iter().find_map(|path| {
            self.0.iter().find_map(|alias| {
                let rest = path.strip_prefix(&*alias.prefix)?;
                DERIVED.iter().find_map(|derived| {
                    let middle = rest.strip_suffix(derived)?.strip_suffix(&*alias.tail)?;
                    search.place(alias, derived, 0, middle)
                })
            })
        })
    }
}

impl Alias {
    fn new(alias: &config::Alias) -> Self {
        let (mut holes, mut literals) = (Vec::new(), vec![String::new()]);
        for part in &alias.from.0 {
            match (part, literals.last_mut()) {
                (TemplatePart::Literal(text), Some(last)) => last.push_str(text),
                (TemplatePart::Literal(_), None) => {}
                (TemplatePart::Hole(hole), _) => {
                    holes.push(*hole);
                    literals.push(String::new());
                }
            }
        }
        // One literal more than there are holes: the first is the prefix and, where there are holes, the last the tail.
        let tail = if holes.is_empty() { String::new() } else { literals.pop().unwrap_or_default() };
        let mut literals = literals.into_iter().map(String::into_boxed_str);
        Self {
            prefix: literals.next().unwrap_or_default(),
            separators: literals.collect(),
            tail: tail.into(),
            holes: holes.into(),
            to: alias.to.0.clone().into(),
        }
    }
}

/// Longest value of a placeholder, in bytes: no name that could be found is longer.
const fn longest(hole: Placeholder) -> usize {
    match hole {
        Placeholder::Product | Placeholder::Version | Placeholder::Channel | Placeholder::Platform => 128,
        // With `.sha256` or `.meta4` behind the longest name.
        Placeholder::Asset => 1024 + 7,
    }
}

fn fits(hole: Placeholder, value: &str) -> bool {
    let slashes = hole == Placeholder::Asset;
    !value.is_empty() && value.len() <= longest(hole) && (slashes || !value.contains('/'))
}

/// The search for one request.
struct Search<'p, F> {
    /// Tries that are left.
    left: usize,
    /// What stands for each placeholder in this try.
    values: [&'p str; PLACEHOLDERS],
    /// The path that is asked about.
    path: String,
    meaning: F,
}

impl<'p, T, F: FnMut(&str) -> Option<T>> Search<'p, F> {
    /// Tries every place where the hole at this position may end.
    fn place(&mut self, alias: &Alias, derived: &str, position: usize, text: &'p str) -> Option<T> {
        let Some(&hole) = alias.holes.get(position) else {
            return if text.is_empty() { self.ask(alias, derived) } else { None };
        };
        let Some(separator) = alias.separators.get(position) else {
            self.values[hole as usize] = Some(text).filter(|text| fits(hole, text))?;
            return self.ask(alias, derived);
        };
        let mut from = 0;
        let reach = text.floor_char_boundary(longest(hole) + separator.len());
        while let Some(found) = text[from..reach].find(&**separator) {
            let end = from + found;
            self.left = self.left.checked_sub(1)?;
            let value = &text[..end];
            if fits(hole, value) {
                self.values[hole as usize] = value;
                let rest = &text[end + separator.len()..];
                if let Some(meaning) = self.place(alias, derived, position + 1, rest) {
                    return Some(meaning);
                }
            } else if value.contains('/') {
                return None;
            }
            from = end + text[end..].chars().next()?.len_utf8();
            if from > reach {
                return None;
            }
        }
        None
    }

    /// Asks what the path means that this try stands for.
    fn ask(&mut self, alias: &Alias, derived: &str) -> Option<T> {
        self.left = self.left.checked_sub(1)?;
        self.path.clear();
        for part in &alias.to {
            self.path.push_str(match part {
                TemplatePart::Literal(text) => text,
                TemplatePart::Hole(hole) => self.values[*hole as usize],
            });
        }
        self.path.push_str(derived);
        (self.meaning)(&self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn aliases(pairs: &[(&str, &str)]) -> Aliases {
        let alias = |(from, to): &(&str, &str)| format!("[[alias]]\nfrom = {from:?}\nto = {to:?}\n");
        let entries: String = pairs.iter().map(alias).collect();
        let text = format!(
            "[origin]\nurl = \"o\"\n[[mirror]]\nname = \"a\"\nurl = \"https://a.example/\"\n{entries}"
        );
        let config = config::parse(&text, std::path::Path::new("waypost.toml")).unwrap().config;
        Aliases::new(&config.aliases)
    }

    /// Every path that one may stand for, in order.
    fn tried(aliases: &Aliases, path: &str) -> Vec<String> {
        let mut tried = Vec::new();
        aliases.find::<()>(&[path], |path| {
            tried.push(path.to_owned());
            None
        });
        tried
    }

    const PUB: (&str, &str) =
        ("/pub/{product}-{version}-{platform}.tar.gz", "/{product}/{version}/{platform}");

    #[test]
    fn every_split_of_an_ambiguous_path_is_asked_about() {
        let aliases = aliases(&[PUB]);
        assert_eq!(
            tried(&aliases, "/pub/my-tool-1.8.2-linux-amd64.tar.gz"),
            [
                "/my/tool/1.8.2-linux-amd64",
                "/my/tool-1.8.2/linux-amd64",
                "/my/tool-1.8.2-linux/amd64",
                "/my-tool/1.8.2/linux-amd64",
                "/my-tool/1.8.2-linux/amd64",
                "/my-tool-1.8.2/linux/amd64",
            ]
        );
        for other in [
            "/pub/a-b-c.zip",
            "/dist/a-b-c.tar.gz",
            "/pub/a-b.tar.gz",
            "/pub/a/x-b-c.tar.gz",
            "/pub/a-b-c/x.tar.gz",
            "/pub/-b-c.tar.gz",
            "/pub/a--c.tar.gz",
            "/pub/.tar.gz",
            "/pub/tar.gz",
            "",
        ] {
            assert_eq!(tried(&aliases, other), [""; 0], "{other}");
        }
    }

    #[test]
    fn separators_that_overlap_are_all_found() {
        let aliases = aliases(&[("/{product}--{version}", "/{product}/{version}/x")]);
        assert_eq!(tried(&aliases, "/a---1"), ["/a/-1/x", "/a-/1/x"]);
    }

    #[test]
    fn an_asset_may_be_a_tree_and_stand_anywhere() {
        let aliases = aliases(&[("/old/{asset}/of/{version}", "/tool/{version}/{asset}")]);
        assert_eq!(tried(&aliases, "/old/a/of/b/of/1"), ["/tool/1/a/of/b"]);
        assert_eq!(tried(&aliases, "/old/a/of/1/2"), [""; 0]);
    }

    #[test]
    fn aliases_are_tried_in_their_order_and_a_path_without_placeholders_is_one_too() {
        let aliases = aliases(&[
            ("/get", "/tool/stable/linux-amd64"),
            ("/{asset}", "/a/1/{asset}"),
            ("/get", "/b/1/x"),
        ]);
        assert_eq!(tried(&aliases, "/get"), ["/tool/stable/linux-amd64", "/a/1/get", "/b/1/x"]);
        assert_eq!(
            tried(&aliases, "/get.sha256"),
            ["/tool/stable/linux-amd64.sha256", "/a/1/get.sha256", "/a/1/get.sha256", "/b/1/x.sha256"]
        );
        assert_eq!(tried(&aliases, "/gets"), ["/a/1/gets"]);
    }

    #[test]
    fn a_placeholder_may_be_used_twice_in_what_a_path_means() {
        let aliases = aliases(&[("/{product}-{version}", "/{product}/{version}/{product}{version}.zip")]);
        assert_eq!(tried(&aliases, "/tool-1.0"), ["/tool/1.0/tool1.0.zip"]);
    }

    #[test]
    fn letters_of_every_length_are_whole() {
        let aliases = aliases(&[("/ä/{product}é{version}", "/{product}/{version}/x")]);
        assert_eq!(tried(&aliases, "/ä/ünïéé1"), ["/ünï/é1/x", "/ünïé/1/x"]);
        for length in 100..140 {
            tried(&aliases, &format!("/ä/{}é1", "字".repeat(length)));
            tried(&aliases, &format!("/ä/x{}é1", "é".repeat(length)));
        }
    }

    #[test]
    fn a_hostile_path_is_tried_in_a_bounded_number_of_ways() {
        let many: Vec<_> = (0..1000).map(|_| PUB).collect();
        for aliases in [
            aliases(&[PUB]),
            aliases(&many),
            aliases(&[(
                "/pub/{product}-{version}-{channel}-{platform}-{asset}.tar.gz",
                "/{product}/x/{asset}",
            )]),
            // No split ever comes to its end.
            aliases(&[("/pub/{product}-{version}-{channel}-{platform}_{asset}.gz", "/{product}/x/{asset}")]),
        ] {
            for middle in ["-".repeat(16_000), "a-".repeat(8000), "-é".repeat(5000), "a-".repeat(50)] {
                let mut asked = 0;
                let path = format!("/pub/{middle}a.tar.gz");
                let mut search = Search {
                    left: TRIES_MAX,
                    values: [""; PLACEHOLDERS],
                    path: String::new(),
                    meaning: |_: &str| {
                        asked += 1;
                        None::<()>
                    },
                };
                for alias in &aliases.0 {
                    search.place(alias, "", 0, &path["/pub/".len()..path.len() - alias.tail.len()]);
                }
                assert!(asked <= TRIES_MAX, "{asked}");
                assert!(tried(&aliases, &path).len() <= TRIES_MAX);
            }
        }
    }
}
