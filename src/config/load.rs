//! From a file to checked values: the main file, what it includes, then every table.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::document::Documents;
use super::problem::{Problem, Problems};
use super::reader::{Section, Spot};
use super::source::{Notes, Source};
use super::value::{Value, quoted};
use super::values::Config;
use super::{
    admin, audit, entitlement, gate, issuer, mirror, names, network, origin, region, release, routing,
    server, tickets, tier,
};

/// Most files in all, the main one included.
const FILES_MAX: usize = 1000;

/// A configuration that is in order.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The checked values.
    pub config: Config,
    /// Every file that was read, the main one first, so that changes can be watched for.
    pub files: Vec<PathBuf>,
    /// What is allowed but probably not meant.
    pub warnings: Vec<Problem>,
}

/// Reads the file `path` and what it includes.
///
/// # Errors
///
/// Everything that is wrong, in one list: syntax, unknown keys, keys of features that come later, values out of range,
/// references to nothing. Files that the values name (certificates, databases, range files) are not opened here.
pub fn load(path: &Path) -> Result<Loaded, Problems> {
    match Source::read(path) {
        Ok(main) => interpret(&main),
        Err((message, remedy)) => {
            let (file, key) = (path.to_owned(), String::new());
            let remedy = remedy.into();
            Err(Problems::new(vec![Problem { file, line: 0, column: 0, key, message, remedy }]))
        }
    }
}

/// The state folder that a file names, whatever else is wrong with it: while it is being edited, the service that runs
/// with what it said before has to stay within reach. `None` where the file cannot be read.
pub fn state_folder(path: &Path) -> Option<PathBuf> {
    let main = Source::read(path).ok()?;
    let notes = Notes::default();
    let mut root = Section::root(&main, &notes);
    Some(server::state(&mut server_table(&mut root)))
}

/// The same for a text that stands, or could stand, in the file `path`; what it includes is read from there.
///
/// # Errors
///
/// As [`load`].
pub fn parse(text: &str, path: &Path) -> Result<Loaded, Problems> {
    interpret(&Source::new(path, text.to_owned()))
}

/// Every key that a configuration may hold, as dotted paths without positions, such as `mirror.url`.
pub fn known_keys() -> BTreeSet<String> {
    let (main, notes) = (Source::new(Path::new(""), String::new()), Notes::specimen());
    let mut root = Section::root(&main, &notes);
    let mut first = server_table(&mut root);
    // Nothing is listed, so nothing is read; the key is known by being asked for.
    drop(included(&mut first, &main));
    values(Documents::new(root, []), first);
    notes.into_parts().2
}

fn interpret(main: &Source) -> Result<Loaded, Problems> {
    let notes = Notes::default();
    let mut root = Section::root(main, &notes);
    let mut server = server_table(&mut root);
    let further = included(&mut server, main);
    let roots: Vec<_> = further.iter().map(|source| Section::root(source, &notes)).collect();
    let config = values(Documents::new(root, roots), server);
    let (problems, warnings, _) = notes.into_parts();
    match config {
        Some(config) if problems.is_empty() => {
            let files =
                std::iter::once(main).chain(&further).map(|source| source.path().to_owned()).collect();
            Ok(Loaded { config, files, warnings })
        }
        _ => Err(Problems::new(problems)),
    }
}

fn server_table<'a>(root: &mut Section<'a>) -> Section<'a> {
    root.take("server").and_then(Value::section).unwrap_or_else(|| root.absent("server"))
}

