//! `waypost mirror files`: what a mirror is to hold, for whatever copies it there.

use clap::ValueEnum;

use crate::catalog::encode_path;
use crate::cli::outcome::{CliError, Exit, print};
use crate::cli::service::Service;
use crate::model::{MirrorName, ProductName};

/// `waypost mirror files`
#[derive(Debug, clap::Args)]
pub struct FilesArgs {
    /// The mirror
    name: MirrorName,
    /// In which form
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// Only files that are not verified there
    #[arg(long)]
    missing: bool,
    /// Only files of this product
    #[arg(long, value_name = "NAME")]
    product: Option<ProductName>,
    #[command(flatten)]
    service: Service,
}

/// In which form.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Paths below the origin, one a line
    #[default]
    List,
    /// The same for `rsync --files-from=-`
    Rsync,
    /// Mirrors to fetch from, as apt-transport-mirror(1) reads them
    Apt,
    /// Everything that is known of each file
    Json,
}

/// Prints them.
///
/// # Errors
///
/// Where there is no such mirror, the form does not fit its layout, or the service does not answer.
pub async fn run(args: &FilesArgs) -> Result<Exit, CliError> {
    let format = match args.format {
        _ if args.service.json => "json",
        Format::List => "list",
        Format::Rsync => "rsync",
        Format::Apt => "apt",
        Format::Json => "json",
    };
    let mut target = format!("/v1/mirrors/{}/files?format={format}", encode_path(&args.name));
    if args.missing {
        target += "&missing=true";
    }
    if let Some(product) = &args.product {
        target += &format!("&product={}", encode_path(product));
    }
    let list = args.service.client()?.get(&target).await?.text();
    // An empty list is no line, not an empty one.
    if !list.is_empty() {
        print(list);
    }
    Ok(Exit::Done)
}
