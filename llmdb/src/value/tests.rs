use super::*;
use proptest::prelude::*;
use serde::Deserialize;
use serde_json::json;

fn round_trip(json: &serde_json::Value) -> serde_json::Value {
    let stored = Value::from(json.clone()).encode().unwrap();
    match Value::decode(&stored).unwrap() {
        Value::Json(read) => read,
        other => panic!("{other:?}"),
    }
}

fn parse(text: &str) -> serde_json::Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn numbers_of_any_size_come_back_digit_by_digit() {
    let numbers = [
        "0",
        "-0",
        "9007199254740993",
        "18446744073709551616",
        "-170141183460469231731687303715884105729",
        "123456789012345678901234567890.123456789012345678901234567890",
        "1.0",
        "1e+400",
        "0.1",
    ];
    for number in numbers {
        assert_eq!(round_trip(&parse(number)).to_string(), number);
    }
}

#[test]
fn objects_keep_their_order() {
    let text = r#"{"z":1,"a":{"y":2,"b":[3,{"x":null,"c":true}]}}"#;
    assert_eq!(round_trip(&parse(text)).to_string(), text);
}

#[test]
fn what_json_would_not_give_back_is_refused() {
    let nested = |depth| (0..depth).fold(json!(1), |inner, _| json!([inner]));
    assert_eq!(round_trip(&nested(126)), nested(126));
    assert!(matches!(Value::from(nested(127)).encode(), Err(Error::BadValue { .. })));
    assert!(encode_note(&nested(127)).is_err());
    let reserved = json!({ json::NUMBER_KEY: "12" });
    assert!(matches!(Value::from(reserved).encode(), Err(Error::BadValue { .. })));
}

#[test]
fn the_tag_is_the_first_byte() {
    assert_eq!(Value::from(&b"ab"[..]).encode().unwrap(), b"\0ab");
    assert_eq!(Value::from(json!({"a": 1})).encode().unwrap(), b"\x01{\"a\":1}");
    assert_eq!(Value::of(&7).unwrap().encode().unwrap(), b"\x02\x07");
    let message = Message::new(Some("a.B"), [8, 1]).unwrap();
    assert_eq!(Value::from(message).encode().unwrap(), b"\x03\x03a.B\x08\x01");
}

#[test]
fn tags_of_later_versions_and_damage_are_told_apart() {
    let later = Value::decode(b"\x04abc");
    assert!(matches!(later, Err(Error::UnsupportedValue { tag: 4 })), "{later:?}");
    for damaged in [&b""[..], b"\x01", b"\x01{", b"\x01\xFF", b"\x03", b"\x03\x02a", b"\x03\x01-"] {
        assert!(matches!(Value::decode(damaged), Err(Error::Corrupt { .. })));
    }
}

#[test]
fn values_beyond_the_limit_are_refused_by_their_length_alone() {
    let long = Value::Raw(vec![0; VALUE_BYTES_MAX + 1]);
    let refused = long.encode();
    let Err(Error::ValueTooLong { bytes, bytes_max }) = refused else { panic!("{refused:?}") };
    assert_eq!((bytes, bytes_max), (VALUE_BYTES_MAX + 1, VALUE_BYTES_MAX));
}

#[derive(Serialize, Deserialize, PartialEq, Debug)]
struct Analysis {
    rating: String,
    score: Option<f64>,
    tags: Vec<(u8, i64)>,
}

fn analysis() -> Analysis {
    Analysis { rating: "buy".into(), score: Some(0.1), tags: vec![(1, -1), (2, i64::MIN)] }
}

#[test]
fn typed_values_come_back_from_messagepack_and_from_json() {
    let typed = Value::of(&analysis()).unwrap();
    assert_eq!(typed.to::<Analysis>().unwrap(), analysis());
    let json = Value::Json(typed.to_json());
    assert_eq!(json.to::<Analysis>().unwrap(), analysis());
    let mismatch = json.to::<u64>();
    assert!(matches!(mismatch, Err(Error::ValueMismatch { .. })), "{mismatch:?}");
    assert!(Value::of(&"text").unwrap().to::<Analysis>().is_err());
}

