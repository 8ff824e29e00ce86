//! The vendor's own files of profiles and its variables: the CLI's `config.json`, the SDKs' `credentials` in ini form, and
//! the order in which all of them are looked at.
//!
//! Of a file's many modes those are read that a daemon can use. A file that changes is read again; one that is lost or
//! bad by then keeps what it said before.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Deserialize;
use tracing::warn;

use super::Credentials;
use super::fetch::{Ecs, Oidc, Recipe, Role};
use super::open::is_address;
use super::ways::Origin;
use crate::config::Secret;
use crate::ports::Env;

/// The largest file of profiles that is read, in bytes: a profile has a few hundred.
const FILE_BYTES: u64 = 256 * 1024;

/// How long a role's key lives if the profile does not say, in seconds: the vendor's own default.
const ROLE_SECONDS: u64 = 3600;

/// A role's session where nothing names one.
const SESSION: &str = "presence-exporter";

/// A profile in a file.
pub struct Profile {
    env: Arc<dyn Env>,
    file: PathBuf,
    name: Option<String>,
    now: Mutex<Now>,
}

struct Now {
    text: Secret,
    recipe: Recipe,
    /// That the file cannot be used any more was said.
    lost: bool,
}

impl Profile {
    /// Reads the profile of this name, or the file's own choice. The error says what is wrong, and quotes nothing.
    pub fn open(env: Arc<dyn Env>, file: PathBuf, name: Option<String>) -> Result<Self, &'static str> {
        let text = env.read(&file, FILE_BYTES).map_err(|_| "the file of profiles cannot be read")?;
        let recipe = parse(&text, name.as_deref(), &env)?;
        let now = Mutex::new(Now { text: Secret::new(text), recipe, lost: false });
        Ok(Self { env, file, name, now })
    }

    /// What the profile says.
    pub fn recipe(&self) -> Recipe {
        self.now().recipe.clone()
    }

    /// Reads the file again; whether the profile's key has to be another one now.
    pub fn reread(&self) -> bool {
        let mut now = self.now();
        let read = self.env.read(&self.file, FILE_BYTES).map_err(|_| "the file of profiles cannot be read");
        let read = match read {
            Ok(text) if text == now.text.expose() => {
                now.lost = false;
                return now.recipe.changed();
            }
            Ok(text) => parse(&text, self.name.as_deref(), &self.env).map(|recipe| (text, recipe)),
            Err(why) => Err(why),
        };
        match read {
            Ok((text, recipe)) => {
                *now = Now { text: Secret::new(text), recipe, lost: false };
                true
            }
            Err(why) => {
                if !now.lost {
                    warn!(
                        why,
                        "the file of profiles cannot be used any more; what it said last stays in use"
                    );
                }
                now.lost = true;
                false
            }
        }
    }

    fn now(&self) -> MutexGuard<'_, Now> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where the vendor's tools keep profiles, if one of these files is here.
pub fn usual_file(env: &dyn Env) -> Option<PathBuf> {
    let home = filled(env, "HOME");
    let at = |path: &str| home.as_ref().map(|home| Path::new(home).join(path));
    let named = filled(env, "ALIBABA_CLOUD_CREDENTIALS_FILE").map(PathBuf::from);
    [named, at(".aliyun/config.json"), at(".alibabacloud/credentials.ini"), at(".alibabacloud/credentials")]
        .into_iter()
        .flatten()
        .find(|file| env.read(file, FILE_BYTES).is_ok())
}

