//! What may happen, a source of chance to choose from it, and the search for the shortest history that still fails.

/// What a mirror serves at one URL from now on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Harm {
    /// Other bytes of the same size, and a new validator.
    Corrupt,
    /// The same, and the old validator.
    CorruptUnseen,
    /// An error page with status 200, said to be HTML.
    Page,
    /// A page of the file's size that is said to be a file.
    PageInDisguise,
    Truncate,
    Encode,
    Remove,
    /// The same bytes with a new validator.
    Touch,
    /// The right bytes.
    Restore,
}

pub const HARMS: [Harm; 9] = [
    Harm::Corrupt,
    Harm::CorruptUnseen,
    Harm::Page,
    Harm::PageInDisguise,
    Harm::Truncate,
    Harm::Encode,
    Harm::Remove,
    Harm::Touch,
    Harm::Restore,
];

/// When a look reads what the mirror serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reads {
    AtItsBeginning,
    AtItsEnd,
    /// The head at the beginning, the bytes at the end.
    InBetween,
}

/// Something that happens. Numbers are taken modulo what there is, so that every list of events is a history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    ProbeBegins {
        mirror: usize,
        reads: Reads,
    },
    ProbeEnds {
        mirror: usize,
    },
    HashBegins {
        mirror: usize,
        reads: Reads,
    },
    /// One of those that are under way, in any order.
    HashEnds {
        which: usize,
    },
    HashBreaks {
        which: usize,
    },
    File {
        mirror: usize,
        release: usize,
        asset: usize,
        harm: Harm,
    },
    /// Every file of a release, as it should be.
    Fill {
        mirror: usize,
        release: usize,
    },
    HostDown {
        mirror: usize,
        how: usize,
    },
    HostUp {
        mirror: usize,
    },
    Publish {
        release: usize,
    },
    Grow {
        release: usize,
        at: usize,
    },
    Relabel {
        release: usize,
    },
    /// The same version with or without a leading `v`.
    Respell {
        release: usize,
    },
    /// Other bytes under the same names.
    Rewrite {
        release: usize,
    },
    Unlist {
        release: usize,
    },
    Poll {
        readable: bool,
    },
    Drain {
        mirror: usize,
    },
    Undrain {
        mirror: usize,
    },
    VerifyAll {
        mirror: usize,
    },
    Withdraw {
        release: usize,
        replacement: Option<usize>,
    },
    Restore {
        release: usize,
    },
    /// The origin's index withdraws it, or does not any more.
    Index {
        release: usize,
        withdraws: bool,
    },
    Promote {
        release: usize,
        channel: usize,
        force: bool,
    },
    Rollback {
        channel: usize,
    },
    Hold {
        channel: usize,
    },
    Free {
        channel: usize,
    },
    /// Seconds, back as well.
    Clock {
        seconds: i64,
    },
    /// The configured mirrors as bits, and one that has moved to another place.
    Reload {
        mirrors: u64,
        moves: Option<usize>,
    },
    /// The service stops and starts again, perhaps with another configuration.
    Restart {
        mirrors: u64,
        moves: Option<usize>,
    },
    /// The same, and what was not written down is lost.
    Crash,
    /// The writer's round ends: channels move, what is new is written down and published.
    Settle,
}

/// xorshift64*: the same histories everywhere for the same seed.
#[derive(Debug, Clone)]
pub struct Chance(u64);

impl Chance {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    }

    pub fn below(&mut self, count: usize) -> usize {
        (self.next() % count.max(1) as u64) as usize
    }

    pub fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }

    fn reads(&mut self) -> Reads {
        [Reads::AtItsBeginning, Reads::AtItsEnd, Reads::InBetween][self.below(3)]
    }

    fn moves(&mut self) -> Option<usize> {
        self.one_in(3).then(|| self.below(8))
    }

    fn clock(&mut self) -> i64 {
        let seconds = [1, 15, 60, 3600, 86_400, 40 * 86_400][self.below(6)];
        if self.one_in(4) { -seconds } else { seconds }
    }

    pub fn event(&mut self) -> Event {
        let (mirror, release) = (self.below(8), self.below(8));
        match self.below(100) {
            0..15 => Event::ProbeBegins { mirror, reads: self.reads() },
            15..30 => Event::ProbeEnds { mirror },
            30..46 => Event::HashBegins { mirror, reads: self.reads() },
            46..61 => Event::HashEnds { which: self.below(64) },
            61 => Event::HashBreaks { which: self.below(64) },
            62..70 => {
                let asset = if self.one_in(2) { self.below(3) } else { self.below(200) };
                Event::File { mirror, release, asset, harm: HARMS[self.below(HARMS.len())] }
            }
            70..75 => Event::Fill { mirror, release },
            75..77 => Event::HostDown { mirror, how: self.below(8) },
            77..80 => Event::HostUp { mirror },
            80 => Event::Publish { release },
            81 => Event::Grow { release, at: self.below(200) },
            82 if self.one_in(2) => Event::Relabel { release },
            82 if self.one_in(2) => Event::Respell { release },
            82 => Event::Rewrite { release },
            83 if self.one_in(2) => Event::Unlist { release },
            83 => Event::VerifyAll { mirror },
            84 | 85 => Event::Poll { readable: !self.one_in(8) },
            86 if self.one_in(3) => Event::Drain { mirror },
            86 => Event::Undrain { mirror },
            87 | 88 => Event::Clock { seconds: self.clock() },
            89 => match self.below(6) {
                0 | 1 => Event::Reload { mirrors: self.next() | self.next(), moves: self.moves() },
                2 => Event::Restart { mirrors: self.next() | self.next(), moves: self.moves() },
                3 => Event::Crash,
                _ => Event::Restart { mirrors: u64::MAX, moves: None },
            },
            90..94 => self.order(release),
            _ => Event::Settle,
        }
    }

    fn order(&mut self, release: usize) -> Event {
        let channel = self.below(2);
        match self.below(14) {
            0..3 => {
                let replacement = self.one_in(2).then(|| self.below(8));
                Event::Withdraw { release, replacement }
            }
            3..6 => Event::Restore { release },
            6..9 => Event::Promote { release, channel, force: self.one_in(2) },
            9 => Event::Rollback { channel },
            10 | 11 => Event::Hold { channel },
            12 => Event::Free { channel },
            _ => Event::Index { release, withdraws: self.one_in(2) },
        }
    }
}

/// A shorter history that fails as well: ever smaller pieces are left out while it still fails.
pub fn shrink(mut events: Vec<Event>, fails: impl Fn(&[Event]) -> bool) -> Vec<Event> {
    let mut piece = events.len().div_ceil(2);
    while piece > 0 {
        let mut at = 0;
        let mut shorter = false;
        while at < events.len() {
            let mut without = events.clone();
            without.drain(at..(at + piece).min(events.len()));
            if fails(&without) {
                (events, shorter) = (without, true);
            } else {
                at += piece;
            }
        }
        if !shorter || piece > 1 {
            piece /= 2;
        }
    }
    events
}
