//! Which running service a command talks to, and who gives the orders.

use std::path::PathBuf;

use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use url::Url;

use super::admin_client::{AdminClient, Answer};
use super::config_file::ConfigFile;
use super::outcome::{CliError, Exit, print, printable};

/// Longest token, in bytes.
const TOKEN_MAX: u64 = 4096;

/// Which service a command talks to.
#[derive(Debug, Clone, clap::Args)]
pub struct Service {
    /// The configuration, which tells where the socket is.
    #[command(flatten)]
    pub config: ConfigFile,
    /// A service elsewhere, by its admin listener, such as http://10.0.0.5:9180 (or https, through a proxy before it)
    #[arg(long, value_name = "URL", conflicts_with = "config_file")]
    pub admin: Option<Url>,
    /// With --admin: a file that holds a token; orders need one, and so may questions (`waypost admin token`)
    #[arg(long, value_name = "FILE", requires = "admin")]
    token_file: Option<PathBuf>,
    /// Prints the service's JSON
    #[arg(long)]
    pub json: bool,
}

impl Service {
    /// A client that asks questions.
    ///
    /// # Errors
    ///
    /// Where the configuration, which tells where the socket is, or the token's file cannot be read, or the URL is of
    /// another kind.
    pub fn client(&self) -> Result<AdminClient, CliError> {
        match &self.admin {
            Some(url) => AdminClient::remote(url, self.token()?.as_deref()),
            None => Ok(AdminClient::local(&self.config.state()?)),
        }
    }

    /// A client that gives orders.
    ///
    /// # Errors
    ///
    /// As for [`Service::client`], and where `--admin` was given without a token.
    pub fn operator(&self) -> Result<AdminClient, CliError> {
        if self.admin.is_some() && self.token_file.is_none() {
            return Err(CliError::Usage(
                "orders to a service elsewhere need a token: add --token-file FILE; on the service's own machine \
                 --config FILE does without"
                    .into(),
            ));
        }
        self.client()
    }

    fn token(&self) -> Result<Option<String>, CliError> {
        use std::io::Read;
        let Some(path) = &self.token_file else { return Ok(None) };
        let bad = |why: String| CliError::Usage(format!("the token in {} {why}", path.display()));
        let mut token = String::new();
        let file = std::fs::File::open(path).map_err(|error| bad(format!("cannot be read: {error}")))?;
        file.take(TOKEN_MAX + 1)
            .read_to_string(&mut token)
            .map_err(|error| bad(format!("cannot be read: {error}")))?;
        let token = token.strip_suffix('\n').unwrap_or(&token);
        let token = token.strip_suffix('\r').unwrap_or(token);
        match token.len() as u64 {
            0 => Err(bad("is empty".to_owned())),
            1..=TOKEN_MAX => Ok(Some(token.to_owned())),
            _ => Err(bad(format!("is longer than {TOKEN_MAX} bytes"))),
        }
    }

    /// Prints an answer: the service's JSON, or what `page` makes of its values.
    ///
    /// # Errors
    ///
    /// Where the JSON is not understood.
    pub fn show<T: DeserializeOwned>(
        &self,
        answer: &Answer,
        page: impl FnOnce(&T) -> String,
    ) -> Result<(), CliError> {
        match self.json {
            true => print(answer.text()),
            false => print(page(&answer.read()?)),
        }
        Ok(())
    }

    /// Gives an order and prints what became of it: the service's JSON, or what `told` makes of the action as it was
    /// recorded.
    ///
    /// # Errors
    ///
    /// Where the service refuses or does not answer.
    pub async fn order(
        &self,
        target: &str,
        reason: &Reason,
        mut body: Value,
        told: impl FnOnce(&Value) -> String,
    ) -> Result<Exit, CliError> {
        body["reason"] = json!(reason.text);
        body["actor"] = json!(actor());
        let answer = self.operator()?.post(target, &body).await?;
        self.show(&answer, |answer: &Value| told(&answer["order"]["action"]))?;
        Ok(Exit::Done)
    }
}

/// `--reason` of an order.
#[derive(Debug, clap::Args)]
pub struct Reason {
    /// Why; it is recorded with the order
    #[arg(long = "reason", value_name = "TEXT", default_value = "not given")]
    pub text: String,
}

/// Who gives an order, as far as the environment tells; believed on the socket only, and whoever may open that could
/// claim any name.
fn actor() -> String {
    let name = ["SUDO_USER", "USER", "LOGNAME"].iter().find_map(|key| std::env::var(key).ok());
    name.filter(|name| !name.is_empty()).map_or_else(|| "somebody".into(), |name| printable(&name, 64))
}
