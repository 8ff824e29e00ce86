//! Log lines on stderr, as logfmt or as JSON with the same names in the same order: time, level, msg, then the event's
//! fields and those of the spans around it.
//!
//! What it deliberately does not do: libraries are heard from level warn up only, whatever level is asked, since their
//! debug lines name URLs and headers, which hold signatures.

use std::fmt::{self, Write as _};

use tracing::field::{Field, Visit};
use tracing::span::Record;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::format::{FormatEvent, FormatFields, Writer};
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormattedFields};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::{LookupSpan, Scope};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, field::RecordFields};

/// The least severe level that is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogLevel {
    /// Somebody must mend something.
    Error,
    /// Somebody may have to.
    Warn,
    /// Changes of state.
    Info,
    /// What happens in between.
    Debug,
}

impl LogLevel {
    /// Every level, the most severe first.
    pub const ALL: [Self; 4] = [Self::Error, Self::Warn, Self::Info, Self::Debug];

    /// Its name on the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
        }
    }

    const fn filter(self) -> LevelFilter {
        match self {
            Self::Error => LevelFilter::ERROR,
            Self::Warn => LevelFilter::WARN,
            Self::Info => LevelFilter::INFO,
            Self::Debug => LevelFilter::DEBUG,
        }
    }
}

/// The shape of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// `time=… level=INFO msg="…" key=value`
    Logfmt,
    /// One JSON object a line.
    Json,
}

impl LogFormat {
    /// Every format.
    pub const ALL: [Self; 2] = [Self::Logfmt, Self::Json];

    /// Its name on the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Logfmt => "logfmt",
            Self::Json => "json",
        }
    }
}

/// Sends the events of this process to stderr from now on. The error says in words that this was done before.
pub fn init_logging(level: LogLevel, format: LogFormat) -> Result<(), String> {
    let lines = Lines { format, timer: SystemTime };
    let layer = tracing_subscriber::fmt::layer()
        .with_ansi(false)
        .with_writer(std::io::stderr)
        .fmt_fields(lines)
        .event_format(lines)
        .with_filter(targets(level));
    tracing_subscriber::registry().with(layer).try_init().map_err(|error| error.to_string())
}

/// Our own events from `level` up, those of libraries from warn up.
fn targets(level: LogLevel) -> Targets {
    let libraries = level.filter().min(LevelFilter::WARN);
    Targets::new().with_default(libraries).with_target(env!("CARGO_CRATE_NAME"), level.filter())
}

/// Writes events and spans' fields.
#[derive(Clone, Copy)]
struct Lines<T> {
    format: LogFormat,
    timer: T,
}

impl<S, T> FormatEvent<S, Lines<T>> for Lines<T>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    T: FormatTime + Copy + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, Lines<T>>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut time = String::new();
        if self.timer.format_time(&mut Writer::new(&mut time)).is_err() {
            time.clear();
        }
        let mut fields = Fields::default();
        event.record(&mut fields);
        let mut line = String::new();
        let mut pairs = Pairs { format: self.format, out: &mut line };
        pairs.text("time", &time);
        pairs.text("level", level_name(*event.metadata().level()));
        pairs.text("msg", &fields.message);
        for (name, value) in &fields.others {
            pairs.value(name, value);
        }
        for span in context.event_scope().into_iter().flat_map(Scope::from_root) {
            if let Some(fields) = span.extensions().get::<FormattedFields<Lines<T>>>() {
                pairs.formatted(fields);
            }
        }
        match self.format {
            LogFormat::Logfmt => writeln!(writer, "{line}"),
            LogFormat::Json => writeln!(writer, "{{{line}}}"),
        }
    }
}

impl<'writer, T> FormatFields<'writer> for Lines<T> {
    fn format_fields<R: RecordFields>(&self, mut writer: Writer<'writer>, record: R) -> fmt::Result {
        let mut fields = Fields::default();
        record.record(&mut fields);
        let mut line = String::new();
        let mut pairs = Pairs { format: self.format, out: &mut line };
        for (name, value) in &fields.others {
            pairs.value(name, value);
        }
        writer.write_str(&line)
    }

    fn add_fields(&self, current: &'writer mut FormattedFields<Self>, record: &Record<'_>) -> fmt::Result {
        let mut added = FormattedFields::<Self>::new(String::new());
        self.format_fields(added.as_writer(), record)?;
        Pairs { format: self.format, out: &mut current.fields }.formatted(&added);
        Ok(())
    }
}

fn level_name(level: Level) -> &'static str {
    match level {
        Level::ERROR => "ERROR",
        Level::WARN => "WARN",
        Level::INFO => "INFO",
        Level::DEBUG | Level::TRACE => "DEBUG",
    }
}

/// An event's or a span's fields.
#[derive(Default)]
struct Fields {
    message: String,
    others: Vec<(&'static str, FieldValue)>,
}

enum FieldValue {
    Text(String),
    /// A number or a truth value: never quoted.
    Bare(String),
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.text(field, format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.text(field, value.to_owned());
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.text(field, value.to_string());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        // JSON knows no infinity.
        let text = value.to_string();
        self.others.push((
            field.name(),
            if value.is_finite() { FieldValue::Bare(text) } else { FieldValue::Text(text) },
        ));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.others.push((field.name(), FieldValue::Bare(value.to_string())));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.others.push((field.name(), FieldValue::Bare(value.to_string())));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.others.push((field.name(), FieldValue::Bare(value.to_string())));
    }
}

impl Fields {
    fn text(&mut self, field: &Field, value: String) {
        if field.name() == "message" {
            self.message = value;
        } else {
            self.others.push((field.name(), FieldValue::Text(value)));
        }
    }
}

/// A line in the making.
struct Pairs<'a> {
    format: LogFormat,
    out: &'a mut String,
}

