//! The two formats of the workload, checked by hand.

/// A mailbox of RFC 5321 §4.1.2, without quoted local parts and addresses in brackets.
#[must_use]
pub fn is_email(text: &str) -> bool {
    let Some((local, domain)) = text.rsplit_once('@') else { return false };
    let atom = |part: &str| {
        !part.is_empty()
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&byte))
    };
    let label = |part: &str| {
        (1..=63).contains(&part.len())
            && !part.starts_with('-')
            && !part.ends_with('-')
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    local.len() <= 64 && local.split('.').all(atom) && domain.len() <= 255 && domain.split('.').all(label)
}

/// A date and time of RFC 3339 §5.6.
#[must_use]
pub fn is_date_time(text: &str) -> bool {
    let bytes = text.as_bytes();
    let number = |from: usize, to: usize| -> Option<u32> {
        let digits = bytes.get(from..to)?;
        digits.iter().try_fold(0, |sum, digit| digit.is_ascii_digit().then(|| sum * 10 + u32::from(digit - b'0')))
    };
    let is = |at: usize, of: &[u8]| bytes.get(at).is_some_and(|byte| of.contains(byte));
    let parse = || {
        let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
        let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
        let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        let days = match month {
            2 => 28 + u32::from(leap),
            4 | 6 | 9 | 11 => 30,
            1..=12 => 31,
            _ => return None,
        };
        let marks = is(4, b"-") && is(7, b"-") && is(10, b"Tt ") && is(13, b":") && is(16, b":");
        if !marks || !(1..=days).contains(&day) || hour > 23 || minute > 59 || second > 60 {
            return None;
        }
        let mut at = 19;
        if is(at, b".") {
            let digits = bytes.get(at + 1..)?.iter().take_while(|byte| byte.is_ascii_digit()).count();
            at += 1 + digits;
            if digits == 0 {
                return None;
            }
        }
        // A leap second is the last of a day in UTC.
        let (ahead, end) = if is(at, b"Zz") {
            (0, at + 1)
        } else {
            let (hours, minutes) = (number(at + 1, at + 3)?, number(at + 4, at + 6)?);
            if !is(at, b"+-") || !is(at + 3, b":") || hours > 23 || minutes > 59 {
                return None;
            }
            let offset = hours * 60 + minutes;
            (if is(at, b"+") { 1_440 - offset } else { offset }, at + 6)
        };
        let last = (hour * 60 + minute + ahead) % 1_440 == 1_439;
        (end == bytes.len() && (second < 60 || last)).then_some(())
    };
    parse().is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_rfc_3339() {
        for right in ["2024-02-29T00:00:00Z", "1990-12-31T15:59:60-08:00", "2024-01-01t00:00:00.000+14:00"] {
            assert!(is_date_time(right), "{right}");
        }
        for wrong in
            ["yesterday", "2023-02-29T00:00:00Z", "2024-01-01T24:00:00Z", "2024-01-01T00:00:00", "2024-01-01T00:00:60Z"]
        {
            assert!(!is_date_time(wrong), "{wrong}");
        }
    }
}
