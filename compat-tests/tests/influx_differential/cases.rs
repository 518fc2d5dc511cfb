//! What is sent: odd requests made by hand, one at least for each expected difference, and lines with
//! a few bytes changed.

use std::fmt;

use compat_tests::random_lines::Generator;
use compat_tests::rng::now_ms;

/// One request, to a database of its own.
#[derive(Debug, Clone, Default)]
pub(crate) struct Case {
    /// What is written before, by a request that both take.
    pub(crate) before: Option<Vec<u8>>,
    /// Parameters beside `db`.
    pub(crate) params: Vec<(&'static str, &'static str)>,
    /// Headers.
    pub(crate) headers: Vec<(&'static str, &'static str)>,
    /// Lines.
    pub(crate) body: Vec<u8>,
    /// Whether the database is one that nobody made.
    pub(crate) unknown_db: bool,
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cut = &self.body[..self.body.len().min(300)];
        write!(f, "{:?} {:?} {:?}", self.params, self.headers, String::from_utf8_lossy(cut))
    }
}

impl Case {
    fn body(body: impl Into<Vec<u8>>) -> Self {
        Self { body: body.into(), ..Self::default() }
    }

    fn with(body: &str, name: &'static str, value: &'static str) -> Self {
        Self { params: vec![(name, value)], ..Self::body(body) }
    }

    /// A line with a few bytes changed, between two that are good.
    pub(crate) fn mutated(generator: &mut Generator) -> Self {
        let (line, precision) = generator.mutated();
        let mut body = b"before v=1 1\n".to_vec();
        body.extend_from_slice(&line);
        body.extend_from_slice(b"\nafter v=1 2\n");
        Self { params: vec![("precision", precision)], ..Self::body(body) }
    }

    /// The body as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// The cases made by hand.
pub(crate) fn directed() -> Vec<Case> {
    let future = (now_ms() + 86_400_000) * 1_000_000;
    let long = "x".repeat(70_000);
    let many = "bad\n".repeat(12);
    let mut cases: Vec<Case> = [
        "m f=1u 1",
        "m f=18446744073709551615u 1",
        "m f=18446744073709551616u 1",
        "m f=-1u 1",
        "m f=1 1\r\nn f=2 2\r\n",
        "m f=t\r\n",
        "m s=\"a\"\r\n",
        "m,time=3 f=1 1",
        "m time=3 1",
        "m time=3,f=1 1",
        "\tm f=1 1",
        "m f=\"x\"y 1",
        "m f=\"x\"\"y\" 1",
        "m\u{1}x f=1 1",
        "m,t\u{1}=a f=1 1",
        "m f\u{1}=1 1",
        "m,t=a\u{1} f=1 1",
        "# a\tb\nm f=1 1\n",
        "# a=\"\nm f=1 1\n",
        "# a =\"\nm f=1 1\n",
        "m f=\"x 1\nn f=1 1\n",
        "m f=1 \t1",
        "m f=x,s=\"a\nb\" 1",
        "m f=x,g=1x 1x",
        "m,t= f=x 1",
        "m,t== f=1 1",
        "m\\=x f=1 1",
        "m\\\"x f=1 1",
        "m f\\\"x=1 1",
        "m,t\\\"x=1 f=1 1",
        "m\\\\,x f=1 1",
        "m f\\\\=g=1 1",
        "m f=1 1\\\nn f=1 1",
        "m f=1 9223372036854775807",
        "m f=1 -9223372036854775808",
        "m f=1 9223372036854775806",
        "\\#m f=1 1",
        "\u{feff}m f=1 1",
        "",
        "\n\n",
        "\r\n\r\n",
    ]
    .map(Case::body)
    .into();
    cases.extend([
        Case::body(format!("m f=1 1\nm f=1 {future}\n")),
        Case::body(format!("m,t={long} f=1 1\nn f=1 1\n")),
        Case::body(format!("bad{}\n", "y".repeat(400))),
        Case::body(many),
        Case::body(b"m\xff f=1 1".to_vec()),
        Case::body(b"m,t=\xff f=1 1".to_vec()),
        Case::body(b"m s=\"\xff\" 1".to_vec()),
        Case { before: Some(b"m f=1 1".to_vec()), ..Case::body("m f=true 2\nn f=1 2") },
        Case { before: Some(b"m f=1 1".to_vec()), ..Case::body("m f=\"x\" 2\nn f=1 2") },
        Case { before: Some(b"m f=1 1".to_vec()), ..Case::body("m f=2i 2\nbad\nn f=1 2") },
        Case::body("m f=1\nm f=2\nn f=3\nm f=2.5,f=4\n"),
        Case { unknown_db: true, ..Case::body("m f=1 1") },
        Case::with("m f=1 1", "rp", "nope"),
        Case::with("m f=1 1", "rp", "autogen"),
        Case::with("m f=1 1", "rp", ""),
        Case::with("m f=1 1", "consistency", "any"),
        Case::with("m f=1 1", "consistency", "most"),
    ]);
    for precision in ["us", "\u{b5}", "d", "S", "second", "1s", "ns ", "n", "", "u", "m", "h"] {
        cases.push(Case::with("m f=1 1", "precision", precision));
    }
    cases.push(Case::with("m f=1 153722867280912931", "precision", "m"));
    for coding in ["identity", "deflate", "br", "x-gzip", "gzip"] {
        let headers = vec![("Content-Encoding", coding)];
        cases.push(Case { headers, ..Case::body("m f=1 1") });
    }
    cases
}
