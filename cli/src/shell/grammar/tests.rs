use super::*;
use crate::exec::tx::Tx;
use llmdb::PartitionId;
use serde_json::json;

fn defaults() -> Defaults {
    let partition = Partition::default();
    Defaults { partition, at: Point::default(), limit: None, now: ValidTime(1_000_000) }
}

fn op(line: &str) -> Op {
    match parse(line, &defaults()) {
        Ok(Line::Op(op)) => op,
        other => panic!("{line}: {other:?}"),
    }
}

fn write(line: &str) -> Write {
    match op(line) {
        Op::Write(write) => write,
        other => panic!("{line}: {other:?}"),
    }
}

fn error(line: &str) -> String {
    parse(line, &defaults()).unwrap_err().show(line, 80)
}

fn put(line: &str) -> Json {
    match write(line).what {
        What::Value(value) => value.to_json(),
        other => panic!("{line}: {other:?}"),
    }
}

#[test]
fn examples_of_the_help_are_lines() {
    for command in commands::COMMANDS {
        assert!(!command.examples.is_empty(), "{}", command.name);
        for example in command.examples {
            let line = parse(example, &defaults());
            assert!(matches!(line, Ok(Line::Op(_) | Line::Note(_))), "{example}: {line:?}");
        }
    }
}

#[test]
fn values_are_json_or_text() {
    assert_eq!(put("put k 12"), json!(12));
    assert_eq!(put("put k '12'"), json!("12"));
    assert_eq!(put("put k \"12\""), json!("12"));
    assert_eq!(put("put k null"), json!(null));
    assert_eq!(put("put k plain"), json!("plain"));
    assert_eq!(put("put k {\"a\": [1,\n2]}"), json!({"a": [1, 2]}));
    assert_eq!(put("put k from from 5"), json!("from"));
}

#[test]
fn keys_are_text_quoted_or_base64() {
    assert_eq!(write("put 'a b' 1").target.key, b"a b");
    assert_eq!(write("put \"a\\u0000\" 1").target.key, b"a\0");
    assert_eq!(write("put b64:/wA= 1").target.key, [0xff, 0]);
    assert_eq!(write("put 'b64:/wA=' 1").target.key, b"b64:/wA=");
    assert!(error("put b64:? 1").contains("no base64"));
    assert!(error("put '' 1").contains("not empty"));
}

#[test]
fn clauses_come_in_any_order() {
    let a = write("put k v note {\"by\":1} to 9 from 5 in memory");
    assert_eq!((a.valid_from, a.valid_to), (Some(ValidTime(5)), Some(ValidTime(9))));
    assert_eq!(a.note, Some(json!({"by": 1})));
    assert_eq!(a.target.partition, Partition::Name("memory".to_owned()));
    assert_eq!(write("put k v in 7").target.partition, Partition::Id(PartitionId(7)));
    assert_eq!(write("put k v from now").valid_from, None);
    assert_eq!(write("put k v to inf").valid_to, Some(ValidTime::INFINITY));
    let Op::Scan(scan) = op("scan at 5 limit 3") else { panic!() };
    assert_eq!((scan.range.bytes.as_slice(), scan.limit), (&b""[..], Some(3)));
    let Op::Scan(scan) = op("scan 'at'") else { panic!() };
    assert_eq!(scan.range.bytes, b"at");
}

#[test]
fn times_are_absolute_or_relative() {
    let from = |text: &str| write(&format!("put k v from {text}")).valid_from;
    assert_eq!(from("-7"), Some(ValidTime(-7)));
    assert_eq!(from("1970-01-01T00:00:01Z"), Some(ValidTime(1_000_000)));
    assert_eq!(from("now-1s"), Some(ValidTime(0)));
    assert_eq!(from("now+2ms"), Some(ValidTime(1_002_000)));
    assert_eq!(write("put k v for 1h30m").ttl, Some(5_400_000_000));
    assert!(error("put k v for 5 from 1").contains("neither"));
    assert!(error("put k v for soon").contains("no length of time"));
    for bad in ["soon", "now-", "now-1", "now-1x", "now*1s", "2024-13-01", "now-99999999999w"] {
        assert!(error(&format!("put k v from {bad}")).contains("^^"), "{bad}");
    }
    let Op::Diff(diff) = op("diff p 5/6 /7") else { panic!() };
    assert_eq!(diff.a, Point { valid: Some(ValidTime(5)), tx: Some(TxTime(6).into()) });
    assert_eq!(diff.b, Point { valid: None, tx: Some(TxTime(7).into()) });
}

