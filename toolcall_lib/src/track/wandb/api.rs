//! The HTTP API of Weights & Biases, as far as a run needs it.

use super::Settings;
use crate::AGENT;
use crate::error::Error;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value, json};
use std::fmt;
use ureq::Agent;
use ureq::http::header::{AUTHORIZATION, CONTENT_TYPE, USER_AGENT};
use ureq::http::{HeaderValue, Uri};

/// Longest answer that is read, in bytes.
const LONGEST_ANSWER: u64 = 4 << 20;

const UPSERT: &str = "mutation UpsertBucket($name: String, $project: String, $entity: String, \
    $displayName: String, $config: JSONString, $host: String) { upsertBucket(input: {name: $name, \
    modelName: $project, entityName: $entity, displayName: $displayName, config: $config, host: $host}) { \
    bucket { name displayName project { name entity { name } } historyLineCount } inserted } }";

const CREATE_FILES: &str = "mutation CreateRunFiles($entity: String!, $project: String!, $run: String!, \
    $files: [String!]!) { createRunFiles(input: {entityName: $entity, projectName: $project, runName: $run, \
    files: $files}) { runID uploadHeaders files { name uploadUrl } } }";

/// Name of the number that counts optimizer steps. All other numbers are drawn over it.
pub(super) const AXIS: &str = "train/global_step";

/// Facts about a run before its first step.
#[derive(Clone, Debug)]
pub(super) struct Description {
    pub id: String,
    pub name: Option<String>,
    pub project: String,
    pub entity: Option<String>,
    pub config: Map<String, Value>,
    pub host: String,
}

/// Place of a run on the server.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub entity: String,
    pub project: String,
    pub id: String,
    /// Number of rows of the history that it has: those of an earlier run with the same id.
    pub rows: usize,
}

/// Reason why a request failed.
#[derive(Debug)]
pub(super) enum Failure {
    /// A failure after which a retry may succeed.
    Passing(String),
    /// A failure that every retry would meet too.
    Final(String),
}

/// A server, and the key for it.
pub(super) struct Api {
    agent: Agent,
    /// Scheme, host, port, and the path in front of all others.
    base: String,
    key: String,
    authorization: HeaderValue,
}

impl fmt::Debug for Api {
    /// Leaves the key out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Api {{ base: {:?} }}", self.base)
    }
}

