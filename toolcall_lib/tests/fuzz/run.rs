//! Feeds a target in separate processes. If a process dies, hangs or grows, the failure is counted,
//! and the next process continues after its input.

use super::mutate::input;
use super::targets::{TARGETS, Target, check_message};
use std::fmt;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Environment variable with the task of a process: the target, the seed, the first input, the
/// one after the last, and the file for its progress.
pub const TASK: &str = "TOOLCALL_FUZZ_TASK";
/// Longest time for an input. The library's own limit for outside data is 60 s.
const HANG: Duration = Duration::from_secs(120);
/// Address space of a process; it includes the stacks of threads.
const MOST_MEMORY: u64 = 8 << 30;
/// Peak memory that a process may have at its end.
const MOST_RESIDENT: u64 = 2 << 30;

/// Outcomes of the inputs of a target.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    pub target: String,
    pub inputs: u64,
    pub ok: u64,
    pub refused: u64,
    pub panics: u64,
    pub crashes: u64,
    pub hangs: u64,
    pub over_limit: u64,
    /// Milliseconds that the slowest input took.
    pub slowest: u64,
    /// Largest memory of a process, in megabytes.
    pub peak: u64,
    /// Numbers of the unanswered inputs, and the failure of each.
    pub wrong: Vec<String>,
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            target,
            inputs,
            ok,
            refused,
            panics,
            crashes,
            hangs,
            over_limit,
            slowest,
            peak,
            wrong,
        } = self;
        write!(
            f,
            "{target:<12}{inputs:>9} inputs {ok:>9} ok {refused:>9} refused {panics:>4} panics {crashes:>4} crashes {hangs:>4} hangs \
             {over_limit:>4} over limit  slowest {slowest} ms, peak {peak} MB"
        )?;
        wrong.iter().try_for_each(|wrong| write!(f, "\n    {wrong}"))
    }
}

/// Progress of a process: numbers in a file that its parent reads.
struct Progress(File);

const NUMBER: usize = 0;
const OK: usize = 1;
const REFUSED: usize = 2;
const PANICS: usize = 3;
const SLOWEST: usize = 4;
const PEAK: usize = 5;
type Numbers = [u64; 6];

impl Progress {
    fn write(&self, numbers: &Numbers) {
        let bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
        self.0.write_all_at(&bytes, 0).unwrap();
    }

    fn read(&self) -> Numbers {
        let mut bytes = [0; size_of::<Numbers>()];
        match self.0.read_exact_at(&mut bytes, 0) {
            Ok(()) => std::array::from_fn(|i| u64::from_le_bytes(bytes[8 * i..][..8].try_into().unwrap())),
            Err(_) => Numbers::default(),
        }
    }
}

/// Does the task of a process that was started with [`TASK`].
pub fn work(task: &str) {
    let [target, seed, from, to, progress] = task.split('\n').collect::<Vec<_>>().try_into().unwrap();
    let target = TARGETS.iter().find(|known| known.name == target).unwrap();
    let [seed, from, to] = [seed, from, to].map(|number| number.parse::<u64>().unwrap());
    let progress = Progress(File::options().read(true).write(true).open(progress).unwrap());
    limit_memory();
    let (seeds, folder) = ((target.seeds)(), tempfile::tempdir().unwrap());
    let mut numbers = Numbers::default();
    for number in from..to {
        numbers[NUMBER] = number;
        progress.write(&numbers);
        let started = Instant::now();
        let input = input(target.kind, &seeds, seed, target.name, number);
        let answer = catch_unwind(AssertUnwindSafe(|| {
            (target.read)(folder.path(), &input)
                .inspect_err(check_message)
                .is_ok()
        }));
        match answer {
            Ok(true) => numbers[OK] += 1,
            Ok(false) => numbers[REFUSED] += 1,
            Err(panic) => {
                numbers[PANICS] += 1;
                let text = panic.downcast_ref::<String>().cloned();
                let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| text.to_string()));
                println!(
                    "wrong: {} {number}: panic: {}",
                    target.name,
                    text.unwrap_or_default().replace('\n', " ")
                );
            }
        }
        numbers[SLOWEST] = numbers[SLOWEST].max(started.elapsed().as_millis() as u64);
    }
    numbers[NUMBER] = to;
    numbers[PEAK] = peak();
    progress.write(&numbers);
}

