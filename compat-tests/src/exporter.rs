//! A scrape target of the tests: metrics of every shape, some of which come and go.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A running target; stops when dropped.
#[derive(Debug)]
pub struct Exporter {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
}

impl Exporter {
    /// Starts a target on a free port.
    ///
    /// # Panics
    /// When no port is free.
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        std::thread::spawn(move || {
            for (scrape, stream) in (0_u64..).zip(listener.incoming()) {
                if stopped.load(Ordering::Relaxed) {
                    return;
                }
                let Ok(mut stream) = stream else { continue };
                let mut request = BufReader::new(&stream).lines();
                while request.next().is_some_and(|line| line.is_ok_and(|l| !l.is_empty())) {}
                let body = page(scrape);
                let head = format!(
                    "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\n\
                     Content-Length: {}\r\nConnection: close\r\n\r\n",
                    body.len()
                );
                let _ = stream.write_all(head.as_bytes());
                let _ = stream.write_all(body.as_bytes());
            }
        });
        Self { address, stop }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // Wakes the thread, which then sees the flag.
        let _ = std::net::TcpStream::connect(self.address);
    }
}

/// The page of the n-th scrape. A pure function, so that a failure can be worked out by hand.
fn page(n: u64) -> String {
    let mut out = String::new();
    // Counters: one that is reset every 17 scrapes, one that idles, one past 2^53.
    let _ = writeln!(out, "# TYPE t_requests_total counter");
    for (code, share) in [("200", 7), ("404", 2), ("500", 1)] {
        let _ = writeln!(out, "t_requests_total{{code=\"{code}\"}} {}", (n % 17) * share);
    }
    let _ = writeln!(out, "t_idle_total 12\nt_big_total {}", 9_007_199_254_740_992 + n * 3);
    // Gauges: special values (not -0, which Prometheus's sender writes as 0), and one that jumps about.
    let special = ["NaN", "+Inf", "-Inf", "0", "5e-324", "1.7976931348623157e+308", "0.1"];
    let index = usize::try_from(n).unwrap_or(0) % special.len();
    let _ = writeln!(out, "t_special {}", special[index]);
    let _ = writeln!(out, "t_gauge{{host=\"a\"}} {}", (n * 7919) % 101);
    let _ = writeln!(out, "t_gauge{{host=\"b\"}} -{}.25", (n * 104_729) % 53);
    // A series that is there for five scrapes of ten: each end is a stale marker.
    if n % 10 < 5 {
        let _ = writeln!(out, "t_comes_and_goes{{n=\"odd ones \\\"out\\\"\"}} {n}");
    }
    // A new series every eight scrapes.
    let _ = writeln!(out, "t_churn{{generation=\"{}\"}} 1", n / 8);
    // A classic histogram.
    let _ = writeln!(out, "# TYPE t_latency_seconds histogram");
    let mut count = 0;
    for (bound, share) in [("0.1", 3), ("0.5", 5), ("1", 2), ("+Inf", 1)] {
        count += n * share;
        let _ = writeln!(out, "t_latency_seconds_bucket{{le=\"{bound}\"}} {count}");
    }
    let _ = writeln!(out, "t_latency_seconds_sum {}.5\nt_latency_seconds_count {count}", n * 4);
    // Names of the new kind, and text that has to be escaped everywhere.
    let _ = writeln!(out, "{{\"t.dotted/name\",\"label.one\"=\"über\\\\ \\n<&>\"}} {n}");
    out
}
