//! For the simulator's gateway: refusals in the vendor's words.
//!
//! Codes, statuses and texts only; what leads to them is decided where it is checked.

use std::borrow::Cow;

use crate::providers::sim::Trouble;

/// Why a request is refused.
pub struct Refusal {
    pub(super) status: u16,
    pub(super) code: Cow<'static, str>,
    pub(super) message: Cow<'static, str>,
    pub(super) retry_after_ms: Option<u64>,
}

impl Refusal {
    /// A refusal in the vendor's words.
    pub fn new(
        status: u16,
        code: impl Into<Cow<'static, str>>,
        message: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self { status, code: code.into(), message: message.into(), retry_after_ms: None }
    }

    /// The HTTP status.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// A parameter is missing: `Missing<Name>`.
    pub fn missing(name: &str) -> Self {
        Self::new(400, format!("Missing{name}"), format!("{name} is mandatory for this action."))
    }

    /// A parameter is not valid: `Invalid<Name>`.
    pub fn invalid(name: &str) -> Self {
        Self::new(400, format!("Invalid{name}"), format!("Specified parameter {name} is not valid."))
    }

    /// The key is none.
    pub fn unknown_key() -> Self {
        Self::new(404, "InvalidAccessKeyId.NotFound", "Specified access key is not found.")
    }

    /// The key may not ask this.
    pub fn forbidden() -> Self {
        let words =
            "User not authorized to operate on the specified resource, or this API doesn't support RAM.";
        Self::new(403, "Forbidden.RAM", words)
    }

    /// Flow control.
    pub fn throttled() -> Self {
        Self::new(400, "Throttling.User", "Request was denied due to user flow control.")
    }

    /// The refusal that words a trouble; `None` for those that a product words itself.
    pub fn of(trouble: Trouble) -> Option<Self> {
        Some(match trouble {
            Trouble::Throttled { retry_after_s } => {
                let mut refusal = Self::throttled();
                refusal.retry_after_ms = retry_after_s.map(|s| u64::from(s) * 1000);
                refusal
            }
            Trouble::ServerError | Trouble::ErrorUnder200 => Self::new(
                503,
                "ServiceUnavailable",
                "The request has failed due to a temporary failure of the server.",
            ),
            Trouble::Forbidden => Self::forbidden(),
            Trouble::Unauthorized => Self::unknown_key(),
            Trouble::WrongType | Trouble::MissingField => return None,
        })
    }
}
