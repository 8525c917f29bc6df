//! The members of a request, taken one by one; what is left over is an error.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use llmdb::{TxTime, ValidTime};
use serde_json::{Map, Value as Json};

/// What is wrong with a request.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BadRequest {
    /// The line is not UTF-8.
    #[error("the line is not UTF-8 at byte {at}")]
    NotUtf8 {
        /// The first byte that is not.
        at: usize,
    },
    /// The line is not JSON.
    #[error("not JSON: {cause}")]
    NotJson {
        /// What the parser says.
        cause: serde_json::Error,
    },
    /// The line is JSON, but no object.
    #[error("expected an object, found {found}")]
    NotAnObject {
        /// What it is.
        found: &'static str,
    },
    /// A field that must be there is not.
    #[error("the field `{field}` is missing")]
    Missing {
        /// The field.
        field: &'static str,
    },
    /// A field that is not known, or not to this operation.
    #[error("the field `{field}` is unknown here")]
    Unknown {
        /// The field.
        field: String,
    },
    /// An operation that is not known.
    #[error("there is no operation `{op}`")]
    UnknownOp {
        /// What was asked for.
        op: String,
    },
    /// A field of another type than it must have.
    #[error("the field `{field}` must be {expected}, found {found}")]
    WrongType {
        /// The field.
        field: &'static str,
        /// What it must be.
        expected: &'static str,
        /// What it is.
        found: &'static str,
    },
    /// Text that is no time.
    #[error("the field `{field}`: {cause}")]
    BadTime {
        /// The field.
        field: &'static str,
        /// Why.
        cause: llmdb::Error,
    },
    /// A value that cannot be one.
    #[error("the field `{field}`: {cause}")]
    BadValue {
        /// The field.
        field: &'static str,
        /// Why.
        cause: llmdb::Error,
    },
    /// Text that is not base64.
    #[error("the field `{field}` is not base64: {cause}")]
    BadBase64 {
        /// The field.
        field: &'static str,
        /// Why.
        cause: base64::DecodeError,
    },
    /// Of two fields at most one may be there.
    #[error("the fields `{a}` and `{b}` exclude each other")]
    Both {
        /// One.
        a: &'static str,
        /// The other.
        b: &'static str,
    },
}

impl BadRequest {
    /// The code of the answer.
    pub fn code(&self) -> &'static str {
        match self {
            Self::BadTime { cause, .. } | Self::BadValue { cause, .. } => cause.code(),
            _ => "bad_request",
        }
    }
}

/// What asking for a field returns.
pub type Result<T, E = BadRequest> = std::result::Result<T, E>;

/// The members of an object that have not been taken yet.
#[derive(Debug)]
pub struct Fields {
    members: Map<String, Json>,
}

/// A time on either axis.
pub trait Time: Sized {
    /// From microseconds since 1970.
    fn from_micros(micros: i64) -> Self;

    /// From text.
    ///
    /// # Errors
    /// Those of reading a time.
    fn from_text(text: &str) -> llmdb::Result<Self>;
}

macro_rules! time {
    ($type:ident) => {
        impl Time for $type {
            fn from_micros(micros: i64) -> Self {
                Self(micros)
            }

            fn from_text(text: &str) -> llmdb::Result<Self> {
                Ok(text.parse::<Self>()?)
            }
        }
    };
}

time!(ValidTime);
time!(TxTime);

impl Fields {
    /// The object that `line` holds.
    ///
    /// # Errors
    /// [`BadRequest::NotUtf8`], [`BadRequest::NotJson`], [`BadRequest::NotAnObject`]
    pub fn parse(line: &[u8]) -> Result<Self> {
        let text = std::str::from_utf8(line)
            .map_err(|error| BadRequest::NotUtf8 { at: error.valid_up_to() })?;
        let json = serde_json::from_str(text).map_err(|cause| BadRequest::NotJson { cause })?;
        Self::of(json).map_err(|other| BadRequest::NotAnObject { found: type_name(&other) })
    }

    fn of(json: Json) -> Result<Self, Json> {
        match json {
            Json::Object(members) => Ok(Self { members }),
            other => Err(other),
        }
    }

    /// Whether the field is there.
    pub fn has(&self, field: &str) -> bool {
        self.members.contains_key(field)
    }

    /// Any JSON.
    pub fn json(&mut self, field: &str) -> Option<Json> {
        self.members.remove(field)
    }

