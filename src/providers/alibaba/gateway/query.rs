//! For the simulator's gateway: reads parameters and the canonical request out of received bytes, with nothing of the
//! client's. It decodes once, by the rules of forms (`+` is a space), and encodes again by the rules of the signature.

use crate::providers::sim::SimRequest;

/// Parameters that are read at most; a batch has 50 names.
const PARAMS: usize = 256;

/// The parameters of a request, decoded, of query and form together.
pub struct Params(Vec<(String, String)>);

impl Params {
    /// The parameters, or `None` when they are not UTF-8 or too many.
    pub fn of(request: &SimRequest<'_>) -> Option<Self> {
        let mut pairs = decode(request.query.as_bytes());
        let kind = request.header("content-type").unwrap_or_default();
        if kind.starts_with("application/x-www-form-urlencoded") {
            pairs.extend(decode(request.body));
        }
        if pairs.len() > PARAMS {
            return None;
        }
        let text = |bytes| String::from_utf8(bytes).ok();
        pairs
            .into_iter()
            .map(|(name, value)| Some((text(name)?, text(value)?)))
            .collect::<Option<_>>()
            .map(Self)
    }

    /// The value of a parameter, perhaps empty.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The value of a parameter that is there and not empty.
    pub fn filled(&self, name: &str) -> Option<&str> {
        self.get(name).filter(|value| !value.is_empty())
    }

    /// The values of `Name.1`, `Name.2` and so on, as far as they follow each other.
    pub fn list(&self, name: &str) -> Vec<&str> {
        (1..).map_while(|n: usize| self.get(&format!("{name}.{n}"))).collect()
    }
}

/// The canonical request over the received query and the received values of the signed headers.
pub fn canonical(request: &SimRequest<'_>, signed_headers: &str, payload: &str) -> Vec<u8> {
    let mut text = Vec::new();
    text.extend(request.method.as_str().bytes());
    text.push(b'\n');
    text.extend(request.path.bytes());
    text.push(b'\n');
    let mut pairs = decode(request.query.as_bytes());
    pairs.sort_by(|left, right| left.0.cmp(&right.0));
    for (at, (name, value)) in pairs.iter().enumerate() {
        if at > 0 {
            text.push(b'&');
        }
        encode(name, &mut text);
        text.push(b'=');
        encode(value, &mut text);
    }
    text.push(b'\n');
    for name in signed_headers.split(';') {
        let mut values: Vec<&[u8]> =
            request.headers.get_all(name).iter().map(|value| value.as_bytes().trim_ascii()).collect();
        values.sort_unstable();
        text.extend(name.bytes());
        text.push(b':');
        text.extend(values.join(&b','));
        text.push(b'\n');
    }
    text.push(b'\n');
    text.extend(signed_headers.bytes());
    text.push(b'\n');
    text.extend(payload.bytes());
    text
}

fn decode(query: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let pairs = query.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let cut = pair.iter().position(|byte| *byte == b'=');
            let (name, value) = cut.map_or((pair, &b""[..]), |at| (&pair[..at], &pair[at + 1..]));
            (decode_one(name), decode_one(value))
        })
        .collect()
}

fn decode_one(mut text: &[u8]) -> Vec<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let mut bytes = Vec::with_capacity(text.len());
    while let Some((&first, rest)) = text.split_first() {
        text = rest;
        match (first, rest) {
            (b'+', _) => bytes.push(b' '),
            (b'%', [high, low, after @ ..]) => match (digit(*high), digit(*low)) {
                (Some(high), Some(low)) => {
                    bytes.push(high << 4 | low);
                    text = after;
                }
                _ => bytes.push(b'%'),
            },
            _ => bytes.push(first),
        }
    }
    bytes
}

fn encode(bytes: &[u8], into: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    for &byte in bytes {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
            into.push(byte);
        } else {
            into.extend([b'%', DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(query: &str) -> String {
        let mut text = Vec::new();
        for (name, value) in decode(query.as_bytes()) {
            encode(&name, &mut text);
            text.push(b'=');
            encode(&value, &mut text);
            text.push(b'&');
        }
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn every_clients_way_of_writing_a_query_means_the_same() {
        assert_eq!(round("a=x+y"), "a=x%20y&");
        assert_eq!(round("a=x%20y"), "a=x%20y&");
        assert_eq!(round("a=*'()!~"), "a=%2A%27%28%29%21~&");
        assert_eq!(round("a=%2a%27%28%29%21%7E"), "a=%2A%27%28%29%21~&");
        assert_eq!(round("a=%257E"), "a=%257E&");
        assert_eq!(round("a&b="), "a=&b=&");
    }

    #[test]
    fn a_broken_escape_stands_for_itself() {
        assert_eq!(round("a=%"), "a=%25&");
        assert_eq!(round("a=%4"), "a=%254&");
        assert_eq!(round("a=%zz%41"), "a=%25zzA&");
    }
}