/// Every table. `None` only where a problem was noted.
fn values<'a>(mut documents: Documents<'a>, server: Section<'a>) -> Option<Config> {
    let server = server::server(server);
    let origin = origin::origin(documents.table("origin"));
    let regions = region::regions(&mut documents);
    let client_networks = network::networks(&mut documents, &regions);
    let tiers = tier::tiers(&mut documents);
    let mirrors = mirror::mirrors(&mut documents, &regions, &tiers, origin.as_ref());
    let geoip = origin::geoip(documents.table("geoip"));
    let routing = routing::routing(documents.table("routing"));
    let redirect = routing::redirect(documents.table("redirect"));
    let outgoing = origin::outgoing(documents.table("outgoing"));
    let limits = server::limits(documents.table("limits"));
    let log = server::log(documents.table("log"));
    let probe = routing::probe(documents.table("probe"));
    let verify = routing::verify(documents.table("verify"));
    let channels = release::channels(&mut documents);
    let products = release::products(&mut documents);
    let aliases = names::aliases(&mut documents);
    let hosts = names::hosts(&mut documents, server.public_url.as_ref());
    let gates = gate::gates(&mut documents);
    let retention = tier::retention(documents.table("retention"));
    let admin = admin::admin(documents.table("admin"));
    let issuers = issuer::issuers(&mut documents);
    let entitlements = entitlement::entitlements(&mut documents, &issuers, &regions, &products);
    entitlement::check_reach(&products, &entitlements, &mirrors);
    let tickets = tickets::tickets(documents.table("tickets"));
    let audit = audit::audit(documents.table("audit"), &server.state, !products.entitled.is_empty());
    documents.finish();
    Some(Config {
        server,
        origin: origin?.0,
        geoip,
        regions: regions.list,
        client_networks,
        mirrors,
        routing,
        redirect,
        outgoing,
        limits,
        log,
        probe,
        verify,
        channels,
        products: products.list,
        aliases,
        hosts,
        gates,
        tiers: tiers.list,
        retention,
        admin,
        issuers: issuers.list,
        entitlements,
        tickets,
        audit,
    })
}

/// Reads the files of `server.include`, each once, in the order of the list and by name within a pattern.
fn included(server: &mut Section<'_>, main: &Source) -> Vec<Source> {
    let mut sources: Vec<Source> = Vec::new();
    // A pattern that matches the main file does not include it again.
    let mut seen: BTreeSet<PathBuf> = main.path().canonicalize().into_iter().collect();
    server.get("include", |value| {
        let spot = value.spot().clone();
        let entries = value.one_or_list(files)?;
        if entries.iter().map(|(_, files)| files.len()).sum::<usize>() >= FILES_MAX {
            return spot.refuse(format!("names {FILES_MAX} files or more"), "merge some of them");
        }
        for (spot, path) in
            entries.iter().flat_map(|(spot, files)| files.iter().map(move |file| (spot, file)))
        {
            if path.canonicalize().is_ok_and(|real| !seen.insert(real)) {
                continue;
            }
            match Source::read(path) {
                Ok(source) => sources.push(source),
                Err((message, remedy)) => {
                    // What the file would have defined is not reported as missing.
                    spot.notes.set_incomplete();
                    spot.refuse::<()>(format!("{} {message}", quoted(&path.to_string_lossy())), remedy);
                }
            }
        }
        Some(())
    });
    sources
}

/// The files that one entry names, and where it stands.
fn files<'a>(value: Value<'a>) -> Option<(Spot<'a>, Vec<PathBuf>)> {
    let spot = value.spot().clone();
    let Some(files) = matching(value) else {
        spot.notes.set_incomplete();
        return None;
    };
    Some((spot, files))
}

/// A path as it is; the files that match a pattern with `*`, `?` or `[…]`, by name.
fn matching(value: Value<'_>) -> Option<Vec<PathBuf>> {
    let text = value.text("a path or pattern such as \"mirrors.d/*.toml\"")?.to_owned();
    let spot = value.spot().clone();
    if !text.contains(['*', '?', '[']) {
        return value.path().map(|path| vec![path]);
    }
    if text.contains("**") {
        return spot.refuse(
            format!("{} would search whole trees", quoted(&text)),
            "name each folder: \"mirrors.d/*.toml\"",
        );
    }
    let folder = spot.source.folder().to_string_lossy();
    let pattern = Path::new(&glob::Pattern::escape(&folder)).join(&text);
    let found = glob::glob(&pattern.to_string_lossy());
    let Ok(found) = found else {
        return spot.refuse(format!("{} is no pattern", quoted(&text)), "write it like \"mirrors.d/*.toml\"");
    };
    match found.take(FILES_MAX).collect::<Result<Vec<_>, _>>() {
        Ok(files) => Some(files),
        Err(error) => spot
            .refuse(error.to_string().escape_debug().to_string(), "let the service's user read the folder"),
    }
}
