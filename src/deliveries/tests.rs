use std::fs;
use std::path::PathBuf;
use std::sync::Condvar;

use serde_json::Value;
use tempfile::TempDir;

use super::file::{Durability, RecordFile};
use super::*;
use crate::config::Audit;
use crate::metrics::Metrics;
use crate::model::{Clock, SystemClock};

/// Longer than any thread of a test takes.
const PATIENCE: Duration = Duration::from_secs(60);

struct Kept {
    folder: TempDir,
    audit: Audit,
    metrics: Metrics,
    records: Records,
}

impl Kept {
    fn new(rotate: u64, keep: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = Some(folder.path().join("deliveries.jsonl"));
        let audit = Audit { file, required: false, rotate, keep };
        let metrics = Metrics::new();
        let records = records(&metrics);
        Self { folder, audit, metrics, records }
    }

    fn start(&self) -> Arc<Deliveries> {
        self.open(&self.audit).unwrap()
    }

    fn open(&self, audit: &Audit) -> Option<Arc<Deliveries>> {
        self.records.open(audit).unwrap().map(|recording| recording.to)
    }

    /// As if the service stopped.
    fn end(&self, running: Arc<Deliveries>) {
        drop(running);
        assert!(self.records.end());
    }

    fn path(&self) -> &std::path::Path {
        self.audit.file.as_ref().unwrap()
    }

