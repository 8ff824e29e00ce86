//! What differs between releases of the server: token endpoints, row shape, wording of errors, who looks tokens up.

use super::Outcome;

/// A release by its tag; the unreleased line counts as newest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Release([u16; 4]);

const V3_2_0: Release = Release([3, 2, 0, 0]);
const V3_1_0: Release = Release([3, 1, 0, 0]);
const V3_5_0: Release = Release([3, 5, 0, 0]);
const V3_6_0: Release = Release([3, 6, 0, 0]);
const V3_7_0: Release = Release([3, 7, 0, 0]);
const V3_8_0: Release = Release([3, 8, 0, 0]);
const V3_8_1: Release = Release([3, 8, 1, 0]);
const V3_8_2: Release = Release([3, 8, 2, 0]);
const V3_8_3: Release = Release([3, 8, 3, 0]);
const V3_8_3_PATCH_8: Release = Release([3, 8, 3, 8]);
const MAIN: Release = Release([4, 0, 0, 0]);

impl Release {
    /// `v3.8.3-patch.16`, `v3.6.0`, `main`.
    pub(super) fn parse(tag: &str) -> Option<Self> {
        if tag == "main" {
            return Some(MAIN);
        }
        let mut numbers = tag.strip_prefix('v')?.split(['.', '-']).filter(|part| *part != "patch");
        let mut parts = [0; 4];
        for part in &mut parts[..3] {
            *part = numbers.next()?.parse().ok()?;
        }
        if let Some(patch) = numbers.next() {
            parts[3] = patch.parse().ok()?;
        }
        Some(Self(parts))
    }

    /// Words for states and platforms instead of numbers.
    pub(super) fn speaks_words(self) -> bool {
        self < V3_8_1
    }

    /// Tokens are made at `get_admin_token`.
    pub(super) fn has_admin_token(self) -> bool {
        self >= V3_8_1
    }

    /// Every path wants a token, unknown ones too.
    pub(super) fn guards_every_path(self) -> bool {
        self >= V3_8_0
    }

    pub(super) fn has_users_status(self) -> bool {
        self >= V3_2_0
    }

    /// The list of users says how many there are.
    pub(super) fn counts_users(self) -> bool {
        self >= V3_5_0
    }

    /// Ids that `get_users_status` takes at once.
    pub(super) fn status_ids(self) -> usize {
        match self {
            _ if self < V3_8_1 => 500,
            _ if self < V3_8_3 => 1000,
            _ => usize::MAX,
        }
    }

    /// `get_users_status` wants to know who asks.
    pub(super) fn wants_caller(self) -> bool {
        self < V3_8_3
    }

    /// The largest platform number that `user_token` takes.
    pub(super) fn last_platform(self) -> u64 {
        if self < V3_1_0 { 9 } else { 10 }
    }

    /// Whoever asks must be an administrator.
    pub(super) fn checks_admin(self) -> bool {
        self >= V3_1_0
    }

    /// An administrator's token has to be in the server's memory, too.
    pub(super) fn looks_up_admins(self) -> bool {
        self < V3_8_2 || self == MAIN
    }

    /// A new token of an administrator leaves older ones five minutes.
    pub(super) fn keeps_one_token(self) -> bool {
        self == MAIN
    }

    /// Tokens carry a "not before".
    pub(super) fn has_nbf(self) -> bool {
        self < V3_8_3
    }

    /// Every fault of a token is 1505.
    pub(super) fn folds_token_faults(self) -> bool {
        self < V3_7_0
    }

    pub(super) fn missing_header(self, name: &str) -> Outcome {
        let text = format!("header must have {name}");
        let detail = match self {
            _ if self < V3_8_3 => format!("{text}: 1001 ArgsError"),
            _ if self < V3_8_3_PATCH_8 => String::new(),
            _ => text,
        };
        Outcome::refused(1001, "ArgsError", detail)
    }

    pub(super) fn token_fault(self, code: i64, token: &str) -> Outcome {
        let code = if self.folds_token_faults() && code <= 1505 { 1505 } else { code };
        let name = match code {
            1501 => "TokenExpiredError",
            1503 => "TokenMalformedError",
            1504 => "TokenNotValidYetError",
            1506 => "TokenKickedError",
            1507 => "TokenNotExistError",
            _ => "TokenUnknownError",
        };
        let glued = format!("{code} {name}");
        match self {
            _ if self.folds_token_faults() => Outcome::refused(code, name, format!(": {glued}")),
            _ if self < V3_8_3 => Outcome::refused(code, &glued, glued.clone()),
            _ if self < V3_8_3_PATCH_8 => {
                Outcome::refused(code, name, format!("jwt parse error, token={token}"))
            }
            _ => Outcome::refused(code, name, format!("{glued} jwt parse error, token={token}")),
        }
    }

    pub(super) fn not_admin(self) -> Outcome {
        let long = "only app manager: 1002 NoPermissionError";
        match self {
            _ if self < V3_7_0 => Outcome::refused(1002, "NoPermissionError", long.into()),
            _ if self < V3_8_3 => Outcome::refused(1002, long, long.into()),
            _ => Outcome::refused(1002, "NoPermissionError", "only app manager".into()),
        }
    }

    /// A body that is no JSON, on the endpoints about users.
    pub(super) fn broken_body(self, why: &str) -> Outcome {
        let (code, message, detail) = match self {
            _ if self < V3_6_0 => (1001, "ArgsError", why),
            _ if self < V3_8_3 => (500, why, why),
            _ => (500, "ServerInternalError", why),
        };
        Outcome::Refused { status: 400, code, message: message.into(), detail: detail.into() }
    }

    /// The service that judges tokens cannot be reached.
    pub(super) fn auth_down(self) -> Outcome {
        let why = "connection error: desc = \"transport: Error while dialing: dial tcp 192.0.2.10:10160: connect: connection refused\"";
        if self == MAIN {
            return Outcome::refused(
                500,
                &format!("grpc service auth down, grpc message {why}"),
                String::new(),
            );
        }
        Outcome::refused(14, why, String::new())
    }
}