    /// A string, if the field is there.
    ///
    /// # Errors
    /// [`BadRequest::WrongType`]
    pub fn string(&mut self, field: &'static str) -> Result<Option<String>> {
        match self.members.remove(field) {
            None => Ok(None),
            Some(Json::String(text)) => Ok(Some(text)),
            Some(other) => Err(wrong_type(field, "a string", &other)),
        }
    }

    /// `true` or `false`, if the field is there.
    ///
    /// # Errors
    /// [`BadRequest::WrongType`]
    pub fn flag(&mut self, field: &'static str) -> Result<Option<bool>> {
        match self.members.remove(field) {
            None => Ok(None),
            Some(Json::Bool(flag)) => Ok(Some(flag)),
            Some(other) => Err(wrong_type(field, "true or false", &other)),
        }
    }

    /// A whole number from 0, if the field is there.
    ///
    /// # Errors
    /// [`BadRequest::WrongType`]
    pub fn count(&mut self, field: &'static str) -> Result<Option<usize>> {
        let Some(json) = self.members.remove(field) else { return Ok(None) };
        let count = json.as_u64().and_then(|count| usize::try_from(count).ok());
        count.map(Some).ok_or_else(|| wrong_type(field, "a whole number from 0", &json))
    }

    /// A length of time in microseconds, if the field is there.
    ///
    /// # Errors
    /// [`BadRequest::WrongType`]
    pub fn micros(&mut self, field: &'static str) -> Result<Option<i64>> {
        let Some(json) = self.members.remove(field) else { return Ok(None) };
        json.as_i64()
            .map(Some)
            .ok_or_else(|| wrong_type(field, "an integer of microseconds", &json))
    }

    /// Bytes: those of the string `text`, or those that `base64` encodes. The flag says that it
    /// was the second.
    ///
    /// # Errors
    /// [`BadRequest::WrongType`], [`BadRequest::BadBase64`], [`BadRequest::Both`]
    pub fn bytes(
        &mut self,
        text: &'static str,
        base64: &'static str,
    ) -> Result<Option<(Vec<u8>, KeyForm)>> {
        match (self.string(text)?, self.base64(base64)?) {
            (Some(_), Some(_)) => Err(BadRequest::Both { a: text, b: base64 }),
            (Some(text), None) => Ok(Some((text.into_bytes(), KeyForm::Text))),
            (None, Some(bytes)) => Ok(Some((bytes, KeyForm::Base64))),
            (None, None) => Ok(None),
        }
    }

    /// The bytes that a string encodes.
    ///
    /// # Errors
    /// [`BadRequest::WrongType`], [`BadRequest::BadBase64`]
    pub fn base64(&mut self, field: &'static str) -> Result<Option<Vec<u8>>> {
        let Some(text) = self.string(field)? else { return Ok(None) };
        let bytes = STANDARD.decode(text);
        bytes.map(Some).map_err(|cause| BadRequest::BadBase64 { field, cause })
    }

    /// A time: an integer of microseconds, a text, or `null` for infinity.
    ///
    /// # Errors
    /// [`BadRequest::WrongType`], [`BadRequest::BadTime`]
    pub fn time<T: Time>(&mut self, field: &'static str) -> Result<Option<T>> {
        self.members.remove(field).map(|json| time_of(field, &json)).transpose()
    }

    /// An object within this one.
    ///
    /// # Errors
    /// [`BadRequest::WrongType`]
    pub fn object(&mut self, field: &'static str) -> Result<Option<Self>> {
        let Some(json) = self.members.remove(field) else { return Ok(None) };
        Self::of(json).map(Some).map_err(|other| wrong_type(field, "an object", &other))
    }

    /// The object that a field holds, or a part of it.
    ///
    /// # Errors
    /// [`BadRequest::WrongType`]
    pub fn object_of(field: &'static str, json: Json) -> Result<Self> {
        Self::of(json).map_err(|other| wrong_type(field, "an object", &other))
    }

    /// Every member has been taken.
    ///
    /// # Errors
    /// [`BadRequest::Unknown`]
    pub fn finish(self) -> Result<()> {
        match self.members.into_iter().next() {
            Some((field, _)) => Err(BadRequest::Unknown { field }),
            None => Ok(()),
        }
    }
}

/// How keys are written in a request, and so in its answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KeyForm {
    /// As text; keys that are none, in base64.
    #[default]
    Text,
    /// All in base64.
    Base64,
}

