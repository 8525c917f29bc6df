//! Messages of Protobuf as types of the caller's, which `prost` made.

use super::Message;
use crate::{AsKey, Db, Error, ReadTx, Result, Value, View, WriteTx};

impl Message {
    /// A typed message, with the name of its type.
    ///
    /// # Errors
    /// [`Error::BadValue`] for a type whose name is no name.
    pub fn of<M: prost::Name>(message: &M) -> Result<Self> {
        Self::new(Some(&M::full_name()), message.encode_to_vec())
    }

    /// A typed message of which only its reader knows the type: `prost` makes names where it is
    /// told to (`enable_type_names`).
    ///
    /// # Errors
    /// None that `prost` has; kept for messages that are none.
    pub fn of_unnamed<M: prost::Message>(message: &M) -> Result<Self> {
        Self::new(None, message.encode_to_vec())
    }

    /// The message as an `M`. A message that has a name must have that of `M`.
    ///
    /// # Errors
    /// [`Error::ValueMismatch`] for another name, and where the fields are no `M`.
    pub fn to<M: prost::Name + Default>(&self) -> Result<M> {
        let expected = M::full_name();
        match self.name() {
            Some(name) if name != expected => {
                Err(Error::ValueMismatch { why: format!("it is a {name}, not a {expected}") })
            }
            _ => self.to_any(),
        }
    }

    /// The message as an `M`, whatever it is called. Almost any message is read as almost any type,
    /// with fields missing: it is the caller who knows.
    ///
    /// # Errors
    /// [`Error::ValueMismatch`] where the fields are no `M`.
    pub fn to_any<M: prost::Message + Default>(&self) -> Result<M> {
        M::decode(self.bytes()).map_err(|error| Error::ValueMismatch { why: error.to_string() })
    }
}

impl Value {
    fn to_message<M: prost::Name + Default>(&self) -> Result<M> {
        match self {
            Value::Protobuf(message) => message.to(),
            other => {
                let why = format!("it is {}, and no message of Protobuf", other.kind().as_str());
                Err(Error::ValueMismatch { why })
            }
        }
    }
}

macro_rules! puts {
    (impl $type:ty, [$($mut:tt)?] -> $done:ty) => {
        impl $type {
            /// From now on the key has a message of Protobuf, with the name of its type: as `put`.
            ///
            /// # Errors
            /// Those of `put`.
            pub fn put_message<M: prost::Name>(
                &$($mut)? self,
                key: impl AsKey,
                message: &M,
            ) -> Result<$done> {
                self.put(key, Message::of(message)?)
            }
        }
    };
}

macro_rules! gets {
    ($($type:ty),*) => {$(
        impl $type {
            /// What the key has, as a message of type `M`: as `get`.
            ///
            /// # Errors
            /// Those of `get`; [`Error::ValueMismatch`] where it is no message, or one of another
            /// name.
            pub fn get_message<M: prost::Name + Default>(&self, key: impl AsKey) -> Result<Option<M>> {
                self.get(key)?.map(|fact| fact.value.to_message()).transpose()
            }
        }
    )*};
}

