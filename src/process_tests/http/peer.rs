//! A server under test and the sockets to it.

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Longer than any shortened limit, shorter than anybody's patience.
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Server {
    child: Child,
    pub(crate) address: SocketAddr,
    pub(crate) dir: std::sync::Arc<tempfile::TempDir>,
}

impl Server {
    pub(crate) fn start(flags: &[&str]) -> Self {
        Self::start_in(std::sync::Arc::new(tempfile::tempdir().unwrap()), flags)
    }

    pub(crate) fn start_in(dir: std::sync::Arc<tempfile::TempDir>, flags: &[&str]) -> Self {
        let server = Self::spawn_in(dir, flags);
        while server.get("/-/ready").status != 200 {
            std::thread::yield_now();
        }
        server
    }

    /// As [`Server::start_in`] without waiting for the replay.
    pub(crate) fn spawn_in(dir: std::sync::Arc<tempfile::TempDir>, flags: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_silverback"))
            .arg("--bind=127.0.0.1:0")
            .arg("--data-dir")
            .arg(dir.path().join("data"))
            .args(flags)
            .env_remove("SILVERBACK_CONFIG")
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap());
        let mut seen = String::new();
        let address = loop {
            let mut line = String::new();
            assert!(lines.read_line(&mut line).unwrap() > 0, "the server ended: {seen}");
            seen.push_str(&line);
            if let Some((_, rest)) = line.split_once("address=") {
                break rest.split_whitespace().next().unwrap().parse().unwrap();
            }
        };
        // Drained, so that the server never blocks on its log.
        std::thread::spawn(move || lines.lines().map_while(Result::ok).for_each(drop));
        Self { child, address, dir }
    }

    /// A server in the directory of this one, which has ended.
    pub(crate) fn start_again(&self) -> Self {
        Self::start_in(self.dir.clone(), &[])
    }

    /// Ends this server in order and starts another one in its directory.
    pub(crate) fn restart(mut self, flags: &[&str]) -> Self {
        self.stop();
        Self::start_in(self.dir.clone(), flags)
    }

    /// Ends this server in order.
    pub(crate) fn stop(&mut self) {
        let done = Command::new("kill").arg(self.pid().to_string()).status();
        assert!(done.unwrap().success() && self.wait().success());
    }

    /// Waits until `is_so`.
    pub(crate) fn wait_until(&self, what: &str, is_so: impl Fn(&Self) -> bool) {
        let began = std::time::Instant::now();
        while !is_so(self) {
            assert!(began.elapsed() < 3 * PATIENCE, "not in time: {what}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    pub(crate) fn connect(&self) -> Peer {
        Peer::connect(self.address)
    }

    pub(crate) fn get(&self, target: &str) -> Answer {
        self.request("GET", target, &[], b"")
    }

    pub(crate) fn post(&self, target: &str, headers: &[&str], body: &[u8]) -> Answer {
        self.request("POST", target, headers, body)
    }

    pub(crate) fn form(&self, target: &str, body: &str) -> Answer {
        self.post(target, &["Content-Type: application/x-www-form-urlencoded"], body.as_bytes())
    }

    pub(crate) fn request(
        &self,
        method: &str,
        target: &str,
        headers: &[&str],
        body: &[u8],
    ) -> Answer {
        let mut peer = self.connect();
        peer.send_request(method, target, headers, body);
        peer.answer_to(method)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Ends the process without a warning.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits for the end of the process.
    pub(crate) fn wait(&mut self) -> std::process::ExitStatus {
        self.child.wait().unwrap()
    }

    pub(crate) fn metric(&self, line_start: &str) -> Option<f64> {
        let metrics = self.get("/metrics").text();
        let line = metrics.lines().find(|line| line.starts_with(line_start))?.to_owned();
        line.rsplit(' ').next()?.parse().ok()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) struct Peer {
    pub(crate) stream: TcpStream,
    seen: Vec<u8>,
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&self.body)))
    }
}

impl Peer {
    pub(crate) fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Self { stream, seen: Vec::new() }
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    pub(crate) fn send_request(
        &mut self,
        method: &str,
        target: &str,
        headers: &[&str],
        body: &[u8],
    ) {
        let mut head = format!("{method} {target} HTTP/1.1\r\nHost: test\r\n");
        for header in headers {
            head.push_str(header);
            head.push_str("\r\n");
        }
        if method == "POST" || method == "PUT" || !body.is_empty() {
            let _ = write!(head, "Content-Length: {}\r\n", body.len());
        }
        head.push_str("\r\n");
        self.send(&[head.as_bytes(), body].concat());
    }

    /// The next answer.
    pub(crate) fn answer(&mut self) -> Answer {
        self.answer_to("GET")
    }

    pub(crate) fn answer_to(&mut self, method: &str) -> Answer {
        let end = loop {
            if let Some(end) = self.seen.windows(4).position(|w| w == b"\r\n\r\n") {
                break end;
            }
            assert!(
                self.read_more(),
                "closed before an answer: {:?}",
                String::from_utf8_lossy(&self.seen)
            );
        };
        let head = String::from_utf8(self.seen[..end].to_vec()).unwrap();
        self.seen.drain(..end + 4);
        let mut lines = head.split("\r\n");
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers: Vec<(String, String)> = lines
            .map(|line| line.split_once(':').unwrap())
            .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
            .collect();
        let mut answer = Answer { status, headers, body: Vec::new() };
        if status == 100 {
            return answer;
        }
        let len = answer.header("content-length").map_or(0, |n| n.parse().unwrap());
        let len = if method == "HEAD" { 0 } else { len };
        while self.seen.len() < len {
            assert!(self.read_more(), "closed inside a body");
        }
        answer.body = self.seen.drain(..len).collect();
        answer
    }

    fn read_more(&mut self) -> bool {
        let mut buf = [0; 4096];
        let n = self.stream.read(&mut buf).unwrap();
        self.seen.extend_from_slice(&buf[..n]);
        n > 0
    }

    /// Whether the server answers on this connection, or closes it.
    pub(crate) fn is_served(&mut self) -> bool {
        let sent = self.stream.write_all(b"GET /-/healthy HTTP/1.1\r\nHost: a\r\n\r\n");
        if sent.is_err() || self.is_closed() {
            return false;
        }
        // One byte of the answer went into finding out.
        self.seen.insert(0, b'H');
        self.answer().status == 200
    }

    /// Whether the server closes the connection without another byte.
    pub(crate) fn is_closed(&mut self) -> bool {
        if !self.seen.is_empty() {
            return false;
        }
        match self.stream.read(&mut [0; 1]) {
            Ok(n) => n == 0,
            Err(e) => e.kind() == std::io::ErrorKind::ConnectionReset,
        }
    }
}
