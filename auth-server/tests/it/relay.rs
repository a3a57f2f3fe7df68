//! A way to the database that can be cut.

use std::net::SocketAddr;

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
};

/// How it is with the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Open,
    /// Whoever comes is turned away, and who was there is cut off.
    Closed,
    /// Whoever comes or was there gets no answer.
    Silent,
}

pub(crate) struct Relay {
    pub(crate) port: u16,
    way: watch::Sender<Way>,
}

impl Relay {
    pub(crate) async fn to(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (way, changes) = watch::channel(Way::Open);
        tokio::spawn(listen(listener, target, changes));
        Self { port, way }
    }

    pub(crate) fn set(&self, way: Way) {
        self.way.send_replace(way);
    }
}

async fn listen(listener: TcpListener, target: SocketAddr, mut changes: watch::Receiver<Way>) {
    let at = listener.local_addr().unwrap();
    let mut listener = Some(listener);
    loop {
        let way = *changes.borrow_and_update();
        if way == Way::Closed {
            listener = None;
        } else if listener.is_none() {
            listener = Some(TcpListener::bind(at).await.unwrap());
        }
        tokio::select! {
            outcome = changes.changed() => if outcome.is_err() { return },
            Ok((stream, _)) = accept(listener.as_ref()) => {
                tokio::spawn(pass(stream, target, changes.clone()));
            }
        }
    }
}

async fn accept(listener: Option<&TcpListener>) -> std::io::Result<(TcpStream, SocketAddr)> {
    match listener {
        Some(listener) => listener.accept().await,
        None => std::future::pending().await,
    }
}

/// Passes on what is said, as long as the way is open. What was silent once is of no use any more.
async fn pass(mut stream: TcpStream, target: SocketAddr, mut changes: watch::Receiver<Way>) {
    if *changes.borrow() == Way::Open {
        let mut other = TcpStream::connect(target).await.unwrap();
        tokio::select! {
            _ = copy_bidirectional(&mut stream, &mut other) => return,
            _ = changes.wait_for(|way| *way != Way::Open) => {}
        }
    }
    let _ = changes.wait_for(|way| *way != Way::Silent).await;
}