puts!(impl Db, [] -> crate::TxTime);
puts!(impl crate::Noted<'_>, [] -> crate::TxTime);
puts!(impl WriteTx<'_>, [mut] -> ());
gets!(Db, ReadTx<'_>, View<'_>, WriteTx<'_>);

#[cfg(test)]
mod tests {
    use super::*;
    use prost::bytes::{Buf, BufMut};
    use prost::encoding::{DecodeContext, WireType, skip_field, string, uint64};
    use prost::{DecodeError, Name};

    /// `message Person { string name = 1; uint64 born = 2; }`, as `prost` derives it.
    #[derive(Clone, Debug, Default, PartialEq)]
    struct Person {
        name: String,
        born: u64,
    }

    impl prost::Message for Person {
        fn encode_raw(&self, out: &mut impl BufMut) {
            string::encode(1, &self.name, out);
            uint64::encode(2, &self.born, out);
        }

        fn merge_field(
            &mut self,
            tag: u32,
            wire: WireType,
            buf: &mut impl Buf,
            context: DecodeContext,
        ) -> Result<(), DecodeError> {
            match tag {
                1 => string::merge(wire, &mut self.name, buf, context),
                2 => uint64::merge(wire, &mut self.born, buf, context),
                _ => skip_field(wire, tag, buf, context),
            }
        }

        fn encoded_len(&self) -> usize {
            string::encoded_len(1, &self.name) + uint64::encoded_len(2, &self.born)
        }

        fn clear(&mut self) {
            *self = Self::default();
        }
    }

    impl Name for Person {
        const NAME: &'static str = "Person";
        const PACKAGE: &'static str = "people.v1";
    }

    /// The same fields under another name.
    #[derive(Clone, Debug, Default, PartialEq)]
    struct Dog(Person);

    impl prost::Message for Dog {
        fn encode_raw(&self, out: &mut impl BufMut) {
            self.0.encode_raw(out);
        }

        fn merge_field(
            &mut self,
            tag: u32,
            wire: WireType,
            buf: &mut impl Buf,
            context: DecodeContext,
        ) -> Result<(), DecodeError> {
            self.0.merge_field(tag, wire, buf, context)
        }

        fn encoded_len(&self) -> usize {
            self.0.encoded_len()
        }

        fn clear(&mut self) {
            self.0.clear();
        }
    }

    impl Name for Dog {
        const NAME: &'static str = "Dog";
        const PACKAGE: &'static str = "people.v1";
    }

    #[test]
    fn typed_messages_are_read_back_and_told_apart() {
        let memory = std::sync::Arc::new(crate::vfs::MemVfs::new());
        let db = crate::Options::new().vfs(memory).open("/agent.llmdb").unwrap();
        let ada = Person { name: "Ada".to_owned(), born: 1815 };
        db.put_message("ada", &ada).unwrap();
        assert_eq!(db.get_message::<Person>("ada").unwrap(), Some(ada.clone()));
        assert_eq!(db.get_message::<Person>("nobody").unwrap(), None);
        let stored = db.get("ada").unwrap().unwrap().value;
        assert_eq!(stored.to_json()["name"], "people.v1.Person");
        let mismatch = |error: Error| {
            assert!(matches!(error, Error::ValueMismatch { .. }), "{error}");
            error.to_string()
        };
        let other = mismatch(db.get_message::<Dog>("ada").unwrap_err());
        assert!(other.contains("it is a people.v1.Person, not a people.v1.Dog"), "{other}");
        db.put("text", serde_json::json!("Ada")).unwrap();
        assert!(mismatch(db.get_message::<Person>("text").unwrap_err()).contains("it is json"));
        // Without a name any type that its fields fit.
        db.put("unnamed", Message::of_unnamed(&ada).unwrap()).unwrap();
        assert_eq!(db.get_message::<Person>("unnamed").unwrap(), Some(ada.clone()));
        assert_eq!(db.get_message::<Dog>("unnamed").unwrap(), Some(Dog(ada.clone())));
        let Value::Protobuf(message) = &stored else { panic!("{stored:?}") };
        assert_eq!(message.to_any::<Dog>().unwrap(), Dog(ada.clone()));
        let wrong = Message::new(None, [0x0a, 0x01, 0xff]).unwrap();
        mismatch(wrong.to::<Person>().unwrap_err());
        // In a transaction, with a note, in the past.
        let mut tx = db.begin().unwrap();
        tx.put_message("bob", &ada).unwrap();
        assert_eq!(tx.get_message::<Person>("bob").unwrap(), Some(ada.clone()));
        tx.commit().unwrap();
        let noted = db.with_note("why".into()).put_message("ada", &Person::default()).unwrap();
        assert_eq!(db.get_message("ada").unwrap(), Some(Person::default()));
        let before = db.as_of_transaction(crate::TxTime(noted.0 - 1));
        assert_eq!(before.get_message("ada").unwrap(), Some(ada));
    }
}
