//! The program, replaced by another one under load: sockets that a service manager holds outlive both.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use crate::harness::{DEADLINE, Files, POLICY};
use crate::upstream::Upstream;

const GATEWAY: &str = env!("CARGO_BIN_EXE_mcp-auth-gateway");

/// A process that listens on a socket which it was handed, as systemd does it (sd_listen_fds(3)).
struct Activated(Child);

impl Activated {
    fn start(files: &Files, socket: &std::net::TcpListener) -> Self {
        let socket = OwnedFd::from(socket.try_clone().unwrap());
        // the shell puts it at 3, and says for whom it is
        let script =
            "exec 3<&0 </dev/null; export LISTEN_FDS=1 LISTEN_PID=$$; exec \"$0\" run --config \"$1\"";
        let mut child = Command::new("sh")
            .args(["-c", script, GATEWAY])
            .arg(files.config())
            .stdin(Stdio::from(socket))
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let listening = lines.by_ref().any(|line| line.unwrap().contains("\"listening\""));
        assert!(listening, "the gateway did not start");
        // what nobody reads would fill the pipe and stop the gateway
        std::thread::spawn(move || lines.for_each(drop));
        Self(child)
    }

    fn terminate(&self) {
        let kill = Command::new("sh").arg("-c").arg(format!("kill -TERM {}", self.0.id())).status().unwrap();
        assert!(kill.success());
    }

    fn gone(&mut self) {
        let status = self.0.wait().unwrap();
        assert!(status.success(), "{status}");
    }
}

impl Drop for Activated {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Calls one after the other, until told to stop; each must be answered.
async fn call_on(addr: SocketAddr, stop: Arc<AtomicBool>, done: Arc<AtomicUsize>) -> Result<(), String> {
    let client = reqwest::Client::builder().timeout(DEADLINE).build().unwrap();
    while !stop.load(Ordering::Relaxed) {
        let call = client
            .post(format!("http://{addr}/mcp"))
            .header("host", "localhost:3000")
            .header("content-type", "application/json")
            .header("accept", "application/json, text/event-stream")
            .body(r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"open"}}"#)
            .send();
        let response = call.await.map_err(|reason| format!("{reason:?}"))?;
        let status = response.status();
        let text = response.text().await.map_err(|reason| format!("{reason:?}"))?;
        if status != 200 || !text.contains("result") {
            return Err(format!("{status}: {text}"));
        }
        done.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_restarts_under_load_lose_no_request() {
    let upstream = Upstream::plain().await;
    let files = Files::new(POLICY);
    // the socket is not the one of the file
    files.configure(
        "127.0.0.1:1".parse().unwrap(),
        "http://localhost:3000",
        &upstream.url(),
        "workers = 2",
        "",
    );
    let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = socket.local_addr().unwrap();
    let first = Activated::start(&files, &socket);
    let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let calls: Vec<_> =
        (0..16).map(|_| tokio::spawn(call_on(addr, Arc::clone(&stop), Arc::clone(&done)))).collect();
    let more = async |count: usize| {
        let from = done.load(Ordering::Relaxed);
        while done.load(Ordering::Relaxed) < from + count
            && !calls.iter().all(tokio::task::JoinHandle::is_finished)
        {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    more(200).await;
    // one after the other, as a service manager does: whoever comes in between waits
    let (files, socket) = tokio::task::spawn_blocking(move || {
        let mut first = first;
        first.terminate();
        first.gone();
        (files, socket)
    })
    .await
    .unwrap();
    let (second, files, socket) =
        tokio::task::spawn_blocking(move || (Activated::start(&files, &socket), files, socket))
            .await
            .unwrap();
    more(200).await;
    // and side by side
    let third = tokio::task::spawn_blocking(move || {
        let third = Activated::start(&files, &socket);
        let mut second = second;
        second.terminate();
        second.gone();
        (third, files, socket)
    })
    .await
    .unwrap();
    more(200).await;
    stop.store(true, Ordering::Relaxed);
    let failed: Vec<_> = futures_util::future::join_all(calls)
        .await
        .into_iter()
        .filter_map(|call| call.unwrap().err())
        .collect();
    assert!(failed.is_empty(), "{} of 16 callers failed: {}", failed.len(), failed[0]);
    assert!(done.load(Ordering::Relaxed) >= 600);
    assert_eq!(upstream.got().len(), done.load(Ordering::Relaxed), "a request was sent twice");
    drop(third);
}
