//! The load, and whether a server holds all of it.

use std::sync::Barrier;

use compat_tests::fleet::{Fleet, Protocol, STEP_MS, Source};
use compat_tests::http::{Client, Response, form};
use compat_tests::promql::{Answer, Query, seconds};
use compat_tests::remote_write;
use compat_tests::rng::Rng;

/// Samples of a request.
pub(crate) const BATCH: usize = 2_000;
/// Series whose samples are all compared with what was sent.
const CHECKED_SERIES: usize = 60;
/// Scrapes between two meetings of the connections, so that none runs ahead by more than servers take.
const MEETING: usize = 40;

/// What every target is sent.
#[derive(Debug, Clone)]
pub(crate) struct Load {
    /// Where values come from.
    pub(crate) source: Source,
    /// Picks the series that are checked.
    pub(crate) seed: u64,
    /// Hosts of the fleet.
    pub(crate) hosts: usize,
    /// Samples of each series.
    pub(crate) scrapes: usize,
    /// Connections that send at once.
    pub(crate) connections: usize,
    /// Behind the last sample.
    pub(crate) end_ms: i64,
    /// The metrics of generated hosts that are sent; all where empty.
    pub(crate) metrics: &'static [&'static str],
}

impl Load {
    /// Time from the first scrape to `end_ms`.
    pub(crate) fn length_ms(&self) -> i64 {
        i64::try_from(self.scrapes).expect("few scrapes") * STEP_MS
    }

    /// Series of the fleet.
    pub(crate) fn num_series(&self) -> usize {
        let of_a_host = match self.metrics {
            [] => self.source.series_per_host(),
            _ => self.fleet(0, 1).num_series(),
        };
        self.hosts * of_a_host
    }

    /// Samples of the load.
    pub(crate) fn num_samples(&self) -> usize {
        self.num_series() * self.scrapes
    }

    fn fleet(&self, first: usize, num_hosts: usize) -> Fleet {
        let fleet = Fleet::new(&self.source, first, num_hosts, self.end_ms - self.length_ms());
        if self.metrics.is_empty() { fleet } else { fleet.only(self.metrics) }
    }

    /// Sends everything; each connection has hosts of its own.
    pub(crate) fn send(&self, client: impl Fn() -> Client, protocol: Protocol) {
        let share = self.hosts.div_ceil(self.connections);
        let firsts: Vec<usize> = (0..self.hosts).step_by(share).collect();
        let meeting = Barrier::new(firsts.len());
        std::thread::scope(|scope| {
            for first in firsts {
                let mut fleet = self.fleet(first, share.min(self.hosts - first));
                let (mut client, meeting) = (client(), &meeting);
                scope.spawn(move || {
                    for scrape in 0..self.scrapes {
                        if scrape % MEETING == 0 {
                            meeting.wait();
                        }
                        fleet.scrape();
                        send(&fleet, protocol, &mut client);
                    }
                });
            }
        });
    }

    /// Compares the server's samples with those sent: the number of all, and each sample of random series.
    ///
    /// # Errors
    /// How many differ, and the first that does.
    pub(crate) fn verify(&self, client: &mut Client, protocol: Protocol) -> Result<String, String> {
        let range = seconds(self.length_ms() + 1_000);
        // A metric at a time, because the function takes the names away. The label keeps out what a
        // server says about itself.
        let mut count = 0.0;
        for name in self.fleet(0, 1).names(protocol) {
            let all = format!("sum(count_over_time({name}{{instance=~\"host-.*\"}}[{range}s]))");
            let answer = Query::at(&all, self.end_ms).run(client);
            count += answer.single().ok_or_else(|| format!("no {name}: {}", answer.error))?;
        }
        #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
        let want = self.num_samples() as f64;
        if (count - want).abs() > 0.5 {
            return Err(format!("{count} samples, want {want}"));
        }
        let mut rng = Rng::new(self.seed);
        let (mut exact, mut near, mut first_difference) = (0, 0, None);
        for _ in 0..CHECKED_SERIES {
            let host = usize::try_from(rng.below(self.hosts as u64)).expect("a host");
            let series = rng.below(self.source.series_per_host() as u64);
            let series = usize::try_from(series).expect("a series");
            let mut fleet = self.fleet(host, 1);
            let mut want = Vec::with_capacity(self.scrapes);
            for _ in 0..self.scrapes {
                fleet.scrape();
                want.push(fleet.sample(0, series));
            }
            let selector = fleet.selector(0, series, protocol);
            let answer = Query::at(&format!("{selector}[{range}s]"), self.end_ms).run(client);
            let [got] = answer.series() else {
                return Err(format!("{} series for {selector}", answer.series().len()));
            };
            if got.floats.len() != want.len() {
                return Err(format!("{} samples of {selector}", got.floats.len()));
            }
            for (got, want) in got.floats.iter().zip(&want) {
                if got.0 == want.0 && got.1.to_bits() == want.1.to_bits() {
                    exact += 1;
                } else {
                    let close = (got.1 - want.1).abs() <= 1e-9 * want.1.abs();
                    near += usize::from(got.0 == want.0 && close);
                    first_difference.get_or_insert_with(|| format!("{got:?}, want {want:?}"));
                }
            }
        }
        let checked = CHECKED_SERIES * self.scrapes;
        match first_difference {
            None => Ok(format!("all {want} there, {checked} of {checked} equal in every bit")),
            Some(first) => {
                Err(format!("{exact} of {checked} equal in every bit, {near} nearly: {first}"))
            }
        }
    }
}

fn send(fleet: &Fleet, protocol: Protocol, client: &mut Client) {
    let note = |answer: std::io::Result<Response>| {
        let answer = answer.expect("the server answers");
        assert_eq!(answer.status, 204, "{}", answer.brief());
    };
    match protocol {
        Protocol::RemoteWrite => fleet.remote_write(BATCH, |body, _| {
            note(remote_write::send(client, &remote_write::compress(body)));
        }),
        Protocol::Lines => fleet.lines(BATCH, |body, _| {
            note(client.post("/write?db=fleet", body.as_bytes()));
        }),
    }
}

/// The answer to `query` past the caches of responses; `None` while the server does not answer with 200.
pub(crate) fn ask(client: &mut Client, query: &Query) -> Option<Response> {
    use compat_tests::promql::When;
    let (path, mut params) = match query.when {
        When::At(t_ms) => ("/api/v1/query", vec![("time", seconds(t_ms))]),
        When::Range(start, end, step) => (
            "/api/v1/query_range",
            vec![("start", seconds(start)), ("end", seconds(end)), ("step", seconds(step))],
        ),
    };
    params.extend([("query", query.expr.clone()), ("nocache", "1".to_owned())]);
    let params: Vec<(&str, &str)> = params.iter().map(|(name, v)| (*name, v.as_str())).collect();
    let kind = [("Content-Type", "application/x-www-form-urlencoded")];
    let answer = client.send("POST", path, &kind, form(&params).as_bytes()).ok()?;
    (answer.status == 200).then_some(answer)
}

/// `response` without the label of the database, which only line protocol gives.
pub(crate) fn plain(response: &Response) -> Answer {
    use compat_tests::promql::Data;
    let mut answer = Answer::parse(response).unwrap_or_else(|why| panic!("{why}"));
    if let Data::Vector(all) | Data::Matrix(all) = &mut answer.data {
        for series in all {
            series.labels.remove("db");
        }
    }
    answer
}
