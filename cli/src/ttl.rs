//! Lengths of time on the command line: `90m`, `1h30m`, `250ms`.

/// Units, in microseconds.
const UNITS: [(&str, i64); 7] = [
    ("us", 1),
    ("ms", 1_000),
    ("s", 1_000_000),
    ("m", 60_000_000),
    ("h", 3_600_000_000),
    ("d", 86_400_000_000),
    ("w", 604_800_000_000),
];

/// Microseconds: numbers with units, one after the other, which add up; or a number alone.
///
/// # Errors
/// What is expected instead.
pub fn parse(text: &str) -> Result<i64, String> {
    if let Ok(micros) = text.parse() {
        return Ok(micros);
    }
    let bad =
        || format!("`{text}` is no length of time: expected `90m`, `1h30m`, `7d` or the like");
    if text.is_empty() {
        return Err(bad());
    }
    let (mut rest, mut sum) = (text, 0i64);
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let number: i64 = rest[..digits].parse().map_err(|_| bad())?;
        let behind = &rest[digits..];
        let letters = behind.bytes().take_while(u8::is_ascii_lowercase).count();
        let unit = UNITS.iter().find(|(name, _)| *name == &behind[..letters]).ok_or_else(bad)?;
        let micros = number.checked_mul(unit.1).and_then(|micros| sum.checked_add(micros));
        sum = micros.ok_or_else(|| format!("`{text}` is longer than time itself"))?;
        rest = &behind[letters..];
    }
    Ok(sum)
}

/// So many microseconds, in the largest unit that needs no fraction.
pub fn text(us: u64) -> String {
    let fits = |(_, unit): &&(&str, i64)| us >= *unit as u64 && us.is_multiple_of(*unit as u64);
    let (name, unit) = UNITS.iter().rev().find(fits).unwrap_or(&UNITS[0]);
    format!("{}{name}", us / *unit as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_add_up() {
        assert_eq!(parse("90m"), Ok(5_400_000_000));
        assert_eq!(parse("1h30m"), parse("90m"));
        assert_eq!(parse("250ms"), Ok(250_000));
        assert_eq!(parse("7d"), parse("1w"));
        assert_eq!(parse("5us"), parse("5"));
        assert_eq!(parse("-5"), Ok(-5), "refused later, by the engine");
    }

    #[test]
    fn what_is_no_length_is_refused() {
        for bad in ["", "m", "5x", "1h-30m", "90 m", "1.5h", "m5", "5M", "é", "5é"] {
            assert!(parse(bad).unwrap_err().contains("no length of time"), "{bad}");
        }
        assert!(parse("999999999999w").unwrap_err().contains("longer than time"));
        assert!(parse("99999999999999999999s").is_err());
    }
}
