//! What an InfluxDB 1 holds, read back by `InfluxQL`, and the samples that its points are here.
//!
//! The rules of the mapping are those of the influx contract, 8.3; [`Rules`] counts how often each
//! was needed, so that a run can say that it met all of them.

use std::collections::BTreeMap;
use std::io;

use serde_json::Value;

use crate::http::{Client, Response, target};
use crate::promql::{Labels, Query};
use crate::rng::now_ms;

/// Length of a range selector.
const REACH_YEARS: i64 = 290;

/// One value of one field of a point.
#[derive(Debug, Clone, PartialEq)]
pub struct Stored {
    /// The measurement.
    pub measurement: String,
    /// Its tags.
    pub tags: Labels,
    /// The field.
    pub field: String,
    /// Its time, ns.
    pub t_ns: i64,
    /// A number, a boolean or a string.
    pub value: Value,
}

/// How often each rule of the mapping was needed.
#[derive(Debug, Default, Clone)]
pub struct Rules {
    /// Strings, which are no samples.
    pub strings: usize,
    /// Booleans, which are 1 or 0.
    pub booleans: usize,
    /// Integers that a float does not hold exactly.
    pub rounded: usize,
    /// Tags called `__name__`, which lose to the metric's name.
    pub name_tags: usize,
    /// Tags called `db`, which win over the database.
    pub db_tags: usize,
    /// Times that are not whole milliseconds.
    pub cut_times: usize,
    /// Points of one series in one millisecond, of which the one written last counts.
    pub collisions: usize,
}

