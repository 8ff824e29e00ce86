//! What the exporter talks about: sources, targets, what was seen of them, and what follows from it.
//!
//! Pure values and pure functions. Nothing here knows a clock, a socket, a file, a provider or a metric.

pub mod change;
pub mod clock_offset;
pub mod explanation;
pub mod fault;
pub mod observation;
pub mod presence;
pub mod quota;
pub mod session;
pub mod source;
pub mod target;
pub mod time;

pub use change::{Change, Moves};
pub use clock_offset::ClockOffset;
pub use explanation::{Explanation, NotFound};
pub use fault::{Fault, UnknownReason};
pub use observation::{ConnKey, Platform, Seen};
pub use presence::{Policy, Saved, State, View};
pub use quota::{Limit, Quota, Scope, Window};
pub use session::{FailureReason, Outcome, Session};
pub use source::{Evidence, Kind, SourceSpec};
pub use target::{Priority, Roster, RowId, Target, TargetLabels};
pub use time::{Moment, Tick};