/// A time in JSON.
///
/// # Errors
/// [`BadRequest::WrongType`], [`BadRequest::BadTime`]
pub fn time_of<T: Time>(field: &'static str, json: &Json) -> Result<T> {
    const EXPECTED: &str = "an integer of microseconds since 1970, a time as text or null";
    match json {
        Json::Null => Ok(T::from_micros(i64::MAX)),
        Json::String(text) => {
            T::from_text(text).map_err(|cause| BadRequest::BadTime { field, cause })
        }
        Json::Number(number) => {
            number.as_i64().map(T::from_micros).ok_or_else(|| wrong_type(field, EXPECTED, json))
        }
        other => Err(wrong_type(field, EXPECTED, other)),
    }
}

/// The error of a field that has another type than it must have.
pub fn wrong_type(field: &'static str, expected: &'static str, found: &Json) -> BadRequest {
    BadRequest::WrongType { field, expected, found: type_name(found) }
}

/// The field, which must be there.
///
/// # Errors
/// [`BadRequest::Missing`]
pub fn required<T>(field: &'static str, value: Option<T>) -> Result<T> {
    value.ok_or(BadRequest::Missing { field })
}

fn type_name(json: &Json) -> &'static str {
    match json {
        Json::Null => "null",
        Json::Bool(_) => "a boolean",
        Json::Number(number) if number.is_i64() || number.is_u64() => "an integer",
        Json::Number(_) => "a number that is no 64-bit integer",
        Json::String(_) => "a string",
        Json::Array(_) => "an array",
        Json::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(line: &str) -> Fields {
        Fields::parse(line.as_bytes()).unwrap()
    }

    fn message<T: std::fmt::Debug>(result: Result<T>) -> String {
        result.unwrap_err().to_string()
    }

    #[test]
    fn what_is_no_object_is_refused() {
        assert_eq!(message(Fields::parse(b"[1]")), "expected an object, found an array");
        assert_eq!(message(Fields::parse(b"\"\xff\"")), "the line is not UTF-8 at byte 1");
        assert!(message(Fields::parse(b"{\"a\":1} x")).starts_with("not JSON: "));
        assert!(message(Fields::parse(b"{\"a\":\"\\ud800\"}")).starts_with("not JSON: "));
        let deep = [b"{\"a\":".as_slice(), &[b'['; 100_000]].concat();
        assert!(message(Fields::parse(&deep)).starts_with("not JSON: "));
    }

    #[test]
    fn times_are_integers_text_or_null() {
        let mut all = fields(r#"{"a":15,"b":"1970-01-01T00:00:01Z","c":null,"e":-1}"#);
        assert_eq!(all.time("a").unwrap(), Some(ValidTime(15)));
        assert_eq!(all.time("b").unwrap(), Some(ValidTime(1_000_000)));
        assert_eq!(all.time("c").unwrap(), Some(ValidTime::INFINITY));
        assert_eq!(all.time::<ValidTime>("d").unwrap(), None);
        assert_eq!(all.time("e").unwrap(), Some(TxTime(-1)));
        all.finish().unwrap();
        for bad in ["1.0", "1e3", "9223372036854775808", "true", "[]", "\"soon\""] {
            let mut field = fields(&format!(r#"{{"valid":{bad}}}"#));
            assert!(message(field.time::<ValidTime>("valid")).contains("`valid`"), "{bad}");
        }
    }

    #[test]
    fn keys_are_text_or_base64_and_never_both() {
        let mut text = fields(r#"{"key":"a\u0000b"}"#);
        let text = text.bytes("key", "key_b64").unwrap();
        assert_eq!(text, Some((b"a\0b".to_vec(), KeyForm::Text)));
        let mut base64 = fields(r#"{"key_b64":"/wA="}"#);
        let base64 = base64.bytes("key", "key_b64").unwrap();
        assert_eq!(base64, Some((vec![0xff, 0], KeyForm::Base64)));
        let both = fields(r#"{"key":"a","key_b64":"YQ=="}"#).bytes("key", "key_b64");
        assert_eq!(message(both), "the fields `key` and `key_b64` exclude each other");
        let bad = fields(r#"{"key_b64":"a"}"#).bytes("key", "key_b64");
        assert!(message(bad).starts_with("the field `key_b64` is not base64"));
        let wrong = fields(r#"{"key":7}"#).bytes("key", "key_b64");
        assert_eq!(message(wrong), "the field `key` must be a string, found an integer");
    }

    #[test]
    fn what_is_left_over_is_an_error() {
        let mut some = fields(r#"{"op":"get","kez":1}"#);
        assert_eq!(some.string("op").unwrap().as_deref(), Some("get"));
        assert_eq!(message(some.finish()), "the field `kez` is unknown here");
    }
}
