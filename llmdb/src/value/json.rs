//! What JSON the database can give back equal, and how bytes look as JSON.

use crate::{Error, Result};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

/// How deep arrays and objects may be nested: what is read back is parsed, and parsers of
/// untrusted text bound their recursion.
pub(super) const DEPTH_MAX: usize = 126;

/// The key by which `serde_json` hands numbers of any size from its parser to its values. An
/// object that starts with it would be read back as a number.
pub(super) const NUMBER_KEY: &str = "$serde_json::private::Number";

/// Refuses what would not be read back as it is.
pub(super) fn check(json: &Value) -> Result<()> {
    let mut open = vec![(json, 0)];
    while let Some((value, depth)) = open.pop() {
        if depth > DEPTH_MAX {
            let why = format!("it is nested more than {DEPTH_MAX} deep");
            return Err(Error::BadValue { why });
        }
        match value {
            Value::Array(items) => open.extend(items.iter().map(|item| (item, depth + 1))),
            Value::Object(members) => {
                if members.keys().next().is_some_and(|key| key == NUMBER_KEY) {
                    let why = format!("the key {NUMBER_KEY} is reserved");
                    return Err(Error::BadValue { why });
                }
                open.extend(members.values().map(|member| (member, depth + 1)));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Bytes as JSON.
pub(super) fn bytes(bytes: &[u8]) -> Value {
    json!({ "$base64": STANDARD.encode(bytes) })
}

/// A message of Protobuf as JSON.
pub(super) fn message(message: &super::Message) -> Value {
    let mut json = json!({ "$protobuf": STANDARD.encode(message.bytes()) });
    if let Some(name) = message.name() {
        json["name"] = name.into();
    }
    json
}

/// What a document is, without what is in it.
pub(super) fn kind(json: &Value) -> &'static str {
    match json {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}
