//! What the demonstration plays with: a folder with an origin, mirrors with copies, and clients of several continents.

use std::fmt::Write as _;
use std::fs::{self, DirBuilder};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use crate::catalog::manifest::Expects;
use crate::catalog::publish::{self, CreateOptions, Placement};
use crate::cli::outcome::{CliError, complain};
use crate::model::{ChannelName, Clock, ProductName, SystemClock, Version};
use crate::server::BindError;
use crate::server::Server;

/// The product.
pub const PRODUCT: &str = "waypost";
/// The newest version: this program's own.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
/// An older one.
pub const OLDER: &str = "0.0.1";
/// The file that has a corrupt copy…
pub const CORRUPT_FILE: &str = "numbers.csv";
/// …on this mirror.
pub const CORRUPT_MIRROR: &str = "ams";
/// Files of each release.
pub const FILES: usize = 3;

/// A region: name and centre.
const REGIONS: [(&str, [f64; 2]); 3] =
    [("eu", [50.11, 8.68]), ("us", [39.04, -77.49]), ("ap", [1.35, 103.82])];

/// A mirror of the demonstration.
#[derive(Debug, Clone, Copy)]
pub struct Mirror {
    /// Its name, after an airport.
    pub name: &'static str,
    /// Its city.
    pub city: &'static str,
    region: &'static str,
    country: &'static str,
    location: [f64; 2],
}

/// All of them.
pub const MIRRORS: [Mirror; 4] = [
    Mirror { name: "fra", city: "Frankfurt", region: "eu", country: "DE", location: [50.11, 8.68] },
    Mirror { name: "ams", city: "Amsterdam", region: "eu", country: "NL", location: [52.37, 4.9] },
    Mirror { name: "iad", city: "Ashburn", region: "us", country: "US", location: [39.04, -77.49] },
    Mirror { name: "sin", city: "Singapore", region: "ap", country: "SG", location: [1.35, 103.82] },
];

/// A client of the demonstration, in a network that exists in documentation only (RFC 5737, RFC 3849).
#[derive(Debug, Clone, Copy)]
pub struct Client {
    /// Its city.
    pub city: &'static str,
    /// Its address.
    pub address: &'static str,
    network: &'static str,
    country: &'static str,
    location: [f64; 2],
}

/// All of them.
pub const CLIENTS: [Client; 4] = [
    Client {
        city: "Utrecht",
        address: "192.0.2.10",
        network: "192.0.2.0/24",
        country: "NL",
        location: [52.09, 5.12],
    },
    Client {
        city: "New York",
        address: "198.51.100.20",
        network: "198.51.100.0/24",
        country: "US",
        location: [40.71, -74.01],
    },
    Client {
        city: "Tokyo",
        address: "203.0.113.30",
        network: "203.0.113.0/24",
        country: "JP",
        location: [35.68, 139.69],
    },
    Client {
        city: "São Paulo",
        address: "2001:db8::40",
        network: "2001:db8::/32",
        country: "BR",
        location: [-23.55, -46.63],
    },
];

/// A folder that goes when this is dropped.
#[derive(Debug)]
pub struct Stage {
    folder: PathBuf,
}

impl Stage {
    /// Makes the folder, two releases at an origin in it, and the mirrors' copies. Blocks.
    ///
    /// # Errors
    ///
    /// Where files cannot be written.
    pub fn set() -> Result<Self, CliError> {
        let millis = SystemClock.now().as_millis();
        let folder = std::env::temp_dir().join(format!("waypost-demo-{}-{millis}", std::process::id()));
        DirBuilder::new().mode(0o700).create(&folder).map_err(|error| cannot("create", &folder, error))?;
        let stage = Self { folder };
        for version in [OLDER, VERSION] {
            stage.release(version)?;
        }
        for mirror in &MIRRORS {
            copy_tree(&stage.origin().join(PRODUCT), &stage.mirror(mirror.name).join(PRODUCT))?;
        }
        stage.corrupt()?;
        Ok(stage)
    }

    fn origin(&self) -> PathBuf {
        self.folder.join("origin")
    }

    /// What a mirror serves.
    pub fn mirror(&self, name: &str) -> PathBuf {
        self.folder.join("mirrors").join(name)
    }

    /// The configuration, which the operator's commands read as well.
    pub fn config_file(&self) -> PathBuf {
        self.folder.join("waypost.toml")
    }

    fn release(&self, version: &str) -> Result<(), CliError> {
        let folder = self.origin().join(PRODUCT).join(version);
        fs::create_dir_all(&folder).map_err(|error| cannot("create", &folder, error))?;
        let write = |name: &str, text: String| {
            let file = folder.join(name);
            fs::write(&file, text).map_err(|error| cannot("write", &file, error))
        };
        let numbers = (1..=400).fold("n,square,cube\n".to_owned(), |mut text, n: u64| {
            let _ = writeln!(text, "{n},{},{}", n * n, n * n * n);
            text
        });
        write(CORRUPT_FILE, numbers)?;
        write("README.txt", format!("Waypost {version}, as its own demonstration ships it.\n"))?;
        let program = std::env::current_exe()
            .map_err(|error| CliError::No(format!("this program does not know its own file: {error}")))?;
        link_or_copy(&program, &folder.join(program_name(version)))?;
        let internal = |what: String| CliError::No(what);
        let options = CreateOptions {
            folder,
            origin: self.origin(),
            product: ProductName::new(PRODUCT).map_err(|error| internal(error.to_string()))?,
            version: Version::parse(version).map_err(|error| internal(error.to_string()))?,
            channels: vec![ChannelName::new("stable").map_err(|error| internal(error.to_string()))?],
            expects: Expects::default(),
            published_at: None,
            now: SystemClock.now(),
            placement: Placement::InPlace,
        };
        publish::create(&options, &()).map_err(|error| CliError::No(error.to_string()))?;
        Ok(())
    }