#[test]
fn json_within_typed_values_becomes_plain_numbers_where_those_say_the_same() {
    #[derive(Serialize, Deserialize, PartialEq, Debug)]
    struct Outer {
        any: serde_json::Value,
        after: String,
    }
    let any = parse(r#"{"n": 3, "m": [-4, 0.5, 18446744073709551616], "s": "\u0001"}"#);
    let outer = Outer { any: any.clone(), after: "end".into() };
    let value = Value::of(&outer).unwrap();
    assert_eq!(value.to::<Outer>().unwrap(), outer);
    assert_eq!(value.to_json(), json!({"any": any, "after": "end"}));
    assert_eq!(Value::of(&json!([3, -4])).unwrap().to::<Vec<i64>>().unwrap(), [3, -4]);
    assert_eq!(Value::of(&json!(0.5)).unwrap(), Value::of(&0.5).unwrap());
}

#[test]
fn raw_bytes_make_text_and_byte_sequences() {
    let raw = Value::from(&b"ab"[..]);
    assert_eq!(raw.to::<String>().unwrap(), "ab");
    assert_eq!(raw.to::<Vec<u8>>().unwrap(), b"ab");
    assert_eq!(raw.to::<Option<[u8; 2]>>().unwrap(), Some(*b"ab"));
    assert!(raw.to::<[u8; 3]>().is_err());
    assert!(raw.to::<u64>().is_err());
    assert!(Value::from(&b"\xFF"[..]).to::<String>().is_err());
}

#[test]
fn everything_has_a_form_in_json() {
    assert_eq!(Value::from(&b"\x00\xFF"[..]).to_json(), json!({"$base64": "AP8="}));
    let odd = [
        (&b"\x81\x01\xa1a"[..], json!({"1": "a"})),
        (b"\xc4\x02\x00\xFF", json!({"$base64": "AP8="})),
        (b"\xcb\x7f\xf8\0\0\0\0\0\0", json!("NaN")),
        (b"\xc0", json!(null)),
        (b"\xc1", json!({"$base64": "wQ=="})),
        (b"\xdd\xFF\xFF\xFF\xFF", json!({"$base64": "3f////8="})),
    ];
    for (bytes, shown) in odd {
        assert_eq!(Value::MessagePack(bytes.to_vec()).to_json(), shown);
    }
}

#[test]
fn debug_shows_no_contents() {
    for value in [Value::from(json!("secret")), Value::from(&b"secret"[..])] {
        assert!(!format!("{value:?}").contains("secret"));
    }
}

fn any_json() -> impl Strategy<Value = serde_json::Value> {
    let number = prop_oneof![
        any::<i64>().prop_map(serde_json::Value::from),
        any::<u64>().prop_map(serde_json::Value::from),
        any::<f64>().prop_map(serde_json::Value::from),
        "-?[1-9][0-9]{0,40}(\\.[0-9]{1,40})?".prop_map(|text| parse(&text)),
    ];
    let leaf = prop_oneof![
        Just(json!(null)),
        any::<bool>().prop_map(serde_json::Value::from),
        number,
        any::<String>().prop_map(serde_json::Value::from),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6).prop_map(serde_json::Value::from),
            proptest::collection::vec((any::<String>(), inner), 0..6)
                .prop_map(|members| members.into_iter().collect()),
        ]
    })
}

