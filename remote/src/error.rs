//! Why a decompressed body is not the message that it claims to be.

/// A request that cannot be decoded as a whole; nothing of it was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The bytes are not the message: the sender must not retry them.
    #[error("protobuf: {what} at byte {offset}")]
    Malformed {
        /// Where in the decompressed body.
        offset: usize,
        /// What is wrong there.
        what: Malformed,
    },
    /// The request is over a limit on its size: the sender should cut it in smaller ones.
    #[error("request has more than {limit} {what}")]
    TooLarge {
        /// What there is too much of, as a plural.
        what: &'static str,
        /// The limit.
        limit: usize,
    },
}

/// A violation of the protobuf wire format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// A value ends behind its message.
    #[error("truncated message")]
    Truncated,
    /// A varint of more than 64 bits.
    #[error("varint overflows 64 bits")]
    Varint,
    /// Field number zero or above 2^29 - 1.
    #[error("invalid field number")]
    FieldNumber,
    /// A known field with the wire type of another kind of value, or a type that does not exist.
    #[error("wrong wire type")]
    WireType,
    /// A group that ends without beginning, or is nested too deeply.
    #[error("invalid group")]
    Group,
    /// A string that is not UTF-8.
    #[error("string is not valid UTF-8")]
    Utf8,
}

/// `text` without control characters and at most some 200 bytes long, for messages that repeat what
/// a client sent.
pub(crate) fn clipped(text: &str) -> String {
    const MAX_BYTES: usize = 200;
    let mut out = String::new();
    for c in text.chars() {
        if out.len() >= MAX_BYTES {
            out.push('…');
            break;
        }
        if c.is_control() {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    out
}