    /// Puts other bytes of the same number in the place of one copy.
    fn corrupt(&self) -> Result<(), CliError> {
        let copy = self.mirror(CORRUPT_MIRROR).join(PRODUCT).join(VERSION).join(CORRUPT_FILE);
        let text = fs::read_to_string(&copy).map_err(|error| cannot("read", &copy, error))?;
        // The copy may be a link to the origin's file, which must stay as it is.
        fs::remove_file(&copy)
            .and_then(|()| fs::write(&copy, text.replace("12,144,1728", "12,144,1729")))
            .map_err(|error| cannot("write", &copy, error))
    }

    /// Writes the configuration: what an operator would write, with shorter intervals.
    ///
    /// # Errors
    ///
    /// Where the file cannot be written.
    pub fn configure(&self, listen: SocketAddr, mirrors: &[SocketAddr]) -> Result<(), CliError> {
        let text = self.config_text(listen, mirrors);
        let file = self.config_file();
        fs::write(&file, text).map_err(|error| cannot("write", &file, error))
    }

    fn config_text(&self, listen: SocketAddr, mirrors: &[SocketAddr]) -> String {
        let path = |path: PathBuf| toml::Value::from(path.to_string_lossy().into_owned());
        let (state, origin) = (path(self.folder.join("state")), path(self.origin()));
        let mut text = format!(
            "# The demonstration's configuration.\n\n\
             [server]\nlisten = [\"{listen}\"]\nadmin = \"127.0.0.1:0\"\nstate = {state}\ndrain = \"2s\"\n\
             trusted_proxies = [\"127.0.0.0/8\", \"::1/128\"]   # so that X-Forwarded-For can play the client\n\n\
             [origin]\nurl = {origin}\npoll = \"1s\"\n\n\
             [probe]\ninterval = \"1s\"\n\n[verify]\nbandwidth = \"1TiB\"\n\n[log]\nlevel = \"error\"\n"
        );
        for (name, [latitude, longitude]) in REGIONS {
            text += &format!("\n[[region]]\nname = \"{name}\"\nlocation = [{latitude:?}, {longitude:?}]\n");
        }
        for Client { city, network, country, location: [latitude, longitude], .. } in CLIENTS {
            text += &format!(
                "\n[[client_network]]   # {city}\ncidr = \"{network}\"\ncountry = \"{country}\"\n\
                 location = [{latitude:?}, {longitude:?}]\n"
            );
        }
        for (mirror, address) in MIRRORS.iter().zip(mirrors) {
            let Mirror { name, city, region, country, location: [latitude, longitude] } = mirror;
            text += &format!(
                "\n[[mirror]]   # {city}\nname = \"{name}\"\nurl = \"http://{address}/\"\nregion = \"{region}\"\n\
                 country = \"{country}\"\nlocation = [{latitude:?}, {longitude:?}]\n"
            );
        }
        text
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.folder) {
            complain(format!("{} could not be removed: {error}", self.folder.display()));
        }
    }
}

/// The program's platform, as releases name it.
pub fn platform() -> String {
    let system = match std::env::consts::OS {
        "macos" => "darwin",
        other => other,
    };
    let processor = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    format!("{system}-{processor}")
}

/// The program's file in a release.
pub fn program_name(version: &str) -> String {
    format!("{PRODUCT}-{version}-{}", platform())
}

/// Binds a mirror, where the system has it on an address of its own (Linux has all of 127.0.0.0/8).
///
/// # Errors
///
/// Where no port can be had.
pub fn bind(position: u8) -> Result<Server, BindError> {
    let bind = |ip: IpAddr| Server::bind("mirror", &[SocketAddr::new(ip, 0)], Default::default(), None);
    let own = Ipv4Addr::new(127, 0, 0, position.saturating_add(11));
    bind(own.into()).or_else(|_| bind(Ipv4Addr::LOCALHOST.into()))
}

fn cannot(what: &str, path: &Path, error: io::Error) -> CliError {
    CliError::No(format!("cannot {what} {}: {error}; TMPDIR names another folder", path.display()))
}

fn link_or_copy(from: &Path, to: &Path) -> Result<(), CliError> {
    // Links do not work between file systems, and not everybody may link to files of others.
    if fs::hard_link(from, to).is_err() {
        fs::copy(from, to).map_err(|error| cannot("write", to, error))?;
    }
    Ok(())
}

fn copy_tree(from: &Path, to: &Path) -> Result<(), CliError> {
    let unreadable = |error| cannot("read", from, error);
    fs::create_dir_all(to).map_err(|error| cannot("create", to, error))?;
    for entry in fs::read_dir(from).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        match entry.file_type().map_err(unreadable)?.is_dir() {
            true => copy_tree(&source, &target)?,
            false => link_or_copy(&source, &target)?,
        }
    }
    Ok(())
}
