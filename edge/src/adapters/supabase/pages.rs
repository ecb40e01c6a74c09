//! Pages of rows, newest first, by the time and id of the last row seen.

use shared::{api::Page, errors::FieldError};
use uuid::Uuid;

use crate::error::{Error, Result};

/// The part of a query that orders, limits and goes on after the cursor.
///
/// One row more than asked for is read, to know whether there is another page.
pub(super) fn page_query(limit: u64, cursor: Option<&str>) -> Result<String> {
    let limit = limit.saturating_add(1);
    let after = match cursor {
        Some(cursor) => after(cursor)?,
        None => String::new(),
    };
    Ok(format!("order=created_at.desc,id.desc&limit={limit}{after}"))
}

/// The page made of the rows read, and where it ends.
pub(super) fn page_of<T>(
    mut rows: Vec<T>,
    limit: u64,
    place: impl Fn(&T) -> (&str, Uuid),
) -> Page<T> {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let is_last = rows.len() <= limit;
    rows.truncate(limit);
    let next_cursor = rows.last().filter(|_| !is_last).map(|row| {
        let (created_at, id) = place(row);
        // A plus sign would be a space in a query.
        format!("{}~{id}", created_at.replace("+00:00", "Z"))
    });
    Page { items: rows, next_cursor }
}

fn after(cursor: &str) -> Result<String> {
    let refused = || {
        Error::Invalid(vec![FieldError {
            pointer: "/cursor".to_owned(),
            code: "format".to_owned(),
            detail: "must be the next_cursor of an earlier page".to_owned(),
        }])
    };
    let (time, id) = cursor.split_once('~').ok_or_else(refused)?;
    let id: Uuid = id.parse().map_err(|_| refused())?;
    let is_time_char = |c: char| c.is_ascii_digit() || matches!(c, '-' | ':' | '.' | 'T' | 'Z');
    if !(20..=35).contains(&time.len()) || !time.chars().all(is_time_char) {
        return Err(refused());
    }
    Ok(format!("&or=(created_at.lt.%22{time}%22,and(created_at.eq.%22{time}%22,id.lt.{id}))"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(count: u128) -> Vec<(String, Uuid)> {
        (0..count)
            .map(|n| (format!("2026-11-21T04:00:0{n}.123456+00:00"), Uuid::from_u128(n)))
            .collect()
    }

    fn page(count: u128, limit: u64) -> Page<(String, Uuid)> {
        page_of(rows(count), limit, |(time, id)| (time, *id))
    }

    #[test]
    fn a_full_page_names_where_the_next_begins() {
        let cursor = page(3, 2).next_cursor.unwrap();
        assert_eq!(cursor, "2026-11-21T04:00:01.123456Z~00000000-0000-0000-0000-000000000001");
        let query = page_query(2, Some(&cursor)).unwrap();
        assert!(query.starts_with("order=created_at.desc,id.desc&limit=3&or=(created_at.lt.%22"));
    }

    #[test]
    fn the_last_page_names_nothing() {
        assert_eq!(page(2, 2).next_cursor, None);
        assert_eq!(page(0, 2).next_cursor, None);
    }

    #[test]
    fn a_made_up_cursor_is_refused() {
        let id = Uuid::nil();
        for cursor in ["", "x", &format!("now~{id}"), "2026-11-21T04:00:01Z~1"] {
            assert!(matches!(page_query(2, Some(cursor)), Err(Error::Invalid(_))), "{cursor}");
        }
        let injected = format!("2026-11-21T04:00:01Z),or(a~{id}");
        assert!(page_query(2, Some(&injected)).is_err());
    }
}
