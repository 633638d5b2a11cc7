//! `waypost release wait`: until a release is everywhere.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::ProgressBar;
use serde::Deserialize;
use tokio::time::{Instant, sleep};

use super::orders::Subject;
use crate::cli::admin_client::{AdminClient, Answer, Waited};
use crate::cli::outcome::{CliError, Exit, complain, print, printable};
use crate::cli::service::Service;
use crate::cli::span;

/// Longest single question: proxies give up on long ones, and people want to see how it goes on.
const POLL: Duration = Duration::from_secs(15);
/// Shortest time from one question to the next, so that a service that is stopping is not asked without end.
const PAUSE: Duration = Duration::from_secs(1);
/// Most names that a line lists.
const NAMES_MAX: usize = 10;

/// `waypost release wait`
#[derive(Debug, clap::Args)]
pub struct WaitArgs {
    #[command(flatten)]
    subject: Subject,
    /// How long to wait, such as 90s or 20m
    #[arg(long, value_name = "TIME", default_value = "20m", value_parser = humantime::parse_duration)]
    timeout: Duration,
    #[command(flatten)]
    service: Service,
}

/// How far a release is.
#[derive(Debug, Deserialize)]
struct State {
    /// It was published, as far as the service has seen.
    known: bool,
    #[serde(default)]
    mirrors_required: usize,
    #[serde(default)]
    mirrors_lacking: Vec<String>,
    #[serde(default)]
    channels_behind: Vec<String>,
    #[serde(default)]
    blocked: Vec<String>,
    estimate_seconds: Option<f64>,
    #[serde(default)]
    propagation: Propagation,
}

#[derive(Debug, Default, Deserialize)]
struct Propagation {
    t50_seconds: Option<f64>,
    t90_seconds: Option<f64>,
    t100_seconds: Option<f64>,
}

fn time(seconds: f64) -> String {
    match seconds {
        ..60.0 => format!("{seconds:.1} s"),
        _ => span::words(Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)),
    }
}

fn names(all: &[String]) -> String {
    let shown: Vec<String> = all.iter().take(NAMES_MAX).map(|name| printable(name, 200)).collect();
    let more = all.len().saturating_sub(NAMES_MAX);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    shown.join(", ") + &more
}

impl State {
    fn words(&self) -> String {
        if !self.known {
            return "not published yet".to_owned();
        }
        let required = self.mirrors_required;
        let mut text =
            format!("{} of {required} mirrors", required.saturating_sub(self.mirrors_lacking.len()));
        if !self.mirrors_lacking.is_empty() {
            text += &format!(", waiting for {}", names(&self.mirrors_lacking));
        }
        if !self.channels_behind.is_empty() {
            text += &format!("; channels that have not come to it yet: {}", names(&self.channels_behind));
        }
        if !self.blocked.is_empty() {
            text += &format!("; channels do not move to it: {}", names(&self.blocked));
        }
        if let Some(seconds) = self.estimate_seconds {
            text += &format!("; about {}", time(seconds));
        }
        text
    }

    fn arrived(&self) -> String {
        let Propagation { t50_seconds, t90_seconds, t100_seconds } = self.propagation;
        let mut text = format!("on {} mirrors", self.mirrors_required);
        for (name, seconds) in [("t50", t50_seconds), ("t90", t90_seconds), ("t100", t100_seconds)] {
            if let Some(seconds) = seconds {
                text += &format!("; {name} {}", time(seconds));
            }
        }
        text
    }
}

/// Tells how far it is: in one line that changes on a terminal, else in a line for each change.
struct Teller {
    release: String,
    line: Option<ProgressBar>,
    told: String,
}

impl Teller {
    fn new(release: String) -> Self {
        let line = std::io::stderr().is_terminal().then(|| {
            let line = ProgressBar::new_spinner();
            line.enable_steady_tick(Duration::from_millis(120));
            line
        });
        Self { release, line, told: String::new() }
    }

