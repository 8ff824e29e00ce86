//! Asks `QueryOnlineStatus` about a batch of user ids.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderValue, Method, Uri};

use super::keys::{Account, Credentials};
use super::sign::{Unsigned, sign};
use super::wire::{Envelope, ResultPart, body};
use super::{ACTION, IDS_PER_CALL, QUERY, SERVICE, errors, map};
use crate::config::Secret;
use crate::domain::{Fault, Target};
use crate::ports::{BoxFuture, Request};
use crate::providers::conn_key::ConnHasher;
use crate::providers::credentials::Source as _;
use crate::providers::hash::sha256_hex;
use crate::providers::http::{Reply, Stamp, status_failure};
use crate::providers::loose::Loose;
use crate::providers::{Answer, Charge, Costs, Failure, Net, Per, Provider, Question, Step, TOGETHER};

/// One app's users.
pub(super) struct Client {
    uri: Uri,
    path: String,
    app_id: u32,
    account: Arc<Account>,
    hasher: ConnHasher,
}

impl Client {
    /// A client of the app at `endpoint` (scheme, host, perhaps port and path); `None` when that is no address.
    pub(super) fn new(endpoint: &str, app_id: u32, account: Arc<Account>) -> Option<Self> {
        let query = QUERY.map(|(name, value)| format!("{name}={value}")).join("&");
        let uri: Uri = format!("{endpoint}/?{query}").parse().ok()?;
        uri.authority()?;
        let path = percent_encoding::percent_decode_str(uri.path()).decode_utf8().ok()?.into_owned();
        let hasher = ConnHasher::new(account.salt.expose().as_bytes(), &format!("volcengine_rtc {app_id}"));
        Some(Self { uri, path, app_id, account, hasher })
    }

    async fn batch(&self, targets: &[Target<'_>], net: &Net) -> Result<Answer, Failure> {
        let (good, refused): (Vec<Target<'_>>, Vec<Target<'_>>) =
            targets.iter().partition(|target| check_id(target.id).is_ok());
        let mut answer = Answer::default();
        if !good.is_empty() {
            let ids: Vec<&str> = good.iter().map(|target| target.id).collect();
            let body = Bytes::from(body(self.app_id, &ids));
            answer.rows = self.rows(&body, &good, net).await?;
        }
        answer.rows.extend(refused.iter().map(|target| (target.row, Err(Fault::RefusedId))));
        Ok(answer)
    }

    /// What the provider says; by another key, once, if it refuses the one in use and there is another.
    async fn rows(&self, body: &Bytes, targets: &[Target<'_>], net: &Net) -> Result<super::Rows, Failure> {
        let ask = |key: Arc<Credentials>| async move {
            let build = |stamp: &Stamp| self.request(&key, stamp, body);
            net.call(&ACTION, build, |reply| self.read(reply, targets, net)).await
        };
        let lease = self.account.keeper.lease(net).await?;
        match ask(lease.key.clone()).await {
            Err(refusal) if refusal.fault == Fault::Unauthorized => {
                ask(self.account.keeper.renewed(&lease, refusal, net).await?.key).await
            }
            rows => rows,
        }
    }

    fn request(&self, key: &Credentials, stamp: &Stamp, body: &Bytes) -> Result<Request, Failure> {
        let x_date = basic_date(stamp.at.unix_seconds())?;
        let payload_sha256 = sha256_hex(body);
        let host = self.uri.authority().map_or("", |authority| authority.as_str());
        let token = key.session_token.as_ref().map(Secret::expose);
        let mut headers = vec![
            ("content-type", "application/json"),
            ("host", host),
            ("x-content-sha256", &payload_sha256),
            ("x-date", &x_date),
        ];
        headers.extend(token.map(|token| ("x-security-token", token)));
        let signed = sign(&Unsigned {
            access_key_id: key.access_key_id.expose(),
            secret: key.secret.expose(),
            region: &self.account.region,
            service: SERVICE,
            x_date: &x_date,
            method: Method::POST.as_str(),
            path: &self.path,
            query: &QUERY,
            headers: &headers,
            payload_sha256: &payload_sha256,
        });
        let mut request = http::Request::post(self.uri.clone())
            .header(CONTENT_TYPE, "application/json")
            .header("x-date", &x_date)
            .header("x-content-sha256", &payload_sha256)
            .header(AUTHORIZATION, sensitive(&signed.authorization)?);
        if let Some(token) = token {
            request = request.header("x-security-token", sensitive(token)?);
        }
        request.body(body.clone()).map_err(|_| unfit("the request"))
    }

    fn read(&self, reply: &Reply, targets: &[Target<'_>], net: &Net) -> Result<super::Rows, Failure> {
        let logid = reply.header("x-tt-logid");
        if let Some(id) = logid {
            net.note_request_id(id);
        }
        let envelope: Envelope<'_> = match reply.json() {
            Ok(envelope) => envelope,
            Err(_) if !reply.status.is_success() => return Err(status_failure(reply)),
            Err(failure) => return Err(failure),
        };
        if let (None, Loose::Text(id)) = (logid, &envelope.metadata.request_id) {
            net.note_request_id(id);
        }
        if let Some(failure) = refusal(&envelope, reply) {
            return Err(failure);
        }
        if !reply.status.is_success() {
            return Err(status_failure(reply));
        }
        let result = envelope
            .result
            .as_ref()
            .ok_or_else(|| Failure::new(Fault::BadAnswer, "a success without Result"))?;
        self.check_echo(result)?;
        Ok(map::rows(result.online.as_ref(), targets, &self.hasher))
    }

    /// An answer turns users offline by leaving them out, so it must at least say something, and of our app.
    fn check_echo(&self, result: &ResultPart<'_>) -> Result<(), Failure> {
        match &result.app_id {
            Loose::Whole(id) if *id == i64::from(self.app_id) => Ok(()),
            Loose::Absent if result.online.is_some() => Ok(()),
            Loose::Absent => Err(Failure::new(Fault::BadAnswer, "a Result that says nothing")),
            _ => Err(Failure::new(Fault::BadAnswer, "a Result of another AppId than the one asked for")),
        }
    }
}

impl Provider for Client {
    fn round(&self) -> Vec<Step> {
        vec![Step::Batches {
            action: &ACTION,
            ids: IDS_PER_CALL,
            weigh: |_| 0,
            weight: usize::MAX,
            apart: TOGETHER,
        }]
    }

    fn costs(&self) -> Costs {
        Costs::of([Charge { action: &ACTION, per: Per::Batch }]).and(self.account.keeper.source().charges())
    }

    fn accepts(&self, id: &str) -> Result<(), String> {
        check_id(id)
    }

    fn tells_platforms(&self) -> bool {
        true
    }

    fn refreshed(&self) -> bool {
        self.account.keeper.refreshed()
    }

    fn ask<'a>(&'a self, question: Question<'a>, net: &'a Net) -> BoxFuture<'a, Result<Answer, Failure>> {
        Box::pin(async move {
            match question {
                Question::Batch(targets) => self.batch(targets, net).await,
                _ => Err(Failure::new(Fault::Rejected, "this provider is asked for batches of ids only")),
            }
        })
    }
}

