//! `/query`: the statements that writers send before they write. Reads in `InfluxQL` are answered
//! with an error in their result, which clients show.

use std::collections::BTreeSet;

use model::{NamesRequest, Queryable};
use std::sync::Arc;
use tsdb::Db;
use tsdb::append::{AppendBatch, AppendPolicy, DuplicatePolicy};

use crate::blocking::Deadline;
use crate::http::Context;
use crate::http::error::Failure;
use crate::http::json::Json;
use crate::http::params::Params;
use crate::http::prom_write::ingest_failure;
use crate::http::reply::Reply;

/// Longest text and most statements of a request.
const MAX_TEXT_BYTES: usize = 1 << 20;
const MAX_STATEMENTS: usize = 1000;

/// The first words of statements.
const VERBS: [&str; 12] = [
    "SELECT", "DELETE", "SHOW", "CREATE", "DROP", "EXPLAIN", "GRANT", "REVOKE", "ALTER", "SET",
    "KILL", "INSERT",
];

/// A statement that is understood.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Statement {
    CreateDatabase(String),
    ShowDatabases,
    ShowRetentionPolicies,
    /// Succeeds and changes nothing: there are no retention policies.
    RetentionPolicy,
    /// Fails with this text.
    Unsupported(String),
}

/// Answers `/query`.
pub(in crate::http) async fn query(cx: &Context, params: &Params) -> Result<Reply, Failure> {
    let text = params.get("q");
    if text.trim().is_empty() {
        return Err(Failure::BadData("missing required parameter \"q\"".to_owned()));
    }
    let statements = parse(text).map_err(Failure::BadData)?;
    let db = cx.database()?;
    let db_label = cx.config.influx_db_label.clone();
    let deadline = Deadline::new(cx.config.metadata_timeout.duration());
    let interrupt: Arc<dyn model::Interrupt> = deadline.flag();
    let permit = cx.app.writes.enter(0).await?;
    let call = cx.app.writes.run(permit, move || {
        let names =
            NamesRequest { matchers: Vec::new(), mint: i64::MIN, maxt: i64::MAX, interrupt };
        run(&db, &statements, |db| databases(db, &db_label, &names))
    });
    Ok(Reply::json(deadline.over(call).await??))
}

fn run(
    db: &Db,
    statements: &[Statement],
    databases: impl Fn(&Db) -> Result<Vec<String>, Failure>,
) -> Result<Vec<u8>, Failure> {
    let mut json = Json::default();
    if statements.is_empty() {
        return Ok(b"{}\n".to_vec());
    }
    json.raw("{\"results\":[");
    let mut failed = false;
    for (id, statement) in statements.iter().enumerate() {
        json.raw(if id > 0 { ",{\"statement_id\":" } else { "{\"statement_id\":" }).int(id);
        match statement {
            _ if failed => {
                json.raw(",\"error\":\"not executed\"");
            }
            Statement::CreateDatabase(name) => create(db, name)?,
            Statement::ShowDatabases => {
                json.raw(",\"series\":[{\"name\":\"databases\",\"columns\":[\"name\"],\"values\":");
                json.list(databases(db)?, |json, name| {
                    json.raw("[").string(&name).raw("]");
                });
                json.raw("}]");
            }
            Statement::ShowRetentionPolicies => {
                json.raw(
                    ",\"series\":[{\"columns\":[\"name\",\"duration\",\"shardGroupDuration\",\
                     \"replicaN\",\"default\"],\"values\":[[\"autogen\",\"0s\",\"168h0m0s\",1,true]]}]",
                );
            }
            Statement::RetentionPolicy => {}
            Statement::Unsupported(why) => {
                failed = true;
                json.raw(",\"error\":").string(why);
            }
        }
        json.raw("}");
    }
    json.raw("]}\n");
    Ok(json.into_bytes())
}

