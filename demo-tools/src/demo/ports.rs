//! Loopback ports, the same number on both address families.
//!
//! `localhost` means `::1` to some clients and `127.0.0.1` to others, so that listening on one of them
//! only would make the demo answer half of them.

use std::io::{Error, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use anyhow::{Context as _, bail};
use tokio::net::TcpListener;

/// How many free ports to try before giving up: one that is free on IPv4 may be taken on IPv6.
const ATTEMPTS: usize = 32;

/// One port, bound on every loopback family that this machine has.
#[derive(Debug)]
pub(crate) struct Port {
    pub(crate) number: u16,
    pub(crate) listeners: Vec<TcpListener>,
}

impl Port {
    /// Binds port `number`, or a free one if it is 0; `flag` is what the user would change.
    pub(crate) async fn bind(number: u16, flag: &str) -> anyhow::Result<Self> {
        if number != 0 {
            return match pair(number).await {
                Ok(port) => Ok(port),
                Err(fault) if fault.kind() == ErrorKind::AddrInUse => {
                    bail!("port {number} is in use: choose another one with `{flag}`, or 0 for any free one")
                }
                Err(fault) => {
                    Err(fault).with_context(|| format!("cannot listen on port {number} (`{flag}`)"))
                }
            };
        }
        for _ in 0..ATTEMPTS {
            match pair(0).await {
                Err(fault) if fault.kind() == ErrorKind::AddrInUse => {}
                outcome => {
                    return outcome.with_context(|| format!("cannot listen on a free port (`{flag}`)"));
                }
            }
        }
        bail!("found no port that is free on both 127.0.0.1 and [::1]: name one with `{flag}`")
    }

    /// The addresses, as a configuration file lists them.
    pub(crate) fn addresses(&self) -> std::io::Result<Vec<SocketAddr>> {
        self.listeners.iter().map(TcpListener::local_addr).collect()
    }
}

async fn pair(number: u16) -> Result<Port, Error> {
    let ipv4 = TcpListener::bind((IpAddr::V4(Ipv4Addr::LOCALHOST), number)).await?;
    let number = ipv4.local_addr()?.port();
    let mut listeners = vec![ipv4];
    match TcpListener::bind((IpAddr::V6(Ipv6Addr::LOCALHOST), number)).await {
        Ok(ipv6) => listeners.push(ipv6),
        // taken by somebody else, who would get half of the clients
        Err(fault) if fault.kind() == ErrorKind::AddrInUse => return Err(fault),
        Err(fault) => tracing::info!(%fault, port = number, "no IPv6 loopback here, going on with IPv4"),
    }
    Ok(Port { number, listeners })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_port_in_use_is_named_with_its_flag() {
        let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let number = taken.local_addr().unwrap().port();
        let fault = Port::bind(number, "--gateway-port").await.unwrap_err().to_string();
        assert!(fault.contains(&number.to_string()) && fault.contains("--gateway-port"), "{fault}");
    }

    #[tokio::test]
    async fn a_port_in_use_on_ipv6_alone_is_in_use() {
        let Ok(taken) = TcpListener::bind("[::1]:0").await else {
            return;
        };
        let number = taken.local_addr().unwrap().port();
        let fault = Port::bind(number, "--as-port").await.unwrap_err().to_string();
        assert!(fault.contains("--as-port"), "{fault}");
    }

    #[tokio::test]
    async fn a_free_port_is_the_same_on_both_families() {
        let port = Port::bind(0, "--tools-port").await.unwrap();
        assert_ne!(port.number, 0);
        for address in port.addresses().unwrap() {
            assert_eq!(address.port(), port.number);
            assert!(address.ip().is_loopback());
        }
    }
}