/// Whether a text is a user id: a whole number from 0 to 2^63-1, written as the provider will write it back.
pub(super) fn check_id(id: &str) -> Result<(), String> {
    if id.is_empty() || !id.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err("a user id here is a whole number from 0 to 9223372036854775807, digits only".into());
    }
    if id.len() > 1 && id.starts_with('0') {
        return Err(format!("a user id here has no leading zeros; write {}", canonical(id)));
    }
    id.parse::<i64>().map(|_| ()).map_err(|_| "a user id here is at most 9223372036854775807".into())
}

fn canonical(id: &str) -> &str {
    match id.trim_start_matches('0') {
        "" => "0",
        rest => rest,
    }
}

/// The failure that the envelope speaks of, under whatever status. An `Error` of any shape is one.
pub(super) fn refusal(envelope: &Envelope<'_>, reply: &Reply) -> Option<Failure> {
    let error = envelope.metadata.error.as_ref()?;
    let (code, number) =
        error.0.as_ref().map_or((&Loose::Absent, &Loose::Absent), |error| (&error.code, &error.number));
    let failure = match (code, number) {
        (Loose::Text(code), _) if !code.is_empty() => {
            Failure::with_code(errors::fault(code, reply.status), code)
        }
        (_, Loose::Whole(number)) => Failure::with_code(
            errors::fault_of_number(*number, reply.status),
            &format!("error number {number}"),
        ),
        _ => Failure::new(errors::fault("", reply.status), "an Error without a code"),
    };
    Some(failure.wait(reply.retry_after()))
}

/// `YYYYMMDD'T'HHMMSS'Z'`: the form that the vendor's clients send, unlike the sample on the product's page.
pub(super) fn basic_date(unix_seconds: i64) -> Result<String, Failure> {
    jiff::Timestamp::from_second(unix_seconds)
        .map(|at| at.strftime("%Y%m%dT%H%M%SZ").to_string())
        .map_err(|_| Failure::new(Fault::ClockSkew, "this machine's clock is beyond all dates"))
}

pub(super) fn sensitive(text: &str) -> Result<HeaderValue, Failure> {
    let mut value = HeaderValue::from_str(text).map_err(|_| unfit("a credential"))?;
    value.set_sensitive(true);
    Ok(value)
}

pub(super) fn unfit(what: &str) -> Failure {
    Failure::new(Fault::Unauthorized, format!("{what} holds characters that no HTTP header can hold"))
}
