//! A small HTTP/1.1 client: one connection, every byte under the test's control.
//!
//! General clients follow redirects, retry, decode and refuse odd requests; a test of what a server
//! answers to odd requests wants none of that.

use std::fmt::Write as _;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

/// Longest wait for a byte of an answer.
const READ_TIMEOUT: Duration = Duration::from_mins(1);

/// An answer.
#[derive(Debug, Clone, Default)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// Names in lower case, in the order of the answer.
    pub headers: Vec<(String, String)>,
    /// The body as sent, without its transfer encoding.
    pub body: Vec<u8>,
}

impl Response {
    /// The first header called `name` (lower case).
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON; null when it is not.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    /// One line for messages.
    pub fn brief(&self) -> String {
        let text = self.text();
        let cut: String = text.chars().take(300).collect();
        format!("{} {:?}", self.status, cut)
    }
}

/// A client of one server, with at most one open connection.
#[derive(Debug)]
pub struct Client {
    address: SocketAddr,
    connection: Option<BufReader<TcpStream>>,
}

impl Client {
    /// A client that connects when it is first used.
    pub fn new(address: SocketAddr) -> Self {
        Self { address, connection: None }
    }

    /// Whether the last answer left the connection open.
    pub fn is_connected(&self) -> bool {
        self.connection.is_some()
    }

    /// Sends a request and reads the answer. `Host` and `Content-Length` are added unless `headers`
    /// name them or a `Transfer-Encoding`. A GET on a connection that the server had closed is sent again.
    ///
    /// # Errors
    /// When there is no whole answer. The connection is closed then.
    pub fn send(
        &mut self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> io::Result<Response> {
        let reused = self.connection.is_some();
        let first = self.send_once(method, target, headers, body);
        if first.is_err() && reused && method == "GET" {
            return self.send_once(method, target, headers, body);
        }
        first
    }

    fn send_once(
        &mut self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> io::Result<Response> {
        let has = |name: &str| headers.iter().any(|(n, _)| n.eq_ignore_ascii_case(name));
        let mut head = format!("{method} {target} HTTP/1.1\r\n");
        if !has("host") {
            let _ = write!(head, "Host: {}\r\n", self.address);
        }
        if !has("content-length")
            && !has("transfer-encoding")
            && (!body.is_empty() || !matches!(method, "GET" | "HEAD" | "OPTIONS"))
        {
            let _ = write!(head, "Content-Length: {}\r\n", body.len());
        }
        for (name, value) in headers {
            let _ = write!(head, "{name}: {value}\r\n");
        }
        head.push_str("\r\n");
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => connect(self.address)?,
        };
        let mut bytes = head.into_bytes();
        bytes.extend_from_slice(body);
        // A server may answer and close before it read everything (413): its answer still counts.
        let written = connection.get_mut().write_all(&bytes);
        let response = match read_response(&mut connection, method == "HEAD") {
            Ok(response) => response,
            Err(error) => return Err(written.err().unwrap_or(error)),
        };
        let closes = response.header("connection").is_some_and(|v| v.eq_ignore_ascii_case("close"));
        let framed = response.header("content-length").is_some()
            || response.header("transfer-encoding").is_some()
            || matches!(response.status, 204 | 304);
        if written.is_ok() && !closes && (framed || method == "HEAD") {
            self.connection = Some(connection);
        }
        Ok(response)
    }

    /// GET `path` with `params`.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub fn get(&mut self, path: &str, params: &[(&str, &str)]) -> io::Result<Response> {
        self.send("GET", &target(path, params), &[], b"")
    }

    /// POST `path` with `params` as a form.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub fn post_form(&mut self, path: &str, params: &[(&str, &str)]) -> io::Result<Response> {
        let kind = [("Content-Type", "application/x-www-form-urlencoded")];
        self.send("POST", path, &kind, form(params).as_bytes())
    }

    /// POST `body` to `target`.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub fn post(&mut self, target: &str, body: &[u8]) -> io::Result<Response> {
        self.send("POST", target, &[], body)
    }
}

fn connect(address: SocketAddr) -> io::Result<BufReader<TcpStream>> {
    let stream = TcpStream::connect_timeout(&address, Duration::from_secs(5))?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(READ_TIMEOUT))?;
    stream.set_write_timeout(Some(READ_TIMEOUT))?;
    Ok(BufReader::with_capacity(1 << 16, stream))
}

fn bad(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

fn read_line(reader: &mut impl BufRead) -> io::Result<String> {
    let mut line = Vec::new();
    reader.read_until(b'\n', &mut line)?;
    if line.pop() != Some(b'\n') {
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "connection closed in an answer"));
    }
    if line.last() == Some(&b'\r') {
        line.pop();
    }
    Ok(String::from_utf8_lossy(&line).into_owned())
}

