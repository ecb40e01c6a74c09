//! Compiled grammars of late requests: the same schema is often asked for again.

use llguidance::Matcher;

/// The most recently used ones, up to a number.
pub(super) struct GrammarCache {
    capacity: usize,
    /// The latest first.
    entries: Vec<(String, Matcher)>,
}

impl GrammarCache {
    pub(super) fn new(capacity: usize) -> Self {
        Self { capacity, entries: Vec::new() }
    }

    /// A copy that shares nothing with the one kept.
    pub(super) fn find(&mut self, key: &str) -> Option<Matcher> {
        let at = self.entries.iter().position(|(known, _)| known == key)?;
        self.entries[..=at].rotate_right(1);
        self.entries.first().map(|(_, matcher)| matcher.deep_clone())
    }

    pub(super) fn keep(&mut self, key: String, matcher: Matcher) {
        self.entries.retain(|(known, _)| *known != key);
        self.entries.insert(0, (key, matcher));
        self.entries.truncate(self.capacity);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matcher(name: &str) -> Matcher {
        Matcher::new(Err(std::io::Error::other(name.to_owned()).into()))
    }

    #[test]
    fn the_one_not_used_for_longest_goes_first() {
        let mut cache = GrammarCache::new(2);
        cache.keep("a".into(), matcher("a"));
        cache.keep("b".into(), matcher("b"));
        assert_eq!(cache.find("a").and_then(|found| found.get_error()), Some("a".into()));
        cache.keep("c".into(), matcher("c"));
        assert!(cache.find("b").is_none());
        assert!(cache.find("a").is_some() && cache.find("c").is_some());
        cache.keep("c".into(), matcher("again"));
        assert_eq!(cache.entries.len(), 2);
    }
}