impl Api {
    /// # Errors
    /// The address is not that of a web server, or the key cannot be put into a request header.
    pub fn new(settings: &Settings, key: &str) -> Result<Self, Error> {
        let base = settings.base_url.trim_end_matches('/').to_string();
        let uri: Option<Uri> = base.parse().ok();
        let is_web = uri.is_some_and(|uri| {
            let host = uri.authority().is_some_and(|host| !host.as_str().contains('@'));
            matches!(uri.scheme_str(), Some("http" | "https")) && host && uri.query().is_none()
        });
        if !is_web {
            let problem = "is not of the form https://host or http://host:port";
            return Err(Error::invalid("WANDB_BASE_URL", problem));
        }
        let basic = format!("Basic {}", STANDARD.encode(format!("api:{key}")));
        let unusable = || Error::invalid("WANDB_API_KEY", "holds characters that no key has; set it anew");
        let mut authorization = Some(basic)
            .filter(|_| key.chars().all(|c| c.is_ascii_graphic()))
            .and_then(|basic| HeaderValue::from_str(&basic).ok())
            .ok_or_else(unusable)?;
        authorization.set_sensitive(true);
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0) // the key and the numbers go to this server only
            .timeout_global(Some(settings.timeout))
            .build();
        Ok(Self {
            agent: config.into(),
            base,
            key: key.to_string(),
            authorization,
        })
    }

    /// Creates a run, or finds the one with its id.
    pub fn create(&self, run: &Description) -> Result<Place, Failure> {
        let settings = run.config.iter();
        let mut config: Map<String, Value> = settings
            .map(|(name, value)| (name.clone(), json!({"value": value, "desc": null})))
            .collect();
        // The fields of two `MetricRecord`s by number. The first defines the axis, the second makes
        // it that of all others.
        let axis = json!([{"1": AXIS, "6": [3], "7": []}, {"2": "*", "5": 1, "6": [1], "7": []}]);
        config.insert("_wandb".to_string(), json!({"value": {"m": axis}}));
        let answer = self.graphql(
            UPSERT,
            &json!({
                "name": run.id, "project": run.project, "entity": run.entity, "displayName": run.name,
                "config": Value::Object(config).to_string(), "host": run.host,
            }),
        )?;
        let bucket = &answer["upsertBucket"]["bucket"];
        let text = |value: &Value| value.as_str().map(str::to_string);
        let entity = text(&bucket["project"]["entity"]["name"]).or_else(|| run.entity.clone());
        let entity =
            entity.ok_or_else(|| Failure::Final("it does not name the owner of the run".to_string()))?;
        Ok(Place {
            entity,
            project: text(&bucket["project"]["name"]).unwrap_or_else(|| run.project.clone()),
            id: text(&bucket["name"]).unwrap_or_else(|| run.id.clone()),
            rows: bucket["historyLineCount"].as_u64().unwrap_or(0) as usize,
        })
    }

    /// Adds to the files of a run that grow while it goes on.
    pub fn stream(&self, place: &Place, body: &Value) -> Result<(), Failure> {
        let path = format!("/files/{}/file_stream", place.path());
        self.post(&path, body).map(drop)
    }

    /// Stores a file of a run.
    pub fn upload(&self, place: &Place, name: &str, bytes: &[u8]) -> Result<(), Failure> {
        let answer = self.graphql(
            CREATE_FILES,
            &json!({"entity": place.entity, "project": place.project, "run": place.id, "files": [name]}),
        )?;
        let created = &answer["createRunFiles"];
        let Some(url) = created["files"][0]["uploadUrl"].as_str() else {
            return Err(Failure::Final("it does not say where a file goes".to_string()));
        };
        let own = url.starts_with('/');
        let url = if own {
            format!("{}{url}", self.base)
        } else {
            url.to_string()
        };
        let mut request = self.agent.put(&url);
        let headers = created["uploadHeaders"].as_array().into_iter().flatten();
        for (name, value) in headers.filter_map(|header| header.as_str()?.split_once(':')) {
            request = request.header(name, value.trim());
        }
        if own || url.starts_with(&format!("{}/", self.base)) {
            request = request.header(AUTHORIZATION, &self.authorization); // no storage elsewhere sees it
        }
        self.checked(request.send(bytes)).map(drop)
    }

    fn graphql(&self, query: &str, variables: &Value) -> Result<Value, Failure> {
        let mut answer = self.post("/graphql", &json!({"query": query, "variables": variables}))?;
        if let Some(error) = answer["errors"].as_array().and_then(|errors| errors.first()) {
            let said = error["message"].as_str().unwrap_or("an error without a message");
            return Err(Failure::Final(self.safe(&format!("it answers: {said}"))));
        }
        Ok(answer["data"].take())
    }

    fn post(&self, path: &str, body: &Value) -> Result<Value, Failure> {
        let request = self
            .agent
            .post(format!("{}{path}", self.base))
            .header(USER_AGENT, AGENT)
            .header(AUTHORIZATION, &self.authorization)
            .header(CONTENT_TYPE, "application/json");
        let text = self.checked(request.send(body.to_string()))?;
        match text.trim() {
            "" => Ok(Value::Null),
            text => {
                serde_json::from_str(text).map_err(|_| Failure::Final("its answer is not JSON".to_string()))
            }
        }
    }

    /// Returns the text of an answer.
    fn checked(
        &self,
        answer: Result<ureq::http::Response<ureq::Body>, ureq::Error>,
    ) -> Result<String, Failure> {
        let broken = |error: ureq::Error| Failure::Passing(self.safe(&error.to_string()));
        let mut answer = answer.map_err(broken)?;
        let status = answer.status().as_u16();
        match status {
            200..300 => {
                let body = answer.body_mut().with_config().limit(LONGEST_ANSWER);
                body.read_to_string().map_err(broken)
            }
            401 | 403 => {
                let advice = "the key in WANDB_API_KEY is not accepted there; set it anew";
                Err(Failure::Final(format!(
                    "it answers with HTTP status {status}: {advice}"
                )))
            }
            408 | 429 | 500.. => Err(Failure::Passing(format!("it answers with HTTP status {status}"))),
            _ => Err(Failure::Final(format!("it answers with HTTP status {status}"))),
        }
    }

    /// Removes the key from a message, which a server or a library might repeat.
    fn safe(&self, text: &str) -> String {
        text.replace(&self.key, "…")
    }

    /// Returns the address of a run for a browser.
    pub fn page(&self, place: &Place) -> String {
        let site = self.base.replace("://api.wandb.ai", "://wandb.ai");
        format!(
            "{site}/{}/{}/runs/{}",
            part(&place.entity),
            part(&place.project),
            part(&place.id)
        )
    }

    /// Returns the address of the server, for people.
    pub fn base(&self) -> &str {
        &self.base
    }
}

impl Place {
    fn path(&self) -> String {
        format!(
            "{}/{}/{}",
            part(&self.entity),
            part(&self.project),
            part(&self.id)
        )
    }
}

/// Returns a name as a part of an address.
fn part(name: &str) -> String {
    const KEPT: &percent_encoding::AsciiSet = &NON_ALPHANUMERIC
        .remove(b'-')
        .remove(b'_')
        .remove(b'.')
        .remove(b'~');
    utf8_percent_encode(name, KEPT).to_string()
}