/// Reads one answer, past interim ones.
///
/// # Errors
/// When the connection ends or what comes is not HTTP.
pub fn read_response(reader: &mut impl BufRead, head_only: bool) -> io::Result<Response> {
    let (status, headers) = loop {
        let line = read_line(reader)?;
        let status = line.split(' ').nth(1).and_then(|code| code.parse::<u16>().ok());
        let status = status.filter(|_| line.starts_with("HTTP/1.")).ok_or_else(|| bad(&line))?;
        let mut headers = Vec::new();
        loop {
            let line = read_line(reader)?;
            if line.is_empty() {
                break;
            }
            let (name, value) = line.split_once(':').ok_or_else(|| bad(&line))?;
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        if status >= 200 {
            break (status, headers);
        }
    };
    let mut response = Response { status, headers, body: Vec::new() };
    if head_only || matches!(status, 204 | 304) {
        return Ok(response);
    }
    let chunked = response.header("transfer-encoding").is_some_and(|v| v.contains("chunked"));
    if chunked {
        loop {
            let line = read_line(reader)?;
            let size = line.split(';').next().unwrap_or_default().trim();
            let size = u64::from_str_radix(size, 16).map_err(|_| bad("chunk size"))?;
            let before = response.body.len() as u64;
            reader.take(size).read_to_end(&mut response.body)?;
            if response.body.len() as u64 - before != size {
                return Err(bad("chunk cut short"));
            }
            read_line(reader)?;
            if size == 0 {
                return Ok(response);
            }
        }
    }
    match response.header("content-length").map(str::parse::<u64>) {
        Some(Ok(length)) => {
            reader.take(length).read_to_end(&mut response.body)?;
            if response.body.len() as u64 != length {
                return Err(bad("body cut short"));
            }
        }
        Some(Err(_)) => return Err(bad("content-length")),
        None => {
            reader.read_to_end(&mut response.body)?;
        }
    }
    Ok(response)
}

/// What a server did with raw bytes.
#[derive(Debug)]
pub struct Exchange {
    /// The answers, in order.
    pub answers: Vec<Response>,
    /// Whether the server closed the connection.
    pub closed: bool,
}

/// Sends `bytes` as they are and reads until the server closes or is silent for `silence`.
///
/// # Errors
/// When the server cannot be reached.
pub fn exchange(address: SocketAddr, bytes: &[u8], silence: Duration) -> io::Result<Exchange> {
    let mut reader = connect(address)?;
    reader.get_ref().set_read_timeout(Some(silence))?;
    // The server may refuse before it has read everything.
    let _ = reader.get_mut().write_all(bytes);
    let mut answers = Vec::new();
    loop {
        match reader.fill_buf() {
            Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                return Ok(Exchange { answers, closed: false });
            }
            Ok([]) | Err(_) => return Ok(Exchange { answers, closed: true }),
            Ok(_) => match read_response(&mut reader, false) {
                Ok(response) => answers.push(response),
                Err(_) => return Ok(Exchange { answers, closed: true }),
            },
        }
    }
}

/// `params` as a query string or form.
pub fn form(params: &[(&str, &str)]) -> String {
    let pair = |(name, value): &(&str, &str)| format!("{}={}", encode(name), encode(value));
    params.iter().map(pair).collect::<Vec<_>>().join("&")
}

/// `path` with `params` behind a question mark.
pub fn target(path: &str, params: &[(&str, &str)]) -> String {
    if params.is_empty() { path.to_owned() } else { format!("{path}?{}", form(params)) }
}

/// `text` percent-encoded.
pub fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

/// `body` in one chunk of the chunked transfer encoding.
pub fn chunked(body: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(body.len() + 32);
    if !body.is_empty() {
        out.extend_from_slice(format!("{:x}\r\n", body.len()).as_bytes());
        out.extend_from_slice(body);
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"0\r\n\r\n");
    out
}

/// `body` as one gzip member.
pub fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(body).expect("a Vec takes all");
    encoder.finish().expect("a Vec takes all")
}

/// What the gzip members in `body` hold.
///
/// # Errors
/// When it is not gzip.
pub fn gunzip(body: &[u8]) -> io::Result<Vec<u8>> {
    let mut out = Vec::new();
    flate2::read::MultiGzDecoder::new(body).read_to_end(&mut out)?;
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_framed_chunked_and_interim_answers() {
        let bytes = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab\
            HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n1;x\r\nd\r\n0\r\n\r\n\
            HTTP/1.1 204 No\r\nX-A: b\r\n\r\n";
        let mut reader = &bytes[..];
        let bodies: Vec<(u16, String)> = (0..3)
            .map(|_| read_response(&mut reader, false).expect("an answer"))
            .map(|r| (r.status, r.text()))
            .collect();
        let want = [(200, "ab"), (200, "abcd"), (204, "")].map(|(s, b)| (s, b.to_owned()));
        assert_eq!(bodies, want);
        assert!(read_response(&mut reader, false).is_err());
    }

    #[test]
    fn a_cut_answer_is_an_error() {
        for cut in ["HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab", "HTTP/1.1 20", "nonsense\r\n"]
        {
            assert!(read_response(&mut cut.as_bytes(), false).is_err(), "{cut}");
        }
    }
}
