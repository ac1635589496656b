//! "Did you mean": the nearest known word to an unknown one.

/// The candidate nearest to `word`, if it is near enough to be what was meant.
pub(super) fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // A long word is surely not a slip of the pen, and the distance costs its square.
    if word.len() > 64 {
        return None;
    }
    let allowed = (word.chars().count() / 3).clamp(1, 3);
    candidates
        .into_iter()
        .map(|candidate| (distance(word, candidate), candidate))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Insertions, deletions, replacements and swaps of neighbours that turn one word into the other (optimal
/// string alignment), letter case aside.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().map(|c| c.to_ascii_lowercase()).collect();
    // The rows of the usual table: the last but one, the last, and the one being made.
    let mut older: Vec<usize> = Vec::new();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    let mut before = None;
    for (line, from) in a.chars().map(|c| c.to_ascii_lowercase()).enumerate() {
        let mut left = line + 1;
        let mut next = vec![left];
        for (column, to) in b.iter().enumerate() {
            let at = |row: &[usize], column: usize| row.get(column).copied().unwrap_or(usize::MAX / 2);
            left = (at(&row, column) + usize::from(from != *to))
                .min(left + 1)
                .min(at(&row, column + 1) + 1);
            let previous = column.checked_sub(1);
            if before == Some(*to)
                && let Some(previous) = previous
                && b.get(previous) == Some(&from)
            {
                left = left.min(at(&older, previous) + 1);
            }
            next.push(left);
        }
        older = std::mem::replace(&mut row, next);
        before = Some(from);
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        for (a, b, expected) in [
            ("", "", 0),
            ("abc", "", 3),
            ("", "abc", 3),
            ("kitten", "sitting", 3),
            ("Port", "port", 0),
            ("prot", "port", 1),
            ("ab", "ba", 1),
        ] {
            assert_eq!(distance(a, b), expected, "{a} {b}");
        }
    }

    #[test]
    fn only_near_words_are_suggested() {
        let keys = ["host", "port", "default_pool_size", "min_pool_size"];
        assert_eq!(nearest("prot", keys), Some("port"));
        assert_eq!(nearest("ports", keys), Some("port"));
        assert_eq!(nearest("default_poolsize", keys), Some("default_pool_size"));
        assert_eq!(nearest("sslmode", keys), None);
    }
}
