//! The parts of a received request as the server signs them: decoded, then encoded by its own rules. Shares nothing with
//! the client's signer.

/// The query as the server signs it: decoded as a form (`+` is a space), then encoded strictly and sorted by name.
pub(super) fn recoded_query(query: &str) -> String {
    let mut pairs: Vec<(String, String)> = form_urlencoded::parse(query.as_bytes())
        .map(|(name, value)| (strict(name.as_bytes()), strict(value.as_bytes())))
        .collect();
    pairs.sort_by(|a, b| a.0.cmp(&b.0));
    let mut text = String::new();
    for (name, value) in pairs {
        if !text.is_empty() {
            text.push('&');
        }
        text += &name;
        text.push('=');
        text += &value;
    }
    text
}

/// The path, each segment decoded and encoded strictly.
pub(super) fn recoded_path(path: &str) -> String {
    if path.is_empty() {
        return "/".into();
    }
    let segment = |part| strict(&percent_encoding::percent_decode_str(part).collect::<Vec<u8>>());
    path.split('/').map(segment).collect::<Vec<_>>().join("/")
}

/// Letters, digits and `-_.~` stay; every other byte becomes `%` and two upper-case digits.
fn strict(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for &byte in bytes {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            text.push(char::from(byte));
        } else {
            let digit = |value: u8| char::from(b"0123456789ABCDEF"[usize::from(value)]);
            text.extend(['%', digit(byte >> 4), digit(byte & 15)]);
        }
    }
    text
}

/// The seconds of a `YYYYMMDD'T'HHMMSS'Z'`.
pub(super) fn basic_seconds(text: &str) -> Option<i64> {
    let digits = |range: std::ops::Range<usize>| {
        text.get(range).filter(|part| part.bytes().all(|b| b.is_ascii_digit()))?.parse::<i8>().ok()
    };
    let year: i16 = text.get(..4)?.parse().ok()?;
    if text.len() != 16 || text.get(8..9) != Some("T") || text.get(15..) != Some("Z") {
        return None;
    }
    let date = jiff::civil::Date::new(year, digits(4..6)?, digits(6..8)?).ok()?;
    let time = jiff::civil::Time::new(digits(9..11)?, digits(11..13)?, digits(13..15)?, 0).ok()?;
    let zoned = date.to_datetime(time).to_zoned(jiff::tz::TimeZone::UTC).ok()?;
    Some(zoned.timestamp().as_second())
}