/// The first that is there, in the order of the vendor's SDKs: key in variables, OIDC role in variables, a profile, then
/// (other than there, since it was named on purpose) a service's address, then the instance's role.
pub fn chain(env: &Arc<dyn Env>) -> Result<Origin, &'static str> {
    let var = |name: &str| filled(&**env, name);
    let is = |name: &str| var(name).is_some_and(|text| text.eq_ignore_ascii_case("true"));
    let session = || var("ALIBABA_CLOUD_ROLE_SESSION_NAME");
    if let (Some(id), Some(secret)) =
        (var("ALIBABA_CLOUD_ACCESS_KEY_ID"), var("ALIBABA_CLOUD_ACCESS_KEY_SECRET"))
    {
        let token = var("ALIBABA_CLOUD_SECURITY_TOKEN");
        let draft = Draft { id: Some(id), secret: Some(secret), token, ..Draft::default() };
        return draft.key().map(|key| Origin::Settled(Recipe::Key(key)));
    }
    if let (Some(role_arn), Some(provider), Some(file)) = (
        var("ALIBABA_CLOUD_ROLE_ARN"),
        var("ALIBABA_CLOUD_OIDC_PROVIDER_ARN"),
        var("ALIBABA_CLOUD_OIDC_TOKEN_FILE"),
    ) {
        let draft = Draft { role_arn: Some(role_arn), session: session(), ..Draft::default() };
        return Ok(Origin::Settled(Recipe::Oidc(Oidc::new(
            draft.role()?,
            provider,
            file.into(),
            env.clone(),
        ))));
    }
    if let Some(file) = usual_file(&**env).filter(|_| !is("ALIBABA_CLOUD_CLI_PROFILE_DISABLED")) {
        return Profile::open(env.clone(), file, var("ALIBABA_CLOUD_PROFILE")).map(Origin::Profile);
    }
    if let Some(uri) = var("ALIBABA_CLOUD_CREDENTIALS_URI").map(Secret::new) {
        let good = is_address(&uri);
        let uri = good.then_some(uri).ok_or("the variable with the service's address holds none")?;
        return Ok(Origin::Settled(Recipe::Uri(uri)));
    }
    if is("ALIBABA_CLOUD_ECS_METADATA_DISABLED") {
        return Err("no variable and no file gives a key, and the instance's role is switched off");
    }
    let ecs = Draft { ecs_role: var("ALIBABA_CLOUD_ECS_METADATA"), ..Draft::default() }.ecs()?;
    let without_token = !is("ALIBABA_CLOUD_IMDSV1_DISABLED");
    Ok(Origin::Settled(Recipe::Ecs(Ecs { without_token, ..ecs })))
}

fn filled(env: &dyn Env, name: &str) -> Option<String> {
    env.var(name).map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
}

/// A profile as the file gives it. No Debug.
#[derive(Default, Deserialize)]
struct Draft {
    #[serde(default)]
    name: String,
    #[serde(default)]
    mode: String,
    #[serde(rename = "access_key_id")]
    id: Option<String>,
    #[serde(rename = "access_key_secret")]
    secret: Option<String>,
    #[serde(rename = "sts_token")]
    token: Option<String>,
    #[serde(rename = "ram_role_arn")]
    role_arn: Option<String>,
    #[serde(rename = "ram_session_name", alias = "role_session_name")]
    session: Option<String>,
    #[serde(rename = "expired_seconds")]
    seconds: Option<u64>,
    external_id: Option<String>,
    #[serde(rename = "oidc_provider_arn")]
    provider_arn: Option<String>,
    #[serde(rename = "oidc_token_file")]
    token_file: Option<String>,
    #[serde(rename = "ram_role_name")]
    ecs_role: Option<String>,
}

#[derive(Deserialize)]
struct CliFile {
    #[serde(default)]
    current: String,
    #[serde(default)]
    profiles: Vec<Draft>,
}

fn parse(text: &str, name: Option<&str>, env: &Arc<dyn Env>) -> Result<Recipe, &'static str> {
    let draft = if text.trim_start().starts_with('{') {
        let file: CliFile = serde_json::from_str(text).map_err(|_| "the file of profiles is no good JSON")?;
        let name = name.unwrap_or(if file.current.is_empty() { "default" } else { &file.current });
        file.profiles.into_iter().find(|draft| draft.name == name)
    } else {
        read_ini(text, name.unwrap_or("default"))
    };
    draft.ok_or("the file of profiles has no such profile")?.recipe(env)
}

