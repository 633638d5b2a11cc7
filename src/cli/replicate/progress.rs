//! How copying goes: bars on a terminal, lines elsewhere.

use std::collections::HashMap;
use std::io::IsTerminal;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytesize::ByteSize;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::cli::outcome::{complain, print};
use crate::replicate::{Outcome, Watch};

/// Tells how it goes.
pub(super) struct Progress {
    bars: Option<Bars>,
    /// Whether only what failed is told, and that on standard error.
    is_quiet: bool,
    is_dry: bool,
}

struct Bars {
    all: MultiProgress,
    total: ProgressBar,
    files: Mutex<HashMap<usize, ProgressBar>>,
}

impl Progress {
    pub fn new(is_quiet: bool, is_dry: bool) -> Self {
        let bars = (!is_quiet && std::io::stderr().is_terminal()).then(Bars::new);
        Self { bars, is_quiet, is_dry }
    }

    /// Takes the bars away.
    pub fn clear(&self) {
        if let Some(bars) = &self.bars {
            bars.total.finish_and_clear();
            // Only the terminal could refuse.
            let _ = bars.all.clear();
        }
    }
}

impl Bars {
    fn new() -> Self {
        let all = MultiProgress::with_draw_target(ProgressDrawTarget::stderr());
        let total = all.add(ProgressBar::new(0));
        total.set_style(style("{wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta}"));
        Self { all, total, files: Mutex::default() }
    }

    fn files(&self) -> MutexGuard<'_, HashMap<usize, ProgressBar>> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

impl Watch for Progress {
    fn planned(&self, _: usize, bytes: u64) {
        if let Some(bars) = &self.bars {
            bars.total.set_length(bytes);
        }
    }

    fn begins(&self, file: usize, path: &str, bytes: u64) {
        if let Some(bars) = &self.bars {
            let bar = bars.all.insert_before(&bars.total, ProgressBar::new(bytes));
            bar.set_style(style("{percent:>3}% {wide_msg} {bytes}/{total_bytes}"));
            bar.set_message(path.to_owned());
            bars.files().insert(file, bar);
        }
    }

    fn advances(&self, file: usize, bytes: u64) {
        if let Some(bars) = &self.bars {
            bars.total.inc(bytes);
            if let Some(bar) = bars.files().get(&file) {
                bar.inc(bytes);
            }
        }
    }

    fn ends(&self, file: usize) {
        if let Some(bars) = &self.bars
            && let Some(bar) = bars.files().remove(&file)
        {
            // A file that was there after all has nothing left to do either.
            bars.total.inc(bar.length().unwrap_or(0).saturating_sub(bar.position()));
            bar.finish_and_clear();
            bars.all.remove(&bar);
        }
    }

    fn tells(&self, path: &str, size: u64, outcome: Outcome<'_>) {
        let would = if self.is_dry { "would be " } else { "" };
        let line = match outcome {
            Outcome::Kept => return,
            Outcome::Copied if self.bars.is_some() && !self.is_dry => return,
            Outcome::Failed(why) => format!("failed: {path}: {why}"),
            _ if self.is_quiet => return,
            Outcome::Copied => format!("{would}copied: {path} ({})", ByteSize::b(size).display().iec()),
            Outcome::Removed => format!("{would}removed: {path}"),
        };
        let tell = || match outcome {
            Outcome::Failed(_) => complain(&line),
            _ => print(&line),
        };
        match &self.bars {
            Some(bars) => bars.all.suspend(tell),
            None => tell(),
        }
    }
}
