//! Which message a write request says it carries.
//!
//! The order of the checks and their texts are those of the Prometheus remote write handler; every
//! one of them is answered with status 415.

use crate::error::clipped;
use std::fmt;

const MEDIA_TYPE: &str = "application/x-protobuf";

/// A remote write message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Message {
    /// Remote write 1.0.
    V1,
    /// Remote write 2.0.
    V2,
}

impl Message {
    /// The full name of the protobuf message.
    pub const fn name(self) -> &'static str {
        match self {
            Self::V1 => "prometheus.WriteRequest",
            Self::V2 => "io.prometheus.write.v2.Request",
        }
    }
}

/// Which messages the server takes
/// (Prometheus `web.remote-write-receiver.accepted-protobuf-messages`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Accepted {
    /// Remote write 1.0.
    pub v1: bool,
    /// Remote write 2.0.
    pub v2: bool,
}

impl Default for Accepted {
    fn default() -> Self {
        Self { v1: true, v2: true }
    }
}

impl Accepted {
    fn takes(self, message: Message) -> bool {
        match message {
            Message::V1 => self.v1,
            Message::V2 => self.v2,
        }
    }
}

impl fmt::Display for Accepted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut sep = "";
        for message in [Message::V1, Message::V2] {
            if self.takes(message) {
                write!(f, "{sep}{}", message.name())?;
                sep = ", ";
            }
        }
        Ok(())
    }
}

/// Headers that the server cannot serve: status 415. What the client sent is repeated without
/// control characters and cut to some 200 bytes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// `Content-Encoding` is something else than snappy.
    #[error("{0} encoding (compression) is not accepted by this server; only snappy is acceptable")]
    Encoding(String),
    /// `Content-Type` is something else than protobuf.
    #[error("expected {MEDIA_TYPE} as the first (media) part, got {0} content-type")]
    MediaType(String),
    /// A parameter of `Content-Type` is not `name=value`.
    #[error(
        "as per https://www.rfc-editor.org/rfc/rfc9110#parameter expected parameters to be \
         key-values, got {parameter} in {content_type} content-type"
    )]
    Parameter {
        /// The parameter.
        parameter: String,
        /// The header.
        content_type: String,
    },
    /// `proto` names no remote write message.
    #[error(
        "got {content_type} content type; unknown remote write protobuf message {message}, \
         supported: {}",
        Accepted::default()
    )]
    UnknownMessage {
        /// The name.
        message: String,
        /// The header.
        content_type: String,
    },
    /// The configuration does not accept this message.
    #[error(
        "{} protobuf message is not accepted by this server; only accepts {accepted}",
        message.name()
    )]
    NotAccepted {
        /// The message.
        message: Message,
        /// What is accepted.
        accepted: Accepted,
    },
}

/// The message that a request carries. An absent or empty header is `None` or `Some("")`; an absent
/// encoding still means snappy, and a type without `proto` means version 1.
///
/// Spaces around parameter names and quotes around values are allowed. Prometheus is stricter, and
/// takes a 2.0 body with a space before `proto` for an empty 1.0 message.
///
/// # Errors
/// The first check that fails: encoding, media type, parameters, message name, configuration.
pub fn negotiate(
    content_type: Option<&str>,
    content_encoding: Option<&str>,
    accepted: Accepted,
) -> Result<Message, HeaderError> {
    let encoding = content_encoding.unwrap_or_default().trim();
    if !encoding.is_empty() && encoding != "snappy" {
        return Err(HeaderError::Encoding(clipped(encoding)));
    }
    let message = match content_type.map(str::trim) {
        None | Some("") => Message::V1,
        Some(content_type) => named_message(content_type)?,
    };
    if accepted.takes(message) {
        Ok(message)
    } else {
        Err(HeaderError::NotAccepted { message, accepted })
    }
}