fn create(db: &Db, name: &str) -> Result<(), Failure> {
    let batch = AppendBatch { databases: vec![name.to_owned()], ..AppendBatch::default() };
    let policy = AppendPolicy {
        duplicates: DuplicatePolicy::Overwrite,
        min_time_ms: i64::MIN,
        max_time_ms: i64::MAX,
        wal_mode: None,
    };
    let stored = db.append(&batch, &policy, &mut |_| Err(String::new()));
    stored.map(drop).map_err(|e| ingest_failure(&e.into()))
}

/// The databases that were created, those that lines were written to, and the one that InfluxDB
/// always has.
fn databases(db: &Db, label: &str, names: &NamesRequest) -> Result<Vec<String>, Failure> {
    let mut all: BTreeSet<String> = db.databases().into_iter().collect();
    if !label.is_empty() {
        let seen = db.label_values(label, names).map_err(|e| Failure::Internal(e.to_string()))?;
        all.extend(seen);
    }
    all.insert("_internal".to_owned());
    Ok(all.into_iter().collect())
}

/// Splits and recognises statements.
fn parse(text: &str) -> Result<Vec<Statement>, String> {
    if text.len() > MAX_TEXT_BYTES {
        return Err(format!(
            "error parsing query: text is {} bytes, limit {MAX_TEXT_BYTES}",
            text.len()
        ));
    }
    let mut statements = Vec::new();
    for words in split(text) {
        if statements.len() == MAX_STATEMENTS {
            return Err(format!("error parsing query: more than {MAX_STATEMENTS} statements"));
        }
        statements.push(recognise(&words)?);
    }
    Ok(statements)
}

/// A word of a statement: a quoted one is a name even where it spells a keyword.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Word {
    text: String,
    quoted: bool,
}

impl Word {
    fn is(&self, keyword: &str) -> bool {
        !self.quoted && self.text.eq_ignore_ascii_case(keyword)
    }
}

/// The words of each statement; comments are left out, empty statements too.
fn split(text: &str) -> Vec<Vec<Word>> {
    let mut statements = vec![Vec::new()];
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let after = &rest[c.len_utf8()..];
        if let Some(comment) = rest.strip_prefix("--") {
            rest = comment.split_once('\n').map_or("", |(_, after)| after);
            continue;
        }
        if let Some(comment) = rest.strip_prefix("/*") {
            rest = comment.split_once("*/").map_or("", |(_, after)| after);
            continue;
        }
        let word = match c {
            ';' => {
                statements.push(Vec::new());
                rest = after;
                continue;
            }
            c if c.is_whitespace() => {
                rest = after;
                continue;
            }
            '"' | '\'' => {
                let (text, after) = quoted(after, c);
                rest = after;
                Word { text, quoted: true }
            }
            _ => {
                let ends = |c: char| c.is_whitespace() || ";\"'".contains(c);
                let end = rest.find(ends).unwrap_or(rest.len());
                let (text, after) = rest.split_at(end);
                rest = after;
                Word { text: text.to_owned(), quoted: false }
            }
        };
        if let Some(statement) = statements.last_mut() {
            statement.push(word);
        }
    }
    statements.retain(|words| !words.is_empty());
    statements
}

/// The text up to the closing quote, and what is behind it.
fn quoted(text: &str, quote: char) -> (String, &str) {
    let mut out = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        if c == quote {
            return (out, &text[at + 1..]);
        }
        match (c, chars.clone().next()) {
            ('\\', Some((_, next))) if next == quote || next == '\\' => {
                out.push(next);
                chars.next();
            }
            _ => out.push(c),
        }
    }
    (out, "")
}

