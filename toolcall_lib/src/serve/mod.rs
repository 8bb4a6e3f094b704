//! An HTTP server for models, with OpenAI's API: `POST /v1/chat/completions` and everything around
//! it.
//!
//! | layer | what it does |
//! |---|---|
//! | `wire` | bodies ⇄ requests and replies |
//! | `assemble` | tokens → words and calls |
//! | `scheduler` | one thread owns a model; requests join and leave its batch between two tokens |
//! | `http` | connections, keys, paths, streams |
//!
//! `docs/serving.md` lists what is supported.

mod assemble;
mod config;
mod http;
mod metrics;
mod scheduler;
mod wire;

pub use config::ServeConfig;

use crate::checkpoint::trained_file;
use crate::error::{Error, Result, tell};
use crate::generate::{Constraints, GenerateConfig};
use crate::interrupt;
use crate::machine::now;
use crate::model::Model;
use http::{Served, Shared};
use metrics::Metrics;
use scheduler::Scheduler;
use std::fmt;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread::JoinHandle;
use std::time::{Duration, UNIX_EPOCH};
use tokio::runtime::{Builder, Runtime};
use wire::Defaults;

/// Threads that read requests and write replies; each model has its own thread in addition.
const THREADS: usize = 2;
/// Time between two checks for the end of the server.
const LOOK: Duration = Duration::from_millis(50);
/// Time that the runtime may take to end.
const LAST: Duration = Duration::from_secs(1);

/// A handle that ends a server from elsewhere.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Asks the server to end: it refuses new requests and completes those that it has begun.
    pub fn stop(&self) {
        self.0.store(true, SeqCst);
    }

    fn requested(&self) -> bool {
        self.0.load(SeqCst) || interrupt::requested()
    }
}

/// A server and the models that it serves.
pub struct Server {
    listener: TcpListener,
    shared: Arc<Shared>,
    runtime: Runtime,
    threads: Vec<JoinHandle<Result<()>>>,
    stop: Stop,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("config", &self.shared.config)
            .finish_non_exhaustive()
    }
}

impl Server {
    /// Takes the address and starts the thread of each model; [`run`](Self::run) answers requests.
    /// A request that names no model asks the first one.
    ///
    /// # Errors
    /// Settings that would refuse every request, or serve other hosts without a key; an address
    /// that is taken, two models with one name, tools that cannot be called, and a model that
    /// cannot run on the device.
    pub fn start(models: Vec<Model>, config: ServeConfig) -> Result<Self> {
        // 1. Everything that can be refused before a model is loaded.
        config.check()?;
        let listener = TcpListener::bind(config.address);
        let listener = listener.map_err(|error| Error::invalid(config.address, format!("{error}")))?;
        let unblocked = listener.set_nonblocking(true);
        unblocked.map_err(Error::library("preparing the socket"))?;
        // 2. The runtime that reads and writes HTTP.
        let runtime = Builder::new_multi_thread()
            .worker_threads(THREADS)
            .max_blocking_threads(2 * THREADS)
            .thread_name("toolcall-http")
            .enable_all()
            .build()
            .map_err(Error::library("starting the server"))?;
        let metrics = Arc::new(Metrics::default());
        let (mut served, mut threads): (Vec<Arc<Served>>, _) = (Vec::new(), Vec::new());
        // 3. A thread for each model.
        for model in models {
            let name = model.name().to_string();
            if served.iter().any(|other| other.name == name) {
                let problem = format!("two models are called `{name}`; rename the folder of one");
                return Err(Error::invalid("models", problem));
            }
            let (one, thread) = start_model(name, model, &config, &metrics)?;
            served.push(Arc::new(one));
            threads.push(thread);
        }
        if served.is_empty() {
            return Err(Error::invalid(
                "models",
                "the list is empty; give at least one model",
            ));
        }
        Ok(Self {
            listener,
            shared: Arc::new(Shared::new(config, served, metrics)),
            runtime,
            threads,
            stop: Stop::default(),
        })
    }

