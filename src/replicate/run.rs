//! A run: looks at the target, copies what is missing or wrong, removes what should not be there.

use std::sync::Arc;

use tokio::task::JoinSet;

use super::courier::Courier;
use super::order::Order;
use super::target::{CopyError, Standing, Target, TargetError};
use super::wanted::{Plan, Wanted};

/// How a run goes.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Files under way at once; at least one.
    pub jobs: usize,
    /// Whether what is not wanted is removed.
    pub delete: bool,
    /// Whether it is only said what would be done.
    pub dry_run: bool,
    /// Whether every file is looked at again, whatever is known of it.
    pub check: bool,
}

/// What became of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome<'a> {
    /// It is there now, or would be.
    Copied,
    /// It was there.
    Kept,
    /// It is gone, or would be.
    Removed,
    /// It is not there, and why.
    Failed(&'a str),
}

/// Hears how it goes; called from several threads.
pub trait Watch: Send + Sync {
    /// So much may have to be copied: files, and bytes to be moved.
    fn planned(&self, files: usize, bytes: u64);
    /// A file is under way.
    fn begins(&self, file: usize, path: &str, bytes: u64);
    /// So many of its bytes were moved.
    fn advances(&self, file: usize, bytes: u64);
    /// It is no longer under way.
    fn ends(&self, file: usize);
    /// What became of a file.
    fn tells(&self, path: &str, size: u64, outcome: Outcome<'_>);
}

/// What a run did; with `dry_run` what it would do.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct Summary {
    /// Files that the target should hold.
    pub wanted: usize,
    /// Their bytes.
    pub wanted_bytes: u64,
    /// Files that were there.
    pub kept: usize,
    /// Files that were copied.
    pub copied: Vec<String>,
    /// Their bytes.
    pub copied_bytes: u64,
    /// Bytes that came from the origin for it; less where a part was there.
    pub fetched_bytes: u64,
    /// Files that were removed.
    pub removed: Vec<String>,
    /// Files that are not there, or should not be and are.
    pub failed: Vec<Failed>,
}

/// A file that was not dealt with.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Failed {
    /// Which.
    pub path: String,
    /// Why.
    pub reason: String,
}

/// Brings the target to what the plan wants. Every file is tried.
///
/// # Errors
///
/// Where the target cannot even be looked at. What fails file by file is in the summary.
pub async fn run(
    plan: Plan,
    target: Target,
    courier: Courier,
    options: Options,
    watch: Arc<dyn Watch>,
) -> Result<Summary, TargetError> {
    let plan = Arc::new(plan);
    let standings = target.survey(&plan, options.check).await?;
    if !options.dry_run {
        let open = plan.files().iter().zip(&standings).filter(|(_, standing)| **standing != Standing::Right);
        target.clear(open.map(|(wanted, _)| wanted)).await?;
    }
    let mut run = Run {
        summary: Summary {
            wanted: plan.files().len(),
            wanted_bytes: plan.files().iter().fold(0, |sum, file| sum.saturating_add(file.size)),
            ..Summary::default()
        },
        plan,
        target,
        courier,
        options,
        watch,
        standings,
    };
    run.announce();
    run.copy().await;
    if options.delete {
        run.delete().await;
    }
    if !options.dry_run {
        run.target.workshop().save()?;
    }
    Ok(run.summary)
}

struct Run {
    plan: Arc<Plan>,
    target: Target,
    courier: Courier,
    options: Options,
    watch: Arc<dyn Watch>,
    standings: Vec<Standing>,
    summary: Summary,
}

/// The end of a file's way.
enum End {
    Right,
    Copied { fetched: u64 },
}

impl Run {
    fn announce(&mut self) {
        let open = self.plan.files().iter().zip(&self.standings).filter(|(_, s)| **s != Standing::Right);
        let bytes = open.clone().fold(0_u64, |sum, (file, _)| sum.saturating_add(file.size));
        self.watch.planned(open.count(), bytes.saturating_mul(self.target.hops()));
        for (path, why) in self.plan.refused().to_vec() {
            self.fail(&path, 0, why);
        }
    }

