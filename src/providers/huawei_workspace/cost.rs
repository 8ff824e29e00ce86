//! What a source of Workspace costs: pages of records and desktops, the past that is read beside them, tokens. It asks
//! nothing.

use std::time::Duration;

use super::account::Auth;
use super::client::{
    CHECKS_PER_PASS, CHECKS_PER_PASS_RECORDS_ONLY, LOOKUPS_PER_PASS, UNREAD_PER_PASS, Workspace,
};
use super::windows::{BACK_MAX_MS, DAY_MS, HOUR_MS, OVERLAP_MS};
use super::{CREATE_TOKEN, LIST_DESKTOPS, LIST_RECORDS, token};
use crate::providers::cost::{Pages, Rows};
use crate::providers::credentials::Source as _;
use crate::providers::{Charge, Costs, Past, Per};

/// Rows asked for in a page, as the client asks.
const PAGE_ROWS: u32 = 1000;

/// Rows of a page of servers that cap it; pages of 100 are reported whatever is asked for.
const PAGE_ROWS_CAPPED: u32 = 100;

/// Every call that a source makes.
pub fn of(workspace: &Workspace) -> Costs {
    let pages = |of| Per::Pages(Pages { of, rows: PAGE_ROWS, capped: PAGE_ROWS_CAPPED });
    let mut charges = vec![
        Charge { action: &LIST_RECORDS, per: pages(Rows::NewRecords) },
        Charge { action: &LIST_RECORDS, per: Per::Past(past(workspace)) },
    ];
    if !workspace.records_only {
        charges.push(Charge { action: &LIST_DESKTOPS, per: pages(Rows::Everything) });
        let every = Pages { of: Rows::Everything, rows: PAGE_ROWS, capped: PAGE_ROWS_CAPPED };
        charges.push(Charge { action: &LIST_DESKTOPS, per: Per::Discovery(every) });
    }
    match &workspace.account.auth {
        Auth::Password(_) => {
            let per = Per::Token { least: 1, most: 1, life: Some(token::KEPT) };
            charges.push(Charge { action: &CREATE_TOKEN, per });
        }
        Auth::Key(keyed) => charges.extend(keyed.keeper.source().charges()),
    }
    Costs::of(charges)
}

/// How the past is read. The newest hour is the window's own.
fn past(workspace: &Workspace) -> Past {
    let hours = |ms: i64| u32::try_from(ms.saturating_add(HOUR_MS - 1).div_euclid(HOUR_MS)).unwrap_or(0);
    let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    let hour = Duration::from_millis(HOUR_MS.unsigned_abs());
    let checks = if workspace.records_only { CHECKS_PER_PASS_RECORDS_ONLY } else { CHECKS_PER_PASS };
    Past {
        unread: hours(workspace.lookback_ms.min(BACK_MAX_MS) - HOUR_MS),
        unread_per_pass: count(UNREAD_PER_PASS),
        again: hours(DAY_MS - OVERLAP_MS),
        again_every: hour,
        stretch: hour,
        checks_per_pass: count(checks),
        searches_per_pass: count(LOOKUPS_PER_PASS),
        idle_passes: u32::from(!workspace.records_only),
    }
}
