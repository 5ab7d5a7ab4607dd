//! What can be wrong with a query.

use crate::msgpack;

/// Why a query cannot be read, or cannot be answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// It is not MessagePack, or of another shape than a query has.
    #[error("{0}")]
    Encoding(msgpack::Error),
    /// A field is not there.
    #[error("the field {field} is missing")]
    Missing {
        /// Which.
        field: &'static str,
    },
    /// A field holds something else than it should.
    #[error("the field {field}: {error}")]
    Field {
        /// Which.
        field: &'static str,
        /// What is wrong with it.
        error: msgpack::Error,
    },
    /// A field's word is none of those that it may be.
    #[error("the field {field} holds an unknown word")]
    Choice {
        /// Which.
        field: &'static str,
    },
    /// A field's list has another length than it must have.
    #[error("the field {field} needs {len} values")]
    Length {
        /// Which.
        field: &'static str,
        /// How many.
        len: usize,
    },
    /// The name of a field is empty.
    #[error("the name of a field is empty")]
    EmptyPath,
    /// The protocol has it; this node cannot do it.
    #[error("{what} is not supported by this node")]
    Unsupported {
        /// What.
        what: &'static str,
    },
    /// A predicate has more parts than `predicate_nodes`.
    #[error("the predicate has more than {limit} parts")]
    TooManyNodes {
        /// The limit.
        limit: usize,
    },
    /// A predicate nests deeper than a frame could hold it.
    #[error("the predicate nests deeper than {limit}")]
    TooDeep {
        /// The limit.
        limit: usize,
    },
    /// A pattern is longer than `pattern_chars`.
    #[error("the pattern has more than {limit} characters")]
    LongPattern {
        /// The limit.
        limit: usize,
    },
    /// More fields to order by, or asked for, than `query_fields`.
    #[error("the query names more than {limit} fields")]
    TooManyFields {
        /// The limit.
        limit: usize,
    },
    /// More rows match than `query_rows`.
    #[error("more than {limit} rows match: narrow the query, or give it a limit")]
    TooManyRows {
        /// The limit.
        limit: usize,
    },
    /// The rows that match take more than `query_bytes`.
    #[error("the rows take more than {limit} bytes: narrow the query, give it a limit, or ask for fewer fields")]
    TooManyBytes {
        /// The limit.
        limit: usize,
    },
}

impl From<msgpack::Error> for Error {
    fn from(error: msgpack::Error) -> Self {
        Error::Encoding(error)
    }
}

impl Error {
    /// Whether it is a limit that was met, rather than something wrong.
    pub fn is_limit(&self) -> bool {
        matches!(
            self,
            Error::Encoding(msgpack::Error::TooDeep { .. })
                | Error::TooManyNodes { .. }
                | Error::TooDeep { .. }
                | Error::LongPattern { .. }
                | Error::TooManyFields { .. }
                | Error::TooManyRows { .. }
                | Error::TooManyBytes { .. }
        )
    }
}