fn named_message(content_type: &str) -> Result<Message, HeaderError> {
    let mut parts = content_type.split(';').map(str::trim);
    if parts.next() != Some(MEDIA_TYPE) {
        return Err(HeaderError::MediaType(clipped(content_type)));
    }
    for part in parts {
        let pair = part.split_once('=').filter(|(_, value)| !value.contains('='));
        let Some((name, value)) = pair else {
            return Err(HeaderError::Parameter {
                parameter: clipped(part),
                content_type: clipped(content_type),
            });
        };
        if name.trim() == "proto" {
            let value = value.trim().trim_matches('"');
            let known = [Message::V1, Message::V2].into_iter().find(|m| m.name() == value);
            return known.ok_or_else(|| HeaderError::UnknownMessage {
                message: clipped(value),
                content_type: clipped(content_type),
            });
        }
    }
    Ok(Message::V1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const V2: &str = "application/x-protobuf;proto=io.prometheus.write.v2.Request";

    fn answer(content_type: &str, encoding: &str) -> Result<Message, String> {
        negotiate(Some(content_type), Some(encoding), Accepted::default())
            .map_err(|e| e.to_string())
    }

    #[test]
    fn absent_and_empty_headers_mean_version_1_and_snappy() {
        for content_type in [None, Some(""), Some("application/x-protobuf")] {
            for encoding in [None, Some(""), Some("snappy")] {
                let got = negotiate(content_type, encoding, Accepted::default());
                assert_eq!(got, Ok(Message::V1), "{content_type:?} {encoding:?}");
            }
        }
    }

    #[test]
    fn the_proto_parameter_names_the_message() {
        for (content_type, want) in [
            ("application/x-protobuf;proto=prometheus.WriteRequest", Message::V1),
            (V2, Message::V2),
            ("application/x-protobuf; proto=io.prometheus.write.v2.Request", Message::V2),
            ("application/x-protobuf ; proto=\"io.prometheus.write.v2.Request\"", Message::V2),
            ("application/x-protobuf;a=b;proto=io.prometheus.write.v2.Request", Message::V2),
            ("application/x-protobuf;charset=utf-8", Message::V1),
        ] {
            assert_eq!(answer(content_type, "snappy"), Ok(want), "{content_type}");
        }
    }

    #[test]
    fn refusals_have_the_texts_of_prometheus_and_the_encoding_is_judged_first() {
        for (content_type, encoding, want) in [
            (
                "text/plain",
                "gzip",
                "gzip encoding (compression) is not accepted by this server; only snappy is \
                 acceptable",
            ),
            (
                "text/plain",
                "snappy",
                "expected application/x-protobuf as the first (media) part, got text/plain \
                 content-type",
            ),
            (
                "application/x-protobuf;proto",
                "",
                "as per https://www.rfc-editor.org/rfc/rfc9110#parameter expected parameters to \
                 be key-values, got proto in application/x-protobuf;proto content-type",
            ),
            (
                "application/x-protobuf;proto=a=b",
                "",
                "as per https://www.rfc-editor.org/rfc/rfc9110#parameter expected parameters to \
                 be key-values, got proto=a=b in application/x-protobuf;proto=a=b content-type",
            ),
            (
                "application/x-protobuf;proto=x.Y",
                "",
                "got application/x-protobuf;proto=x.Y content type; unknown remote write protobuf \
                 message x.Y, supported: prometheus.WriteRequest, io.prometheus.write.v2.Request",
            ),
        ] {
            assert_eq!(answer(content_type, encoding), Err(want.to_owned()));
        }
        let only_v1 = Accepted { v1: true, v2: false };
        assert_eq!(
            negotiate(Some(V2), None, only_v1).unwrap_err().to_string(),
            "io.prometheus.write.v2.Request protobuf message is not accepted by this server; only \
             accepts prometheus.WriteRequest"
        );
    }

    #[test]
    fn a_refusal_repeats_little_of_a_long_header_and_no_control_characters() {
        let text = answer(&"a\x07ü".repeat(9000), "").unwrap_err();
        assert!(text.len() < 400 && !text.contains('\x07') && text.contains("\\u{7}"), "{text}");
    }
}
