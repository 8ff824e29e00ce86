//! Reads the keys of an account that say where its key comes from.

use std::path::PathBuf;
use std::sync::Arc;

use super::fetch::{Ecs, Oidc, Places, Recipe, Role};
use super::profile::{self, Profile};
use super::ways::{Origin, Ways};
use super::{Credentials, is_header_word};
use crate::config::{AccountSettings, Reader, Secret};
use crate::ports::Env;
use crate::providers::alibaba::rpc::Address;
use crate::providers::credentials::ways::{Way, fits};
use crate::providers::credentials::{Secrets, Written};

/// What goes with what.
const WAYS: &[Way] = &[
    Way { word: "key", needs: &["access_key_id", "access_key_secret"], takes: &["security_token"] },
    Way {
        word: "role",
        needs: &["access_key_id", "access_key_secret", "role_arn"],
        takes: &["security_token", "role_session_name", "role_duration", "role_external_id", "sts_endpoint"],
    },
    Way {
        word: "oidc",
        needs: &["role_arn", "oidc_provider_arn", "oidc_token_file"],
        takes: &["role_session_name", "role_duration", "sts_endpoint"],
    },
    Way { word: "ecs", needs: &[], takes: &["ecs_role", "metadata_without_token", "metadata_endpoint"] },
    Way { word: "uri", needs: &["credentials_uri"], takes: &[] },
    Way {
        word: "profile",
        needs: &[],
        takes: &["credentials_file", "profile", "sts_endpoint", "metadata_endpoint"],
    },
    Way { word: "chain", needs: &[], takes: &["sts_endpoint", "metadata_endpoint"] },
];

/// Where the account's key comes from; complains and returns `None` when it cannot come from there.
pub fn ways(reader: &Reader<'_>, settings: &AccountSettings, region: Option<&str>) -> Option<Ways> {
    let word = reader.text("credentials")?;
    let fits = fits(reader, WAYS, &word);
    let places = places(reader, region);
    let origin = origin(reader, &word).filter(|_| fits)?;
    let local = matches!(&origin, Origin::Settled(Recipe::Ecs(_)) | Origin::Address(_));
    if local && settings.outbound.proxy.is_some() {
        let hint = "take out `proxy`, or give the account a key of its own";
        reader.complain(
            "proxy",
            "keys that are handed out on this machine cannot be asked for through a proxy",
            Some(hint.into()),
        );
        return None;
    }
    Some(Ways::new(origin, places?))
}

fn places(reader: &Reader<'_>, region: Option<&str>) -> Option<Places> {
    let sts = match reader.text("sts_endpoint") {
        Some(text) => Address::configured(&text)
            .map_err(|words| reader.complain("sts_endpoint", format!("this {words}"), None))
            .ok()?,
        None => Address::public("sts", region?),
    };
    Some(Places { sts, metadata: reader.text("metadata_endpoint")? })
}

fn origin(reader: &Reader<'_>, word: &str) -> Option<Origin> {
    match word {
        "key" => Some(Origin::Written { key: key(reader)?, role: None }),
        "role" => {
            // Both are read before either is missed: each one's problems are to be told.
            let (key, role) = (key(reader), role(reader));
            Some(Origin::Written { key: key?, role: Some(role?) })
        }
        "oidc" => {
            let file = reader.text("oidc_token_file").map(|file| reader.context().base.join(file));
            let (role, provider_arn) = (role(reader)?, reader.text("oidc_provider_arn")?);
            let oidc = Oidc::new(role, provider_arn, file?, reader.context().env.clone());
            if oidc.token().is_err() {
                let hint = "a relative path starts at the folder of the configuration file";
                reader.complain("oidc_token_file", "the file named here holds no token", Some(hint.into()));
                return None;
            }
            Some(Origin::Settled(Recipe::Oidc(oidc)))
        }
        "ecs" => {
            let role = reader.text("ecs_role");
            if role.as_deref().is_some_and(|role| !Ecs::is_role(role)) {
                reader.complain("ecs_role", "this is no role's name", None);
                return None;
            }
            let without_token = reader.flag("metadata_without_token");
            Some(Origin::Settled(Recipe::Ecs(Ecs { role, without_token })))
        }
        "uri" => {
            let address = Written::one(reader, "credentials_uri")?;
            let good = address.key().is_ok_and(|uri| is_address(&uri));
            if !good {
                reader.complain("credentials_uri", "this is not an http:// or https:// address", None);
                return None;
            }
            Some(Origin::Address(address))
        }
        "profile" => profile(reader),
        _ => chain(reader),
    }
}

/// Whether a request can be sent there.
pub fn is_address(uri: &Secret) -> bool {
    let uri = uri.expose().parse::<http::Uri>();
    uri.is_ok_and(|uri| {
        matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some_and(|host| !host.is_empty())
    })
}

fn key(reader: &Reader<'_>) -> Option<Written<Credentials>> {
    let secrets = Secrets::read(reader, &["access_key_id", "access_key_secret", "security_token"])?;
    let (id, secret) = (secrets.get(0)?.clone(), secrets.get(1)?.clone());
    if let Err((key, words)) = Credentials::new(id, secret, secrets.get(2).cloned()) {
        reader.complain(key, words, None);
        return None;
    }
    Some(Written::new(secrets, Credentials::of))
}

fn role(reader: &Reader<'_>) -> Option<Role> {
    let external_id = reader.secret("role_external_id");
    let role = Role {
        arn: reader.text("role_arn")?,
        session: reader.text("role_session_name")?,
        seconds: reader.duration("role_duration")?.as_secs(),
        external_id,
    };
    let mut good = true;
    if !role.arn.starts_with("acs:ram::") || !is_header_word(&role.arn) {
        reader.complain(
            "role_arn",
            "this is no role's ARN",
            Some("such as acs:ram::ACCOUNT:role/NAME".into()),
        );
        good = false;
    }
    if !Role::is_session(&role.session) {
        let hint = "2 to 64 letters, digits and .@-_ signs";
        reader.complain("role_session_name", "this is no session's name", Some(hint.into()));
        good = false;
    }
    good.then_some(role)
}

fn profile(reader: &Reader<'_>) -> Option<Origin> {
    let env: &Arc<dyn Env> = reader.context().env;
    let file = match reader.text("credentials_file") {
        Some(file) => Some(reader.context().base.join(file)),
        None => profile::usual_file(&**env),
    };
    let opened = file
        .ok_or("none of the vendor's files of profiles is here")
        .and_then(|file: PathBuf| Profile::open(env.clone(), file, reader.text("profile")));
    match opened {
        Ok(profile) => Some(Origin::Profile(profile)),
        Err(words) => {
            let key = if reader.has("credentials_file") { "credentials_file" } else { "credentials" };
            reader.complain(key, words, Some("look at `credentials_file` and `profile`".into()));
            None
        }
    }
}

fn chain(reader: &Reader<'_>) -> Option<Origin> {
    profile::chain(reader.context().env)
        .map_err(|words| {
            let hint =
                "set ALIBABA_CLOUD_ACCESS_KEY_ID and ALIBABA_CLOUD_ACCESS_KEY_SECRET, or name another way";
            reader.complain("credentials", words, Some(hint.into()));
        })
        .ok()
}