    /// Returns the address and port that the server listens on.
    ///
    /// # Errors
    /// The system does not know it.
    pub fn address(&self) -> Result<SocketAddr> {
        let address = self.listener.local_addr();
        address.map_err(Error::library("asking for the address"))
    }

    /// Returns the names of the models.
    pub fn models(&self) -> Vec<&str> {
        self.shared.models.iter().map(|served| &*served.name).collect()
    }

    /// Returns a handle that ends the server from another thread.
    pub fn stop(&self) -> Stop {
        self.stop.clone()
    }

    /// Answers requests until the server ends: by [`Stop`], Ctrl-C or SIGTERM. Completes running
    /// requests within [`grace`](ServeConfig::grace).
    ///
    /// # Errors
    /// The thread of a model has ended too early.
    pub fn run(self) -> Result<()> {
        let Self {
            listener,
            shared,
            runtime,
            threads,
            stop,
        } = self;
        let _run = interrupt::Guard::start()?;
        let threads_ended = || threads.iter().any(JoinHandle::is_finished);
        let served: Result<()> = runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener);
            let listener = listener.map_err(Error::library("preparing the socket"))?;
            let end = async {
                while !stop.requested() && !threads_ended() {
                    tokio::time::sleep(LOOK).await;
                }
            };
            http::serve(listener, shared, end).await;
            Ok(())
        });
        // The runtime holds senders to the threads; once they are gone, the threads end by
        // themselves.
        runtime.shutdown_timeout(LAST);
        let gone = || Error::library("the thread of a model")("it ended unexpectedly");
        let ended = threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|_| Err(gone())));
        served.and(ended.collect())
    }
}

/// Starts the thread of a model, with the settings that it comes with.
fn start_model(
    name: String,
    model: Model,
    config: &ServeConfig,
    metrics: &Arc<Metrics>,
) -> Result<(Served, JoinHandle<Result<()>>)> {
    // Settings of the model; a reply without a limit is cut at 1024 tokens.
    let own = GenerateConfig::of(&model)?;
    // A call with many arguments is longer than the replies that a notebook asks for.
    let max_new_tokens = match model.generation_config.contains_key("max_new_tokens") {
        true => own.max_new_tokens,
        false => config.max_tokens.min(1024),
    };
    let defaults = Defaults {
        config: GenerateConfig {
            max_new_tokens,
            device: config.device,
            ..own
        },
        max_tokens: config.max_tokens,
    };
    // Tools are tried before the model takes a device.
    let tools = config.tools.clone().unwrap_or_else(|| model.tools.clone());
    let constraints = Constraints::default();
    match (
        http::check_tools(&model, &constraints, &tools, &defaults),
        &config.tools,
    ) {
        (Ok(()), _) => {}
        (Err(refusal), Some(_)) => {
            let problem = format!("{name} cannot offer them: {}", refusal.message);
            return Err(Error::invalid("tools", problem));
        }
        (Err(refusal), None) => tell(format!(
            "note: /predict cannot offer the tools of {name}: {}",
            refusal.message
        )),
    }
    let created = saved_at(&model);
    let model = Arc::new(model);
    let scheduler = Scheduler::start(model.clone(), config.device, metrics.clone())?;
    let served = Served {
        name,
        model,
        jobs: scheduler.jobs,
        constraints,
        defaults,
        tools,
        created,
    };
    Ok((served, scheduler.thread))
}

/// Returns the time at which a model was saved, in seconds since 1970; now, if its files are not
/// known.
fn saved_at(model: &Model) -> u64 {
    let place = Path::new(&model.origin);
    let files = [place.join(trained_file(&model.decoder)), place.to_path_buf()];
    let saved = files
        .iter()
        .find_map(|file| file.metadata().ok()?.modified().ok());
    let saved = saved.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    saved.map_or(now() as u64, |time| time.as_secs())
}
