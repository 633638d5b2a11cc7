//! Which configuration file a command means.

use std::path::{Path, PathBuf};

use super::outcome::{CliError, complain};
use crate::app::SOCKET;
use crate::config::{self, Loaded, Problems};

/// Where it is looked for, in this order, when nothing is said.
const PLACES: [&str; 2] = ["waypost.toml", "/etc/waypost/waypost.toml"];

/// `--config`
#[derive(Debug, Clone, clap::Args)]
pub struct ConfigFile {
    /// The configuration file [default: waypost.toml where there is one, else /etc/waypost/waypost.toml]
    #[arg(long = "config", id = "config_file", value_name = "FILE")]
    given: Option<PathBuf>,
}

impl ConfigFile {
    /// The file.
    ///
    /// # Errors
    ///
    /// Where none is named and none is found.
    pub fn path(&self) -> Result<PathBuf, CliError> {
        let found = PLACES.iter().map(Path::new).find(|place| place.exists()).map(Path::to_owned);
        self.given.clone().or(found).ok_or_else(|| {
            let [here, there] = PLACES;
            CliError::Usage(format!("there is neither {here} nor {there}; name the file with --config FILE"))
        })
    }

    /// The values of a file that is named; `None` where none is.
    ///
    /// # Errors
    ///
    /// As for [`ConfigFile::load`].
    pub fn load_if_named(&self) -> Result<Option<Loaded>, CliError> {
        self.given.is_some().then(|| self.load()).transpose()
    }

    /// The file's values.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with it, one problem a line.
    pub fn load(&self) -> Result<Loaded, CliError> {
        config::load(&self.path()?).map_err(refused)
    }

    /// The state folder of the service that runs with the file, also while the file is being edited and wrong.
    ///
    /// # Errors
    ///
    /// As for [`ConfigFile::load`], where no service left its socket in the folder.
    pub fn state(&self) -> Result<PathBuf, CliError> {
        let path = self.path()?;
        let problems = match config::load(&path) {
            Ok(loaded) => return Ok(loaded.config.server.state),
            Err(problems) => problems,
        };
        let running = config::state_folder(&path).filter(|state| state.join(SOCKET).exists());
        let Some(state) = running else { return Err(refused(problems)) };
        complain(format!("warning: {} is not in order, which `waypost check` explains", path.display()));
        Ok(state)
    }
}

fn refused(problems: Problems) -> CliError {
    complain(problems.to_string());
    let count = problems.iter().count();
    let things = if count == 1 { "problem" } else { "problems" };
    CliError::Usage(format!("the configuration has {count} {things}"))
}