fn limit_memory() {
    let limit = libc::rlimit {
        rlim_cur: MOST_MEMORY,
        rlim_max: MOST_MEMORY,
    };
    // SAFETY: the pointer is to a struct that lives.
    unsafe { libc::setrlimit(libc::RLIMIT_AS, &limit) };
}

/// Returns the largest memory of this process so far, in bytes.
fn peak() -> u64 {
    // SAFETY: all numbers of the struct may be zero, and the pointer is to one that lives.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_SELF, &mut usage);
        usage
    };
    let unit = if cfg!(target_os = "macos") { 1 } else { 1024 };
    usage.ru_maxrss as u64 * unit
}

/// Feeds a target with the inputs of these numbers.
pub fn feed(target: &Target, seed: u64, to: u64) -> Counts {
    let folder = tempfile::tempdir().unwrap();
    let mut counts = Counts {
        target: target.name.to_string(),
        inputs: to,
        ..Counts::default()
    };
    let mut from = 0;
    while from < to {
        let place = folder.path().join(from.to_string());
        let progress = Progress(
            File::options()
                .read(true)
                .write(true)
                .create_new(true)
                .open(&place)
                .unwrap(),
        );
        let child = start(
            &format!("{}\n{seed}\n{from}\n{to}\n{}", target.name, place.display()),
            folder.path(),
        );
        let end = wait(child, &progress, from);
        let numbers = progress.read();
        counts.ok += numbers[OK];
        counts.refused += numbers[REFUSED];
        counts.panics += numbers[PANICS];
        counts.slowest = counts.slowest.max(numbers[SLOWEST]);
        counts.peak = counts.peak.max(numbers[PEAK] >> 20);
        let said = std::fs::read_to_string(folder.path().join("out")).unwrap_or_default();
        counts.wrong.extend(
            said.lines()
                .filter(|line| line.starts_with("wrong: "))
                .map(String::from),
        );
        let number = numbers[NUMBER].max(from);
        let errors = std::fs::read_to_string(folder.path().join("err")).unwrap_or_default();
        let end = match end {
            End::Crash if errors.contains("memory allocation of") => End::Memory,
            end => end,
        };
        match end {
            End::Done if number == to => {
                counts.over_limit += u64::from(numbers[PEAK] > MOST_RESIDENT);
                return counts;
            }
            End::Done => counts.crashes += 1,
            End::Hangs => counts.hangs += 1,
            End::Memory => counts.over_limit += 1,
            End::Crash => counts.crashes += 1,
        }
        let last: Vec<&str> = errors.lines().rev().take(3).collect();
        counts.wrong.push(format!(
            "wrong: {} {number}: {end:?}: {}",
            target.name,
            last.join(" | ")
        ));
        from = number + 1;
    }
    counts
}

/// End of a process.
#[derive(Debug)]
enum End {
    Done,
    Crash,
    Hangs,
    Memory,
}

fn start(task: &str, folder: &Path) -> Child {
    let file = |name: &str| File::create(folder.join(name)).unwrap();
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "fuzz::worker", "--nocapture"])
        .env(TASK, task)
        .envs([
            ("HF_HUB_OFFLINE", "1"),
            ("RAYON_NUM_THREADS", "1"),
            ("RUST_BACKTRACE", "0"),
        ])
        .stdout(Stdio::from(file("out")))
        .stderr(Stdio::from(file("err")))
        .spawn()
        .unwrap()
}

/// Waits for the end of a process, or for one input that takes too long.
fn wait(mut child: Child, progress: &Progress, from: u64) -> End {
    let (mut number, mut since) = (from, Instant::now());
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return match status.code() {
                Some(0) => End::Done,
                _ => End::Crash,
            };
        }
        let now = progress.read()[NUMBER].max(from);
        if now != number {
            (number, since) = (now, Instant::now());
        } else if since.elapsed() > HANG {
            child.kill().unwrap();
            child.wait().unwrap();
            return End::Hangs;
        }
        sleep(Duration::from_millis(20));
    }
}
