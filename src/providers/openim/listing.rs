//! Lists every user of a server, page by page: whole, or not at all.

use std::collections::BTreeSet;
use std::sync::atomic::AtomicBool;

use bytes::Bytes;

use super::USERS;
use super::client::{Ask, Client, Way, note_id, refusal};
use super::wire::{Envelope, Pagination, UsersAsk, UsersData};
use crate::domain::Fault;
use crate::providers::cost::{Pages, Rows};
use crate::providers::http::Reply;
use crate::providers::loose::{List, Loose, Object};
use crate::providers::reading::{self, Next, Page, READINGS, Reading};
use crate::providers::{Failure, Found, Net};

/// Ids asked for in a page. The server has no upper bound; a thousand ids of the longest kind make a body of a megabyte.
const PAGE_ROWS: u32 = 1000;

/// What a listing costs: no release caps a page.
pub(super) const PAGES: Pages = Pages { of: Rows::Everything, rows: PAGE_ROWS, capped: PAGE_ROWS };

/// What is listed, as failures call it.
const WHAT: &str = "users";

impl Client {
    /// Every user of the server but the administrator who asks.
    pub(super) async fn users(&self, net: &Net) -> Result<Vec<Found>, Failure> {
        let mut way = self.way(net).await?;
        for _ in 0..READINGS {
            if let Some(mut ids) = self.read_users(&mut way).await? {
                ids.remove(&self.account.admin_user_id);
                return Ok(ids.into_iter().map(|id| Found { id, name: None }).collect());
            }
        }
        Err(reading::moving(WHAT))
    }

    /// Reads the list once. `None`: it moved, and somebody may have slipped through.
    async fn read_users(&self, way: &mut Way<'_>) -> Result<Option<BTreeSet<String>>, Failure> {
        let mut reading = Reading::default();
        let mut page_number = 1;
        loop {
            let pagination = Pagination { page_number, show_number: PAGE_ROWS };
            let body = serde_json::to_vec(&UsersAsk { pagination }).expect("numbers are always JSON");
            let body = Bytes::from(body);
            let ask = Ask { action: &USERS, path: "/user/get_all_users_uid", body: &body, is_page: true };
            let net = way.net;
            let read = |reply: &Reply, about_token: &_| read_page(reply, about_token, net);
            match reading.took(self.call(&ask, way, read).await?) {
                Next::Page(next) => page_number = next,
                Next::Whole => return Ok(Some(reading.into_ids())),
                Next::Again => return Ok(None),
                Next::TooMuch => return Err(reading::too_much(WHAT)),
            }
        }
    }
}

/// One page. Where the server tells no count, up to v3.4, it says 0, and a page that is not full is the last one.
fn read_page(reply: &Reply, about_token: &AtomicBool, net: &Net) -> Result<Page, Failure> {
    note_id(reply, net);
    let (envelope, code) = Envelope::<'_, Object<UsersData<'_>>>::read(reply)?;
    if code != 0 {
        return Err(refusal(code, reply, about_token));
    }
    let bad = || Failure::new(Fault::BadAnswer, "a list of users that cannot be read");
    let data = envelope.data.0.ok_or_else(bad)?;
    let total = match data.total {
        Loose::Absent => 0,
        Loose::Whole(total) => usize::try_from(total).map_err(|_| bad())?,
        _ => return Err(bad()),
    };
    let rows = match data.user_ids {
        List::Items(rows) => rows,
        List::Null => Vec::new(),
        List::Absent | List::Other => return Err(bad()),
    };
    if rows.len() > PAGE_ROWS as usize {
        return Err(Failure::new(Fault::BadAnswer, "a page of users that is longer than it was asked for"));
    }
    let ids = rows.iter().map(|row| row.text().map(str::to_owned).ok_or_else(bad));
    Ok(Page {
        ids: ids.collect::<Result<_, _>>()?,
        total: (total > 0).then_some(total),
        seems_last: rows.len() < PAGE_ROWS as usize,
    })
}
