//! From an HTTP reply to a page of rows, or to a refusal in the gateway's words. What rows mean is not known here.

use std::sync::atomic::{AtomicBool, Ordering};

use super::records::Record;
use super::{errors, map, wire};
use crate::domain::Fault;
use crate::providers::http::{Failure, Net, Reply};

/// Notes the request's id and tells a refusal from an answer; `refused` is set when a new token may help.
pub fn judge(net: &Net, reply: &Reply, temporary: bool, refused: &AtomicBool) -> Result<(), Failure> {
    if let Some(id) = reply.header("x-request-id") {
        net.note_request_id(id);
    }
    if reply.status.is_success() {
        refused.store(false, Ordering::Relaxed);
        return Ok(());
    }
    let refusal = errors::refusal(reply, temporary);
    if let (None, Some(id)) = (reply.header("x-request-id"), &refusal.request_id) {
        net.note_request_id(id);
    }
    refused.store(refusal.renew, Ordering::Relaxed);
    Err(refusal.failure)
}

/// A page's rows, each read by itself.
pub struct Page<T> {
    /// The rows; none where one cannot be read.
    pub rows: Vec<Option<T>>,
    /// The provider's count of all rows.
    pub total: Option<u64>,
    /// The provider's time by its Date header, else when the request left.
    pub at_ms: i64,
}

/// Reads a page of desktops.
pub fn read_desktops(reply: &Reply) -> Result<Page<map::DesktopRow>, Failure> {
    let page: wire::DesktopPage<'_> = reply.json()?;
    let rows = page.desktops.or_else(|| (page.total_count == Some(0)).then(Vec::new));
    let rows = rows.ok_or_else(|| Failure::new(Fault::BadAnswer, "the answer has no desktops"))?;
    Ok(Page {
        rows: rows.into_iter().map(map::desktop).collect(),
        total: page.total_count,
        at_ms: errors::date_ms(reply).unwrap_or(reply.sent.unix_ms),
    })
}

/// Reads a page of login records.
pub fn read_records(reply: &Reply) -> Result<Page<Record>, Failure> {
    let page: wire::RecordPage<'_> = reply.json()?;
    let rows = page.records.or_else(|| (page.total_count == Some(0)).then(Vec::new));
    let rows = rows.ok_or_else(|| Failure::new(Fault::BadAnswer, "the answer has no records"))?;
    Ok(Page {
        rows: rows.into_iter().map(Record::read).collect(),
        total: page.total_count,
        at_ms: errors::date_ms(reply).unwrap_or(reply.sent.unix_ms),
    })
}
