use super::*;
use serde_json::json;

const DAY: i64 = 86_400_000_000;
/// 2024-01-01.
const START: i64 = 1_704_067_200_000_000;

fn fact(value: &str, from: i64, to: i64) -> Fact {
    let time = |day: i64| if day == i64::MAX { day } else { START + day * DAY };
    Fact {
        value: json!(value).into(),
        valid_from: ValidTime(time(from)),
        valid_to: ValidTime(time(to)),
        tx: TxTime(1),
    }
}

fn pen(width: usize) -> Pen {
    Pen { width, signs: &LINES }
}

fn now() -> ValidTime {
    ValidTime(START + 400 * DAY)
}

#[test]
fn a_timeline_shows_values_absences_and_now() {
    let facts = [fact("free", 0, 152), fact("pro", 152, 244), fact("team", 366, i64::MAX)];
    let text = timeline(&facts, now(), pen(72));
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].starts_with("├ a free ──"), "{text}");
    assert!(lines[0].contains("┼ b pro ──") && lines[0].contains("─┤···"), "{text}");
    assert!(lines[0].contains("·├ c team ──") && lines[0].ends_with('▶'), "{text}");
    assert!(lines[1].starts_with("2024-01-01") && lines[1].contains("2025-01-01"), "{text}");
    assert!(lines[2].trim() == "▲ now", "{text}");
    assert!(lines[5].starts_with("c  2025-01-01T00:00:00Z .. inf"), "{text}");
}

#[test]
fn it_fits_any_screen() {
    let facts: Vec<Fact> = (0..40)
        .map(|at| fact(&"名前 value ".repeat(at), (at * at) as i64, (at * at + at + 1) as i64))
        .chain([fact("last", 2_000, i64::MAX)])
        .collect();
    for width in [24, 40, 80, 200] {
        for count in [1, 2, 5, 41] {
            let text = timeline(&facts[41 - count..], now(), pen(width));
            let widest = text.lines().map(columns).max().unwrap();
            let notes = "99 earlier stretches do not fit: `timeline` lists them".len();
            assert!(widest <= width.max(notes), "{width} {count}\n{text}");
            let bar = text.lines().next().unwrap();
            assert_eq!(columns(bar), width, "{count}\n{text}");
        }
    }
}

#[test]
fn every_stretch_is_seen_however_short() {
    let facts = [fact("a", 0, 1), fact("b", 1, 100_000), fact("c", 100_000, 100_001)];
    let text = timeline(&facts, now(), pen(60));
    let bar = text.lines().next().unwrap();
    for label in ["a a", "b b", "c c"] {
        assert!(bar.contains(label), "{text}");
    }
    assert!(bar.ends_with('┤'), "{text}");
}

#[test]
fn ascii_is_enough() {
    let facts = [fact("x\u{1b}", 0, 10), fact("y", 20, i64::MAX)];
    let text = timeline(&facts, now(), Pen { width: 60, signs: &ASCII });
    assert!(text.is_ascii(), "{text}");
    assert!(!text.contains('\u{1b}'));
    let bar = text.lines().next().unwrap();
    assert!(bar.starts_with("| a x") && bar.contains("-|...") && bar.ends_with('>'), "{text}");
}

#[test]
fn times_of_a_logical_clock_are_numbers() {
    assert_eq!(axis::labels(&[10, 20]), ["10", "20"]);
    assert_eq!(axis::labels(&[START, START + DAY]), ["2024-01-01", "2024-01-02"]);
    let hour = DAY / 24;
    assert_eq!(axis::labels(&[START, START + hour]), ["2024-01-01 00:00", "2024-01-01 01:00"]);
    assert_eq!(axis::labels(&[START, START + 1])[1], "2024-01-01T00:00:00.000001Z");
}

#[test]
fn a_history_has_a_bar_for_each_belief() {
    let rectangle = |value: Option<&str>, valid: (i64, i64), tx: (i64, i64), by: i64| Rectangle {
        valid_from: ValidTime(valid.0),
        valid_to: ValidTime(valid.1),
        tx_from: TxTime(tx.0),
        tx_to: TxTime(tx.1),
        value: value.map(|value| json!(value).into()),
        tx: TxTime(by),
        note: (by == 2).then(|| json!({"why": "corrected"})),
    };
    let end = i64::MAX;
    let rectangles = [
        rectangle(Some("A"), (10, end), (1, 2), 1),
        rectangle(Some("A"), (10, 20), (2, end), 1),
        rectangle(Some("B"), (20, end), (2, 3), 2),
        rectangle(None, (20, end), (3, end), 3),
    ];
    let text = history(&rectangles, ValidTime(30), pen(60));
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].starts_with("3 │├ a A ──") && lines[0].ends_with('·'), "{text}");
    assert!(lines[1].starts_with("2 │├ a A ──") && lines[1].contains("┼ b B ──"), "{text}");
    assert!(lines[2].starts_with("1 │├ a A ──") && lines[2].ends_with('▶'), "{text}");
    assert!(lines[3].trim_start().starts_with("10 "), "{text}");
    assert!(text.contains("B  # why: corrected"), "{text}");
    assert!(text.contains("c  1970-01-01T00:00:00.000003Z  (absent)"), "{text}");
    // One belief a line: a hundred of them are cut to the newest.
    let many: Vec<Rectangle> =
        (1..=100).map(|tx| rectangle(Some("A"), (10, end), (tx, tx + 1), tx)).collect();
    let text = history(&many, ValidTime(30), pen(60));
    assert!(text.contains("85 earlier changes of belief"), "{text}");
}

#[test]
fn names_go_on_behind_z() {
    assert_eq!([0, 25, 26, 27, 702].map(name), ["a", "z", "aa", "ab", "aaa"]);
}
