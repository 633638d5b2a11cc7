//! `waypost replicate`: what a mirror should hold, from the origin to a folder or to S3-compatible storage.

mod plan;
mod progress;

use std::env;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytesize::ByteSize;
use serde_json::json;
use url::Url;

use super::outcome::{CliError, Exit, complain, print};
use super::service::Service;
use crate::config::{MinisignKey, Origin, OriginAt, Outgoing};
use crate::fetch::{Fetcher, NamedHosts, Pace};
use crate::model::{ChannelName, MirrorName, ProductName, Version};
use crate::replicate::{
    self, Courier, Options, Plan, S3Place, Summary, Target, TargetError, Uploads, read_credentials,
};
use progress::Progress;

/// What `--help` shows at its end.
pub const EXAMPLES: &str = "\
A file gets its name at the target when it is whole and has the right SHA-256; until then it is in the hidden folder \
.waypost-replicate there (for S3: in --work). An interrupted run is continued by the next one. Within a release a file \
that belongs to another (its signature, its checksum, SHA256SUMS) comes after it, and is held back where that one failed.

For S3 the credentials come from --credentials-file, or from AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and \
AWS_SESSION_TOKEN. They must allow listing the bucket, reading and writing objects, and with --delete removing them.

Exit codes: 0 the target holds all; 1 some files could not be copied, each is named; 2 wrong usage; 3 the origin, the \
service or the store did not answer.

Examples:
  waypost replicate --mirror fra --config /etc/waypost/waypost.toml --to /srv/mirror
  waypost replicate --mirror fra --admin http://10.0.0.5:9180 --to /srv/mirror --bandwidth 50MiB --delete
  waypost replicate --origin https://origin.example.com/releases/ --product tool --to s3://bucket/releases";

/// Copies what a mirror should hold.
#[derive(Debug, clap::Args)]
#[command(mut_arg("json", |json| json.help("Prints a summary as JSON, and nothing else")))]
pub struct ReplicateArgs {
    /// Where copies go: a folder, or s3://BUCKET/PREFIX
    #[arg(long, value_name = "DIR|s3://BUCKET/PREFIX")]
    to: String,
    /// What this mirror should hold, as the running service says
    #[arg(long, value_name = "NAME", conflicts_with_all = ["product", "version", "channel"])]
    mirror: Option<MirrorName>,
    #[command(flatten)]
    service: Service,
    /// The origin, instead of the configuration's; without --mirror all that it lists and has not withdrawn is wanted
    #[arg(long, value_name = "URL|DIR", value_parser = origin_at)]
    origin: Option<OriginAt>,
    /// Asks for minisign signatures by this key on index and manifests; may be repeated
    #[arg(long = "trusted-key", value_name = "KEY", value_parser = key, requires = "origin", conflicts_with = "mirror")]
    trusted_keys: Vec<MinisignKey>,
    /// Only this product; may be repeated
    #[arg(long)]
    product: Vec<ProductName>,
    /// Only this version; may be repeated
    #[arg(long, value_parser = Version::parse)]
    version: Vec<Version>,
    /// Only releases whose manifests name this channel; may be repeated
    #[arg(long)]
    channel: Vec<ChannelName>,
    /// Removes what is not wanted from the folders PRODUCT/VERSION of the products that were looked at
    #[arg(long)]
    delete: bool,
    /// Says what would be done, and does nothing
    #[arg(long)]
    dry_run: bool,
    /// Looks at every file again, whatever is remembered of it
    #[arg(long)]
    check: bool,
    /// Most bytes per second over all jobs, such as 50MiB; for S3 in each direction
    #[arg(long, value_name = "SIZE", value_parser = bandwidth)]
    bandwidth: Option<ByteSize>,
    /// Files under way at once
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=64))]
    jobs: u16,
    /// Believes the certificates in this file as well
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// An http proxy for all requests
    #[arg(long, value_name = "URL")]
    proxy: Option<Url>,
    #[command(flatten)]
    s3: S3Args,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "S3")]
struct S3Args {
    /// Where the service is [default: AWS's in the region]
    #[arg(long, value_name = "URL")]
    endpoint: Option<Url>,
    /// The region [default: AWS_REGION, AWS_DEFAULT_REGION, us-east-1]
    #[arg(long)]
    region: Option<String>,
    /// Names the bucket in the path, as most services other than AWS's want it
    #[arg(long)]
    path_style: bool,
    /// A file in the format of ~/.aws/credentials; its section [default] counts
    #[arg(long, value_name = "FILE")]
    credentials_file: Option<PathBuf>,
    /// Where files wait until they are sent; needs room for as many as there are jobs
    /// [default: waypost/replicate in the user's cache folder]
    #[arg(long, value_name = "DIR", verbatim_doc_comment)]
    work: Option<PathBuf>,
    /// Larger files are sent in parts
    #[arg(long, hide = true, default_value_t = ByteSize(Uploads::default().whole_max))]
    upload_whole: ByteSize,
    /// The size of the parts
    #[arg(long, hide = true, default_value_t = ByteSize(Uploads::default().part))]
    upload_part: ByteSize,
}

