//! Dates for chat templates that tell the model which day it is; in UTC, so that every node says the same.

use std::{
    fmt::Write,
    time::{Duration, SystemTime},
};

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// The first of January 1970 was a Thursday.
const DAYS: [&str; 7] =
    ["Thursday", "Friday", "Saturday", "Sunday", "Monday", "Tuesday", "Wednesday"];

/// The time as `strftime` writes it in the C locale; `None` for a sign that is not known here.
pub(super) fn strftime(time: SystemTime, format: &str) -> Option<String> {
    let seconds = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs();
    let (days, seconds) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day, day_of_year) = date(days);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let hour_of_12 = (hour + 11) % 12 + 1;
    let day_name = DAYS[(days % 7) as usize];
    let month_name = MONTHS[month as usize - 1];

    let mut text = String::new();
    let mut signs = format.chars();
    while let Some(sign) = signs.next() {
        if sign != '%' {
            text.push(sign);
            continue;
        }
        let mut sign = signs.next()?;
        let is_unpadded = sign == '-';
        if is_unpadded {
            sign = signs.next()?;
        }
        let mut number = |value: u64, width: usize| {
            let width = if is_unpadded { 0 } else { width };
            let _ = write!(text, "{value:0width$}");
        };
        match sign {
            'Y' => number(year, 4),
            'y' => number(year % 100, 2),
            'm' => number(month, 2),
            'd' => number(day, 2),
            'j' => number(day_of_year, 3),
            'H' => number(hour, 2),
            'I' => number(hour_of_12, 2),
            'M' => number(minute, 2),
            'S' => number(second, 2),
            'B' => text.push_str(month_name),
            'b' | 'h' => text.push_str(&month_name[..3]),
            'A' => text.push_str(day_name),
            'a' => text.push_str(&day_name[..3]),
            'p' => text.push_str(if hour < 12 { "AM" } else { "PM" }),
            'e' => {
                let _ = write!(text, "{day:2}");
            }
            'F' => {
                let _ = write!(text, "{year:04}-{month:02}-{day:02}");
            }
            'T' => {
                let _ = write!(text, "{hour:02}:{minute:02}:{second:02}");
            }
            'n' => text.push('\n'),
            't' => text.push('\t'),
            '%' => text.push('%'),
            _ => return None,
        }
    }
    Some(text)
}

/// Year, month, day and day of the year, from the days since 1970.
fn date(days: u64) -> (u64, u64, u64, u64) {
    let is_leap = |year: u64| {
        year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
    };
    let mut rest = days;
    let mut year = 1970;
    loop {
        let length = if is_leap(year) { 366 } else { 365 };
        if rest < length {
            break;
        }
        rest -= length;
        year += 1;
    }
    let day_of_year = rest + 1;
    let february = if is_leap(year) { 29 } else { 28 };
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30] {
        if rest < length {
            break;
        }
        rest -= length;
        month += 1;
    }
    (year, month, rest + 1, day_of_year)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64, format: &str) -> Option<String> {
        strftime(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds), format)
    }

    #[test]
    fn dates_are_written_as_templates_ask() {
        // 2024-02-29 13:05:09 UTC
        let leap_day = 1_709_211_909;
        for (format, expected) in [
            ("%d %b %Y", "29 Feb 2024"),
            ("%A, %B %-d, %Y", "Thursday, February 29, 2024"),
            ("%Y-%m-%d %H:%M:%S", "2024-02-29 13:05:09"),
            ("%F %T %j %I %p %%", "2024-02-29 13:05:09 060 01 PM %"),
            ("%a %e %y", "Thu 29 24"),
        ] {
            assert_eq!(at(leap_day, format).as_deref(), Some(expected));
        }
        assert_eq!(at(0, "%a %d %b %Y").as_deref(), Some("Thu 01 Jan 1970"));
        assert_eq!(at(1_798_761_599, "%F %j").as_deref(), Some("2026-12-31 365"));
    }

    #[test]
    fn an_unknown_sign_is_no_date() {
        assert_eq!(at(0, "%Q"), None);
        assert_eq!(at(0, "%"), None);
    }
}
