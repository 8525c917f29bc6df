//! The value of a write, in any of the kinds that there are.

use super::fields::{BadRequest, Fields, Result, required};
use llmdb::{Message, Value};

/// How each kind of value is called in a request.
const KINDS: [&str; 4] = ["value", "value_b64", "value_msgpack_b64", "value_protobuf"];

/// The one value of a request: any JSON, raw bytes, MessagePack or a message of Protobuf.
///
/// # Errors
/// [`BadRequest::Missing`], [`BadRequest::Both`]; [`BadRequest::BadValue`] for what is no message.
pub fn value(fields: &mut Fields) -> Result<Value> {
    let mut there = KINDS.into_iter().filter(|kind| fields.has(kind));
    let kind = required("value", there.next())?;
    if let Some(other) = there.next() {
        return Err(BadRequest::Both { a: kind, b: other });
    }
    match kind {
        "value_b64" => Ok(Value::Raw(required(kind, fields.base64(kind)?)?)),
        "value_msgpack_b64" => Ok(Value::MessagePack(required(kind, fields.base64(kind)?)?)),
        "value_protobuf" => {
            let mut message = required(kind, fields.object(kind)?)?;
            let name = message.string("name")?;
            let bytes = required("b64", message.base64("b64")?)?;
            message.finish()?;
            let message = Message::new(name.as_deref(), bytes);
            message.map(Value::from).map_err(|cause| BadRequest::BadValue { field: kind, cause })
        }
        _ => Ok(Value::Json(required(kind, fields.json(kind))?)),
    }
}