/// The section of this name in the SDKs' ini file. A `#` or `;` begins a comment at the start of a line only: a secret
/// may hold one.
fn read_ini(text: &str, name: &str) -> Option<Draft> {
    let mut found: Option<Draft> = None;
    let mut inside = false;
    for line in text.lines().map(str::trim).filter(|line| !line.starts_with(['#', ';'])) {
        if let Some(section) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            inside = section.trim() == name;
            if inside {
                found.get_or_insert_default();
            }
        } else if let (true, Some(draft), Some((key, value))) = (inside, &mut found, line.split_once('=')) {
            let value = value.trim().to_owned();
            let place = match key.trim() {
                "type" => {
                    draft.mode = value;
                    continue;
                }
                "access_key_id" => &mut draft.id,
                "access_key_secret" => &mut draft.secret,
                "security_token" => &mut draft.token,
                "role_arn" => &mut draft.role_arn,
                "role_session_name" => &mut draft.session,
                "oidc_provider_arn" => &mut draft.provider_arn,
                "oidc_token_file_path" => &mut draft.token_file,
                "role_name" => &mut draft.ecs_role,
                _ => continue,
            };
            *place = Some(value);
        }
    }
    found
}

impl Draft {
    fn recipe(self, env: &Arc<dyn Env>) -> Result<Recipe, &'static str> {
        match self.mode.as_str() {
            "AK" | "StsToken" | "access_key" | "sts" => self.key().map(Recipe::Key),
            "RamRoleArn" | "ram_role_arn" => Ok(Recipe::Role(self.key()?, self.role()?)),
            "OIDC" | "oidc_role_arn" => {
                let role = self.role()?;
                let words = "the profile lacks oidc_provider_arn or its token's file";
                let (provider, file) = self.provider_arn.zip(self.token_file).ok_or(words)?;
                Ok(Recipe::Oidc(Oidc::new(role, provider, file.into(), env.clone())))
            }
            "EcsRamRole" | "ecs_ram_role" => self.ecs().map(Recipe::Ecs),
            _ => Err(
                "the profile's mode is none that is known here: AK, StsToken, RamRoleArn, EcsRamRole, OIDC",
            ),
        }
    }

    fn key(&self) -> Result<Credentials, &'static str> {
        let secret = |text: &Option<String>| {
            text.as_deref().map(str::trim).filter(|text| !text.is_empty()).map(Secret::new)
        };
        let (id, key_secret) = (secret(&self.id), secret(&self.secret));
        let (id, key_secret) = id.zip(key_secret).ok_or("the profile lacks a key's id or secret")?;
        Credentials::new(id, key_secret, secret(&self.token)).map_err(|(_, words)| words)
    }

    fn role(&self) -> Result<Role, &'static str> {
        let session = self.session.clone().filter(|session| !session.is_empty());
        let session = session.unwrap_or_else(|| SESSION.to_owned());
        if !Role::is_session(&session) {
            return Err("the role's session name is none");
        }
        let arn = self.role_arn.clone().filter(|arn| arn.starts_with("acs:ram::"));
        Ok(Role {
            arn: arn.ok_or("the profile lacks a role's ARN")?,
            session,
            seconds: self.seconds.filter(|seconds| *seconds >= 900).unwrap_or(ROLE_SECONDS),
            external_id: self.external_id.clone().filter(|id| !id.is_empty()).map(Secret::new),
        })
    }

    fn ecs(&self) -> Result<Ecs, &'static str> {
        let role = self.ecs_role.clone().filter(|role| !role.is_empty());
        if role.as_deref().is_some_and(|role| !Ecs::is_role(role)) {
            return Err("the name of the instance's role is none");
        }
        Ok(Ecs { role, without_token: true })
    }
}