fn key(text: &str) -> Result<MinisignKey, &'static str> {
    MinisignKey::parse(text).ok_or("write the second line of the .pub file, which begins with RW")
}

fn bandwidth(text: &str) -> Result<ByteSize, String> {
    match text.parse::<ByteSize>() {
        Ok(size) if size >= ByteSize::kib(16) => Ok(size),
        Ok(_) => Err("less than 16KiB a second is refused: servers would give up".into()),
        Err(_) => Err("write a number and its unit, such as 50MiB".into()),
    }
}

fn origin_at(text: &str) -> Result<OriginAt, String> {
    if !text.contains("://") {
        return Ok(OriginAt::Folder(text.into()));
    }
    let mut url: Url = text.parse().map_err(|error| format!("{error}"))?;
    if url.query().is_some() || url.fragment().is_some() {
        return Err("an origin has no query and no fragment".into());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("remove what stands before the @: no user name and no password is sent".into());
    }
    match url.scheme() {
        "http" | "https" => {
            if !url.path().ends_with('/') {
                url.set_path(&format!("{}/", url.path()));
            }
            Ok(OriginAt::Url(url))
        }
        "file" => url.to_file_path().map(OriginAt::Folder).map_err(|()| "no folder here".into()),
        _ => Err("write a folder, or an http or https URL".into()),
    }
}

/// `waypost replicate`
pub(super) async fn run(args: ReplicateArgs) -> Result<Exit, CliError> {
    let began = Instant::now();
    let config = match (&args.mirror, &args.origin, &args.service.admin) {
        (_, _, Some(_)) => None,
        (None, Some(_), None) => args.service.config.load_if_named()?,
        _ => Some(args.service.config.load()?),
    };
    let mut outgoing = config.as_ref().map_or_else(Outgoing::default, |it| it.config.outgoing.clone());
    outgoing.ca_file = args.ca_file.clone().or(outgoing.ca_file);
    outgoing.proxy = args.proxy.clone().or(outgoing.proxy);
    let origin = args.origin_among(config.map(|loaded| loaded.config.origin));
    args.check_apart(origin.as_ref())?;
    let named = match &origin {
        Some(Origin { at: OriginAt::Url(url), .. }) => NamedHosts::of([url]),
        _ => NamedHosts::default(),
    };
    let fetcher = Fetcher::new(&outgoing, named).map_err(|error| CliError::Usage(error.to_string()))?;
    let plan = args.plan(origin, &fetcher).await?;
    if args.delete && plan.has_another_layout() {
        complain("note: --delete removes nothing: the mirror's layout is not PRODUCT/VERSION/ASSET");
    }
    let target = args.target(&fetcher).map_err(told)?;
    let courier = Courier { fetcher, pace: args.pace() };
    let options =
        Options { jobs: args.jobs.into(), delete: args.delete, dry_run: args.dry_run, check: args.check };
    let progress = Arc::new(Progress::new(args.service.json, args.dry_run));
    let ended = replicate::run(plan, target, courier, options, progress.clone()).await;
    progress.clear();
    let summary = ended.map_err(told)?;
    args.report(&summary, began.elapsed().as_secs_f64());
    Ok(if summary.failed.is_empty() { Exit::Done } else { Exit::No })
}

/// The one place where what a target says becomes an exit code.
fn told(error: TargetError) -> CliError {
    let text = error.to_string();
    match error {
        TargetError::BadS3(_) => CliError::Usage(text),
        error if error.is_silence() => CliError::Unknown(text),
        TargetError::Store(_) => CliError::Usage(text),
        TargetError::Busy { .. } | TargetError::Io { .. } | TargetError::InTheWay { .. } => {
            CliError::No(text)
        }
    }
}

impl ReplicateArgs {
    /// The configuration's origin, as far as nothing else is said.
    fn origin_among(&self, configured: Option<Origin>) -> Option<Origin> {
        let Some(at) = self.origin.clone() else { return configured };
        let mut trusted_keys = self.trusted_keys.clone();
        trusted_keys.extend(configured.into_iter().flat_map(|origin| origin.trusted_keys));
        Some(Origin { at, poll: Duration::ZERO, trusted_keys })
    }

