//! The way of one source's requests: budget, measure, record, send. The only order of wrapping there is.

use std::sync::Arc;
use std::time::Duration;

use super::budget::{Budget, in_time};
use crate::domain::Fault;
use crate::ports::{BoxFuture, Clock, Request, Response, Transport, TransportError};
use crate::providers::{Action, Gate, Permit};
use crate::telemetry::Telemetry;

/// The largest answer that is read, in bytes. The largest legitimate one is OpenIM's for 200 users with 30 connections
/// each of 300 bytes, 1.8 MB.
pub const BODY_LIMIT: usize = 8 * 1024 * 1024;

/// The gate of one provider's requests under one account's budget.
pub struct AccountGate {
    /// The account's name.
    pub account: Arc<str>,
    /// The provider's name.
    pub provider: &'static str,
    /// What the account may spend.
    pub budget: Arc<Budget>,
    /// Tells the time and waits.
    pub clock: Arc<dyn Clock>,
    /// Sends.
    pub transport: Arc<dyn Transport>,
    /// Counts.
    pub telemetry: Arc<Telemetry>,
}

impl Gate for AccountGate {
    fn permit(&self, action: &'static Action) -> BoxFuture<'_, Permit> {
        Box::pin(async move {
            loop {
                let now = self.clock.now().tick;
                let slot = self.budget.book(now);
                if slot > now {
                    self.clock.sleep_until(slot).await;
                }
                // A slot that was slept through, on a stalled machine, is lost: sending now could crowd a window.
                if in_time(slot, self.clock.now().tick) {
                    return Permit { action };
                }
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
            let began = self.clock.now().tick;
            let answer = self.transport.send(request, timeout, BODY_LIMIT).await;
            let took = self.clock.now().tick.since(began).as_secs_f64();
            self.telemetry.request(&self.account, self.provider, permit.action.name, took);
            answer
        })
    }

    fn failed(&self, action: &'static Action, fault: Fault) {
        self.telemetry.failure(&self.account, self.provider, action.name, fault);
    }
}
