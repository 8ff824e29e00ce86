//! Accept headers.

/// The text format of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Prometheus text format 0.0.4, read by every scraper.
    Text,
    /// OpenMetrics text format 1.0.0.
    OpenMetrics,
}

/// How the bytes of an answer are packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// As they are.
    Identity,
    /// gzip.
    Gzip,
}

impl Format {
    /// The format that the values of all `Accept` headers ask for; text when in doubt, never a refusal.
    pub fn negotiate<'a>(accept: impl Iterator<Item = &'a [u8]>) -> Self {
        let _ = accept;
        todo!()
    }

    /// The `Content-Type` of a page in this format.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

impl Encoding {
    /// The encoding that the values of all `Accept-Encoding` headers ask for; identity when in doubt.
    pub fn negotiate<'a>(accept_encoding: impl Iterator<Item = &'a [u8]>) -> Self {
        let _ = accept_encoding;
        todo!()
    }
}
