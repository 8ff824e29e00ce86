//! The known word nearest to one that is not known.

/// The most known words that a hint lists.
const LIMIT_LISTED: usize = 40;

/// `did you mean ...?` when a known word is near enough, else the list of known words.
pub(super) fn hint<'a>(given: &str, known: impl Iterator<Item = &'a str> + Clone) -> String {
    let given = plain(given);
    let nearest = known.clone().map(|word| (strsim::damerau_levenshtein(&given, &plain(word)), word));
    match nearest.min_by_key(|(distance, _)| *distance) {
        // A third of the letters may be wrong: `intervall`, `time_out`, `acount` are near, `secret` and `region` are not.
        Some((distance, word)) if distance * 3 <= word.len().max(given.len()) => {
            format!("did you mean `{word}`?")
        }
        _ => format!("known here: {}", known.take(LIMIT_LISTED).collect::<Vec<_>>().join(", ")),
    }
}

/// Lower case, with `-` as `_`: what differs in these alone is the same word to a person. Cut, since distance is quadratic.
fn plain(word: &str) -> String {
    word.chars().take(64).map(|c| if c == '-' { '_' } else { c.to_ascii_lowercase() }).collect()
}

#[cfg(test)]
mod tests {
    use super::hint;

    #[test]
    fn only_a_near_word_is_proposed_else_all_are_listed() {
        let known = || ["interval", "timeout", "max_age"].into_iter();
        for (given, word) in [
            ("intervall", "interval"),
            ("Max-Age", "max_age"),
            ("time_out", "timeout"),
            ("tiemout", "timeout"),
        ] {
            assert_eq!(hint(given, known()), format!("did you mean `{word}`?"));
        }
        for given in ["qps", "x", "", "region"] {
            assert_eq!(hint(given, known()), "known here: interval, timeout, max_age");
        }
    }
}
