//! Selectors over the inverted index: a million series of 2000 targets, numbered target by target as
//! scrapes bring them. Times are Criterion's, one thread.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use model::{MatchOp, Matcher};
use roaring::RoaringBitmap;
use tsdb::postings::mem::PostingList;
use tsdb::postings::{Postings, PostingsSource, VisitValue, resolve};

const TARGETS: u32 = 2_000;
const SERIES_PER_TARGET: u32 = 500;
/// Series of a pod.
const POD: u32 = 10;

/// One label name.
#[derive(Default)]
struct Name {
    has: RoaringBitmap,
    values: BTreeMap<String, usize>,
    lists: Vec<PostingList>,
}

impl Name {
    fn list(&mut self, value: String) -> &mut PostingList {
        let next = self.lists.len();
        let id = *self.values.entry(value).or_insert(next);
        if id == next {
            self.lists.push(PostingList::default());
        }
        &mut self.lists[id]
    }
}

struct Index(BTreeMap<&'static str, Name>);

impl Index {
    /// A target has 500 series: 64 of CPU time in eight modes, 109 of network devices, the rest plain metrics
    /// with four series each.
    fn new() -> Self {
        let mut names: BTreeMap<&'static str, Name> = BTreeMap::new();
        for target in 0..TARGETS {
            let first = target * SERIES_PER_TARGET;
            let mut add =
                |name: &'static str, value: String, series: &mut dyn Iterator<Item = u32>| {
                    let name = names.entry(name).or_default();
                    let mut added = Vec::new();
                    let list = name.list(value);
                    for series in series {
                        list.insert(first + series);
                        added.push(first + series);
                    }
                    name.has.extend(added);
                };
            let all = || 0..SERIES_PER_TARGET;
            add("instance", format!("host-{target:04}:9100"), &mut all());
            add("job", format!("job-{:02}", target % 20), &mut all());
            add("namespace", format!("ns-{:02}", target % 37), &mut all());
            add("env", ["production", "staging"][(target % 2) as usize].to_owned(), &mut all());
            add("region", "eu-west-1".to_owned(), &mut all());
            for pod in 0..SERIES_PER_TARGET / POD {
                let value = format!("pod-{:06}", target * (SERIES_PER_TARGET / POD) + pod);
                add("pod", value, &mut (pod * POD..(pod + 1) * POD));
            }
            add("__name__", "node_cpu_seconds_total".to_owned(), &mut (0..64));
            for mode in 0..8 {
                let value = if mode == 0 { "idle".to_owned() } else { format!("mode-{mode}") };
                add("mode", value, &mut (0..8).map(|cpu| cpu * 8 + mode));
            }
            add("__name__", "node_network_bytes_total".to_owned(), &mut (64..173));
            for device in 0..2 {
                let of = (64..173).filter(|series| series % 2 == device);
                add("device", format!("eth{device}"), &mut of.into_iter());
            }
            for (metric, series) in (173..SERIES_PER_TARGET).step_by(4).enumerate() {
                let end = (series + 4).min(SERIES_PER_TARGET);
                add("__name__", format!("app_metric_{metric}"), &mut (series..end));
            }
        }
        Self(names)
    }
}

impl PostingsSource for Index {
    type ValueId = (&'static str, usize);
    type Error = Infallible;

    fn all(&self) -> Result<RoaringBitmap, Infallible> {
        Ok((0..TARGETS * SERIES_PER_TARGET).collect())
    }

    fn for_each_name(
        &self,
        visit: &mut dyn FnMut(&str) -> Result<(), Infallible>,
    ) -> Result<(), Infallible> {
        self.0.keys().try_for_each(|name| visit(name))
    }

    fn has_name(&self, name: &str) -> Result<Postings<'_>, Infallible> {
        let has = self.0.get(name).map(|name| Postings::Bitmap(Cow::Borrowed(&name.has)));
        Ok(has.unwrap_or(Postings::empty()))
    }

    fn value_id(&self, name: &str, value: &str) -> Result<Option<Self::ValueId>, Infallible> {
        let found = self.0.get_key_value(name);
        Ok(found.and_then(|(name, index)| Some((*name, *index.values.get(value)?))))
    }

    fn for_each_value(
        &self,
        name: &str,
        prefix: &str,
        visit: &mut VisitValue<'_, Self::ValueId, Infallible>,
    ) -> Result<(), Infallible> {
        let Some((name, index)) = self.0.get_key_value(name) else { return Ok(()) };
        let from = index.values.range(prefix.to_owned()..);
        let mut of_prefix = from.take_while(|(value, _)| value.starts_with(prefix));
        of_prefix.try_for_each(|(value, id)| visit(value, (*name, *id)))
    }

    fn postings(&self, (name, id): Self::ValueId) -> Result<Postings<'_>, Infallible> {
        Ok(match &self.0[name].lists[id] {
            PostingList::Bitmap(bitmap) => Postings::Bitmap(Cow::Borrowed(bitmap)),
            few => Postings::List(Cow::Borrowed(few.as_slice())),
        })
    }
}

fn matcher(op: MatchOp, name: &str, value: &str) -> Matcher {
    Matcher::new(op, name, value).expect("the expressions here are right")
}

fn bench(c: &mut Criterion) {
    let index = Index::new();
    let equal = |name: &str, value: &str| Matcher::equal(name, value);
    let cpu = || equal("__name__", "node_cpu_seconds_total");
    let some: Vec<String> = (0..256).map(|n| format!("host-{:04}:9100", n * 7)).collect();
    // The number of series is that of the description above, so that a case cannot become empty.
    let cases = [
        ("name & instance", vec![cpu(), equal("instance", "host-0815:9100")], 64),
        ("name & job", vec![equal("__name__", "app_metric_7"), equal("job", "job-03")], 400),
        (
            "name & env & region",
            vec![cpu(), equal("env", "production"), equal("region", "eu-west-1")],
            64_000,
        ),
        (
            "job & namespace & device",
            vec![equal("job", "job-05"), equal("namespace", "ns-05"), equal("device", "eth0")],
            3 * 55,
        ),
        ("env & mode", vec![equal("env", "production"), equal("mode", "idle")], 8_000),
        ("name & mode!=", vec![cpu(), matcher(MatchOp::Ne, "mode", "idle")], 112_000),
        (
            "256 instances & name",
            vec![cpu(), matcher(MatchOp::Re, "instance", &some.join("|"))],
            256 * 64,
        ),
        ("has pod", vec![matcher(MatchOp::Re, "pod", ".+")], 1_000_000),
        ("has mode & job", vec![matcher(MatchOp::Ne, "mode", ""), equal("job", "job-03")], 6_400),
        ("no mode & job", vec![equal("mode", ""), equal("job", "job-03")], 43_600),
        ("prefix of 100 pods", vec![matcher(MatchOp::Re, "pod", "pod-0123.*")], 1_000),
        ("union of 100k pods", vec![matcher(MatchOp::Re, "pod", "pod-.*")], 1_000_000),
        ("regex over 100k pods", vec![matcher(MatchOp::Re, "pod", ".*[0-9]999")], 1_000),
    ];
    let mut group = c.benchmark_group("postings");
    group.sample_size(10).measurement_time(Duration::from_secs(1));
    group.warm_up_time(Duration::from_millis(300));
    for (name, matchers, want) in cases {
        let Ok(found) = resolve::select(&index, &matchers);
        assert_eq!(found.len(), want, "{name}");
        group.bench_function(name, |b| {
            b.iter(|| black_box(resolve::select(&index, black_box(&matchers))));
        });
    }
    group.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);