impl Pairs<'_> {
    fn text(&mut self, name: &str, value: &str) {
        self.name(name);
        if self.format == LogFormat::Json || needs_quotes(value) {
            quote(self.out, value);
        } else {
            self.out.push_str(value);
        }
    }

    fn value(&mut self, name: &str, value: &FieldValue) {
        match value {
            FieldValue::Text(text) => self.text(name, text),
            FieldValue::Bare(text) => {
                self.name(name);
                self.out.push_str(text);
            }
        }
    }

    /// Pairs that are in this format already.
    fn formatted(&mut self, pairs: &str) {
        if !pairs.is_empty() {
            self.separate();
            self.out.push_str(pairs);
        }
    }

    fn name(&mut self, name: &str) {
        self.separate();
        match self.format {
            LogFormat::Logfmt => {
                self.out.push_str(name);
                self.out.push('=');
            }
            LogFormat::Json => {
                quote(self.out, name);
                self.out.push(':');
            }
        }
    }

    fn separate(&mut self) {
        if !self.out.is_empty() {
            self.out.push(if self.format == LogFormat::Json { ',' } else { ' ' });
        }
    }
}

/// Whether a logfmt value would be misread without quotes.
fn needs_quotes(value: &str) -> bool {
    value.is_empty() || value.chars().any(|c| matches!(c, ' ' | '"' | '=' | '\\') || is_unsafe(c))
}

/// What a terminal or a log reader may act on: controls, line separators, and marks that turn the direction of text.
fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// A string in quotes, escaped as JSON has it, which logfmt readers understand too.
fn quote(out: &mut String, value: &str) {
    out.push('"');
    for c in value.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            // All of them are below U+10000, so four digits hold them.
            c if is_unsafe(c) => {
                write!(out, "\\u{:04x}", u32::from(c)).expect("writing into memory never fails");
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Copy)]
    struct Noon;

    impl FormatTime for Noon {
        fn format_time(&self, writer: &mut Writer<'_>) -> fmt::Result {
            writer.write_str("2026-01-02T12:00:00Z")
        }
    }

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("no panic").extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What `emit` logs in this format at this level.
    fn logged(level: LogLevel, format: LogFormat, emit: impl FnOnce()) -> String {
        let sink = Sink::default();
        let lines = Lines { format, timer: Noon };
        let writer = sink.clone();
        let layer = tracing_subscriber::fmt::layer()
            .with_writer(move || writer.clone())
            .fmt_fields(lines)
            .event_format(lines)
            .with_filter(targets(level));
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), emit);
        let bytes = sink.0.lock().expect("no panic").clone();
        String::from_utf8(bytes).expect("text")
    }

    fn hostile() {
        let span = tracing::info_span!("poll", account = "main one", round = tracing::field::Empty);
        let _inside = span.enter();
        span.record("round", 7);
        tracing::info!(
            text = "say \"hi\"\n\u{1b}[31m\u{202e}x\\",
            plain = "a/b:c",
            empty = "",
            count = 3,
            share = 0.5,
            on = true,
            debug = ?Some(1),
            "Listening on"
        );
    }

    #[test]
    fn logfmt_lines_are_quoted_where_needed_and_hold_no_control_characters() {
        assert_eq!(
            logged(LogLevel::Info, LogFormat::Logfmt, hostile),
            "time=2026-01-02T12:00:00Z level=INFO msg=\"Listening on\" \
             text=\"say \\\"hi\\\"\\n\\u001b[31m\\u202ex\\\\\" plain=a/b:c empty=\"\" count=3 share=0.5 on=true \
             debug=Some(1) account=\"main one\" round=7\n"
        );
    }

    #[test]
    fn json_lines_say_the_same_and_can_be_read() {
        let line = logged(LogLevel::Info, LogFormat::Json, hostile);
        let value: serde_json::Value = serde_json::from_str(&line).expect("JSON");
        assert_eq!(value["time"], "2026-01-02T12:00:00Z");
        assert_eq!(value["msg"], "Listening on");
        assert_eq!(value["text"], "say \"hi\"\n\u{1b}[31m\u{202e}x\\");
        assert_eq!((value["count"].as_u64(), value["on"].as_bool()), (Some(3), Some(true)));
        assert_eq!((value["account"].as_str(), value["round"].as_u64()), (Some("main one"), Some(7)));
        assert!(!line.contains('\u{1b}') && line.matches('\n').count() == 1);
        let odd = logged(LogLevel::Info, LogFormat::Json, || tracing::info!(ratio = f64::INFINITY, "x"));
        assert!(serde_json::from_str::<serde_json::Value>(&odd).is_ok(), "{odd}");
    }

    #[test]
    fn libraries_are_heard_from_warn_up_only() {
        let emit = || {
            tracing::debug!(target: "hyper::client", "authorization: secret");
            tracing::info!(target: "reqwest", "GET https://host/?Signature=secret");
            tracing::warn!(target: "hyper::client", "broke");
            tracing::debug!("ours");
        };
        let all = logged(LogLevel::Debug, LogFormat::Logfmt, emit);
        assert!(!all.contains("secret"), "{all}");
        assert!(all.contains("msg=broke") && all.contains("level=DEBUG msg=ours"), "{all}");
        assert_eq!(logged(LogLevel::Error, LogFormat::Logfmt, emit), "");
    }

    #[test]
    fn the_names_of_levels_and_formats_are_those_of_the_command_line() {
        assert_eq!(LogLevel::ALL.map(LogLevel::as_str), ["error", "warn", "info", "debug"]);
        assert_eq!(LogFormat::ALL.map(LogFormat::as_str), ["logfmt", "json"]);
    }
}
