//! The files of one configuration together: the main one, and what it includes.

use std::collections::HashMap;

use super::reader::{Section, Spot};

/// Tables of features that come later.
const LATER: &[&str] = &["[reports]", "[store]", "[acme]"];

/// The root tables of all files, the main one first.
#[derive(Debug)]
pub(super) struct Documents<'a> {
    roots: Vec<Section<'a>>,
}

impl<'a> Documents<'a> {
    /// All files; the main file's `[server]` is taken out already.
    pub(super) fn new(main: Section<'a>, included: impl IntoIterator<Item = Section<'a>>) -> Self {
        let mut roots = vec![main];
        for mut root in included {
            if let Some(server) = root.take("server") {
                server.spot().refuse::<()>(
                    "`[server]` stands in an included file",
                    "move it to the main file; included files hold other tables",
                );
            }
            roots.push(root);
        }
        Self { roots }
    }

    /// A table that may be given once, in any file; where none gives it, an absent one.
    pub(super) fn table(&mut self, key: &'static str) -> Section<'a> {
        let mut found: Option<Section<'a>> = None;
        for root in &mut self.roots {
            let Some(value) = root.take(key) else { continue };
            match &found {
                Some(first) => {
                    let message = format!("`[{key}]` is given already, at {}", first.spot.place());
                    value.spot().refuse::<()>(message, "merge the two");
                }
                None => found = value.section(),
            }
        }
        found.unwrap_or_else(|| self.roots[0].absent(key))
    }

    /// The tables of an array, over all files in their order; at most `most`.
    pub(super) fn tables(&mut self, key: &'static str, most: usize) -> Vec<Section<'a>> {
        let mut all: Vec<_> = self.roots.iter_mut().flat_map(|root| root.tables(key)).collect();
        if let Some(over) = all.get(most) {
            over.spot.refuse::<()>(format!("there are more than {most} [[{key}]]"), "remove some");
            all.truncate(most);
        }
        all
    }

    /// The place of the main file as a whole.
    pub(super) fn spot(&self) -> &Spot<'a> {
        &self.roots[0].spot
    }

    /// Refuses what is left in any file.
    pub(super) fn finish(self) {
        for mut root in self.roots {
            LATER.iter().for_each(|title| root.refuse_later_table(title));
            root.finish();
        }
    }
}

/// Names that must differ, each with where it was given first.
#[derive(Debug, Default)]
pub(super) struct Unique(HashMap<String, String>);

impl Unique {
    /// Takes a name, or notes that it is taken.
    pub(super) fn claim(&mut self, spot: &Spot<'_>, name: &str) -> Option<()> {
        if let Some(place) = self.0.get(name) {
            return spot.refuse(format!("`{name}` is given already, at {place}"), "give each only once");
        }
        self.0.insert(name.to_owned(), spot.place());
        Some(())
    }
}
