//! `toolcall serve`.

use super::model::ModelArgument;
use super::output::print;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;
use toolcall_lib::device::Device;
use toolcall_lib::serve::{ServeConfig, Server};
use toolcall_lib::tool::load_tools;
use toolcall_lib::{Error, Result};

#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    model: ModelArgument,
    /// Second model to serve, such as the one that the first was tuned from, to compare both on the
    /// page; a request names the model that it asks. --dtype and --chat-template-kwargs hold for
    /// both
    #[arg(long)]
    base: Option<String>,
    /// JSON file with the tools of /predict and of the page. Default: the tools that the model was
    /// trained with. Requests to /v1/chat/completions send their own
    #[arg(long)]
    tools: Option<PathBuf>,
    /// Address to listen on; one that other hosts can reach needs --api-key
    #[arg(long, default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    host: IpAddr,
    /// Port to listen on; 0 takes a free one
    #[arg(long, default_value_t = 8080)]
    port: u16,
    /// Key that every request has to send
    #[arg(long, env = "TOOLCALL_API_KEY", hide_env_values = true)]
    api_key: Option<String>,
    /// Most requests that may be answered or wait at the same time; further ones are refused with a
    /// time after which to retry
    #[arg(long, default_value_t = ServeConfig::default().queue)]
    queue: usize,
    /// Most tokens of a reply
    #[arg(long, default_value_t = ServeConfig::default().max_tokens)]
    max_tokens: usize,
    /// Largest body of a request, in bytes
    #[arg(long, default_value_t = ServeConfig::default().max_body)]
    max_body: usize,
    /// Seconds that a reply may take
    #[arg(long, default_value_t = ServeConfig::default().timeout.as_secs())]
    timeout: u64,
    /// Seconds that running requests get to end after Ctrl-C or SIGTERM
    #[arg(long, default_value_t = ServeConfig::default().grace.as_secs())]
    grace: u64,
    /// Device that the models run on: auto (a GPU if one can be used), cpu, or cuda
    #[arg(long, default_value_t)]
    device: Device,
}

pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    let tools = arguments.tools.as_ref().map(load_tools).transpose()?;
    let mut models = vec![arguments.model.load_to_answer()?];
    if let Some(base) = &arguments.base {
        models.push(arguments.model.of(base).load_to_answer()?);
    }
    let config = ServeConfig {
        address: SocketAddr::new(arguments.host, arguments.port),
        api_key: arguments.api_key.clone(),
        tools,
        queue: arguments.queue,
        max_tokens: arguments.max_tokens,
        max_body: arguments.max_body,
        timeout: Duration::from_secs(arguments.timeout),
        grace: Duration::from_secs(arguments.grace),
        device: arguments.device,
    };
    let server = Server::start(models, config).map_err(|error| of_flag(error, arguments))?;
    let (names, address) = (server.models().join(" and "), server.address()?);
    print(format!(
        "{names} on http://{address} (the page) and http://{address}/v1 (the API); Ctrl-C ends it"
    ))?;
    server.run()?;
    print("ended")?;
    Ok(ExitCode::SUCCESS)
}

/// Names the flag, or the file that it gives, where the library names the setting.
fn of_flag(error: Error, arguments: &Arguments) -> Error {
    match error {
        Error::Invalid { place, problem } => {
            let flag = match &*place {
                "address" => "--host".to_string(),
                "models" => "--base".to_string(),
                "tools" => {
                    let file = arguments.tools.as_deref().unwrap_or(Path::new("--tools"));
                    file.display().to_string()
                }
                "api_key" | "queue" | "max_tokens" | "max_body" | "timeout" => {
                    format!("--{}", place.replace('_', "-"))
                }
                _ => place,
            };
            Error::invalid(flag, problem)
        }
        other => other,
    }
}