    fn tell(&mut self, words: String) {
        if words == self.told {
            return;
        }
        let text = format!("{}: {words}", self.release);
        match &self.line {
            Some(line) => line.set_message(text),
            None => complain(text),
        }
        self.told = words;
    }
}

impl Drop for Teller {
    fn drop(&mut self) {
        if let Some(line) = &self.line {
            line.finish_and_clear();
        }
    }
}

/// What the service said last.
enum Last {
    NotYet(Answer),
    Silent(CliError),
}

/// Waits.
///
/// # Errors
///
/// `No` where the release is withdrawn, refused or not everywhere in time; `Unknown` where the service does not answer
/// at the end.
pub async fn run(args: WaitArgs) -> Result<Exit, CliError> {
    let WaitArgs { subject, timeout, service } = args;
    let client = service.client()?;
    let mut teller = Teller::new(subject.words());
    let answer = wait(&client, &subject.path(), timeout, &mut teller).await?;
    drop(teller);
    let state: State = match &answer {
        Waited::Done(answer) | Waited::NotYet(answer) => {
            if service.json {
                print(answer.text());
            }
            answer.read()?
        }
    };
    let release = subject.words();
    if matches!(answer, Waited::NotYet(_)) {
        let within = humantime::format_duration(timeout);
        return Err(CliError::No(format!("{release} is not everywhere within {within}: {}", state.words())));
    }
    if !service.json {
        print(format!("{release} is everywhere: {}", state.arrived()));
    }
    Ok(Exit::Done)
}

/// Asks until the release is everywhere or the time is over. A service that does not answer for a while is asked again:
/// a restart must not fail a pipeline.
async fn wait(
    client: &AdminClient,
    path: &str,
    timeout: Duration,
    teller: &mut Teller,
) -> Result<Waited, CliError> {
    // A time beyond any clock is no limit.
    let until = Instant::now().checked_add(timeout);
    let left = || until.map_or(POLL, |until| until.saturating_duration_since(Instant::now()));
    // The first answer comes at once, so that there is something to tell.
    let mut wait = Duration::ZERO;
    loop {
        let asked = Instant::now();
        let last = match client.wait(&format!("{path}?wait={}", wait.as_secs()), wait).await {
            Ok(Waited::NotYet(answer)) => match answer.read::<State>() {
                Ok(state) => {
                    teller.tell(state.words());
                    Last::NotYet(answer)
                }
                Err(odd) => Last::Silent(odd),
            },
            Err(silent @ CliError::Unknown(_)) => Last::Silent(silent),
            done_or_no => return done_or_no,
        };
        if let Last::Silent(why) = &last {
            teller.tell(format!("{why}; asking again"));
        }
        if left().is_zero() {
            return match last {
                Last::NotYet(answer) => Ok(Waited::NotYet(answer)),
                Last::Silent(why) => Err(why),
            };
        }
        sleep(PAUSE.min(wait).saturating_sub(asked.elapsed())).await;
        let left = left().min(POLL);
        wait = Duration::from_secs(left.as_secs() + u64::from(left.subsec_nanos() > 0));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn words(state: Value) -> String {
        serde_json::from_value::<State>(state).unwrap().words()
    }

    #[test]
    fn the_state_says_what_is_waited_for() {
        assert_eq!(words(json!({ "known": false })), "not published yet");
        let mut state = json!({ "known": true, "mirrors_required": 5, "mirrors_lacking": ["fra", "sin"],
            "channels_behind": ["stable"], "estimate_seconds": 130.0 });
        assert_eq!(
            words(state.clone()),
            "3 of 5 mirrors, waiting for fra, sin; channels that have not come to it yet: stable; about 2 min"
        );
        state["estimate_seconds"] = Value::Null;
        state["mirrors_lacking"] = json!([]);
        state["blocked"] = json!(["completeness: platform darwin-arm64"]);
        assert!(words(state).ends_with("do not move to it: completeness: platform darwin-arm64"));
    }
}
