//! Simulated APIs whose good answers are changed on their way: what a newer, an older or a mistaken server might say.

use presence_exporter::config::{AccountSettings, Key, Reader};
use presence_exporter::providers::sim::{
    Population, SimApi, SimOptions, SimReply, SimRequest, Trouble, World,
};
use presence_exporter::providers::{Action, Cloud, Configured, ProviderKind, Session};
use serde_json::Value;

/// What happens to the JSON of a good answer.
pub type Edit = fn(&mut Value);

/// Each of these providers with its good answers edited. Leaked: tests are short.
pub fn meddled(kinds: &[&'static dyn ProviderKind], edit: Edit) -> Vec<&'static dyn ProviderKind> {
    let wrap = |kind: &&'static dyn ProviderKind| -> &'static dyn ProviderKind {
        Box::leak(Box::new(Meddled { kind: *kind, edit }))
    };
    kinds.iter().map(wrap).collect()
}

struct Meddled {
    kind: &'static dyn ProviderKind,
    edit: Edit,
}

impl ProviderKind for Meddled {
    fn name(&self) -> &'static str {
        self.kind.name()
    }
    fn cloud(&self) -> &'static Cloud {
        self.kind.cloud()
    }
    fn keys(&self) -> &'static [Key] {
        self.kind.keys()
    }
    fn actions(&self) -> &'static [&'static Action] {
        self.kind.actions()
    }
    fn configure(
        &self,
        source: &Reader<'_>,
        account: &AccountSettings,
        session: &Session,
    ) -> Option<Configured> {
        self.kind.configure(source, account, session)
    }
    fn simulate(&self, options: SimOptions) -> Box<dyn SimApi> {
        Box::new(Api { api: self.kind.simulate(options), edit: self.edit })
    }
}

struct Api {
    api: Box<dyn SimApi>,
    edit: Edit,
}

impl SimApi for Api {
    fn claims(&self, request: &SimRequest<'_>) -> bool {
        self.api.claims(request)
    }
    fn answer(&mut self, world: &World, now_ms: i64, request: &SimRequest<'_>) -> SimReply {
        let mut reply = self.api.answer(world, now_ms, request);
        if reply.status < 300
            && let Ok(mut body) = serde_json::from_slice(&reply.body)
        {
            (self.edit)(&mut body);
            reply.body = body.to_string().into_bytes();
        }
        reply
    }
    fn trouble(&mut self, trouble: Trouble, request: &SimRequest<'_>) -> SimReply {
        self.api.trouble(trouble, request)
    }
    fn account_keys(&self, base: &str) -> Vec<(&'static str, String)> {
        self.api.account_keys(base)
    }
    fn source_keys(&self, population: &Population) -> Vec<(&'static str, String)> {
        self.api.source_keys(population)
    }
}
