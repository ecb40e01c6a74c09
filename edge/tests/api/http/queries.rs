//! Query parameters: checked like bodies, all errors at once.

use edge::http::query::{FromQuery, Parameters, parse_query};

#[derive(Debug, PartialEq)]
struct Filter {
    limit: Option<u64>,
    flag: Option<bool>,
    cursor: Option<String>,
}

impl FromQuery for Filter {
    fn from_query(parameters: &mut Parameters<'_>) -> Self {
        Self {
            limit: parameters.optional_integer("limit", 1, 100),
            flag: parameters.optional_parsed("flag", "must be true or false"),
            cursor: parameters.optional_text("cursor", 10),
        }
    }
}

#[test]
fn reads_what_is_there_and_decodes_it() {
    let filter: Filter = parse_query("limit=20&cursor=a%20b%2B&flag=true").unwrap();
    assert_eq!(
        filter,
        Filter { limit: Some(20), flag: Some(true), cursor: Some("a b+".to_owned()) }
    );
    let nothing: Filter = parse_query("").unwrap();
    assert_eq!(nothing, Filter { limit: None, flag: None, cursor: None });
}

#[test]
fn reports_everything_wrong_at_once() {
    let cases: [(&str, &[(&str, &str)]); 8] = [
        ("limit=0", &[("/limit", "range")]),
        ("limit=101&flag=maybe", &[("/limit", "range"), ("/flag", "choice")]),
        ("limit=ten", &[("/limit", "range")]),
        ("limit=", &[("/limit", "empty")]),
        ("limit=1&limit=2", &[("/limit", "repeated")]),
        ("cursor=12345678901", &[("/cursor", "too_long")]),
        ("colour=red&a/b=1", &[("/colour", "unknown"), ("/a~1b", "unknown")]),
        ("limit=99999999999999999999999", &[("/limit", "too_long")]),
    ];
    for (query, expected) in cases {
        let errors = parse_query::<Filter>(query).unwrap_err();
        let found: Vec<_> = errors.iter().map(|e| (e.pointer.as_str(), e.code.as_str())).collect();
        assert_eq!(found, expected, "{query}");
    }
}