#[test]
fn savepoints_have_names() {
    use SavepointOf::{Make, Release, RollBackTo};
    for (line, of) in [("savepoint a", Make), ("release a", Release), ("rollback to a", RollBackTo)]
    {
        assert!(matches!(op(line), Op::Savepoint(o, name) if o == of && name == "a"), "{line}");
    }
    assert!(matches!(op("rollback"), Op::Rollback));
    assert!(error("savepoint").contains("needs a NAME"));
}

#[test]
fn reads_stand_where_was_set_unless_they_say_so() {
    let at = Point { valid: Some(ValidTime(5)), tx: Some(TxTime(6).into()) };
    let set = Defaults { at: at.clone(), limit: Some(9), ..defaults() };
    let get = |line: &str| match parse(line, &set) {
        Ok(Line::Op(Op::Get(_, at))) => at,
        other => panic!("{other:?}"),
    };
    assert_eq!(get("get k"), at);
    assert_eq!(get("get k at now"), Point { valid: None, ..at.clone() });
    assert_eq!(get("get k tx 1"), Point { tx: Some(TxTime(1).into()), ..at.clone() });
    let named = Some(Tx::Checkpoint("before".to_owned()));
    assert_eq!(get("get k tx @before"), Point { tx: named, ..at.clone() });
    let Ok(Line::Op(Op::Scan(scan))) = parse("scan p", &set) else { panic!() };
    assert_eq!((scan.at, scan.limit), (at, Some(9)));
}

#[test]
fn errors_show_the_place_and_what_was_meant() {
    assert_eq!(
        error("gte user:1"),
        "error: there is no command `gte`\n  gte user:1\n  ^^^\ndid you mean `get`?\n"
    );
    let text = error("put user:1");
    assert!(text.contains("`put` needs a VALUE"), "{text}");
    assert!(text.contains("  put user:1\n            ^\nusage: put KEY VALUE"), "{text}");
    assert!(error("put k hello world").contains("between quotes"), "{}", error("put k a b"));
    assert!(error("put k v form 5").contains("did you mean `from`?"));
    assert!(error("put k v from").contains("`from` needs a V"));
    assert!(error("put k v from 1 from 2").contains("there twice"));
    assert!(error("put k v to now").contains("holds at no time"));
    assert!(error("rollback now").contains("does not belong here"));
    assert!(error("begin snap").contains("did you mean `snapshot`?"));
    assert!(error("scan p limit 0").contains("number from 1"));
    assert!(error(".mode a b").contains("nothing more belongs here"));
    assert!(error(".read").contains("`.read` needs a FILE"));
    let text = error("put k {\"a\": tru}");
    assert!(text.contains("no JSON") && text.contains("                ^"), "{text}");
}

#[test]
fn remarks_and_requests_are_told_apart() {
    for line in ["", "  ", "# x 'y", "-- x"] {
        assert!(matches!(parse(line, &defaults()), Ok(Line::Empty)), "{line}");
    }
    assert!(matches!(parse(" {\"op\":\"stats\"}", &defaults()), Ok(Line::Protocol)));
    assert!(parse("{\"op\":", &defaults()).unwrap_err().is_unfinished());
}

#[test]
fn all_isolations_are_said_in_words() {
    use Isolation::{ReadCommitted, ReadUncommitted, Serializable, Snapshot};
    for (line, level) in [
        ("begin", Serializable),
        ("begin serializable", Serializable),
        ("begin SNAPSHOT", Snapshot),
        ("begin read committed", ReadCommitted),
        ("begin read_committed", ReadCommitted),
        ("begin read-uncommitted", ReadUncommitted),
        ("begin Read Uncommitted", ReadUncommitted),
    ] {
        assert!(matches!(op(line), Op::Begin(is) if is == level), "{line}");
    }
    let text = error("begin read comitted");
    assert!(text.contains("did you mean `read committed`?"), "{text}");
    assert!(text.contains("      ^^^^^^^^^^^^^"), "both words are marked: {text}");
    assert!(error("begin snapshot committed").contains("must be serializable, snapshot, read"));
}