proptest! {
    #[test]
    fn any_json_comes_back_equal(json in any_json()) {
        let read = round_trip(&json);
        prop_assert_eq!(&read, &json);
        prop_assert_eq!(read.to_string(), json.to_string());
        let typed = Value::of(&json).unwrap();
        prop_assert_eq!(typed.to::<serde_json::Value>().unwrap(), json.clone());
        prop_assert_eq!(typed.to_json(), json);
    }

    /// The walk over a typed value for the numbers of its JSON parts takes no element for another.
    #[test]
    fn typed_values_with_json_in_them_come_back_equal(
        before in any::<(f64, f32, i64, u64, String, Vec<i16>)>(),
        long in "[a-z]{0,300}",
        json in any_json(),
        after in any::<(f64, Option<u32>, char, i128)>(),
    ) {
        let spelled = json::NUMBER_KEY.as_bytes();
        let Value::MessagePack(bytes) = Value::of(&(&before, &long, json!(7))).unwrap() else {
            panic!("typed values are MessagePack")
        };
        prop_assert!(!bytes.windows(spelled.len()).any(|window| window == spelled));
        let typed = (before, long, json, after);
        type Typed = ((f64, f32, i64, u64, String, Vec<i16>), String, serde_json::Value,
            (f64, Option<u32>, char, i128));
        let read: Typed = Value::of(&typed).unwrap().to().unwrap();
        prop_assert_eq!(read, typed);
    }

    #[test]
    fn any_bytes_come_back_equal(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let value = Value::from(bytes);
        prop_assert_eq!(Value::decode(&value.clone().encode().unwrap()).unwrap(), value);
    }

    #[test]
    fn hostile_bytes_give_an_error_and_never_a_panic(
        bytes in proptest::collection::vec(any::<u8>(), 0..60),
    ) {
        let _ = Value::decode(&bytes);
        let hostile = Value::MessagePack(bytes.clone());
        let _ = (hostile.to_json(), hostile.to::<Analysis>().is_ok());
        let _ = Value::Raw(bytes).to::<String>().is_ok();
    }
}

fn lossy(value: &Value, to: ValueKind) {
    let converted = value.convert(to);
    assert!(matches!(converted, Err(Error::Lossy { .. })), "{value:?}: {converted:?}");
}

#[test]
fn what_another_kind_cannot_say_is_not_converted() {
    let kinds = [ValueKind::Raw, ValueKind::Json, ValueKind::MessagePack, ValueKind::Protobuf];
    for number in [
        "18446744073709551616",
        "-9223372036854775809",
        "1.10",
        "1e+400",
        "0.10000000000000001",
        "-0",
    ] {
        lossy(&Value::from(parse(number)), ValueKind::MessagePack);
        lossy(&Value::from(json!({"a": [parse(number)]})), ValueKind::MessagePack);
    }
    let odd: [&[u8]; 9] = [
        b"\xcb\x7f\xf8\0\0\0\0\0\0", // NaN
        b"\xca\x7f\x80\0\0",         // infinity
        b"\xc4\x02\x00\xFF",         // binary
        b"\xd4\x01\x00",             // an extension
        b"\xc7\x00\x01",
        b"\x81\x01\xa1a",          // a key that is no string
        b"\x82\xa1a\x01\xa1a\x02", // a key twice
        b"\xa1\xFF",               // no UTF-8
        &[0x91; 200],
    ];
    for bytes in odd {
        lossy(&Value::MessagePack(bytes.to_vec()), ValueKind::Json);
    }
    let number = [&[0x82, 0xbc][..], json::NUMBER_KEY.as_bytes(), b"\xa17\xa1b\x01"].concat();
    assert_eq!(json::NUMBER_KEY.len(), 0x1c);
    lossy(&Value::MessagePack(number), ValueKind::Json);
    for broken in [&b""[..], b"\xc1", b"\x92\x01", b"\x01\x02", b"\xdd\xFF\xFF\xFF\xFF"] {
        let converted = Value::MessagePack(broken.to_vec()).convert(ValueKind::Json);
        assert!(matches!(converted, Err(Error::BadValue { .. })), "{broken:?}: {converted:?}");
    }
    let named = Value::from(Message::new(Some("a.B"), [8, 1]).unwrap());
    let raw = Value::Raw(b"text".to_vec());
    for to in kinds {
        if to != ValueKind::Protobuf {
            lossy(&named, to);
        }
        if !matches!(to, ValueKind::Raw | ValueKind::MessagePack) {
            lossy(&raw, to);
        }
        let same = raw.convert(raw.kind()).unwrap();
        assert_eq!(same, raw);
    }
    lossy(&Value::of(&7).unwrap(), ValueKind::Raw);
    let unnamed = Value::from(Message::new(None, [8, 1]).unwrap());
    assert_eq!(unnamed.convert(ValueKind::Raw).unwrap(), Value::Raw(vec![8, 1]));
}