    async fn copy(&mut self) {
        let plan = Arc::clone(&self.plan);
        let mut order = Order::new(plan.files());
        let mut under_way: JoinSet<(usize, Result<End, CopyError>)> = JoinSet::new();
        loop {
            while under_way.len() < self.options.jobs.max(1)
                && let Some(i) = order.next()
            {
                if self.standings[i] == Standing::Right {
                    self.summary.kept += 1;
                    self.watch.tells(plan.files()[i].path.as_str(), plan.files()[i].size, Outcome::Kept);
                    self.hold_back(order.done(i, true));
                    continue;
                }
                under_way.spawn(self.job(i));
            }
            match under_way.join_next().await {
                None => break,
                Some(Ok((i, end))) => {
                    let good = self.note(&plan.files()[i], end);
                    self.hold_back(order.done(i, good));
                }
                Some(Err(error)) => {
                    // A bug; the rest of its release stays behind, and the summary says that it is not there.
                    self.fail("a file", 0, format!("copying it failed: {error}"));
                }
            }
        }
    }

    /// One file's way.
    fn job(&self, i: usize) -> impl Future<Output = (usize, Result<End, CopyError>)> + Send + 'static {
        let (plan, target, courier) = (Arc::clone(&self.plan), self.target.clone(), self.courier.clone());
        let (watch, standing, dry) = (Arc::clone(&self.watch), self.standings[i], self.options.dry_run);
        async move {
            let wanted = &plan.files()[i];
            watch.begins(i, wanted.path.as_str(), wanted.size.saturating_mul(target.hops()));
            let told = |bytes| watch.advances(i, bytes);
            let copy = async {
                let part = target.workshop().part(wanted);
                if standing == Standing::Doubtful && target.is_right(wanted).await? {
                    // There may be one where a process died at the last step; best effort.
                    let _ = tokio::fs::remove_file(part).await;
                    return Ok(End::Right);
                }
                if dry {
                    return Ok(End::Copied { fetched: 0 });
                }
                let fetched = courier.bring(wanted, &part, &told).await?;
                target.place(wanted, &part, &told).await?;
                Ok(End::Copied { fetched })
            };
            let end = copy.await;
            watch.ends(i);
            (i, end)
        }
    }

    fn note(&mut self, wanted: &Wanted, end: Result<End, CopyError>) -> bool {
        let (path, size) = (wanted.path.as_str(), wanted.size);
        match end {
            Ok(End::Right) => {
                self.summary.kept += 1;
                self.watch.tells(path, size, Outcome::Kept);
                true
            }
            Ok(End::Copied { fetched }) => {
                self.summary.copied.push(path.to_owned());
                self.summary.copied_bytes = self.summary.copied_bytes.saturating_add(size);
                self.summary.fetched_bytes = self.summary.fetched_bytes.saturating_add(fetched);
                self.watch.tells(path, size, Outcome::Copied);
                true
            }
            Err(error) => {
                self.fail(path, size, error.to_string());
                false
            }
        }
    }

    fn hold_back(&mut self, held: Vec<usize>) {
        for i in held {
            let (path, size) = (self.plan.files()[i].path.clone(), self.plan.files()[i].size);
            if self.standings[i] == Standing::Right {
                self.summary.kept += 1;
                self.watch.tells(path.as_str(), size, Outcome::Kept);
                continue;
            }
            let why = "held back: the file that it belongs to could not be copied";
            self.fail(path.as_str(), size, why.to_owned());
        }
    }

    fn fail(&mut self, path: &str, size: u64, reason: String) {
        self.watch.tells(path, size, Outcome::Failed(&reason));
        self.summary.failed.push(Failed { path: path.to_owned(), reason });
    }

    /// After copying, and whether or not all was copied: what is not wanted is not wanted.
    async fn delete(&mut self) {
        let strays = match self.target.strays(&self.plan).await {
            Ok(strays) => strays,
            Err(error) => return self.fail("--delete", 0, error.to_string()),
        };
        for path in strays {
            let removed = if self.options.dry_run { Ok(()) } else { self.target.remove(&path).await };
            match removed {
                Ok(()) => {
                    self.watch.tells(path.as_str(), 0, Outcome::Removed);
                    self.summary.removed.push(path.as_str().to_owned());
                }
                Err(error) => self.fail(path.as_str(), 0, error.to_string()),
            }
        }
    }
}
