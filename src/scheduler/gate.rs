//! The way of one source's requests: budget, measure, record, send. The only order of wrapping there is.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::budget::Budget;
use crate::domain::{ClockOffset, Fault, Moment};
use crate::ports::{BoxFuture, Clock, Request, Response, Transport, TransportError};
use crate::providers::{Action, Gate, Permit};
use crate::telemetry::{BudgetMeter, Telemetry};

/// The largest answer that is read, in bytes. The largest legitimate one is OpenIM's for 200 users with 30 connections
/// each of 300 bytes, 1.8 MB.
pub const BODY_LIMIT: usize = 8 * 1024 * 1024;

/// How often somebody who waits for long looks whether the wait was lifted.
const LOOK: Duration = Duration::from_secs(1);

/// The gate of one provider's requests under one account's budget.
pub struct AccountGate {
    /// The account's name.
    pub account: Arc<str>,
    /// The provider's name.
    pub provider: &'static str,
    /// What the account may spend.
    pub budget: Budget,
    /// Tells the time and waits.
    pub clock: Arc<dyn Clock>,
    /// Sends.
    pub transport: Arc<dyn Transport>,
    /// Counts.
    pub telemetry: Arc<Telemetry>,
    /// Counts waits.
    pub meter: Arc<BudgetMeter>,
    /// How far our clock is ahead of the provider's.
    pub offset: Arc<Mutex<ClockOffset>>,
}

impl Gate for AccountGate {
    fn permit(&self, action: &'static Action) -> BoxFuture<'_, Permit> {
        Box::pin(async move {
            let began = self.clock.now().tick;
            loop {
                let now = self.clock.now().tick;
                // Nothing is booked ahead: who waits for one action's limit keeps no place of the account's from others.
                let Err(free_at) = self.budget.reserve(self.provider, action, now) else {
                    self.meter.waited(now.since(began).as_secs_f64());
                    return Permit { action };
                };
                self.clock.sleep_until(free_at.min(now + LOOK)).await;
            }
        })
    }

    fn send(
        &self,
        permit: Permit,
        request: Request,
        timeout: Duration,
    ) -> BoxFuture<'_, Result<Response, TransportError>> {
        Box::pin(async move {
            let began = self.clock.now();
            let answer = self.transport.send(request, timeout, BODY_LIMIT).await;
            let ended = self.clock.now();
            let took = ended.tick.since(began.tick).as_secs_f64();
            self.telemetry.request(&self.account, self.provider, permit.action.name, took);
            if let Ok(answer) = &answer {
                self.compare_clocks(answer, began, ended);
            }
            answer
        })
    }

    fn failed(&self, action: &'static Action, fault: Fault) {
        self.telemetry.failure(&self.account, self.provider, action.name, fault);
        if fault == Fault::Throttled {
            self.budget.throttled(self.clock.now().tick);
        }
    }
}

impl AccountGate {
    fn compare_clocks(&self, answer: &Response, sent: Moment, came: Moment) {
        let date = answer.headers().get(http::header::DATE).and_then(|value| value.to_str().ok());
        let Some(date) = date.and_then(|text| jiff::fmt::rfc2822::parse(text).ok()) else { return };
        let ahead = {
            let mut offset = self.offset.lock().unwrap_or_else(PoisonError::into_inner);
            offset.saw(date.timestamp().as_second(), sent, came);
            offset.ahead_seconds()
        };
        if let Some(ahead) = ahead {
            self.telemetry.clock_offset(&self.account, self.provider, ahead);
        }
    }
}