    /// What is in all files, those that were put aside first.
    fn lines(&self) -> Vec<Value> {
        let read = |path: &PathBuf| fs::read_to_string(path).unwrap();
        let text: String = self.files().iter().map(read).collect();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn files(&self) -> Vec<PathBuf> {
        let mut files: Vec<PathBuf> =
            fs::read_dir(self.folder.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort_by_key(|path| (path == self.path(), path.clone()));
        files
    }

    fn count(&self, outcome: &str) -> u64 {
        self.metrics.access.deliveries.with_label_values(&[outcome]).get()
    }
}

fn delivery(asset: &str) -> Delivery {
    Delivery {
        at: Timestamp::parse_rfc3339("2026-11-21T10:00:00Z").unwrap(),
        product: ProductName::new("agent").unwrap(),
        version: Version::parse("1.2").unwrap(),
        asset: asset.into(),
        region: None,
        mirror: Some(MirrorName::new("fra").unwrap()),
        network: "192.0.2.0/24".parse().unwrap(),
        issuer: "ci".into(),
        token_id: Some("run-7".into()),
        ticket: false,
    }
}

fn records(metrics: &Metrics) -> Records {
    Records::new(&metrics.access.deliveries, Arc::new(SystemClock))
}

fn numbers(lines: &[Value]) -> Vec<u64> {
    lines.iter().map(|line| line["number"].as_u64().unwrap()).collect()
}

#[test]
fn a_run_is_numbered_from_its_start_to_its_end_and_says_who_got_what() {
    use std::os::unix::fs::PermissionsExt;
    let kept = Kept::new(1 << 20, 10);
    let running = kept.start();
    running.note(delivery("a.zip"));
    running.note(delivery("b.zip"));
    kept.end(running);
    let lines = kept.lines();
    assert_eq!(numbers(&lines), [0, 1, 2, 3]);
    assert!(lines[0]["started"].is_string() && lines[3]["ended"].is_string(), "{lines:#?}");
    assert!(lines.iter().all(|line| line["run"] == lines[0]["run"]));
    let mut first = lines[1].clone();
    first.as_object_mut().unwrap().remove("run");
    let wanted = serde_json::json!({
        "number": 1, "at": "2026-11-21T10:00:00Z", "product": "agent", "version": "1.2", "asset": "a.zip",
        "region": null, "mirror": "fra", "network": "192.0.2.0/24", "issuer": "ci", "token_id": "run-7",
        "ticket": false,
    });
    assert_eq!(first, wanted);
    assert_eq!(fs::metadata(kept.path()).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!((kept.count("written"), kept.count("lost")), (2, 0));
}

#[test]
fn a_torn_line_is_completed_and_those_after_it_stand_by_themselves() {
    let kept = Kept::new(1 << 20, 10);
    fs::write(kept.path(), br#"{"run":"before","number":7,"at":"20"#).unwrap();
    let running = kept.start();
    running.note(delivery("a.zip"));
    kept.end(running);
    let text = fs::read_to_string(kept.path()).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 4, "{text}");
    assert!(lines[1..].iter().all(|line| serde_json::from_str::<Value>(line).is_ok()), "{text}");
}

#[test]
fn files_are_put_aside_without_losing_a_line_and_the_newest_are_kept() {
    for (keep, files) in [(0, 6..60), (2, 3..4)] {
        let kept = Kept::new(2000, keep);
        let deliveries = kept.start();
        let clients: Vec<_> = (0..4)
            .map(|client| {
                let deliveries = Arc::clone(&deliveries);
                std::thread::spawn(move || {
                    for n in 0..25 {
                        let asset = format!("{client}-{n}.zip");
                        assert!(
                            tokio::runtime::Builder::new_current_thread()
                                .enable_time()
                                .build()
                                .unwrap()
                                .block_on(deliveries.record(delivery(&asset)))
                        );
                    }
                })
            })
            .collect();
        clients.into_iter().for_each(|client| client.join().unwrap());
        kept.end(deliveries);
        let (lines, there) = (kept.lines(), kept.files());
        assert!(files.contains(&there.len()), "{there:?}");
        assert!(there.iter().all(|file| fs::metadata(file).unwrap().len() <= 2000));
        let last = numbers(&lines);
        assert!(last.windows(2).all(|pair| pair[1] == pair[0] + 1), "{last:?}");
        assert_eq!(last.last(), Some(&101));
        assert_eq!(last[0] == 0, keep == 0, "only where all are kept the beginning is there");
    }
}

#[test]
fn names_go_on_in_order_when_the_clock_goes_back_and_foreign_files_are_let_be() {
    let kept = Kept::new(1, 1);
    let foreign = kept.folder.path().join("deliveries-of-last-year.jsonl");
    fs::write(&foreign, "mine\n").unwrap();
    let mut file = RecordFile::new(kept.path().to_owned(), Arc::new(Rotation::new(1, 1)));
    let at = |text| Timestamp::parse_rfc3339(text).unwrap();
    for (line, now) in ["1\n", "2\n", "3\n"]
        .iter()
        .zip(["2026-11-21T10:00:00Z"; 2].into_iter().chain(["1999-01-01T00:00:00Z"]))
    {
        file.append(line.as_bytes(), Durability::Handed, at(now)).unwrap();
    }
    let name = |name: &str| kept.folder.path().join(name);
    // The first was put aside at ten, the second, older by the clock, a moment later; only that one is kept.
    assert_eq!(fs::read_to_string(name("deliveries-2026-11-21T10-00-00.001Z.jsonl")).unwrap(), "2\n");
    assert_eq!(fs::read_to_string(kept.path()).unwrap(), "3\n");
    assert_eq!(fs::read_to_string(foreign).unwrap(), "mine\n");
    assert_eq!(kept.files().len(), 3);
}

#[test]
fn a_file_that_is_moved_away_is_left_alone_and_another_begun() {
    let kept = Kept::new(1 << 20, 10);
    let mut file = RecordFile::new(kept.path().to_owned(), Arc::new(Rotation::new(1 << 20, 10)));
    let now = Timestamp::default();
    file.append(b"1\n", Durability::OnDisk, now).unwrap();
    let moved = kept.folder.path().join("moved");
    fs::rename(kept.path(), &moved).unwrap();
    file.append(b"2\n", Durability::OnDisk, now).unwrap();
    assert_eq!(
        (fs::read(&moved).unwrap(), fs::read(kept.path()).unwrap()),
        (b"1\n".to_vec(), b"2\n".to_vec())
    );
}

/// A record that nobody writes.
fn unwritten(queue: usize) -> (Deliveries, mpsc::Receiver<Entry>, Metrics) {
    let (metrics, (queue, entries)) = (Metrics::new(), mpsc::channel(queue));
    let trouble = Arc::new(Trouble::new(&metrics.access.deliveries));
    (Deliveries { rotation: Arc::new(Rotation::new(1, 1)), queue, trouble }, entries, metrics)
}

#[test]
fn to_note_never_waits_and_what_the_queue_does_not_hold_is_lost() {
    let (deliveries, _entries, metrics) = unwritten(2);
    (0..5).for_each(|n| deliveries.note(delivery(&n.to_string())));
    assert_eq!(metrics.access.deliveries.with_label_values(&["lost"]).get(), 3);
    assert_eq!(deliveries.trouble.unnumbered.load(Ordering::Acquire), 3);
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_a_disk_that_hangs_is_refused_and_not_recorded_later() {
    let (deliveries, mut entries, metrics) = unwritten(1);
    assert!(!deliveries.record(delivery("queued")).await);
    assert!(!deliveries.record(delivery("not even queued")).await);
    assert_eq!(metrics.access.deliveries.with_label_values(&["refused"]).get(), 2);
    assert!(entries.recv().await.unwrap().is_moot());
    assert!(entries.try_recv().is_err());
}

#[test]
fn one_file_has_one_writer() {
    let kept = Kept::new(1 << 20, 10);
    let running = kept.start();
    let another = records(&kept.metrics);
    let error = another.open(&kept.audit).unwrap_err().to_string();
    assert!(error.contains("audit.file") && error.contains("something else writes it"), "{error}");
    kept.end(running);
    assert!(another.open(&kept.audit).is_ok() && another.end());
}

#[tokio::test]
async fn what_is_lost_leaves_a_gap_and_what_is_refused_does_not() {
    let kept = Kept::new(1 << 20, 10);
    let aside = kept.folder.path().join("aside");
    let running = kept.start();
    assert!(running.record(delivery("a.zip")).await);
    // A folder in its place: nothing can be written until it is gone.
    fs::rename(kept.path(), &aside).unwrap();
    fs::create_dir(kept.path()).unwrap();
    running.note(delivery("lost.zip"));
    assert!(!running.record(delivery("refused.zip")).await);
    assert!(running.error().unwrap().contains("deliveries.jsonl"));
    fs::remove_dir(kept.path()).unwrap();
    assert!(running.record(delivery("b.zip")).await);
    assert!(running.error().is_none());
    kept.end(running);
    assert_eq!(numbers(&kept.lines()), [0, 1, 3, 4], "2 was lost");
    assert_eq!([kept.count("written"), kept.count("lost"), kept.count("refused")], [2, 1, 1]);
}

/// The runs of some lines, each with its numbers.
fn runs(lines: &[Value]) -> Vec<(String, Vec<u64>)> {
    let mut runs: Vec<(String, Vec<u64>)> = Vec::new();
    for line in lines {
        let (run, number) = (line["run"].as_str().unwrap(), line["number"].as_u64().unwrap());
        match runs.iter_mut().find(|(name, _)| name == run) {
            Some((_, numbers)) => numbers.push(number),
            None => runs.push((run.to_owned(), vec![number])),
        }
    }
    runs
}

#[test]
fn a_file_goes_on_as_long_as_somebody_refers_to_it_and_whoever_comes_back_begins_another_run() {
    let kept = Kept::new(1 << 20, 10);
    let nowhere = Audit { file: None, ..kept.audit.clone() };
    let first = kept.start();
    first.note(delivery("a.zip"));
    let again = kept.start();
    again.note(delivery("b.zip"));
    assert!(Arc::ptr_eq(&first, &again) && kept.open(&nowhere).is_none());
    drop((first, again));
    // The thread may not be at its end: the next one waits for it.
    let third = kept.start();
    third.note(delivery("c.zip"));
    kept.end(third);
    let runs = runs(&kept.lines());
    let numbers: Vec<_> = runs.iter().map(|(_, numbers)| numbers.clone()).collect();
    assert_eq!(numbers, [vec![0, 1, 2, 3], vec![0, 1, 2]], "{runs:?}");
}

#[test]
fn a_file_that_is_written_to_is_put_aside_as_the_next_configuration_says() {
    let kept = Kept::new(1 << 20, 10);
    let running = kept.start();
    running.note(delivery("a.zip"));
    let running = kept.open(&Audit { rotate: 1, keep: 0, ..kept.audit.clone() }).unwrap_or(running);
    running.note(delivery("b.zip"));
    kept.end(running);
    assert!(kept.files().len() > 1, "{:?}", kept.files());
    assert_eq!(runs(&kept.lines()).len(), 1, "and it is the same run");
    assert_eq!(numbers(&kept.lines()), [0, 1, 2, 3]);
}

/// What the thread that writes finds when it asks for the time, whatever the disk is like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Writes,
    Hangs,
    Dies,
}

/// A clock by which that thread meets its fate.
#[derive(Debug)]
struct Doom(Mutex<Fate>, Condvar);

impl Doom {
    fn set(&self, fate: Fate) {
        *self.0.lock().unwrap() = fate;
        self.1.notify_all();
    }
}

impl Clock for Doom {
    fn now(&self) -> Timestamp {
        if std::thread::current().name() == Some("deliveries") {
            let fate = self.0.lock().unwrap();
            let fate = *self.1.wait_while(fate, |fate| *fate == Fate::Hangs).unwrap();
            assert!(fate == Fate::Writes, "this thread dies in a test");
        }
        SystemClock.now()
    }
}

/// A record whose thread hangs or dies on command.
fn doomed() -> (Kept, Arc<Doom>) {
    let doom = Arc::new(Doom(Mutex::new(Fate::Writes), Condvar::new()));
    let mut kept = Kept::new(1 << 20, 10);
    kept.records = Records::new(&kept.metrics.access.deliveries, Arc::clone(&doom) as _);
    (kept, doom)
}

/// The disk hangs, and nobody waits for it.
fn hang(kept: &mut Kept, doom: &Doom) {
    doom.set(Fate::Hangs);
    kept.records.patience = Duration::ZERO;
}

/// The record cannot be opened while the disk hangs, and can when it writes again: how many lines each run has then.
fn refused_until_it_writes(mut kept: Kept, doom: &Doom) -> Vec<usize> {
    let error = kept.records.open(&kept.audit).unwrap_err().to_string();
    assert!(error.contains("deliveries.jsonl") && error.contains("still being written"), "{error}");
    doom.set(Fate::Writes);
    kept.records.patience = PATIENCE;
    kept.end(kept.start());
    runs(&kept.lines()).iter().map(|(_, numbers)| numbers.len()).collect()
}

#[test]
fn a_file_whose_disk_hangs_is_not_waited_for_without_end_and_taken_up_again_when_it_does_not() {
    let (mut kept, doom) = doomed();
    let running = kept.start();
    hang(&mut kept, &doom);
    running.note(delivery("a.zip"));
    drop(running);
    assert_eq!(refused_until_it_writes(kept, &doom), [3, 2]);
}

#[test]
fn a_file_on_a_disk_that_hangs_is_not_waited_for_without_end_when_it_is_begun() {
    let (mut kept, doom) = doomed();
    hang(&mut kept, &doom);
    assert_eq!(refused_until_it_writes(kept, &doom), [2, 2]);
}

#[test]
fn the_end_does_not_wait_for_a_disk_that_hangs_and_is_a_bad_one() {
    let (mut kept, doom) = doomed();
    let running = kept.start();
    hang(&mut kept, &doom);
    drop(running);
    assert!(!kept.records.end());
    doom.set(Fate::Writes);
}

#[tokio::test]
async fn after_a_thread_that_died_another_run_begins_and_the_end_is_a_bad_one() {
    let (kept, doom) = doomed();
    let running = kept.start();
    doom.set(Fate::Dies);
    assert!(!running.record(delivery("a.zip")).await);
    running.queue.closed().await;
    doom.set(Fate::Writes);
    let again = kept.start();
    assert!(again.record(delivery("b.zip")).await);
    drop((running, again));
    assert!(!kept.records.end());
    let runs = runs(&kept.lines());
    assert_eq!(runs.iter().map(|(_, numbers)| numbers.len()).collect::<Vec<_>>(), [1, 3], "{runs:?}");
}

/// What was written into the log.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// What is said when a delivery is noted, and when one is recorded, and no thread or a hanging one writes them.
async fn said(is_dead: bool) -> [String; 2] {
    let log = Log::default();
    let into = log.clone();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || into.clone()).finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let mut said = [String::new(), String::new()];
    for (waits, said) in said.iter_mut().enumerate() {
        let (deliveries, entries, _metrics) = unwritten(1);
        let _entries = (!is_dead).then_some(entries);
        if waits == 1 {
            assert!(!deliveries.record(delivery("a.zip")).await);
        } else {
            (0..2).for_each(|_| deliveries.note(delivery("a.zip")));
        }
        assert_eq!(deliveries.error().is_some(), is_dead);
        *said = String::from_utf8(std::mem::take(&mut *log.0.lock().unwrap())).unwrap();
    }
    said
}

#[tokio::test(start_paused = true)]
async fn a_thread_that_died_is_not_told_as_a_disk_that_is_slow() {
    let [lost, refused] = said(true).await;
    assert!(lost.contains("are lost") && lost.contains("has died") && !lost.contains("disk"), "{lost}");
    assert!(refused.contains("are refused") && refused.contains("has died"), "{refused}");
    let [lost, refused] = said(false).await;
    assert!(lost.contains("are lost") && lost.contains("than the disk could take"), "{lost}");
    assert!(refused.contains("are refused") && refused.contains("too slow"), "{refused}");
}
