//! What went wrong on the wire, in a few words fit for a log.
//!
//! The client's own error texts are not used: they print whole URLs, whose queries hold signatures, and what the other
//! side wrote. Words come only from places whose vocabulary is known.

use std::error::Error;
use std::io;

/// The longest text about a failed TLS handshake, in characters: certificates bring names of their own making.
const TLS_CHARS: usize = 160;

/// What a failed exchange is told as.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// Some layer below gave up waiting.
    Timeout,
    /// Anything else.
    Broken(String),
}

/// Tells an error of the HTTP client: by the innermost cause that has known words.
pub(super) fn tell(error: &reqwest::Error) -> Told {
    if error.is_timeout() {
        return Told::Timeout;
    }
    if error.is_dns() {
        return Told::Broken("the host name cannot be resolved".to_owned());
    }
    if let Some(words) = innermost(error) {
        return Told::Broken(words);
    }
    Told::Broken(
        if error.is_builder() {
            "the request's address is not usable"
        } else if error.is_decode() {
            "the body is not what its Content-Encoding says"
        } else if error.is_connect() {
            "no connection"
        } else {
            "the exchange broke off"
        }
        .to_owned(),
    )
}

fn innermost(error: &(dyn Error + 'static)) -> Option<String> {
    // An I/O error that wraps another error hides it from `source`, which leads to that one's own source.
    let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
    let below = match wrapped {
        Some(wrapped) => innermost(wrapped),
        None => error.source().and_then(innermost),
    };
    below.or_else(|| own_words(error))
}

/// The words of this very error, when its type's vocabulary is known to be fixed.
fn own_words(error: &(dyn Error + 'static)) -> Option<String> {
    if let Some(tls) = error.downcast_ref::<rustls::Error>() {
        return Some(tls_words(tls));
    }
    if let Some(io) = error.downcast_ref::<io::Error>() {
        return match io.kind() {
            // What libraries use for everything of their own; says nothing.
            io::ErrorKind::Other | io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput => None,
            io::ErrorKind::UnexpectedEof => Some("the connection was closed too early".to_owned()),
            kind => Some(kind.to_string()),
        };
    }
    if let Some(http) = error.downcast_ref::<hyper::Error>() {
        // Its Display is a fixed description without its cause.
        return Some(http.to_string());
    }
    // The proxy tunnel's type is not public; its texts all begin alike and are fixed.
    Some(error.to_string()).filter(|text| text.starts_with("tunnel error: ") && text.len() < 80)
}

/// A TLS error in its own words, made plain and short.
pub(super) fn tls_words(error: &rustls::Error) -> String {
    let text = error.to_string();
    let plain = text.chars().map(|c| if c.is_ascii_graphic() { c } else { ' ' });
    format!("TLS: {}", plain.take(TLS_CHARS).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_wrapped_twice_is_still_found() {
        let tls = rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer);
        let wrapped = io::Error::other(io::Error::new(io::ErrorKind::InvalidData, tls));
        assert_eq!(innermost(&wrapped).as_deref(), Some("TLS: invalid peer certificate: UnknownIssuer"));
        let reset = io::Error::other(io::Error::from(io::ErrorKind::ConnectionReset));
        assert_eq!(innermost(&reset).as_deref(), Some("connection reset"));
    }

    #[test]
    fn words_of_unknown_origin_are_not_passed_on() {
        assert_eq!(innermost(&io::Error::other("canary")), None);
        assert_eq!(innermost(&io::Error::new(io::ErrorKind::InvalidData, "canary")), None);
        let refused = io::Error::new(io::ErrorKind::ConnectionRefused, "canary");
        assert_eq!(innermost(&refused).as_deref(), Some("connection refused"));
    }

    #[test]
    fn a_certificate_s_long_names_are_cut_and_made_plain() {
        let error = rustls::Error::General(format!("a\n\u{1b}[31m{}", "x".repeat(5000)));
        let words = tls_words(&error);
        assert!(words.len() <= TLS_CHARS + 5 && !words.contains(['\n', '\u{1b}']), "{words}");
    }
}
