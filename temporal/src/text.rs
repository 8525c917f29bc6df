//! Times as text: integers of microseconds, RFC 3339, plain dates, `infinity`.

use crate::{Error, Result, TxTime, ValidTime};
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::Offset;
use std::fmt;
use std::str::FromStr;

/// Microseconds since 1970 from text.
fn parse(text: &str) -> Result<i64> {
    let text = text.trim();
    if matches!(text, "inf" | "infinity") {
        return Ok(i64::MAX);
    }
    let digits = text.strip_prefix('-').unwrap_or(text);
    if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.parse().map_err(|_| Error::TimeOutOfRange);
    }
    if let Some(date) = plain_date(text) {
        let midnight = date.at(0, 0, 0, 0);
        let instant = Offset::UTC.to_timestamp(midnight).map_err(|_| Error::TimeOutOfRange)?;
        return Ok(instant.as_microsecond());
    }
    if fraction_digits(text) > 9 {
        return Err(Error::TimeTooFine);
    }
    let instant: Timestamp = text.parse().map_err(|_| Error::BadTime)?;
    if instant.subsec_nanosecond() % 1_000 != 0 {
        return Err(Error::TimeTooFine);
    }
    Ok(instant.as_microsecond())
}

/// A date alone, `2024-01-01`, which means its midnight UTC.
fn plain_date(text: &str) -> Option<Date> {
    let dashed = text.len() == 10 && !text.contains(['T', 't', ' ', ':']);
    if dashed { text.parse().ok() } else { None }
}

fn fraction_digits(text: &str) -> usize {
    let fraction = text.split_once('.').map_or("", |(_, rest)| rest);
    fraction.bytes().take_while(u8::is_ascii_digit).count()
}

/// RFC 3339 where the calendar reaches (years up to 9999), else the integer.
fn write(micros: i64, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    if micros == i64::MAX {
        return f.write_str("infinity");
    }
    match Timestamp::from_microsecond(micros) {
        Ok(instant) if instant.as_second() >= YEAR_0 => write!(f, "{instant}"),
        _ => write!(f, "{micros}"),
    }
}

/// 0000-01-01T00:00:00Z: RFC 3339 has no years before.
const YEAR_0: i64 = -62_167_219_200;

macro_rules! text {
    ($type:ident) => {
        impl FromStr for $type {
            type Err = Error;

            /// Reads an integer of microseconds since 1970, an RFC 3339 time, a date (its midnight
            /// UTC), `inf` or `infinity`.
            ///
            /// # Errors
            /// [`Error::TimeTooFine`], [`Error::TimeOutOfRange`], or [`Error::BadTime`] for
            /// anything else.
            fn from_str(text: &str) -> Result<Self> {
                parse(text).map(Self)
            }
        }

        impl fmt::Display for $type {
            /// RFC 3339 in UTC, `infinity`, or the integer where no calendar reaches.
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write(self.0, f)
            }
        }
    };
}

text!(ValidTime);
text!(TxTime);

#[cfg(test)]
mod tests {
    use super::*;

    fn micros(text: &str) -> i64 {
        text.parse::<ValidTime>().unwrap().0
    }

    #[test]
    fn integers_dates_and_rfc_3339_mean_the_same_instants() {
        assert_eq!(micros("0"), 0);
        assert_eq!(micros("-5"), -5);
        assert_eq!(micros("1970-01-02"), 86_400_000_000);
        assert_eq!(micros("1970-01-01T00:00:01Z"), 1_000_000);
        assert_eq!(micros("1970-01-01T00:00:00.000001Z"), 1);
        assert_eq!(micros("1970-01-01T01:00:00+01:00"), 0);
        assert_eq!(micros("1969-12-31T23:59:59.999999Z"), -1);
        assert_eq!(micros("inf"), i64::MAX);
        assert_eq!(micros("infinity"), i64::MAX);
        assert_eq!(micros("9223372036854775807"), i64::MAX);
    }

    #[test]
    fn times_finer_than_a_microsecond_are_refused() {
        for text in ["1970-01-01T00:00:00.0000001Z", "1969-12-31T23:59:59.9999999Z"] {
            assert!(matches!(text.parse::<TxTime>(), Err(Error::TimeTooFine)), "{text}");
        }
        let finest = "1970-01-01T00:00:00.0000000001Z";
        assert!(matches!(finest.parse::<TxTime>(), Err(Error::TimeTooFine)));
        assert_eq!(micros("1970-01-01T00:00:00.000001000Z"), 1);
    }

    #[test]
    fn what_is_no_time_or_out_of_range_is_refused() {
        let over = "9223372036854775808";
        assert!(matches!(over.parse::<ValidTime>(), Err(Error::TimeOutOfRange)));
        for text in ["", "-", "now", "2024-13-01", "2024-01-01T00:00:00", "1.5", "0x10", "--1"] {
            assert!(matches!(text.parse::<ValidTime>(), Err(Error::BadTime)), "{text}");
        }
    }

    #[test]
    fn what_is_printed_reads_back() {
        let texts = ["1970-01-01T00:00:00Z", "1969-12-31T23:59:59.999999Z", "infinity"];
        for text in texts {
            assert_eq!(text.parse::<ValidTime>().unwrap().to_string(), text);
        }
        for micros in [i64::MIN, -1, 0, 1, 1_700_000_000_000_001, i64::MAX - 1, i64::MAX] {
            assert_eq!(ValidTime(micros).to_string().parse::<ValidTime>().unwrap().0, micros);
            assert_eq!(TxTime(micros).to_string().parse::<TxTime>().unwrap().0, micros);
        }
    }
}
