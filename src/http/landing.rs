//! The front page: what this is, where its pages are, and how each source is doing.
//!
//! Plain HTML with no script and nothing from elsewhere. Targets are not listed: there may be a million.

use std::fmt::{self, Display, Write};
use std::time::Duration;

use super::{Overview, SourceLine};

/// The style sheet, light or dark as the reader's system is.
pub(super) const STYLE: &str = "\
:root { color-scheme: light dark; --line: #8884; --dim: #777; --good: #1a7f37; --bad: #c4320a; }
@media (prefers-color-scheme: dark) { :root { --dim: #999; --good: #4ac26b; --bad: #ff8a65; } }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 64rem; margin: 2rem auto; padding: 0 1rem; }
h1 { margin-bottom: 0; }
p.version { color: var(--dim); margin-top: 0; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; padding: .3rem 1.2rem .3rem 0; border-bottom: 1px solid var(--line); }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; }
td.yes { color: var(--good); }
td.no { color: var(--bad); }
@media (max-width: 48rem) { table { display: block; overflow-x: auto; } }
";

/// The page. Links are relative, so that it also works below a proxy's prefix.
pub(super) fn html(overview: &Overview, telemetry_path: &str) -> String {
    let mut page = String::with_capacity(2048 + 256 * overview.sources.len());
    write(&mut page, overview, telemetry_path).expect("writing into memory does not fail");
    page
}

fn write(page: &mut String, overview: &Overview, telemetry_path: &str) -> fmt::Result {
    write!(
        page,
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>presence-exporter</title>\n<link rel=\"stylesheet\" href=\"-/style.css\">\n</head>\n<body>\n\
         <h1>presence-exporter</h1>\n<p class=\"version\">Version: {version}</p>\n\
         <p>Who is online, since when, and how good is the connection.</p>\n\
         <ul>\n<li><a href=\"{metrics}\">Metrics</a></li>\n\
         <li><a href=\"-/healthy\">Health</a></li>\n<li><a href=\"-/ready\">Readiness</a></li>\n</ul>\n\
         <p>Why a target is shown as it is: <code>api/v1/targets/SOURCE/TARGET</code> below this page, or \
         <code>presence-exporter explain SOURCE TARGET</code>.</p>\n",
        version = Escaped(&overview.version),
        metrics = Escaped(telemetry_path.trim_start_matches('/')),
    )?;
    sources(page, &overview.sources)?;
    page.write_str("</body>\n</html>\n")
}

fn sources(page: &mut String, sources: &[SourceLine]) -> fmt::Result {
    if sources.is_empty() {
        return page.write_str("<p>No source is configured.</p>\n");
    }
    page.write_str(
        "<h2>Sources</h2>\n<table>\n<thead><tr><th>Source</th><th>Provider</th><th>Kind</th>\
         <th class=\"number\">Online</th><th class=\"number\">Offline</th><th class=\"number\">Unknown</th>\
         <th>Up</th><th>Last success</th></tr></thead>\n<tbody>\n",
    )?;
    for source in sources {
        let (class, up) = match source.up {
            Some(true) => ("yes", "yes"),
            Some(false) => ("no", "no"),
            None => ("wait", "not asked yet"),
        };
        writeln!(
            page,
            "<tr><td>{name}</td><td>{provider}</td><td>{kind}</td><td class=\"number\">{online}</td>\
             <td class=\"number\">{offline}</td><td class=\"number\">{unknown}</td>\
             <td class=\"{class}\">{up}</td><td>{last}</td></tr>",
            name = Escaped(&source.name),
            provider = Escaped(source.provider),
            kind = Escaped(source.kind),
            online = source.online,
            offline = source.offline,
            unknown = source.unknown,
            last = Ago(source.last_success),
        )?;
    }
    page.write_str("</tbody>\n</table>\n")
}

/// Text that is only text, in an element or in a quoted attribute.
struct Escaped<'a>(&'a str);

impl Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            match c {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                c => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

/// How long ago something was, in its largest unit.
struct Ago(Option<Duration>);

impl Display for Ago {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(seconds) = self.0.map(|ago| ago.as_secs()) else { return f.write_str("never") };
        match seconds {
            0..120 => write!(f, "{seconds} s ago"),
            120..7_200 => write!(f, "{} min ago", seconds / 60),
            7_200..172_800 => write!(f, "{} h ago", seconds / 3_600),
            _ => write!(f, "{} days ago", seconds / 86_400),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(name: &str) -> SourceLine {
        SourceLine {
            name: name.into(),
            provider: "openim",
            kind: "user",
            online: 12,
            offline: 34,
            unknown: 56,
            up: Some(true),
            last_success: Some(Duration::from_secs(7)),
        }
    }

    #[test]
    fn a_source_is_a_row_with_its_counts() {
        let overview = Overview { version: "1.2.3".to_owned(), sources: vec![line("office")] };
        let page = html(&overview, "/metrics");
        for part in [
            "Version: 1.2.3",
            "<a href=\"metrics\">",
            "<td>office</td><td>openim</td><td>user</td>",
            ">12</td><td class=\"number\">34</td><td class=\"number\">56</td><td class=\"yes\">yes</td><td>7 s ago</td>",
        ] {
            assert!(page.contains(part), "{part} in {page}");
        }
    }

    #[test]
    fn a_name_is_text_and_never_markup() {
        let overview =
            Overview { version: "<b>".to_owned(), sources: vec![line("<script>alert('\"&')</script>")] };
        let page = html(&overview, "/metrics");
        assert!(page.contains("&lt;script&gt;alert(&#39;&quot;&amp;&#39;)&lt;/script&gt;"), "{page}");
        assert!(!page.contains("<script") && !page.contains("<b>"), "{page}");
    }

    #[test]
    fn a_source_that_was_never_asked_claims_nothing() {
        let never = SourceLine { up: None, last_success: None, ..line("new") };
        let page = html(&Overview { version: String::new(), sources: vec![never] }, "/metrics");
        assert!(page.contains("not asked yet</td><td>never</td>"), "{page}");
        assert!(html(&Overview::default(), "/metrics").contains("No source is configured."));
    }

    #[test]
    fn nothing_on_the_page_comes_from_elsewhere() {
        let page = html(&Overview { version: String::new(), sources: vec![line("a")] }, "/metrics");
        for foreign in ["http:", "https:", "style=", "<script", "url(", "@import"] {
            assert!(!page.contains(foreign) && !STYLE.contains(foreign), "{foreign}");
        }
    }

    #[test]
    fn an_age_is_told_in_its_largest_unit() {
        for (seconds, text) in [
            (0, "0 s ago"),
            (119, "119 s ago"),
            (120, "2 min ago"),
            (7_200, "2 h ago"),
            (172_800, "2 days ago"),
        ] {
            assert_eq!(Ago(Some(Duration::from_secs(seconds))).to_string(), text);
        }
    }
}