fn recognise(words: &[Word]) -> Result<Statement, String> {
    let first = words.first().filter(|word| VERBS.iter().any(|verb| word.is(verb)));
    if first.is_none() {
        let found = words.first().map_or("EOF", |word| word.text.as_str());
        let verbs = VERBS[..VERBS.len() - 1].join(", ");
        return Err(format!(
            "error parsing query: found {}, expected {verbs} at line 1, char 1",
            crate::text::cut(found, 100)
        ));
    }
    let starts = |keywords: &[&str]| {
        words.len() >= keywords.len()
            && words.iter().zip(keywords).all(|(word, keyword)| word.is(keyword))
    };
    Ok(if starts(&["CREATE", "DATABASE"]) {
        match words.get(2) {
            None => {
                return Err(
                    "error parsing query: found EOF, expected identifier at line 1, char 17"
                        .to_owned(),
                );
            }
            Some(name) if is_name(&name.text) => Statement::CreateDatabase(name.text.clone()),
            Some(_) => Statement::Unsupported("invalid name".to_owned()),
        }
    } else if starts(&["SHOW", "DATABASES"]) {
        Statement::ShowDatabases
    } else if starts(&["SHOW", "RETENTION", "POLICIES"]) {
        Statement::ShowRetentionPolicies
    } else if ["CREATE", "ALTER", "DROP"].iter().any(|verb| starts(&[verb, "RETENTION", "POLICY"]))
    {
        Statement::RetentionPolicy
    } else if starts(&["DROP", "DATABASE"]) {
        Statement::Unsupported("DROP DATABASE is not supported".to_owned())
    } else {
        let shown: Vec<&str> = words.iter().take(2).map(|word| word.text.as_str()).collect();
        let shown = shown.join(" ").to_uppercase();
        let shown = if starts(&["SELECT"]) { "SELECT" } else { crate::text::cut(&shown, 64) };
        Statement::Unsupported(format!("{shown} is not supported, query with PromQL"))
    })
}

/// Whether a database may be called so, by the rules of InfluxDB and of labels.
fn is_name(name: &str) -> bool {
    (1..=255).contains(&name.len())
        && name != "."
        && name != ".."
        && !name.contains(['/', '\\'])
        && !name.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(text: &str) -> Statement {
        let statements = parse(text).unwrap();
        assert_eq!(statements.len(), 1, "{text}");
        statements[0].clone()
    }

    #[test]
    fn statements_are_recognised_in_any_case_and_quoting() {
        let create = |name: &str| Statement::CreateDatabase(name.to_owned());
        for (text, want) in [
            ("CREATE DATABASE \"telegraf\"", create("telegraf")),
            ("create database my-db", create("my-db")),
            ("CREATE DATABASE x WITH DURATION 1d", create("x")),
            ("create database \"a\\\"b;c\" ;", create("a\"b;c")),
            ("/* a */ SHOW -- b\n DATABASES", Statement::ShowDatabases),
            ("show retention policies on x", Statement::ShowRetentionPolicies),
            (
                "CREATE RETENTION POLICY a ON b DURATION 1d REPLICATION 1",
                Statement::RetentionPolicy,
            ),
            ("CREATE DATABASE \"a/b\"", Statement::Unsupported("invalid name".to_owned())),
            (
                "DROP DATABASE x",
                Statement::Unsupported("DROP DATABASE is not supported".to_owned()),
            ),
        ] {
            assert_eq!(one(text), want, "{text}");
        }
        let Statement::Unsupported(why) = one("SELECT mean(x) FROM y") else { panic!() };
        assert_eq!(why, "SELECT is not supported, query with PromQL");
    }

    #[test]
    fn what_is_no_statement_is_a_parse_error() {
        let error = parse("SELEC 1").unwrap_err();
        assert!(
            error.starts_with("error parsing query: found SELEC, expected SELECT, DELETE, SHOW")
        );
        assert!(parse("CREATE DATABASE").unwrap_err().contains("found EOF, expected identifier"));
        assert_eq!(parse(" ;; -- x"), Ok(Vec::new()));
        assert!(parse(&"SHOW DATABASES;".repeat(1001)).is_err());
        assert_eq!(split("a 'b").len(), 1, "an open quote ends with the text");
    }
}
