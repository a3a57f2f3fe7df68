//! The load generator: keep-alive connections on one thread, every latency kept exactly. Prints one line of JSON.

mod calls;
mod request;
mod streams;

use std::io::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand};
use mio::net::TcpStream;
use socket2::{Domain, Socket, Type};

/// Sends calls to a proxy, or opens streams through it.
#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    target: Target,
    #[command(subcommand)]
    mode: Mode,
}

#[derive(Args)]
struct Target {
    #[arg(long)]
    to: SocketAddr,
    #[arg(long, default_value = "/mcp")]
    path: String,
    #[arg(long, default_value = "localhost:8000")]
    host: String,
    /// A file with an access token; without one, requests are anonymous.
    #[arg(long)]
    token: Option<PathBuf>,
    /// Gives the token of each request another, invalid signature.
    #[arg(long, requires = "token")]
    forge: bool,
    #[arg(long, default_value_t = 1)]
    connections: usize,
    /// The address to come from.
    #[arg(long)]
    from: Option<IpAddr>,
}

#[derive(Subcommand)]
enum Mode {
    /// Each connection sends its next call when the last one is answered.
    Closed(Effort),
    /// Calls are sent at a rate, however long the answers take; latency counts from when a call was due.
    Open {
        #[arg(long)]
        rate: u32,
        #[command(flatten)]
        effort: Effort,
    },
    /// One stream a connection; measures how long events take from the upstream to here.
    Streams(Effort),
    /// One stream a connection, kept until standard input ends; says when all are open.
    Idle,
}

#[derive(Args)]
struct Effort {
    /// Ends after so much time, but for what is under way.
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// Ends after so many answers, if that is sooner.
    #[arg(long)]
    requests: Option<u64>,
    /// What is not counted at the beginning.
    #[arg(long, default_value_t = 0.0)]
    warm_up: f64,
}

impl Effort {
    fn warm_up(&self) -> Duration {
        Duration::from_secs_f64(self.warm_up)
    }

    /// With the time that is not counted.
    fn whole(&self) -> Duration {
        self.warm_up() + Duration::from_secs_f64(self.seconds)
    }
}

impl Target {
    fn connect(&self) -> anyhow::Result<TcpStream> {
        let socket = Socket::new(Domain::for_address(self.to), Type::STREAM, None)?;
        if let Some(from) = self.from {
            socket.bind(&SocketAddr::new(from, 0).into())?;
        }
        socket.connect(&self.to.into()).with_context(|| format!("cannot connect to {}", self.to))?;
        socket.set_tcp_nodelay(true)?;
        socket.set_nonblocking(true)?;
        Ok(TcpStream::from_std(socket.into()))
    }
}

fn main() -> anyhow::Result<()> {
    let Arguments { target, mode } = Arguments::parse();
    let figures = match mode {
        Mode::Closed(effort) => calls::send(&target, None, &effort)?,
        Mode::Open { rate, effort } => calls::send(&target, Some(rate), &effort)?,
        Mode::Streams(effort) => streams::measure(&target, &effort)?,
        Mode::Idle => return streams::hold(&target),
    };
    writeln!(std::io::stdout(), "{figures}")?;
    Ok(())
}