#[test]
fn a_message_is_kept_with_its_name() {
    let message = Message::new(Some("memory.Fact"), [0x0a, 1, b'x']).unwrap();
    let value = Value::from(message.clone());
    let read = Value::decode(&value.clone().encode().unwrap()).unwrap();
    assert_eq!(read, value);
    assert_eq!(read.to_json(), json!({"$protobuf": "CgF4", "name": "memory.Fact"}));
    assert!(matches!(read.to::<String>(), Err(Error::ValueMismatch { .. })));
    let shown = format!("{read:?}");
    assert_eq!(shown, "Message(memory.Fact, 3 bytes)");
    let Value::Protobuf(read) = read else { panic!("{shown}") };
    assert_eq!((read.name(), read.bytes()), (Some("memory.Fact"), message.bytes()));
}

proptest! {
    /// Whatever is converted says the same, and converts back.
    #[test]
    fn json_that_becomes_messagepack_comes_back_digit_by_digit(json in any_json()) {
        let value = Value::from(json.clone());
        match value.convert(ValueKind::MessagePack) {
            Ok(packed) => {
                let back = packed.convert(ValueKind::Json).unwrap();
                prop_assert_eq!(back.to_json().to_string(), json.to_string());
                prop_assert_eq!(packed.to_json(), json);
            }
            Err(error) => prop_assert!(matches!(error, Error::Lossy { .. }), "{error}"),
        }
    }

    #[test]
    fn messagepack_that_becomes_json_says_the_same_when_it_comes_back(
        value in any::<(bool, i64, u64, f64, f32, String, Vec<i16>, Option<u8>)>(),
        names in proptest::collection::btree_map("[a-z]{0,40}", any::<u32>(), 0..20),
    ) {
        let packed = Value::of(&(&value, &names)).unwrap();
        match packed.convert(ValueKind::Json) {
            Ok(json) => {
                let again = json.convert(ValueKind::MessagePack).unwrap();
                prop_assert_eq!(again.convert(ValueKind::Json).unwrap(), json);
                type Typed = (
                    (bool, i64, u64, f64, f32, String, Vec<i16>, Option<u8>),
                    std::collections::BTreeMap<String, u32>,
                );
                prop_assert_eq!(again.to::<Typed>().unwrap(), (value, names));
            }
            Err(error) => {
                prop_assert!(!value.3.is_finite() || !value.4.is_finite(), "{error}");
            }
        }
    }

    #[test]
    fn raw_bytes_are_binary_and_back(bytes in proptest::collection::vec(any::<u8>(), 0..70_000)) {
        let packed = Value::Raw(bytes.clone()).convert(ValueKind::MessagePack).unwrap();
        let back = packed.convert(ValueKind::Raw).unwrap();
        prop_assert_eq!(back, Value::Raw(bytes));
    }

    #[test]
    fn hostile_bytes_are_converted_or_refused(
        bytes in proptest::collection::vec(any::<u8>(), 0..60),
    ) {
        let hostile = Value::MessagePack(bytes.clone());
        let _ = (hostile.convert(ValueKind::Json), hostile.convert(ValueKind::Raw));
        let _ = Value::decode(&[&[PROTOBUF][..], &bytes].concat());
    }
}