#[test]
fn values_are_what_is_said() {
    let kind = |line: &str| match write(line).what {
        What::Value(value) => value,
        other => panic!("{line}: {other:?}"),
    };
    assert_eq!(kind("put k 12 as text"), json!("12").into());
    assert_eq!(kind("put k '12' as json"), json!(12).into());
    assert_eq!(kind("put k /wA= as raw"), llmdb::Value::Raw(vec![0xff, 0]));
    assert_eq!(kind("put k kgEC as messagepack"), llmdb::Value::MessagePack(vec![0x92, 1, 2]));
    let message = llmdb::Message::new(None, [8, 1]).unwrap();
    assert_eq!(kind("put k CAE= as protobuf"), message.into());
    assert!(error("put k plain as json").contains("no JSON"));
    assert!(error("put k ? as raw").contains("no base64"));
    assert!(error("put k CA== as protobuf").contains("cut short"));
    assert!(error("put k 1 as jsn").contains("did you mean `json`?"));
}

#[test]
fn upkeep_is_said_in_words() {
    use crate::exec::feeds::FeedOp;
    use crate::exec::upkeep::UpkeepOp;
    assert!(matches!(op("lock k"), Op::Lock(target) if target.key == b"k"));
    let line = "feed f limit 3 after 5:0 from newest prefix a in 7";
    let Op::Feed(FeedOp::Read(feed)) = op(line) else { panic!() };
    assert_eq!((feed.name.as_str(), feed.limit), ("f", Some(3)));
    assert_eq!((feed.after.as_deref(), feed.from.as_deref()), (Some("5:0"), Some("newest")));
    let within = feed.within.unwrap();
    assert_eq!((within.bytes, within.partition), (b"a".to_vec(), Partition::Id(PartitionId(7))));
    let Op::Feed(FeedOp::Read(feed)) = op("feed f") else { panic!() };
    assert!(feed.within.is_none() && feed.limit.is_none());
    assert!(matches!(op("ack f 5:0"), Op::Feed(FeedOp::Ack(f, at)) if f == "f" && at == "5:0"));
    assert!(matches!(op("feeds"), Op::Feed(FeedOp::List)));
    assert!(matches!(op("drop feed f"), Op::Feed(FeedOp::Drop(f)) if f == "f"));
    assert!(matches!(op("drop checkpoint c"), Op::DropCheckpoint(c) if c == "c"));
    assert!(error("drop feeds f").contains("did you mean `feed`?"));
    assert!(matches!(op("checkpoint"), Op::Checkpoint));
    let tx = Some(Tx::At(TxTime(5)));
    assert!(matches!(op("checkpoint c tx 5"), Op::NameCheckpoint(c, at) if c == "c" && at == tx));
    assert!(matches!(op("checkpoint c tx now"), Op::NameCheckpoint(_, None)));
    assert!(error("checkpoint tx 5").contains("under a name"));
    assert!(matches!(op("checkpoints"), Op::Checkpoints));
    assert!(matches!(op("retire"), Op::Retire(None)));
    assert!(matches!(op("retire in 7"), Op::Retire(Some(Partition::Id(PartitionId(7))))));
    assert!(matches!(op("retention in 7"), Op::Retention(Partition::Id(PartitionId(7)))));
    assert!(matches!(op("erase k"), Op::Erase(target, true) if target.key == b"k"));
    assert!(matches!(op("erase k finish off"), Op::Erase(_, false)));
    assert!(error("erase k finish later").contains("on or off"));
    assert!(error("erasures 5").contains("no ticket"));
    assert!(matches!(op("finish"), Op::FinishErasures));
    assert!(matches!(op("shrink"), Op::Compact));
    assert!(matches!(op("stats deep"), Op::Upkeep(UpkeepOp::TreeStats)));
    assert!(error("stats dep").contains("did you mean `deep`?"));
    let Op::Upkeep(UpkeepOp::Backup { dest, base }) = op("backup 'a b' base c") else { panic!() };
    assert_eq!((dest.to_str(), base.unwrap().to_str()), (Some("a b"), Some("c")));
}

#[test]
fn policies_are_said_in_words() {
    use llmdb::{Period, Retention};
    use std::time::Duration;
    let policy = |line: &str| match op(line) {
        Op::SetRetention(_, policy) => *policy,
        other => panic!("{line}: {other:?}"),
    };
    let day = Duration::from_secs(86_400);
    assert_eq!(policy("retain inf"), Retention::forever());
    let expected = Retention::all_for(90 * day)
        .then_last_of_for(Period::Day, 365 * day)
        .then_last_of(Period::Month);
    assert_eq!(policy("retain 90d then day:365d,month in 7"), expected);
    for bad in ["retain soon", "retain inf then day", "retain 9d then fortnight", "retain -9d"] {
        assert!(error(bad).contains("lengths are 90d"), "{bad}: {}", error(bad));
    }
}
