//! Which column of a drawing a time has.

use super::Signs;
use crate::width::columns;
use llmdb::ValidTime;

/// Columns that a stretch has if there is room for all: for a date; for a word; to be seen.
const COLUMNS_MIN: [usize; 5] = [13, 8, 5, 3, 2];
/// Times closer to 1970 than this, in microseconds, are numbers of a logical clock and not dates.
const NUMBERS_MAX: i64 = 1_000_000_000;

/// Boundaries of valid time, ascending, and their columns.
#[derive(Debug)]
pub struct Axis {
    bounds: Vec<ValidTime>,
    columns: Vec<usize>,
    /// How many boundaries came before the first and found no place.
    hidden: usize,
    /// The column behind the last.
    width: usize,
}

impl Axis {
    /// An axis of `width` columns with the boundaries `ends`; infinity is its right end.
    pub fn new(mut ends: Vec<ValidTime>, width: usize) -> Self {
        ends.sort_unstable();
        ends.dedup();
        let open = ends.last() == Some(&ValidTime::INFINITY);
        if open {
            ends.pop();
        }
        // Of what does not fit the newest is shown.
        let room = width / COLUMNS_MIN[COLUMNS_MIN.len() - 1];
        let hidden = (ends.len() + usize::from(open)).saturating_sub(room.max(2) + 1);
        ends.drain(..hidden);
        let spans = spans(&ends, open);
        // The last boundary takes a column where nothing follows it.
        let room = if open { width } else { width - 1 };
        let mut at = 0;
        let mut columns = vec![0];
        for wide in share(&spans, room) {
            at += wide;
            columns.push(at);
        }
        columns.truncate(ends.len());
        Self { bounds: ends, columns, hidden, width }
    }

    /// The column of a boundary; that of what is before the first is 0.
    pub fn column(&self, at: ValidTime) -> usize {
        if at == ValidTime::INFINITY {
            return self.width;
        }
        match self.bounds.binary_search(&at) {
            Ok(found) => self.columns[found],
            Err(0) => 0,
            Err(behind) => self.columns[behind - 1],
        }
    }

    /// The first boundary.
    pub fn first(&self) -> ValidTime {
        self.bounds.first().copied().unwrap_or(ValidTime::INFINITY)
    }

    /// Its columns.
    pub fn width(&self) -> usize {
        self.width
    }

    /// How many boundaries found no place.
    pub fn hidden(&self) -> usize {
        self.hidden
    }

    /// The boundaries as a line of text, as many as there is room for.
    pub fn dates(&self) -> String {
        let micros: Vec<i64> = self.bounds.iter().map(|at| at.0).collect();
        let mut line = String::new();
        let mut taken = 0;
        for (label, &column) in labels(&micros).iter().zip(&self.columns) {
            let free = taken == 0 || taken < column;
            if free && column + columns(label) <= self.width {
                line.push_str(&" ".repeat(column - taken));
                line.push_str(label);
                taken = column + columns(label);
            }
        }
        line
    }

    /// A line that points at now; none if that is not on the axis.
    pub fn now(&self, now: ValidTime, signs: &Signs) -> Option<String> {
        let next = self.bounds.partition_point(|bound| *bound <= now);
        let last = next.checked_sub(1)?;
        let from = self.columns[last];
        let column = match (self.bounds.get(next), self.columns.get(next)) {
            (Some(to), Some(&end)) => {
                let whole = to.0.abs_diff(self.bounds[last].0).max(1);
                let part = now.0.abs_diff(self.bounds[last].0);
                let share = u128::from(part) * (end - from) as u128 / u128::from(whole);
                from + usize::try_from(share).unwrap_or(0)
            }
            // Beyond the last boundary time has no scale: now is somewhere there.
            _ if self.width > from + 1 => from + (self.width - from) / 2,
            _ => return None,
        };
        const NOW: &str = " now";
        let behind = column + 1 + NOW.len() <= self.width;
        Some(if behind {
            format!("{}{}{NOW}", " ".repeat(column), signs.now)
        } else {
            let before = column.saturating_sub(NOW.len());
            format!("{}now {}", " ".repeat(before), signs.now)
        })
    }
}

/// How long each stretch is; an open one as long as the others on average.
fn spans(bounds: &[ValidTime], open: bool) -> Vec<u64> {
    let mut spans: Vec<u64> =
        bounds.windows(2).map(|pair| pair[1].0.abs_diff(pair[0].0).max(1)).collect();
    if open {
        let count = spans.len().max(1) as u64;
        let mean = spans.iter().map(|span| span / count).sum::<u64>();
        spans.push(mean.max(1));
    }
    spans
}

/// Divides `width` among stretches: to each as much as it takes to be seen, the rest by length.
fn share(spans: &[u64], width: usize) -> Vec<usize> {
    let count = spans.len();
    if count == 0 {
        return Vec::new();
    }
    let least = COLUMNS_MIN.into_iter().find(|least| least * count <= width).unwrap_or(1);
    let rest = width.saturating_sub(least * count) as u128;
    let whole: u128 = spans.iter().map(|&span| u128::from(span)).sum();
    let mut before: u128 = 0;
    let mut given: u128 = 0;
    spans
        .iter()
        .map(|&span| {
            // From running sums, so that rounding adds up to all of it.
            before += u128::from(span);
            let upto = rest * before / whole.max(1);
            let wide = least + usize::try_from(upto - given).unwrap_or(0);
            given = upto;
            wide
        })
        .collect()
}

/// Times as short as still tells them apart.
pub fn labels(micros: &[i64]) -> Vec<String> {
    if micros.iter().all(|at| at.abs() < NUMBERS_MAX) {
        return micros.iter().map(i64::to_string).collect();
    }
    let whole: Vec<String> = micros.iter().map(|&at| ValidTime(at).to_string()).collect();
    // Up to the day, the minute, the second, the millisecond, where that tells all apart.
    for (unit, upto) in [(86_400_000_000, 0), (60_000_000, 6), (1_000_000, 9), (1_000, 13)] {
        if micros.windows(2).all(|pair| pair[0].div_euclid(unit) != pair[1].div_euclid(unit)) {
            return whole.iter().map(|text| shorten(text, upto)).collect();
        }
    }
    whole
}

/// An RFC 3339 text up to `upto` characters of its time.
fn shorten(text: &str, upto: usize) -> String {
    match text.split_once('T') {
        Some((date, _)) if upto == 0 => date.to_owned(),
        Some((date, time)) => {
            let time: String = time.chars().take(upto - 1).collect();
            format!("{date} {}", time.trim_end_matches('Z'))
        }
        None => text.to_owned(),
    }
}
