//! What is promised of channels and withdrawn releases, told by the orders alone. Knows nothing of readiness or trails.

use std::collections::{BTreeMap, HashSet};

use waypost::model::Version;
use waypost::store::Action;

/// Where a channel may go from where it was seen last.
#[derive(Debug, Clone, Default)]
struct Course {
    at: Option<Version>,
    /// It was set by hand when this was the highest version.
    above: Option<Version>,
    held: bool,
    /// What it points to is withdrawn.
    lost: bool,
}

#[derive(Debug, Clone, Default)]
pub struct Promises {
    channels: BTreeMap<String, Course>,
    withdrawn: HashSet<Version>,
}

fn is_higher(version: &Version, than: &Version) -> bool {
    version.precedence(than).is_gt()
}

impl Promises {
    /// An order is durable.
    pub fn ordered(&mut self, action: &Action) {
        match action {
            Action::ReleaseWithdraw { version, .. } => drop(self.withdrawn.insert(version.clone())),
            Action::ReleaseRestore { version, .. } => drop(self.withdrawn.remove(version)),
            Action::ChannelHold { channel, .. } => self.course(channel).held = true,
            Action::ChannelRelease { channel, .. } => self.course(channel).held = false,
            _ => {}
        }
        for course in self.channels.values_mut() {
            course.lost = course.at.as_ref().is_some_and(|at| self.withdrawn.contains(at));
        }
    }

    /// A channel was moved by hand.
    pub fn moved_by_hand(&mut self, action: &Action) {
        if let Action::ChannelMove { channel, to, above, .. } = action {
            let (at, above) = (Some(to.clone()), above.clone());
            let course = self.course(channel);
            *course = Course { at, above, lost: false, ..*course };
        }
    }

    fn course(&mut self, channel: &str) -> &mut Course {
        self.channels.entry(channel.to_owned()).or_default()
    }

    pub fn is_withdrawn(&self, version: &Version) -> bool {
        self.withdrawn.contains(version)
    }

    /// A channel is answered with this release.
    pub fn seen(&mut self, channel: &str, now: &Version) -> Result<(), String> {
        if self.withdrawn.contains(now) {
            return Err(format!("{channel} leads to {now}, which is withdrawn"));
        }
        let course = self.course(channel);
        let before = course.at.replace(now.clone());
        let Some(before) = before.filter(|before| before != now) else { return Ok(()) };
        let up = is_higher(now, &before);
        let kept = course.above.as_ref().is_some_and(|above| !is_higher(now, above));
        let broken = match () {
            () if !up && !course.lost => Some("though nothing was withdrawn"),
            () if up && course.held => Some("though it is held"),
            () if up && kept => Some("though it was set by hand and this is no news"),
            () => None,
        };
        if let Some(broken) = broken {
            return Err(format!("{channel} moved from {before} to {now}, {broken}"));
        }
        let stays_kept = |above: &Version| !up && is_higher(above, &before);
        (course.above, course.lost) = (course.above.take().filter(stays_kept), false);
        Ok(())
    }

    /// Whether a channel has come as far as this version, or need not.
    pub fn has_come_to(&self, channel: &str, newest: &Version) -> bool {
        let Some(course) = self.channels.get(channel) else { return false };
        let kept = course.above.as_ref().is_some_and(|above| !is_higher(newest, above));
        course.held || kept || course.at.as_ref().is_some_and(|at| !is_higher(newest, at))
    }
}
