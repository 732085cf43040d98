//! `ringgate explain`: what would become of a request, from the files or from a running gateway.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use serde_json::{Map, Value};

use super::admin_client::AdminClient;
use super::{WRONG_USE, check};
use crate::config::{Bootstrap, Checks};
use crate::explain::{Question, World, explain, source, text};
use crate::plugin::field_checks;

pub(super) const EXAMPLES: &str = "\
Examples:
  ringgate explain GET http://a.example/users/7      from the files that `run` would take
  ringgate explain -c edge.yaml POST https://a.example/ -H 'apikey: k' --client 192.0.2.7
  ringgate explain --admin http://127.0.0.1:9180 GET http://a.example/
                                                     asks a running gateway: with health, open
                                                     requests and the addresses of names
  ringgate explain TLS tls://a.example:9100          which stream route a connection takes

The key for --admin: --key-file, else $RINGGATE_ADMIN_KEY, else the bootstrap file's
admin.key_file. A query, keys and passwords are not printed.

Exit codes: 0 explained, whether or not a route matches (--json: `route` is null);
1 invalid configuration, or the gateway did not answer; 2 wrong use.";

#[derive(Debug, Clone, Args)]
pub(super) struct ExplainOptions {
    /// The bootstrap file [default: ./conf/ringgate.yaml, then /etc/ringgate/ringgate.yaml]
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Ask the gateway whose Admin API is there: http://127.0.0.1:9180
    #[arg(long, value_name = "URL")]
    admin: Option<String>,
    /// The file that holds the Admin API's key
    #[arg(long, value_name = "FILE", requires = "admin")]
    key_file: Option<PathBuf>,
    /// The method: GET, POST…; anything for connections
    #[arg(value_name = "METHOD")]
    method: String,
    /// http://host:port/path, https://…, or tcp://host:port, tls://…, udp://…
    #[arg(value_name = "URL")]
    url: String,
    /// A field of the request; more than once for several
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE")]
    headers: Vec<String>,
    /// The client's address [default: 127.0.0.1]
    #[arg(long, value_name = "ADDRESS")]
    client: Option<String>,
    /// The port or address that it connects to [default: the URL's port]
    #[arg(long, value_name = "PORT|ADDRESS")]
    listener: Option<String>,
    /// The name in its TLS hello [default: the URL's host]
    #[arg(long, value_name = "NAME")]
    sni: Option<String>,
    /// As one JSON object
    #[arg(long)]
    json: bool,
}

/// Why there is no answer, and the exit code.
struct Failure(u8, String);

impl Failure {
    /// The configuration is invalid, or the gateway did not answer.
    fn failed(reason: impl ToString) -> Failure {
        Failure(1, reason.to_string())
    }

    fn wrong_use(reason: impl ToString) -> Failure {
        Failure(WRONG_USE, reason.to_string())
    }
}

pub(super) fn run(options: &ExplainOptions) -> ExitCode {
    let answer = question(options).and_then(|question| match &options.admin {
        Some(url) => remote(options, url, &question),
        None => local(options, &question),
    });
    match answer {
        Ok(answer) => {
            let mut out = std::io::stdout().lock();
            // A closed pipe is the reader's choice.
            let _ = match options.json {
                true => writeln!(out, "{answer}"),
                false => write!(out, "{}", text::shown(&answer)),
            };
            ExitCode::SUCCESS
        }
        Err(Failure(code, reason)) => {
            let _ = writeln!(std::io::stderr(), "{reason}");
            ExitCode::from(code)
        }
    }
}

fn question(options: &ExplainOptions) -> Result<Question, Failure> {
    let mut headers: Map<String, Value> = Map::new();
    for header in &options.headers {
        let Some((name, value)) = header.split_once(':') else {
            let reason = format!("-H {header:?}: expected 'Name: value'");
            return Err(Failure::wrong_use(reason));
        };
        let values = headers.entry(name.trim()).or_insert_with(|| Value::Array(Vec::new()));
        if let Value::Array(values) = values {
            values.push(value.trim().into());
        }
    }
    Ok(Question {
        method: options.method.clone(),
        url: options.url.clone(),
        headers,
        client: options.client.clone(),
        listener: options.listener.clone(),
        sni: options.sni.clone(),
    })
}

/// From the files, as a gateway that starts now would read them.
fn local(options: &ExplainOptions, question: &Question) -> Result<Value, Failure> {
    let bootstrap = Bootstrap::load(options.config.as_deref()).map_err(Failure::failed)?;
    let plugins = check::enabled(&bootstrap);
    let checks = Checks { plugins: &plugins, fields: &field_checks() };
    let source = source::load(&bootstrap, &plugins, &checks).map_err(Failure::failed)?;
    let compiler = check::compile(&source.name, source.resources, &bootstrap, &plugins)
        .map_err(Failure::failed)?;
    let world = World {
        plan: compiler.plan(),
        resources: compiler.resources(),
        plugins: &plugins,
        trusted: &bootstrap.trusted_addresses,
        live: false,
    };
    explain(&world, question).map_err(Failure::wrong_use)
}

/// From a running gateway.
fn remote(options: &ExplainOptions, url: &str, question: &Question) -> Result<Value, Failure> {
    let client = AdminClient::new(url, options.key_file.as_deref(), options.config.as_deref());
    let client = client.map_err(Failure::wrong_use)?;
    let body = serde_json::to_value(question).map_err(Failure::failed)?;
    let (status, answer) = client.post("/ringgate/explain", &body).map_err(Failure::failed)?;
    match status {
        200 => Ok(answer),
        400 => Err(Failure::wrong_use(answer["error_msg"].as_str().unwrap_or("refused"))),
        status => {
            let reason = answer["description"].as_str().or(answer["error_msg"].as_str());
            let reason = reason.unwrap_or_default();
            Err(Failure::failed(format!("{url} answers {status}: {reason}")))
        }
    }
}
