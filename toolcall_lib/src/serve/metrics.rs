//! Counters of the server, in the text format of Prometheus.

use super::wire::Usage;
use crate::mutex::locked;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Upper bounds of the histograms' buckets, in seconds.
const BOUNDS: [f64; 10] = [0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0];

/// Counters of a server.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    /// Answered requests, by path and status.
    requests: Mutex<BTreeMap<(String, u16), u64>>,
    running: AtomicU64,
    waiting: AtomicU64,
    prompt_tokens: AtomicU64,
    cached_tokens: AtomicU64,
    completion_tokens: AtomicU64,
    replies: AtomicU64,
    cancelled: AtomicU64,
    calls: AtomicU64,
    first_token: Histogram,
    reply: Histogram,
}

#[derive(Debug, Default)]
struct Histogram {
    buckets: [AtomicU64; BOUNDS.len()],
    count: AtomicU64,
    micros: AtomicU64,
}

impl Histogram {
    fn add(&self, time: Duration) {
        let seconds = time.as_secs_f64();
        for (bucket, bound) in self.buckets.iter().zip(BOUNDS) {
            if seconds <= bound {
                bucket.fetch_add(1, Relaxed);
            }
        }
        self.count.fetch_add(1, Relaxed);
        self.micros.fetch_add(time.as_micros() as u64, Relaxed);
    }

    fn mean(&self) -> Option<f64> {
        let count = self.count.load(Relaxed);
        (count > 0).then(|| self.micros.load(Relaxed) as f64 / 1e6 / count as f64)
    }

    fn write(&self, text: &mut String, name: &str, help: &str) {
        let mut line = |line: String| writeln!(text, "{line}").ok();
        line(format!("# HELP {name} {help}\n# TYPE {name} histogram"));
        let count = self.count.load(Relaxed);
        for (bucket, bound) in self.buckets.iter().zip(BOUNDS) {
            line(format!(
                "{name}_bucket{{le=\"{bound}\"}} {}",
                bucket.load(Relaxed)
            ));
        }
        line(format!("{name}_bucket{{le=\"+Inf\"}} {count}"));
        line(format!("{name}_sum {}", self.micros.load(Relaxed) as f64 / 1e6));
        line(format!("{name}_count {count}"));
    }
}

impl Metrics {
    /// Counts a request to this path.
    pub fn add_request(&self, path: &str, status: u16) {
        let mut requests = locked(&self.requests);
        *requests.entry((path.to_string(), status)).or_default() += 1;
    }

    /// Updates the numbers of replies that one model writes and that wait for it, given its
    /// previous numbers.
    pub fn set_running(&self, before: (usize, usize), now: (usize, usize)) {
        for (gauge, before, now) in [(&self.running, before.0, now.0), (&self.waiting, before.1, now.1)] {
            gauge.fetch_add(now as u64, Relaxed);
            gauge.fetch_sub(before as u64, Relaxed);
        }
    }

    /// Records the time from a request to the first token of its reply.
    pub fn add_first_token(&self, time: Duration) {
        self.first_token.add(time);
    }

    /// Counts a complete reply, its tokens, and the time from its request on.
    pub fn add_reply(&self, usage: Usage, time: Duration) {
        self.replies.fetch_add(1, Relaxed);
        self.prompt_tokens.fetch_add(usage.prompt as u64, Relaxed);
        self.cached_tokens.fetch_add(usage.cached as u64, Relaxed);
        self.completion_tokens.fetch_add(usage.completion as u64, Relaxed);
        self.reply.add(time);
    }

    /// Counts a reply, begun or not, whose client has gone or whose time was up.
    pub fn add_cancelled(&self) {
        self.cancelled.fetch_add(1, Relaxed);
    }

    /// Counts calls that a client is sent.
    pub fn add_calls(&self, count: usize) {
        self.calls.fetch_add(count as u64, Relaxed);
    }

    /// Estimates the seconds after which there is room again: the mean time of a reply, from 1 to
    /// 60.
    pub fn seconds_to_wait(&self) -> u64 {
        self.reply
            .mean()
            .map_or(1, |mean| mean.ceil() as u64)
            .clamp(1, 60)
    }

    /// Writes all counters in the text format of Prometheus.
    pub fn text(&self) -> String {
        let mut text = String::new();
        // 1. A counter with labels: requests by path and status.
        let requests = locked(&self.requests).clone();
        text += "# HELP toolcall_requests_total Requests by path and status.\n# TYPE toolcall_requests_total counter\n";
        for ((path, status), count) in requests {
            writeln!(
                text,
                "toolcall_requests_total{{path=\"{path}\",status=\"{status}\"}} {count}"
            )
            .ok();
        }
        // 2. Plain counters and gauges: name, kind, help and value.
        let values = [
            (
                "running",
                "gauge",
                "Replies that are being written.",
                &self.running,
            ),
            (
                "waiting",
                "gauge",
                "Requests that wait to be started.",
                &self.waiting,
            ),
            ("replies_total", "counter", "Complete replies.", &self.replies),
            (
                "cancelled_total",
                "counter",
                "Cancelled replies, whose client has gone or whose time limit was reached.",
                &self.cancelled,
            ),
            (
                "calls_total",
                "counter",
                "Tool calls sent to clients.",
                &self.calls,
            ),
            (
                "prompt_tokens_total",
                "counter",
                "Prompt tokens of complete replies.",
                &self.prompt_tokens,
            ),
            (
                "cached_tokens_total",
                "counter",
                "Prompt tokens found in the KV cache.",
                &self.cached_tokens,
            ),
            (
                "completion_tokens_total",
                "counter",
                "Tokens of complete replies.",
                &self.completion_tokens,
            ),
        ];
        for (name, kind, help, value) in values {
            let value = value.load(Relaxed);
            writeln!(
                text,
                "# HELP toolcall_{name} {help}\n# TYPE toolcall_{name} {kind}\ntoolcall_{name} {value}"
            )
            .ok();
        }
        // 3. Histograms.
        let first = "Seconds from a request to the first token of its reply.";
        self.first_token
            .write(&mut text, "toolcall_first_token_seconds", first);
        let whole = "Seconds from a request to the end of its reply.";
        self.reply.write(&mut text, "toolcall_reply_seconds", whole);
        text
    }
}