    /// The origin's own folder is nowhere to copy to: `--delete` would take the only copy there is.
    fn check_apart(&self, origin: Option<&Origin>) -> Result<(), CliError> {
        let Some(Origin { at: OriginAt::Folder(origin), .. }) = origin else { return Ok(()) };
        if self.to.contains("://") {
            return Ok(());
        }
        // The target may not be there yet.
        let to = std::path::absolute(&self.to).unwrap_or_default();
        let to = to.ancestors().find_map(|folder| folder.canonicalize().ok()).unwrap_or_default();
        let is_apart = origin.canonicalize().map_or(true, |origin| !to.starts_with(origin));
        let own = || {
            let (to, origin) = (&self.to, origin.display());
            CliError::Usage(format!("{to} lies in the origin, {origin}: copy to a folder of its own"))
        };
        is_apart.then_some(()).ok_or_else(own)
    }

    async fn plan(&self, origin: Option<Origin>, fetcher: &Fetcher) -> Result<Plan, CliError> {
        if let Some(mirror) = &self.mirror {
            let answer = self.service.client()?.get(&format!("/v1/mirrors/{mirror}/files")).await?;
            return plan::of_mirror(answer.read()?, origin.map(|origin| origin.at).as_ref());
        }
        let origin = origin.ok_or_else(|| {
            CliError::Usage("say what is wanted: --mirror NAME, or --origin URL|DIR".into())
        })?;
        let chosen =
            plan::Choice { products: &self.product, versions: &self.version, channels: &self.channel };
        plan::of_origin(&origin, &chosen, fetcher).await
    }

    fn pace(&self) -> Pace {
        self.bandwidth.map_or(Pace::unlimited(), |size| Pace::new(size.as_u64()))
    }

    fn target(&self, fetcher: &Fetcher) -> Result<Target, TargetError> {
        if !self.to.contains("://") {
            return Target::folder(Path::new(&self.to), self.dry_run);
        }
        let (bucket, prefix) = S3Place::parse(&self.to)?;
        let variable = |name: &str| env::var(name).ok().filter(|value| !value.is_empty());
        let region = self.s3.region.clone().or_else(|| variable("AWS_REGION"));
        let region = region.or_else(|| variable("AWS_DEFAULT_REGION")).unwrap_or_else(|| "us-east-1".into());
        let place = S3Place {
            bucket,
            prefix,
            endpoint: match &self.s3.endpoint {
                Some(endpoint) => endpoint.clone(),
                None => S3Place::amazon(&region)?,
            },
            region,
            path_style: self.s3.path_style,
            credentials: read_credentials(self.s3.credentials_file.as_deref(), variable)?,
            pace: self.pace(),
            uploads: Uploads {
                whole_max: self.s3.upload_whole.as_u64(),
                part: self.s3.upload_part.as_u64().max(5 << 20),
            },
        };
        let work = match &self.s3.work {
            Some(work) => work.clone(),
            None => cache(variable).ok_or(replicate::BadS3::NoWork)?,
        };
        Target::s3(place, &work, fetcher.clone(), self.dry_run)
    }

    fn report(&self, summary: &Summary, seconds: f64) {
        if self.service.json {
            let mut text = json!(summary);
            text["target"] = json!(self.to);
            text["mirror"] = json!(self.mirror);
            text["dry_run"] = json!(self.dry_run);
            text["seconds"] = json!(seconds);
            return print(text.to_string());
        }
        let Summary { wanted, wanted_bytes, kept, copied, copied_bytes, removed, failed, .. } = summary;
        let size = |bytes: &u64| ByteSize::b(*bytes).display().iec();
        let would = if self.dry_run { "would be " } else { "" };
        print(format!(
            "{wanted} files wanted ({}): {kept} were there, {} {would}copied ({}), {} {would}removed, {} failed",
            size(wanted_bytes),
            copied.len(),
            size(copied_bytes),
            removed.len(),
            failed.len(),
        ));
    }
}

/// The user's folder for what can be made again; systemd's where it gives one.
fn cache(variable: impl Fn(&str) -> Option<String>) -> Option<PathBuf> {
    let folder = |name: &str| variable(name).map(PathBuf::from);
    if let Some(cache) = folder("CACHE_DIRECTORY") {
        return Some(cache.join("replicate"));
    }
    let cache = folder("XDG_CACHE_HOME").or_else(|| Some(folder("HOME")?.join(".cache")))?;
    Some(cache.join("waypost/replicate"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_a_folder_or_a_url_that_ends_with_a_slash() {
        assert_eq!(origin_at("origin"), Ok(OriginAt::Folder("origin".into())));
        assert_eq!(origin_at("file:///srv/o"), Ok(OriginAt::Folder("/srv/o".into())));
        assert_eq!(
            origin_at("https://o.example/r"),
            Ok(OriginAt::Url("https://o.example/r/".parse().unwrap()))
        );
        for bad in ["ftp://o.example/", "https://o.example/?a=b", "https://me:too@o.example/", "https://"] {
            assert!(origin_at(bad).is_err(), "{bad}");
        }
    }
}