impl Rules {
    /// Each rule: what it says, and how often it was needed.
    pub fn counts(&self) -> [(&'static str, usize); 7] {
        [
            ("strings are no samples", self.strings),
            ("booleans are 1 or 0", self.booleans),
            ("integers are floats", self.rounded),
            ("a tag called __name__ is ignored", self.name_tags),
            ("a tag called db wins over the database", self.db_tags),
            ("times are cut to milliseconds", self.cut_times),
            ("in one millisecond the last write wins", self.collisions),
        ]
    }
}

/// A series and a time, ms.
pub type Key = (Labels, i64);

/// Samples by series and time.
pub type Samples = BTreeMap<Key, f64>;

/// `text` as a quoted `InfluxQL` identifier.
fn identifier(text: &str) -> String {
    let escaped = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    format!("\"{escaped}\"")
}

fn query(client: &mut Client, db: &str, text: &str) -> Result<Value, String> {
    let params = [("db", db), ("epoch", "ns"), ("q", text)];
    let response = client.post_form("/query", &params).map_err(|e| e.to_string())?;
    let json = response.json();
    let result = &json["results"][0];
    if response.status != 200 || !result["error"].is_null() {
        return Err(format!("{text}: {}", response.brief()));
    }
    Ok(result["series"].clone())
}

/// Makes the database `db`.
///
/// # Panics
/// When the peer refuses.
pub fn create(client: &mut Client, db: &str) {
    let done = query(client, "", &format!("CREATE DATABASE {}", identifier(db)));
    done.unwrap_or_else(|e| panic!("{e}"));
}

/// Forgets the database `db`.
///
/// # Panics
/// When the peer refuses.
pub fn drop(client: &mut Client, db: &str) {
    let done = query(client, "", &format!("DROP DATABASE {}", identifier(db)));
    done.unwrap_or_else(|e| panic!("{e}"));
}

/// Writes `body` to the database `db`, with more parameters and headers.
///
/// # Errors
/// When there is no whole answer.
pub fn write(
    client: &mut Client,
    params: &[(&str, &str)],
    headers: &[(&str, &str)],
    body: &[u8],
) -> io::Result<Response> {
    client.send("POST", &target("/write", params), headers, body)
}

/// All points of the database `db`, a field at a time.
///
/// # Errors
/// When the peer does not answer as InfluxDB 1 does.
pub fn points(client: &mut Client, db: &str) -> Result<Vec<Stored>, String> {
    let mut all = Vec::new();
    let series = query(client, db, "SELECT * FROM /.*/ GROUP BY *")?;
    for one in series.as_array().into_iter().flatten() {
        points_of(one, &mut all).ok_or_else(|| format!("the shape of {one}"))?;
    }
    Ok(all)
}

fn points_of(series: &Value, all: &mut Vec<Stored>) -> Option<()> {
    let measurement = series["name"].as_str()?;
    let mut tags = crate::promql::labels(&series["tags"]).unwrap_or_default();
    // Tags that only other series have are listed as empty.
    tags.retain(|_, value| !value.is_empty());
    let columns = series["columns"].as_array()?;
    for row in series["values"].as_array()? {
        let cells = row.as_array()?;
        let t_ns = cells.first()?.as_i64()?;
        for (column, value) in columns.iter().zip(cells).skip(1) {
            if !value.is_null() {
                all.push(Stored {
                    measurement: measurement.to_owned(),
                    tags: tags.clone(),
                    field: column.as_str()?.to_owned(),
                    t_ns,
                    value: value.clone(),
                });
            }
        }
    }
    Some(())
}

/// The series that a field of a point is in, and its time in ms.
pub fn key(db: &str, measurement: &str, tags: &Labels, field: &str, t_ns: i64) -> Key {
    let mut labels = tags.clone();
    labels.remove("__name__");
    labels.entry("db".to_owned()).or_insert_with(|| db.to_owned());
    labels.insert("__name__".to_owned(), format!("{measurement}_{field}"));
    (labels, t_ns.div_euclid(1_000_000))
}

/// The samples that `points` of the database `db` are, by the times that fell in one millisecond.
pub fn samples(
    points: &[Stored],
    db: &str,
    rules: &mut Rules,
) -> BTreeMap<Key, BTreeMap<i64, f64>> {
    let mut samples: BTreeMap<Key, BTreeMap<i64, f64>> = BTreeMap::new();
    for point in points {
        let value = match &point.value {
            Value::Bool(value) => {
                rules.booleans += 1;
                f64::from(u8::from(*value))
            }
            Value::Number(number) => {
                let exact = number.as_i64().is_none_or(|int| int.unsigned_abs() <= 1 << 53);
                rules.rounded += usize::from(!exact);
                number.as_f64().expect("a JSON number is a float")
            }
            _ => {
                rules.strings += 1;
                continue;
            }
        };
        rules.name_tags += usize::from(point.tags.contains_key("__name__"));
        rules.db_tags += usize::from(point.tags.contains_key("db"));
        rules.cut_times += usize::from(point.t_ns % 1_000_000 != 0);
        let key = key(db, &point.measurement, &point.tags, &point.field, point.t_ns);
        let at = samples.entry(key).or_default();
        rules.collisions += usize::from(!at.is_empty());
        at.insert(point.t_ns, value);
    }
    samples
}

/// All samples with the label `db` that the server has, as far back as InfluxDB goes: to 1677.
///
/// # Errors
/// When it does not answer with a matrix.
pub fn stored(client: &mut Client, db: &str) -> Result<Samples, String> {
    let db = serde_json::to_string(db).expect("a string");
    let mut samples = Samples::new();
    // The longest range there is does not reach so far.
    let now = now_ms() + 600_000;
    for end in [now, now - REACH_YEARS * 365 * 86_400_000] {
        let answer = Query::at(&format!("{{db={db}}}[{REACH_YEARS}y]"), end).run(client);
        if answer.status != 200 {
            return Err(format!("{} {}", answer.status, answer.error));
        }
        for series in answer.series() {
            for &(t_ms, value) in &series.floats {
                samples.insert((series.labels.clone(), t_ms), value);
            }
        }
    }
    Ok(samples)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn points_are_mapped_as_the_contract_says() {
        let series = json!({
            "name": "m", "tags": {"a": "1", "b": "", "__name__": "x", "db": "e"},
            "columns": ["time", "f", "s", "t"],
            "values": [[-1, 9_007_199_254_740_993_i64, "text", null], [1_500_000, 2, null, true],
                       [1_600_000, 3, null, null]],
        });
        let mut points = Vec::new();
        assert_eq!(points_of(&series, &mut points), Some(()));
        assert_eq!(points.len(), 5);
        let mut rules = Rules::default();
        let samples = samples(&points, "d", &mut rules);
        let labels = |name: &str| -> Labels {
            [("__name__", name), ("a", "1"), ("db", "e")]
                .map(|(n, v)| (n.to_owned(), v.to_owned()))
                .into()
        };
        let at = |name, t| samples[&(labels(name), t)].values().copied().collect::<Vec<_>>();
        assert_eq!(at("m_f", -1), [9_007_199_254_740_992.0]);
        assert_eq!(at("m_f", 1), [2.0, 3.0]);
        assert_eq!(at("m_t", 1), [1.0]);
        assert!(rules.counts().iter().all(|(_, count)| *count > 0), "{rules:?}");
    }
}
